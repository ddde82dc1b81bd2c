"""The ledger's double entry against the payment service's tables and the money that moved."""

from collections import Counter
from typing import Any

from tests.support.oracles.lease_state import Folded
from tests.support.system.client import Client
from tests.support.system.system import System

_RECEIVABLE = """
SELECT currency, sum(p.principal - paid_principal)::bigint AS principal,
       sum(p.fees + p.late_fees - paid_fees - paid_late_fees)::bigint AS fees
  FROM payment.payments AS p JOIN payment.accounts USING (lease_id)
 WHERE status NOT IN ('paid', 'cancelled')
 GROUP BY currency
"""


def balances(shown: dict[str, Any]) -> Counter[str]:
    """Each account's balance in one currency, once debits and credits are shown to be equal; else 0."""
    accounts = shown["accounts"]
    assert shown["debits"] == sum(each["debits"] for each in accounts)
    assert shown["credits"] == sum(each["credits"] for each in accounts)
    assert shown["difference"] == shown["debits"] - shown["credits"] == 0
    return Counter({each["account"]: each["balance"] for each in accounts})


async def check_books(system: System, client: Client, folded: dict[str, Folded]) -> None:
    """What is receivable is what is open on the instalments; cash is what was collected; no money is lost."""
    shown = (await client.ledger.get("/api/v1/audit/trial-balance")).json["balances"]
    receivable = {row["currency"]: row for row in await system.rows(_RECEIVABLE)}
    amounts = (await client.ledger.get("/api/v1/audit/metrics")).json["amounts"]
    assert shown.keys() == amounts.keys()
    for currency, its in shown.items():
        now, open_now = balances(its), receivable.get(currency, {"principal": 0, "fees": 0})
        assert now["receivable:principal"] == open_now["principal"], currency
        assert now["receivable:fees"] == open_now["fees"], currency
        assert now["receivable:principal"] + now["receivable:fees"] <= amounts[currency]["outstanding"]
        assert now["cash"] == amounts[currency]["collected"] - amounts[currency]["refunded"]
        assert now["suspense"] == 0
    due_back = sum(state.due_back for state in folded.values() if state.status != "cancelled")
    assert sum(balances(its)["payable:refunds"] for its in shown.values()) == -due_back
    held = sum(balances(its)["payable:customers"] for its in shown.values())
    assert held == -sum(state.collected for state in folded.values() if state.status == "cancelled")


async def check_journal(client: Client, lease_id: str, state: Folded) -> None:
    """A lease's journal: every entry balances, and together they leave its balances."""
    journal = (await client.ledger.get(f"/api/v1/audit/leases/{lease_id}/journal?limit=200")).json
    [(currency, shown)] = journal["balances"].items()
    left: Counter[str] = Counter()
    for item in journal["items"]:
        signed = {"debit": 1, "credit": -1}
        moved = [(each["account"], signed[each["side"]] * each["amount"]) for each in item["postings"]]
        assert sum(amount for _, amount in moved) == 0, item
        assert {each["currency"] for each in item["postings"]} == {currency}, item
        assert all(each["amount"] > 0 for each in item["postings"]), item
        for account, amount in moved:
            left[account] += amount
    assert left == balances(shown)
    assert left["cash"] == state.collected
    receivable = left["receivable:principal"], left["receivable:fees"]
    assert min(receivable) >= 0
    assert sum(receivable) <= state.balance

"""What must hold of everybody's books: the gateway's, each service's tables, and the ledger's events."""

from collections import Counter, defaultdict
from typing import Any

import msgspec

from ledger_svc.accounting.account_balances import trial_balance
from ledger_svc.accounting.totals import Totals
from ledger_svc.contracts.entry import Entry
from ledger_svc.log import repository as ledger_store
from ledger_svc.views.point_in_time import fold as fold_entries
from ledger_svc.views.point_in_time import select, snapshot
from payment_svc.application.gateway import Charged, Declined, RefundRequest
from payment_svc.domain.collection_rules import MAX_ATTEMPTS
from payment_svc.domain.declines import NO_RECORD
from tests.support.oracles.autopay import follow
from tests.support.oracles.lease_state import Folded, fold
from tests.support.simulation.world import World

OPEN = ("scheduled", "due", "late")

_ATTEMPTS = """
SELECT attempt_id::text, lease_id::text, payment_id::text, kind, status, amount, gateway_reference, refunded,
       refunds::text, notice_id, run_id::text, as_of, decline ->> 'code' AS code
  FROM payment.attempts
"""
_PAYMENTS = """
SELECT lease_id::text, payment_id::text, number, status, in_flight::text, autopay_declines,
       autopay_stopped::text AS stopped,
       principal + interest + fees + late_fees AS amount,
       paid_principal + paid_interest + paid_fees + paid_late_fees AS paid,
       least(paid_principal, paid_interest, paid_fees, paid_late_fees, principal - paid_principal,
             interest - paid_interest, fees - paid_fees, late_fees - paid_late_fees) AS least
  FROM payment.payments
"""
_LEASES = """
SELECT lease_id::text, status, balance, amount_paid, version, paid, contract, autopay_now FROM lease.leases
"""
_ACCOUNTS = """
SELECT lease_id::text, autopay, payment_method, autopay_stopped::text AS stopped, closed FROM payment.accounts
"""
_HISTORY = """
SELECT lease_id::text, array_agg(version ORDER BY version) AS versions FROM lease.history GROUP BY lease_id
"""
_ENTRIES = """
SELECT seq, event_id::text, type, source, sequence, lease_id::text, occurred_at, recorded_at, raw, leaf_hash
  FROM ledger.entries ORDER BY seq
"""
_QUOTED = """
SELECT q.amount AS quoted, a.amount, a.status FROM payment.quotes AS q JOIN payment.attempts AS a
    ON a.attempt_id = q.used_by
"""
_NOT_IN_FLIGHT = """
SELECT payment_id FROM payment.payments AS p
 WHERE in_flight IS DISTINCT FROM (SELECT attempt_id FROM payment.attempts AS a
                                    WHERE a.payment_id = p.payment_id AND a.status IN ('started', 'unknown'))
 UNION ALL
SELECT lease_id FROM payment.accounts AS p
 WHERE payoff_in_flight IS DISTINCT FROM (SELECT attempt_id FROM payment.attempts AS a
                                           WHERE a.lease_id = p.lease_id AND a.payment_id IS NULL
                                             AND a.status IN ('started', 'unknown'))
"""
_NOT_COUNTED = """
SELECT lease_id FROM payment.accounts AS a
 WHERE money_moves <> (SELECT count(*) FROM payment.attempts AS t
                        WHERE t.lease_id = a.lease_id AND t.status = 'succeeded')
"""
# All statuses go by the lease's day; a lease is delinquent no longer than something is late beyond the grace.
_OFF_THE_DAY = """
SELECT p.payment_id FROM payment.payments AS p JOIN payment.accounts AS a USING (lease_id)
 WHERE p.status IN ('scheduled', 'due', 'late')
   AND p.status <> CASE WHEN p.due_date > coalesce(a.collected_as_of, '-infinity') THEN 'scheduled'
                        WHEN p.due_date = a.collected_as_of THEN 'due' ELSE 'late' END
"""
# By due dates: a method that is named since begins the grace anew, and cures nothing.
_DELINQUENT_FOR_NOTHING = """
SELECT lease_id FROM payment.accounts AS a
 WHERE delinquent
   AND NOT EXISTS (SELECT FROM payment.payments AS p
                    WHERE p.lease_id = a.lease_id AND p.status IN ('due', 'late')
                      AND p.due_date + a.grace_days < a.collected_as_of)
"""
# A method that is named again begins a new series, also on the same day.
_TWICE_A_DAY = """
SELECT payment_id FROM payment.attempts AS a WHERE run_id IS NOT NULL
 GROUP BY payment_id, as_of, payment_method
HAVING count(*) > 1 + (SELECT count(*)
                         FROM (SELECT convert_from(body, 'UTF8') AS body FROM payment.outbox) AS told
                        WHERE body LIKE '%"lease.autopay_changed"%' AND body LIKE '%' || a.payment_id || '%')
"""
# Of a lease a run tries one instalment at a time.
_AT_ONCE = """
SELECT lease_id, run_id FROM payment.attempts
 WHERE run_id IS NOT NULL AND status IN ('started', 'unknown')
 GROUP BY lease_id, run_id HAVING count(*) > 1
"""
# What was declined for good is not charged again by a run, until a method is named.
_DEAD_CARD = """
SELECT a.attempt_id FROM payment.attempts AS a JOIN payment.accounts AS t USING (lease_id)
 WHERE a.run_id IS NOT NULL AND t.autopay_stopped IS NOT NULL
   AND a.created_at > (t.autopay_stopped ->> 'since')::timestamptz
"""


# Fees are paid before interest, interest before principal, and given back the other way round. A payoff
# settles instalments in ways of its own.
_OUT_OF_ORDER = """
SELECT payment_id FROM payment.payments AS p
 WHERE (paid_principal > 0 AND paid_interest < interest
        OR paid_principal + paid_interest > 0 AND paid_fees < fees)
   AND NOT EXISTS (SELECT FROM payment.attempts AS a
                    WHERE a.lease_id = p.lease_id AND a.kind = 'payoff' AND a.status = 'succeeded')
"""
_RECEIVABLE = """
SELECT coalesce(sum(principal - paid_principal), 0)::bigint AS principal,
       coalesce(sum(fees + late_fees - paid_fees - paid_late_fees), 0)::bigint AS fees
  FROM payment.payments WHERE status NOT IN ('paid', 'cancelled')
"""
_NOT_GIVEN_BACK = """
SELECT r.refunds::text FROM payment.returns AS r JOIN payment.attempts AS a USING (attempt_id)
 WHERE a.status = 'declined' AND a.decline ->> 'code' <> 'no_record'
"""


# What is stored of a command that moves money, by its attempt's status.
_ANSWERS = {
    "succeeded": ("succeeded", 201),
    "declined": ("rejected", 402),
    "failed": ("rejected", 502),
    "unknown": ("pending", 202),
}
_COMMANDS_AND_ATTEMPTS = """
SELECT c.command_id::text, c.type, c.status, c.http_status, a.status AS attempt_status
  FROM payment.commands AS c
  LEFT JOIN payment.attempts AS a
    ON a.command_id = c.command_id AND a.run_id IS NULL AND a.kind <> 'chargeback'
"""


async def check_always(world: World) -> None:
    """What holds at any moment, whatever is under way."""
    twice = {key: times for key, times in world.gateway.moved.items() if times > 1}
    assert not twice, f"money was moved more than once: {twice}"
    over = [each for each in world.gateway.records.values() if each.left < 0]
    assert not over, f"more was taken back than there was: {over}"
    assert await world.owner.fetch(_NOT_IN_FLIGHT) == []
    assert await world.owner.fetch(_NOT_COUNTED) == []
    assert await world.owner.fetch(_TWICE_A_DAY) == []
    assert await world.owner.fetch(_AT_ONCE) == []
    assert await world.owner.fetch(_DEAD_CARD) == []
    assert await world.owner.fetch(_OFF_THE_DAY) == []
    assert await world.owner.fetch(_DELINQUENT_FOR_NOTHING) == []
    assert await world.owner.fetch(_OUT_OF_ORDER) == []
    for attempt in await world.owner.fetch(_ATTEMPTS):
        _check_with_gateway(world, attempt, settled_only=True)
    for command_id, told in world.replies.items():
        # while one worker gives up waiting for the gateway (202), another may hear from it
        answers = {(each.http_status, bytes(each.body)) for each in told if each.http_status != 202}
        assert len(answers) <= 1, f"command {command_id} was answered in several ways: {answers}"


async def check_at_rest(world: World) -> None:
    """What holds once nothing is under way any more, but for attempts that only the gateway could settle."""
    await check_always(world)
    attempts = {row["attempt_id"]: row for row in await world.owner.fetch(_ATTEMPTS)}
    entries = [Entry(**dict(row.items())) for row in await world.owner.fetch(_ENTRIES)]
    assert len(entries) == await world.owner.fetchval(
        "SELECT (SELECT count(*) FROM lease.outbox) + (SELECT count(*) FROM payment.outbox)"
    )
    by_lease: defaultdict[str, list[Entry]] = defaultdict(list)
    for entry in entries:
        by_lease[entry.lease_id].append(entry)
    assert set(by_lease) == set(world.leases)
    folded = {key: fold(msgspec.json.decode(each.raw) for each in theirs) for key, theirs in by_lease.items()}
    await _check_commands(world)
    _check_attempts(world, attempts, folded)
    await _check_closed(world, attempts, folded, by_lease)
    await _check_projections(world, folded)
    await _check_payments(world, folded, by_lease)
    await _check_totals(world, attempts, folded)
    await _check_autopay(world, by_lease)


def _check_with_gateway(world: World, attempt: Any, *, settled_only: bool) -> None:
    """An attempt's end is what the gateway did, or will do, under its key."""
    key, status = attempt["attempt_id"], attempt["status"]
    record = world.gateway.records.get(key)
    if attempt["kind"] == "chargeback":
        [notice] = [each for each in world.gateway.notices if each.notice_id == attempt["notice_id"]]
        original = notice.charge.request.attempt_id
        assert (attempt["amount"], attempt["refunds"]) == (notice.amount, original), attempt
    elif status == "succeeded" and attempt["amount"] == 0:
        assert record is None, attempt
    elif status == "declined" and attempt["code"] == NO_RECORD:
        assert record is None, f"the gateway says otherwise: {attempt} {record}"
    elif status in ("succeeded", "declined"):
        assert record, f"the gateway knows nothing of it: {attempt}"
        assert isinstance(record.said, Charged if status == "succeeded" else Declined), attempt
        assert record.request.amount == attempt["amount"], attempt
        assert record.said.reference == attempt["gateway_reference"], attempt
        assert isinstance(record.request, RefundRequest) == (attempt["kind"] == "refund"), attempt
    elif not settled_only or status == "failed":
        assert record is None, f"the gateway says otherwise: {attempt} {record}"


async def _check_commands(world: World) -> None:
    for service in world.told:
        commands = await world.owner.fetch(f"SELECT command_id::text, status FROM {service}.commands")
        assert service == "payment" or all(each["status"] != "pending" for each in commands), commands
        sent = {each.command.command_id for each in world.messages if each.service == service}
        assert {each["command_id"] for each in commands} == sent
        assert await world.owner.fetchval(f"SELECT count(*) FROM {service}.outbox_pending") == 0
    for row in await world.owner.fetch(_COMMANDS_AND_ATTEMPTS):
        if row["attempt_status"] is None:
            assert row["status"] != "pending", row
        else:
            assert (row["status"], row["http_status"]) == _ANSWERS[row["attempt_status"]], row


def _check_attempts(world: World, attempts: dict[str, Any], folded: dict[str, Folded]) -> None:
    """The gateway's record is what attempts and events say, one to one; and so is the money."""
    moved = set(world.gateway.records)
    assert moved <= set(attempts), f"the gateway was asked for what is no attempt: {moved - set(attempts)}"
    taken_back: Counter[str] = Counter()
    kept: Counter[str] = Counter()
    ends: defaultdict[str, dict[str, str]] = defaultdict(dict)
    unsettled: defaultdict[str, set[str]] = defaultdict(set)
    for key, attempt in attempts.items():
        _check_with_gateway(world, attempt, settled_only=False)
        lease_id = attempt["lease_id"]
        if attempt["status"] == "unknown":
            unsettled[lease_id].add(key)
            continue
        assert attempt["status"] != "started", attempt
        ends[lease_id][key] = attempt["status"]
        if attempt["status"] == "succeeded":
            kept[lease_id] += -attempt["amount"] if attempt["refunds"] else attempt["amount"]
            if attempt["refunds"]:
                taken_back[attempt["refunds"]] += attempt["amount"]
    recorded = sorted(each["notice_id"] for each in attempts.values() if each["notice_id"])
    assert recorded == sorted(each.notice_id for each in world.gateway.notices if each.heard)
    gateway: Counter[str] = Counter()
    for notice in world.gateway.notices:
        if not notice.heard:  # refused while an attempt on the same money is unknown
            lease_id = notice.charge.request.lease_id
            assert unsettled[lease_id], f"a chargeback that is not recorded: {notice}"
            gateway[lease_id] += notice.amount
    for record in world.gateway.records.values():
        if not isinstance(record.request, RefundRequest):
            gateway[record.request.lease_id] += record.left
    for key, attempt in attempts.items():
        assert attempt["refunded"] == taken_back[key] <= attempt["amount"], attempt
    for lease_id, state in folded.items():
        assert gateway[lease_id] == kept[lease_id] == state.collected, lease_id
        assert state.ends == ends[lease_id]
        assert state.unsettled == unsettled[lease_id]


async def _check_closed(
    world: World, attempts: dict[str, Any], folded: dict[str, Folded], entries: dict[str, list[Entry]]
) -> None:
    """Of a cancelled lease all money has gone back, of one that was charged off what came in afterwards.

    But what the gateway has refused to give back, or what waits for an end that nobody knows.
    """
    refused = {row["refunds"] for row in await world.owner.fetch(_NOT_GIVEN_BACK)}
    for lease_id, state in folded.items():
        to_give_back = set(state.ends) if state.status == "cancelled" else set()
        if state.status == "charged_off":
            for entry in entries[lease_id]:
                if entry.type == "lease.autopay_changed":
                    continue  # it is about no money
                data = msgspec.json.decode(entry.raw)["data"]
                if data.get("payment_status") == "cancelled" or data.get("instalments") == []:
                    to_give_back.add(data["attempt_id"])
        if not state.unsettled:
            for key in to_give_back - refused:
                attempt = attempts[key]
                collected = attempt["status"] == "succeeded" and attempt["refunds"] is None
                assert not collected or attempt["refunded"] == attempt["amount"], attempt


async def _check_projections(world: World, folded: dict[str, Folded]) -> None:
    """The lease service shows what the events add up to; its history has no gap."""
    history = {row["lease_id"]: row["versions"] for row in await world.owner.fetch(_HISTORY)}
    for lease in await world.owner.fetch(_LEASES):
        state = folded[lease["lease_id"]]
        shown = (lease["status"], lease["balance"], lease["amount_paid"])
        assert shown == (state.status, state.balance, state.collected), lease
        assert (lease["balance"] == 0) == (lease["status"] in ("paid_off", "cancelled", "charged_off")), lease
        assert lease["paid"] == [each.paid for each in state.instalments.values()], lease
        assert history[lease["lease_id"]] == list(range(1, lease["version"] + 1))


async def _check_payments(world: World, folded: dict[str, Folded], entries: dict[str, list[Entry]]) -> None:
    """The payment service's instalments, the events folded by hand, and the ledger's reconstruction agree."""
    rows = await world.owner.fetch(_PAYMENTS)
    balances: Counter[str] = Counter()
    shown: defaultdict[str, dict[str, tuple[str, int, int]]] = defaultdict(dict)
    for row in rows:
        told = folded[row["lease_id"]].instalments[row["payment_id"]]
        status = "open" if row["status"] in OPEN else row["status"]
        assert (status, row["paid"], row["amount"]) == (told.status, told.paid, told.amount), row
        assert row["least"] >= 0, f"more paid than owed, or less than nothing: {row}"
        assert (row["paid"] == row["amount"]) == (status == "paid") or status == "cancelled", row
        assert row["autopay_declines"] <= MAX_ATTEMPTS, row
        if status == "open":
            balances[row["lease_id"]] += row["amount"] - row["paid"]
        in_flight = "processing" if row["in_flight"] else status
        shown[row["lease_id"]][row["payment_id"]] = (in_flight, row["paid"], row["amount"])
    assert len(rows) == sum(len(state.instalments) for state in folded.values())
    for lease_id, state in folded.items():
        assert balances[lease_id] == state.balance, lease_id
        rebuilt = snapshot(fold_entries(select(entries[lease_id])))
        assert rebuilt
        assert (rebuilt.status, rebuilt.balance) == (state.status, state.balance), lease_id
        assert rebuilt.amount_paid == state.collected, lease_id
        payments = {
            each.payment_id: ("open" if each.status in OPEN else each.status, each.amount_paid, each.amount)
            for each in rebuilt.payments
        }
        assert payments == shown[lease_id], lease_id
    for quoted in await world.owner.fetch(_QUOTED):
        assert quoted["quoted"] == quoted["amount"], quoted
        assert quoted["status"] in ("succeeded", "unknown"), quoted


async def _check_totals(world: World, attempts: dict[str, Any], folded: dict[str, Folded]) -> None:
    """The ledger's totals, kept up event by event, are the sums of all that."""
    totals = (await ledger_store.head(world.pools["ledger"])).totals
    amounts = totals.amounts["USD"]
    charges = [each for each in attempts.values() if each["refunds"] is None]
    ends = Counter(each["status"] for each in charges)
    assert amounts.collected == sum(each["amount"] for each in charges if each["status"] == "succeeded")
    assert amounts.refunded == sum(state.refunded for state in folded.values())
    assert amounts.collected - amounts.refunded == sum(state.collected for state in folded.values())
    assert amounts.outstanding == sum(state.balance for state in folded.values())
    await _check_journal(world, totals, folded)
    payments = totals.payments
    assert (payments.succeeded, payments.declined) == (ends["succeeded"], ends["declined"])
    assert payments.unknown == ends["unknown"]


async def _check_journal(world: World, totals: Totals, folded: dict[str, Folded]) -> None:
    """Receivable is what is open, cash what is here; what payoffs owe to customers is a payable."""
    assert totals.books is not None
    shown = trial_balance(totals.books)["USD"]
    its = Counter({each.account: each.balance for each in shown.accounts})
    [open_now] = await world.owner.fetch(_RECEIVABLE)
    assert its["receivable:principal"] == open_now["principal"]
    assert its["receivable:fees"] == open_now["fees"]
    assert its["cash"] == sum(state.collected for state in folded.values())
    due_back = sum(state.due_back for state in folded.values() if state.status != "cancelled")
    assert (its["payable:refunds"], its["suspense"], shown.difference) == (-due_back, 0, 0)


async def _check_autopay(world: World, entries: dict[str, list[Entry]]) -> None:
    """No run has charged what was stopped; what is, and why, is in the events and with both services."""
    stopped: defaultdict[str, dict[int, Any]] = defaultdict(dict)
    for row in await world.owner.fetch(_PAYMENTS):
        if row["stopped"]:
            stopped[row["lease_id"]][row["number"]] = msgspec.json.decode(row["stopped"])
    leases = {row["lease_id"]: row for row in await world.owner.fetch(_LEASES)}
    for account in await world.owner.fetch(_ACCOUNTS):
        lease_id = account["lease_id"]
        told = follow(msgspec.json.decode(each.raw) for each in entries[lease_id])
        stop = account["stopped"] and msgspec.json.decode(account["stopped"])
        assert (told.on, told.method, told.stopped) == (account["autopay"], account["payment_method"], stop)
        assert stopped[lease_id] == ({} if account["closed"] else told.instalments), lease_id
        shown = msgspec.json.decode(leases[lease_id]["autopay_now"] or leases[lease_id]["contract"])
        assert (shown["autopay"], shown["payment_method"]) == (told.on, told.method), lease_id
        assert shown.get("autopay_stopped") == told.stopped, lease_id

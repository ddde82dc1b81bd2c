"""An event type of the ledger is one file: whatever reads events learns of it from there."""

import json
import subprocess
import sys
from pathlib import Path

from ledger_svc.event_types import registry
from ledger_svc.event_types.basics.accounts import CHART
from ledger_svc.event_types.basics.fields import Closing

PROJECT = Path(__file__).parents[3]
GIFT = """
from msgspec.structs import replace
from ledger_svc.event_types.basics.accounts import CASH, INCOME_FEES, credit, debit
from ledger_svc.event_types.basics.fields import Data
from ledger_svc.event_types.definition import Counts, EventType

class GiftReceived(Data, frozen=True, kw_only=True):
    amount: int
    currency: str

TYPES = (
    EventType(
        names=("gift.received",),
        data=GiftReceived,
        text=lambda data, words: ("A gift", f"{words.price(data)} for nothing", data.amount),
        state=lambda state, data: replace(state, collected=state.collected + data.amount),
        counts=lambda data: Counts(collected=data.amount),
        lowers=lambda data: data.amount,
        lines=(debit(CASH, "amount"), credit(INCOME_FEES, "amount")),
    ),
)
"""
READ = """
import json, sys
from types import SimpleNamespace
from datetime import UTC, datetime
from ledger_svc.event_types import types
types.__path__.append(sys.argv[1])
from ledger_svc.accounting.journal import book
from ledger_svc.accounting.totals import EMPTY, add
from ledger_svc.contracts import envelope
from ledger_svc.event_types import registry
from ledger_svc.log.entry import seal
from ledger_svc.log.message_decoder import read
from ledger_svc.verifier.lease_histories import Lease
from ledger_svc.views.point_in_time import fold
from ledger_svc.views.timeline import timeline

def raw(amount):
    return json.dumps({
        "specversion": "1.0", "id": "01926f00-0000-7000-8000-000000000001", "source": "/lease-svc",
        "type": "gift.received", "subject": "01926f00-0000-7000-8000-000000000002",
        "time": "2026-11-30T12:00:00Z", "sequence": 1, "data": {"amount": amount, "currency": "USD"},
    }).encode()

def message(body):
    properties = SimpleNamespace(
        content_type="application/cloudevents+json", headers={"x-stream-offset": 1}
    )
    return SimpleNamespace(body=body, header=SimpleNamespace(properties=properties))

event = envelope.decode(raw(500))
entry = seal(event, raw(500), seq=1, recorded_at=datetime.now(UTC))
totals = add(EMPTY, event)
item = next(timeline([entry]))
lease = Lease()
lease.take(1, event)
print(json.dumps({
    "wrong": [str(each.detail) for each in read([message(raw("much"))])[1]],
    "journal": book(event, registry.data_of(event)).amounts,
    "totals": [totals.amounts["USD"].collected, totals.books["USD"]["cash"].debits],
    "state": [fold([entry]).collected, lease.state.collected],
    "timeline": [item.title, item.summary, item.collected],
}))
"""


def test_a_new_type_is_one_file(tmp_path: Path) -> None:
    """Log checks, journal, totals, state, timeline and verifier know a type once its file is there."""
    (tmp_path / "gift_received.py").write_text(GIFT)
    done = subprocess.run(
        [sys.executable, "-c", READ, str(tmp_path)], cwd=PROJECT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert "gift.received" in seen["wrong"][0]
    assert seen["journal"] == {"cash": 500, "income:fees": -500}
    assert seen["totals"] == [500, 500]
    assert seen["state"] == [500, 500]
    assert seen["timeline"] == ["A gift", "5.00 USD for nothing", 500]


def test_definitions_fit_together() -> None:
    """Accounts are of the chart, money names its currency, closings say what they knew of."""
    for name, each in registry.TYPES.items():
        assert {account for account, *_ in each.lines} <= set(CHART), name
        assert not (each.lines or each.lowers) or "currency" in each.data.__struct_fields__, name
        assert bool(each.closing) == issubclass(each.data, Closing), name
        assert not (each.races_closings and each.closing), name


def test_the_log_finds_all_closings() -> None:
    """The query that appends entries keeps every type of closing apart."""
    sql = (PROJECT / "ledger_svc" / "log" / "queries.sql").read_text()
    listed = sql.split("FROM appended WHERE type IN (")[1].partition(")")[0]
    assert {each.strip(" '") for each in listed.split(",")} == registry.CLOSINGS


def test_two_files_for_one_type_are_refused(tmp_path: Path) -> None:
    """A name that is taken stops the process at its start."""
    (tmp_path / "again.py").write_text(GIFT.replace("gift.received", "lease.created"))
    code = "import sys\nfrom ledger_svc.event_types import types\ntypes.__path__.append(sys.argv[1])\n"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}from ledger_svc.event_types import registry", str(tmp_path)],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "lease.created is defined twice" in done.stderr

"""For which days collections may run: a mistyped day charges nobody. Pure."""

from datetime import UTC, date, datetime

import msgspec
import pytest

from common.messaging.envelope import Command
from payment_svc.application.collection_run_commands import decode_run, may_run, run_collections, runs_for
from payment_svc.application.unit_of_work import Batch
from payment_svc.contracts.commands import RunCollections
from payment_svc.domain.attempt import Refused

TODAY = date(2026, 11, 30)


@pytest.mark.parametrize("sandbox", [True, False])
@pytest.mark.parametrize("as_of", [TODAY, date(2026, 11, 1)])
def test_days_up_to_today_may_be_run_for(as_of: date, sandbox: bool) -> None:
    """With any gateway."""
    may_run(RunCollections(as_of=as_of), TODAY, sandbox=sandbox)


@pytest.mark.parametrize(
    ("allow", "sandbox", "words"),
    [
        (False, True, "lies after today, 2026-11-30 (UTC)"),
        (False, False, "lies after today, 2026-11-30 (UTC)"),
        (True, False, "gateway is not the sandbox"),
        (True, True, None),
    ],
)
def test_days_to_come_only_in_the_sandbox_and_when_asked_for(
    allow: bool, sandbox: bool, words: str | None
) -> None:
    """The case that emptied a card: 2062 instead of 2026."""
    asked = RunCollections(as_of=date(2062, 11, 28), allow_future=allow)
    assert runs_for(asked, TODAY, sandbox=sandbox) is (words is None)
    if words is None:
        may_run(asked, TODAY, sandbox=sandbox)
        return
    with pytest.raises(Refused) as caught:
        may_run(asked, TODAY, sandbox=sandbox)
    assert (caught.value.status, caught.value.pointer) == (422, "/as_of")
    assert words in caught.value.detail


def test_a_dry_run_asks_for_no_run() -> None:
    """Whatever its day; it is pending until it has been worked out."""
    asked = RunCollections(as_of=date(2062, 11, 28), dry_run=True)
    assert not runs_for(asked, TODAY, sandbox=True)
    command = Command(command_id="c", type="RunCollections", submitted_at=_NOW, data=msgspec.Raw(b"{}"))
    batch = Batch({}, [], _NOW)
    assert run_collections(batch, command, asked).status == "pending"
    assert (batch.waiting, batch.events) == ([], [])


def test_the_command_of_a_future_day_is_refused() -> None:
    """422 with the pointer; the database's day counts where it is the earlier one."""
    command = Command(command_id="c", type="RunCollections", submitted_at=_NOW, data=msgspec.Raw(b"{}"))
    batch = Batch({}, [], _NOW)
    batch.today = date(2026, 11, 29)
    outcome = run_collections(batch, command, RunCollections(as_of=TODAY))
    assert (outcome.status, outcome.http_status) == ("rejected", 422)
    assert b'"/as_of"' in bytes(outcome.body)


def test_commands_of_before_ask_for_nothing_new() -> None:
    """What is in the queue from an older version has neither field."""
    assert decode_run(b'{"as_of": "2026-11-30"}') == RunCollections(as_of=TODAY)


_NOW = datetime(2026, 11, 30, 8, tzinfo=UTC)

"""What a load run is told is done, against what the ledger has: nothing lost, nothing twice."""

import http.server
import itertools
import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import msgspec
import pytest

from perf.checks import conservation, ledger_totals
from perf.checks.conservation import RequestCounts
from perf.checks.ledger_totals import Amounts, Check, LedgerTotals, Payments, Reading

LEASES = "/api/v1/leases"
ATTEMPT = "/api/v1/payments/0199/attempt"
PAYOFF = "/api/v1/leases/{id}/payoff"
PAID = b'{"attempt_id": "0199", "amount": 250, "currency": "USD"}'


def reading(leases: int = 0, payments: int = 0, usd: int = 0) -> Reading:
    return Reading(leases_total=leases, payments=Payments(payments), amounts={"USD": Amounts(usd)})


def books(created: Sequence[int] = (), paid: Sequence[int] = ()) -> RequestCounts:
    """Of so many requests, by the status they were answered with; 0 for none."""
    made = RequestCounts()
    for path, statuses in ((LEASES, created), (ATTEMPT, paid)):
        for status in statuses:
            made.sends("POST", path)
            if status:
                made.hears("POST", path, status, PAID)
    return made


@pytest.mark.parametrize(
    ("told", "after", "words"),
    [
        (books([201] * 3), reading(13), []),
        (books([201] * 3), reading(12), ["lost: of the leases, 3 sent, 3 answered 201, 0 uncertain, 2 in"]),
        (books([201] * 3), reading(14), ["somebody else has used the system"]),
        (books([201, 503, 202, 0]), reading(11), []),
        (books([201, 503, 202, 0]), reading(14), []),
        (books([201, 503, 202, 0]), reading(15), ["4 sent, 1 answered 201, 3 uncertain, 5 in the ledger"]),
        (books([201, 503, 202, 0]), reading(10), ["lost"]),
        (books([201, 422, 409]), reading(11), []),
        (books([201, 422, 409]), reading(12), ["more than was asked for"]),
        (books(paid=[201, 402, 201]), reading(10, 2, 500), []),
        (books(paid=[201, 402, 201]), reading(10, 1, 250), ["of the payments and payoffs", "of the USD"]),
        (books(paid=[201, 402, 201]), reading(10, 2, 499), ["lost: of the USD, minor units"]),
        (books(paid=[201, 402, 201]), reading(10, 2, 501), ["more than was asked for: of the USD"]),
        (books(paid=[201, 502]), reading(10, 2, 9_999), []),
        (books(paid=[201, 502]), reading(10, 2, 249), ["lost: of the USD"]),
        (books(), reading(99, 99, 99), []),
    ],
)
def test_what_is_accounted_for(told: RequestCounts, after: Reading, words: list[str]) -> None:
    """Equal holds; one less is lost, one more is too many; what nobody knows of may be there or not.

    What the run sent nothing of is others' business.
    """
    found = conservation.failures(ledger_totals.lines(told, reading(leases=10), after))
    assert len(found) == len(words)
    assert all(each in line for each, line in zip(words, found, strict=True))


def test_what_is_counted() -> None:
    """Commands alone; a request that the end of the run has cut off is uncertain."""
    made = books([201, 201, 404, 0])
    made.sends("GET", LEASES)
    made.hears("GET", LEASES, 200, b"[]")
    made.sends("POST", "/api/v1/audit/leases/{id}/state-at-point")
    made.sends("POST", PAYOFF)
    made.hears("POST", PAYOFF, 201, PAID)
    assert (made.leases.sent, made.leases.done, made.leases.refused, made.leases.uncertain) == (4, 2, 1, 1)
    assert (made.payments.sent, made.payments.done, made.collected) == (1, 1, {"USD": 250})


def test_books_of_several_processes() -> None:
    """They travel as plain data, and add up."""
    parts = [books([201, 0], [201]), books([201], [201, 402])]
    sent = [msgspec.convert(msgspec.to_builtins(each), RequestCounts) for each in parts]
    assert conservation.together(sent) == books([201, 0, 201], [201, 201, 402])
    assert conservation.together([]) == RequestCounts()


def test_rows() -> None:
    """The table has every number and a word for each line."""
    lines = ledger_totals.lines(books([201, 0], [201, 0]), reading(), reading(2, 1, 250))
    assert conservation.ConservationResult(lines=lines).rows.rows == [
        ["leases", "2", "1", "1", "2", "all, once"],
        ["payments and payoffs", "2", "1", "1", "1", "all, once"],
        ["USD, minor units", "–", "250", "not known", "250", "all, once"],
    ]


@contextmanager
def ledger(leases: Callable[[], int]) -> Iterator[str]:
    """A server that has so many leases, asked again for every request; its URL."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps(
                {"leases_total": leases(), "payments": {"succeeded": 0, "declined": 1}, "amounts": {}}
            )
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_totals, "WITHIN_S", 0.5)
    monkeypatch.setattr(ledger_totals, "LINGER_S", 0.01)
    monkeypatch.setattr(ledger_totals, "APART_S", 0.01)


def test_the_ledger_is_waited_for() -> None:
    """What was done before the run still comes in at its beginning; at its end the ledger is behind."""
    course = itertools.chain([3, 4, 5, 5], [5, 6, 7, 8], itertools.repeat(8))
    with ledger(lambda: next(course)) as url:
        check = Check(url)
        check.begin()
        assert check.end(books([201] * 3)).failures == []


def test_a_surplus_that_comes_late_is_seen() -> None:
    """What is recorded twice may be recorded after everything was there."""
    course = itertools.chain([5, 5], [8], itertools.repeat(9))
    with ledger(lambda: next(course)) as url:
        check = Check(url)
        check.begin()
        [words] = check.end(books([201] * 3)).failures
    assert "4 in the ledger" in words


def test_it_is_not_waited_for_without_end() -> None:
    """What does not come is lost."""
    with ledger(lambda: 5) as url:
        check = Check(url)
        check.begin()
        [words] = check.end(books([201] * 3)).failures
    assert "lost: of the leases, 3 sent, 3 answered 201, 0 uncertain, 0 in the ledger" in words


async def test_so_many_leases_are_waited_for() -> None:
    """As soon as they are there; when the time is up, how many there are then."""
    course = itertools.count(1)
    with ledger(lambda: next(course)) as url:
        assert await LedgerTotals(url).leases(5, within_s=10) == 5
    with ledger(lambda: 4) as url:
        assert await LedgerTotals(url).leases(5, within_s=0.05) == 4


def test_no_ledger() -> None:
    """Where there is none from the start, that is said; where it is gone at the end, the run fails."""
    with ledger(lambda: 5) as url:
        check = Check(url)
        check.begin()
    outcome = check.end(books([201]))
    assert "not after it" in outcome.failures[0]
    check = Check(url)
    check.begin()
    outcome = check.end(books([201]))
    assert (outcome.lines, outcome.failures) == ((), ())
    assert "could not be read" in outcome.warnings[0]

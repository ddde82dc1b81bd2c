"""Card numbers and other text that must stay outside: never queued, stored, answered or logged."""

import json
import logging

import pytest

from common.kernel.ids import uuid7
from tests.support.builders import bad_values
from tests.support.builders.requests import (
    COMMANDS,
    READS,
    WITH_BODY,
    Case,
    named,
    places,
    pointer,
    replaced,
    sample,
    target,
)
from tests.support.servers.apis import Fronts

pytestmark = pytest.mark.asyncio(loop_scope="session")

SECRET = "4111111111111111"


def digits_of(text: str) -> str:
    return "".join(character for character in text if character.isdigit())


@pytest.mark.parametrize("case", WITH_BODY, ids=named)
async def test_card_numbers_in_values(
    fronts: Fronts, case: Case, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """At every place of every body, in every form, raw or escaped: 422, and seen nowhere."""
    caplog.set_level(logging.DEBUG)
    async with fronts.unmoved():
        for at in places(sample(case)):
            for card in bad_values.CARDS:
                for ascii_only in (True, False):
                    body = json.dumps(replaced(sample(case), at, card), ensure_ascii=ascii_only).encode()
                    answer = await fronts.ask(case[0], case[1].method, target(case[1]), body)
                    assert pointer(at) in answer.problem(422).pointers, (at, card)
                    assert str(card) not in json.dumps(answer.json, ensure_ascii=False)
                    assert digits_of(str(card)) not in digits_of(str(answer.json["errors"]))
    printed = capfd.readouterr()
    shown = printed.out + printed.err + caplog.text
    assert not [card for card in bad_values.CARDS if str(card) in shown]


@pytest.mark.parametrize("case", WITH_BODY, ids=named)
@pytest.mark.parametrize(
    ("body", "status"),
    [
        (f'{{"{SECRET}": 1}}', 422),
        (f'{{"a": {{"{SECRET}": 1}}}}', 422),
        (f'{{"a": [{{"b": "{SECRET}"}}]}}', 422),
        (f'{{"{SECRET}": 1, "{SECRET}": 2}}', 400),
        (f'{{"a": {{"{SECRET}": 1, "{SECRET}": 2}}}}', 400),
        (f'"{SECRET}"', 422),
        (f"[{SECRET}]", 422),
        (SECRET, 422),
        (f"{SECRET}.0", 422),
        (f"{SECRET}e0", 422),
        (f'{{"a": {SECRET}', 400),
        (f'{{"a": "{SECRET}\\x"}}', 400),
        (f'{{"frequency": "{SECRET}", "basis": "{SECRET}"}}', 422),
        ('{"frequency": ["\\u0034111111111111111"]}', 422),
    ],
)
async def test_card_numbers_elsewhere(
    fronts: Fronts,
    case: Case,
    body: str,
    status: int,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """In keys, in keys given twice, in broken JSON and at the top: never repeated."""
    caplog.set_level(logging.DEBUG)
    async with fronts.unmoved():
        answer = await fronts.ask(case[0], case[1].method, target(case[1]), body.encode())
    answer.problem(status)
    printed = capfd.readouterr()
    assert SECRET not in str(answer) + printed.out + printed.err + caplog.text


@pytest.mark.parametrize("case", READS, ids=named)
async def test_card_numbers_in_addresses_and_headers(
    fronts: Fronts, case: Case, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """In paths, queries and the request's id they are not repeated either."""
    caplog.set_level(logging.DEBUG)
    service, route = case
    for where in (
        target(route, SECRET),
        target(route, f"%ff{SECRET}"),
        target(route, "4111%2e1111.1111.1111"),
        f"{target(route)}?{SECRET}=1",
        f"{target(route)}?type={SECRET}",
        f"{target(route)}?type=4111%E2%80%8A1111.1111.1111",
        f"{target(route)}/{SECRET}",
    ):
        for given in (SECRET, "4111-1111.1111_1111", f"a.{SECRET}"):
            trace = f"00-{'a' * 32}-{SECRET}-01"
            answer = await fronts.ask(service, "GET", where, X_Request_Id=given, traceparent=trace)
            assert SECRET not in digits_of(str(answer).replace(answer.headers["x-request-id"], ""))
            assert answer.headers["x-request-id"] != given
            assert "traceparent" not in answer.headers
    printed = capfd.readouterr()
    assert SECRET not in printed.out + printed.err + caplog.text


@pytest.mark.parametrize("case", COMMANDS, ids=named)
async def test_card_number_as_idempotency_key(fronts: Fronts, case: Case) -> None:
    """A key is kept for a month: it must not be a card number."""
    async with fronts.unmoved():
        for key in (SECRET, "4242.4242.4242.4242", "order-4242 4242 4242 4242 12/29"):
            answer = await fronts.ask(
                case[0], "POST", target(case[1]), sample(case), Idempotency_Key=key, Prefer="respond-async"
            )
            assert "/Idempotency-Key" in answer.problem(422).pointers
            assert key not in str(answer)


async def test_what_only_looks_like_one(fronts: Fronts) -> None:
    """UUIDs, times, IMEIs, long numbers with a wrong check digit and telephone numbers are nobody's card."""
    for text in (
        "1764547200000",
        "1764547200000000",
        "352099001761481",
        "order-1764547200002",
        "x4111111111111111",
        "30.11.2026 12.30.45",
        "41111111-1111-4111-9111-111111111111",
        "4111111111111112",
        "+49 170 123 45 67",
        "2026-11-23T08:00:00.000000Z",
        "0" * 16,
        "1" * 60,
    ):
        body = bad_values.NEW_LEASE | {"metadata": {"note": text, text[:40]: "note"}}
        headers = {"Prefer": "respond-async", "Idempotency_Key": f"{text}-{uuid7()}"}
        answer = await fronts.ask("lease", "POST", "/api/v1/leases", body, **headers, X_Request_Id=text[:128])
        assert answer.status == 202, (text, answer)


async def test_json_numbers_are_not_looked_at(fronts: Fronts) -> None:
    """An amount is an amount, whatever its digits."""
    attempt = "/api/v1/payments/{payment_id}/attempt"
    case = next(case for case in WITH_BODY if case[1].path == attempt)
    body = {"payment_method": "pm_card_ok", "amount": 4222222222222}
    assert (await fronts.ask("payment", "POST", target(case[1]), body, Prefer="respond-async")).status == 202


@pytest.mark.parametrize("case", [each for each in WITH_BODY if "reason" in sample(each)], ids=named)
async def test_reasons_are_one_line_of_text(fronts: Fronts, case: Case) -> None:
    """Whatever is done for a reason: control characters and line breaks in it are 422."""
    async with fronts.unmoved():
        for reason in ("", "a\nb", "a\n", "a\x1b[2J", "a\x85", "a\u2028b", "x" * 201):
            body = sample(case) | {"reason": reason}
            answer = await fronts.ask(case[0], case[1].method, target(case[1]), body)
            assert answer.problem(422).pointers == {"/reason"}

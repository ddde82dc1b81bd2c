"""Problems: their members, their words, and that they can always be written."""

import json
import re
from pathlib import Path

import pytest

from common.web.problems import types
from common.web.problems.details import (
    MAX_FIELDS_IN_WORDS,
    FieldError,
    ProblemError,
    invalid,
    problem,
    unavailable,
)


def body(error: ProblemError) -> dict[str, object]:
    answer = error.response("/api/v1/leases")
    assert answer.content_type == "application/problem+json"
    assert answer.status == error.status
    parsed: dict[str, object] = json.loads(bytes(answer.body))  # type: ignore[arg-type]
    return parsed


def test_members() -> None:
    """RFC 9457's members, and no empty list of errors."""
    assert body(ProblemError(404, "There is no such lease.")) == {
        "type": "/problems/not-found",
        "title": "Not found",
        "status": 404,
        "detail": "There is no such lease.",
        "instance": "/api/v1/leases",
    }


def test_every_status_has_an_ordinary_type() -> None:
    """Every status that is answered can be without further words."""
    for status in (400, 401, 404, 405, 408, 409, 413, 414, 415, 417, 422, 431, 500, 502, 503):
        found = body(ProblemError(status, "x"))
        assert found["type"] == types.of_status(status)[0].uri


@pytest.mark.parametrize("kind", types.ALL, ids=lambda kind: kind.name)
def test_types(kind: types.ProblemType) -> None:
    """Each has a URI and a title of its own, and both are what its problems say."""
    found = body(ProblemError(kind, "x"))
    assert (found["type"], found["title"], found["status"]) == (kind.uri, kind.title, kind.status)
    assert re.fullmatch(r"/problems/[a-z]+(-[a-z]+)*", kind.uri)
    assert 400 <= kind.status < 600
    assert [each for each in types.ALL if kind.uri == each.uri or kind.title == each.title] == [kind]
    assert types.BY_NAME[kind.name] is kind


def test_no_other_types() -> None:
    """Nothing in the code answers with a type that is not in the registry."""
    project = Path(__file__).parents[4]
    for package in ("common", "lease_svc", "payment_svc", "ledger_svc"):
        for source in (project / package).rglob("*.py"):
            assert "about:blank" not in source.read_text(), source
            named = re.findall(r'"/problems/([^"]*)"', source.read_text())
            assert set(named) <= {*types.BY_NAME, "{name}"}, source
            statuses = re.findall(
                r"\b(?:ProblemError|Refused|problem|refusal)\(\s*(\d{3})\b", source.read_text()
            )
            if "sandbox" not in source.parts:  # it has errors of its own
                assert all(types.of_status(int(status)) for status in statuses), source


def test_invalid() -> None:
    """422 with every error in order, and words that stay readable however many there are."""
    many = [FieldError(f"/field{number:03}", "is wrong") for number in range(300)]
    found = body(invalid(list(reversed(many))))
    assert found["errors"] == [{"pointer": each.pointer, "detail": "is wrong"} for each in many]
    assert str(found["detail"]).endswith(f"and {300 - MAX_FIELDS_IN_WORDS} more.")
    assert len(str(found["detail"])) < 300
    assert (
        body(invalid([FieldError("", "must be an object")]))["detail"]
        == "The request is not valid: the whole body."
    )


def test_unavailable() -> None:
    """503 always says when to come again."""
    assert unavailable("x").headers == {"Retry-After": "1"}
    assert unavailable("x", retry_after_s=5).response("/").headers["Retry-After"] == "5"


def test_extra_members() -> None:
    """Members of one kind of problem stand beside the standard ones."""
    found = json.loads(bytes(problem(402, "no", instance="/x", extra={"attempt_id": "a"})))
    assert (found["attempt_id"], found["status"], found["type"]) == ("a", 402, "/problems/payment-declined")
    assert "errors" not in found

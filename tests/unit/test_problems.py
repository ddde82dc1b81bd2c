"""Problems: their members, their words, and that they can always be written."""

import json

from common.http.problems import (
    MAX_FIELDS_IN_WORDS,
    TITLES,
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
        "type": "about:blank",
        "title": "Not found",
        "status": 404,
        "detail": "There is no such lease.",
        "instance": "/api/v1/leases",
    }


def test_every_status_has_a_title() -> None:
    """Every status that the contract names can be answered without further words."""
    for status in (400, 404, 405, 408, 409, 413, 415, 422, 429, 500, 502, 503):
        assert body(ProblemError(status, "x"))["title"] == TITLES[status]


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
    found = json.loads(
        bytes(problem(402, "Payment declined", "no", instance="/x", extra={"attempt_id": "a"}))
    )
    assert (found["attempt_id"], found["status"], found["type"]) == ("a", 402, "about:blank")
    assert "errors" not in found

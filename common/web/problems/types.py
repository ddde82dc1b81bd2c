"""Every kind of problem that a service answers with: the one registry of their addresses and titles.

RFC 9457, 3.1.1 and 4: `type` is a URI reference with a full path, so it leads to the kind's page on whichever
service has answered; clients compare it as it stands. A title belongs to its type.
"""

from collections.abc import Iterable
from typing import Final

import msgspec

PATH: Final = "/problems"


class ProblemType(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of problem."""

    name: str  # the last part of its URI
    status: int
    title: str
    meaning: str  # what has happened, in a sentence or two
    remedy: str  # what the client can do about it
    members: str = ""  # further members of the body, in words

    @property
    def uri(self) -> str:
        """The `type` of such a problem."""
        return f"{PATH}/{self.name}"


MALFORMED_BODY: Final = ProblemType(
    name="malformed-body",
    status=400,
    title="Malformed body",
    meaning="The body is not JSON in UTF-8, has a key twice, is nested too deeply, or is not encoded as its"
    " headers say: broken chunks, a gzip stream that is cut or fails its check sum.",
    remedy="Send the body again as valid JSON; the same bytes will never be taken.",
)
MALFORMED_HTTP: Final = ProblemType(
    name="malformed-http",
    status=400,
    title="Malformed HTTP",
    meaning="What was sent is not a valid HTTP/1.1 request. The connection is closed.",
    remedy="Look at the request line, the headers and the framing of the body.",
)
REPEATED_HEADER: Final = ProblemType(
    name="repeated-header",
    status=400,
    title="Repeated header",
    meaning="A header that has one value (`Idempotency-Key`, `Consistency-Token`, `traceparent`) came more"
    " than once. Nothing was done: which of them counts cannot be known.",
    remedy="Send the header once. A proxy that adds its own has to replace the client's.",
)
UNAUTHORIZED: Final = ProblemType(
    name="unauthorized",
    status=401,
    title="Unauthorized",
    meaning="A webhook's signature is missing, wrong or too old.",
    remedy="Sign the body's exact bytes with the shared secret, and send it right away.",
)
PAYMENT_DECLINED: Final = ProblemType(
    name="payment-declined",
    status=402,
    title="Payment declined",
    meaning="The issuer declined the charge; no money has moved.",
    remedy="Do what `decline.advice` says: try again later, use another payment method, or give up.",
    members="`attempt_id`, `decline`",
)
REFUND_DECLINED: Final = ProblemType(
    name="refund-declined",
    status=402,
    title="Refund declined",
    meaning="The gateway declined to give the money back; none has moved.",
    remedy="Do what `decline.advice` says; money that cannot go back this way has to be sent another way.",
    members="`attempt_id`, `decline`",
)
NOT_FOUND: Final = ProblemType(
    name="not-found",
    status=404,
    title="Not found",
    meaning="There is no such path, or nothing with this id.",
    remedy="Look at the address. What was written a moment ago is waited for with its `Consistency-Token`.",
)
METHOD_NOT_ALLOWED: Final = ProblemType(
    name="method-not-allowed",
    status=405,
    title="Method not allowed",
    meaning="The resource is there, but does not take this method.",
    remedy="Use one of the methods that the `Allow` header names.",
)
REQUEST_TIMEOUT: Final = ProblemType(
    name="request-timeout",
    status=408,
    title="Request timeout",
    meaning="The body did not arrive in time; nothing was done.",
    remedy="Send the request again.",
)
STATE_CONFLICT: Final = ProblemType(
    name="state-conflict",
    status=409,
    title="State conflict",
    meaning="The request is valid, but cannot be carried out as things stand: something is closed, paid, used"
    " up or in flight. `detail` says what.",
    remedy="Read the resource again; repeat the request under a new key only if its state has changed.",
)
CONTENT_TOO_LARGE: Final = ProblemType(
    name="content-too-large",
    status=413,
    title="Content too large",
    meaning="The body is over the limit, as it was sent or once it was unpacked.",
    remedy="Send less; no valid request is that long.",
)
TARGET_TOO_LONG: Final = ProblemType(
    name="target-too-long",
    status=414,
    title="Request target too long",
    meaning="The path and the query are together over the limit. The connection is closed.",
    remedy="Send less; no valid address is that long.",
)
UNSUPPORTED_MEDIA_TYPE: Final = ProblemType(
    name="unsupported-media-type",
    status=415,
    title="Unsupported media type",
    meaning="The body is not declared as `application/json`.",
    remedy="Send JSON with the `Content-Type` that `Accept-Post` names.",
)
UNSUPPORTED_CODING: Final = ProblemType(
    name="unsupported-content-coding",
    status=415,
    title="Unsupported content coding",
    meaning="The body is packed in a way that is not read here.",
    remedy="Send it as it is, or in the one coding that the answer's `Accept-Encoding` names.",
)
EXPECTATION_FAILED: Final = ProblemType(
    name="expectation-failed",
    status=417,
    title="Expectation failed",
    meaning="The `Expect` header asks for something else than `100-continue`.",
    remedy="Leave the header out.",
)
VALIDATION: Final = ProblemType(
    name="validation",
    status=422,
    title="Validation failed",
    meaning="Fields of the body, the query, the path or a header are wrong. Every wrong one is named.",
    remedy="Mend what `errors` names.",
    members="`errors`: array of `pointer` (a JSON pointer, RFC 6901) and `detail`",
)
IDEMPOTENCY_KEY_REUSED: Final = ProblemType(
    name="idempotency-key-reused",
    status=422,
    title="Idempotency key reused",
    meaning="This `Idempotency-Key` was first used with another request: another path, or another body.",
    remedy="Use a new key for a new request; repeat a request with exactly its own body.",
)
HEADERS_TOO_LARGE: Final = ProblemType(
    name="headers-too-large",
    status=431,
    title="Request header fields too large",
    meaning="A header is over the limit. The connection is closed.",
    remedy="Send less.",
)
INTERNAL_ERROR: Final = ProblemType(
    name="internal-error",
    status=500,
    title="Internal error",
    meaning="A defect of the service; the log has it under the answer's `X-Request-Id`.",
    remedy="Report it with that id. A command may be repeated with the same `Idempotency-Key`.",
)
COMMAND_SET_ASIDE: Final = ProblemType(
    name="command-set-aside",
    status=500,
    title="Command set aside",
    meaning="The command could not be carried out, and will not be: it was set aside for an operator.",
    remedy="Report it with its `Command-Id`.",
)
GATEWAY_NOT_REACHED: Final = ProblemType(
    name="gateway-not-reached",
    status=502,
    title="Gateway not reached",
    meaning="The payment gateway was certainly not reached: no money has moved.",
    remedy="Try again under a new key, after `Retry-After`.",
    members="`attempt_id`",
)
UNAVAILABLE: Final = ProblemType(
    name="unavailable",
    status=503,
    title="Service unavailable",
    meaning="A part of the system is away, or has too much to do. A command that was not confirmed may or may"
    " not be carried out.",
    remedy="Send the same request again after `Retry-After`, a command with the same `Idempotency-Key`.",
)
NOT_CAUGHT_UP: Final = ProblemType(
    name="not-caught-up",
    status=503,
    title="Not caught up",
    meaning="What is read here does not include yet what the `Consistency-Token` stands for.",
    remedy="Read again after `Retry-After`, wait longer with `Prefer: wait=N`, or read without the token.",
)

ALL: Final = (
    MALFORMED_BODY,
    MALFORMED_HTTP,
    REPEATED_HEADER,
    UNAUTHORIZED,
    PAYMENT_DECLINED,
    REFUND_DECLINED,
    NOT_FOUND,
    METHOD_NOT_ALLOWED,
    REQUEST_TIMEOUT,
    STATE_CONFLICT,
    CONTENT_TOO_LARGE,
    TARGET_TOO_LONG,
    UNSUPPORTED_MEDIA_TYPE,
    UNSUPPORTED_CODING,
    EXPECTATION_FAILED,
    VALIDATION,
    IDEMPOTENCY_KEY_REUSED,
    HEADERS_TOO_LARGE,
    INTERNAL_ERROR,
    COMMAND_SET_ASIDE,
    GATEWAY_NOT_REACHED,
    UNAVAILABLE,
    NOT_CAUGHT_UP,
)
BY_NAME: Final = {each.name: each for each in ALL}
# The kind that a status alone stands for: the first one above.
_BY_STATUS: Final = {each.status: each for each in reversed(ALL)}


def kind(of: ProblemType | int) -> ProblemType:
    """The type itself, or the ordinary one of a status. Raises KeyError for a status that has none."""
    return of if isinstance(of, ProblemType) else _BY_STATUS[of]


def of_status(status: int) -> list[ProblemType]:
    """All types that are answered with this status, the ordinary one first."""
    return [each for each in ALL if each.status == status]


def table(types: Iterable[ProblemType] = ALL) -> list[tuple[str, str, str, str, str]]:
    """Rows for people: status, type, title, meaning with further members, remedy."""
    return [
        (
            str(each.status),
            f"`{each.uri}`",
            each.title,
            f"{each.meaning} Further members: {each.members}." if each.members else each.meaning,
            each.remedy,
        )
        for each in types
    ]

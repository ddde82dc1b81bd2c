"""What a hostile client puts where something else belongs. Tables only."""

import base64
from typing import Any
from urllib.parse import quote

from common.web import pagination

OLD_V7 = "01890a5d-ac96-774b-8bce-b302099a8057"  # of 2023: nothing waits for it to arrive
SOME_V4 = "8f14e45f-ceea-467f-a8de-9d5e2f8b1c11"

NEW_LEASE: dict[str, Any] = {
    "customer_id": "cus-42",
    "currency": "USD",
    "principal": 120000,
    "annual_rate": "0.1200",
    "term": 12,
    "frequency": "monthly",
    "start_date": "2026-12-01",
    "first_due_date": "2027-01-01",
    "day_count": "30/360",
    "fees": [{"code": "origination", "amount": 2500}],
    "payment_method": "pm_card_ok",
    "autopay": False,
    "late_fee": {"grace_days": 5, "amount": 1500},
    "metadata": {"store": "17"},
}

# A valid body for every operation that takes one, with every field it knows (of two that exclude each
# other, one).
BODIES: dict[tuple[str, str], dict[str, Any]] = {
    ("lease", "/api/v1/leases"): NEW_LEASE,
    ("lease", "/api/v1/leases/{lease_id}/cancel"): {"reason": "returned unused"},
    ("lease", "/api/v1/leases/{lease_id}/charge-off"): {"reason": "customer is insolvent"},
    ("payment", "/api/v1/payments/{payment_id}/attempt"): {"payment_method": "pm_card_ok", "amount": 5000},
    ("payment", "/api/v1/leases/{lease_id}/payoff"): {"payment_method": "pm_card_ok", "quote_id": OLD_V7},
    ("payment", "/api/v1/leases/{lease_id}/payoff-quotes"): {"as_of": "2026-12-01"},
    ("payment", "/api/v1/attempts/{attempt_id}/refund"): {"amount": 5000, "reason": "returned"},
    ("payment", "/api/v1/leases/{lease_id}/autopay"): {"autopay": True, "payment_method": "pm_card_ok"},
    ("payment", "/api/v1/collections/run"): {"as_of": "2026-11-01", "allow_future": False, "dry_run": False},
    ("ledger", "/api/v1/audit/leases/{lease_id}/state-at-point"): {
        "as_of": "2026-12-01T00:00:00Z",
        "basis": "occurred",
    },
}

# (what it is, bytes, statuses): wrong whatever the operation.
WRONG_BODIES: list[tuple[str, bytes, tuple[int, ...]]] = [
    ("empty", b"", (400,)),
    ("white space", b" \r\n\t ", (400,)),
    ("not JSON", b"principal=1&term=2", (400,)),
    ("truncated", b'{"principal": 120000, "ter', (400,)),
    ("trailing comma", b'{"a": 1,}', (400,)),
    ("two documents", b"{} {}", (400,)),
    ("comment", b'{"a": 1 /* one */}', (400,)),
    ("single quotes", b"{'a': 1}", (400,)),
    ("leading zero", b'{"a": 01}', (400,)),
    ("raw control character", b'{"a": "\x00"}', (400,)),
    ("raw newline", b'{"a": "\n"}', (400,)),
    ("BOM", b"\xef\xbb\xbf{}", (400,)),
    ("UTF-16", "{}".encode("utf-16"), (400,)),
    ("invalid UTF-8", b'{"a": "\xff"}', (400,)),
    ("overlong UTF-8", b'{"a": "\xc0\x80"}', (400,)),
    ("raw lone surrogate", b'{"a": "\xed\xa0\x80"}', (400,)),
    ("NaN", b'{"amount": NaN}', (400,)),
    ("Infinity", b'{"amount": Infinity}', (400,)),
    ("minus Infinity", b'{"amount": -Infinity}', (400,)),
    ("duplicate keys", b'{"amount": 1, "amount": 2}', (400,)),
    ("duplicate keys by escape", b'{"amount": 1, "am\\u006funt": 2}', (400,)),
    ("nested duplicate keys", b'{"metadata": {"a": {"b": 1, "b": 1}}}', (400,)),
    ("60,000 arrays", b"[" * 60_000, (400,)),
    ("60,000 arrays closed", b"[" * 30_000 + b"]" * 30_000, (400,)),
    ("12,000 objects", b'{"a":' * 12_000, (400,)),
    ("null", b"null", (422,)),
    ("true", b"true", (422,)),
    ("number", b"1", (422,)),
    ("string", b'"lease"', (422,)),
    ("array", b"[]", (422,)),
    ("array of objects", b'[{"principal": 1}]', (422,)),
    ("5,000 digits", b"9" * 5_000, (422,)),
    ("1e400", b"1e400", (422,)),
    ("unknown field", b'{"status": "paid_off"}', (422,)),
    ("unknown field of the prototype", b'{"__proto__": {"a": 1}}', (422,)),
    ("empty key", b'{"": 1}', (422,)),
    ("NUL in a key", b'{"a\\u0000b": 1}', (422,)),
    ("lone surrogate in a key", b'{"\\ud800": 1}', (422,)),
    ("slashes and tildes in a key", b'{"a/b~c": 1}', (422,)),
    ("key of 60,000 characters", b'{"' + b"k" * 60_000 + b'": 1}', (422,)),
    ("5,000 unknown fields", b"{" + b",".join(b'"k%d": 1' % n for n in range(5_000)) + b"}", (422,)),
    ("65,537 bytes", b'{"a": "' + b"x" * (65_537 - 9) + b'"}', (413,)),
    ("a megabyte", b" " * 1_000_000, (413,)),
]

# Wrong at every place of every body.
NEVER_RIGHT: list[Any] = [
    1.5,
    1.0,
    -1.0,
    1e300,
    10**40,
    -(10**40),
    "\x00",
    "a\x00b",
    "\ud800",
    [[]],
    [None],
    {"x": {}},
    {"": None},
    "x" * 20_000,
]
# Wrong at every place, and not to be written with a JSON encoder; statuses that may answer.
NEVER_RIGHT_RAW: list[tuple[bytes, tuple[int, ...]]] = [
    (b"NaN", (400,)),
    (b"Infinity", (400,)),
    (b"1e400", (422,)),
    (b"-1e400", (422,)),
    (b"9" * 5_000, (422,)),
    (b"-" + b"9" * 5_000, (422,)),
    (b'{"a": 1, "a": 1}', (400,)),
    (b"[" * 2_000 + b"]" * 2_000, (400,)),
    (b"[" * 700 + b'"\\u0041"' + b"]" * 700, (400, 422)),
]
# Right at some places; the documented schema says where.
SOMETIMES_RIGHT: list[Any] = [
    None,
    True,
    -1,
    0,
    10**13,
    "",
    "text",
    "12",
    "1e1",
    " 1",
    "\u0661\u0662",
    "a\n",
    "ü",
    "2027-02-29",
    "2100-02-29",
    "0000-01-01",
    "9999-12-31",
    "2027-13-01",
    "2027-1-1",
    "2027-01-01T00:00:00",
    "usd",
    "USDT",
    "-0.1",
    "0.123456789",
    "NaN",
    {},
    [],
    [1],
    {"x": "y"},
]

# What a read cannot do without.
NEEDED_QUERY: dict[str, str] = {
    "/api/v1/audit/proofs/inclusion": f"event_id={OLD_V7}",
    "/api/v1/audit/proofs/consistency": "first=0",
}

# Of every query parameter: what it does not take. The names are those of all operations together.
_NO_SIZES = ["-1", "1e3", "1.0", "+5", "", "null", "abc", str(2**62 + 1), "9" * 5_000]
BAD_QUERY: dict[str, list[str]] = {
    "size": ["0", *_NO_SIZES],
    "tree_size": ["0", *_NO_SIZES],
    "first": _NO_SIZES,
    "second": _NO_SIZES,
    "event_id": ["", "x", "null", "%00", OLD_V7[:-1], OLD_V7 + "%0a", OLD_V7.replace("-", "")],
    "lease_id": ["", "x", "null", "%00", OLD_V7[:-1], OLD_V7 + "%0a", OLD_V7.replace("-", "")],
    "correlation_id": ["", "x", "null", "%00", OLD_V7[:-1], OLD_V7 + "%0a", OLD_V7.replace("-", "")],
    "limit": [
        "0",
        "201",
        "-1",
        "abc",
        "1e3",
        "1.0",
        "+5",
        "%205",
        "",
        "5_0",
        "%EF%BC%95",
        "NaN",
        "9" * 5_000,
    ],
    "cursor": [
        "",
        "!",
        "a",
        "AAAA",
        "====",
        "%00",
        "%ff",
        "%C3%A4",
        "x" * 201,
        pagination.write("leases", "-1"),
        pagination.write("leases", "1e3"),
        pagination.write("leases", "\u0663"),
        pagination.write("leases", "1" * 19),
        pagination.write("leases", OLD_V7 + "\n"),
        pagination.write("leases", "' OR 1=1 --"),
    ],
    "as_of": [
        "",
        "null",
        "today",
        "0",
        "-1",
        "1764547200",
        "20261201",
        "2026-12-1",
        "2026-13-01",
        "2027-02-29",
        "0000-01-01",
        "%2B2026-12-01",
        "2026-12-01%0a",
        "2026-12-01T00:00:00Z",
        "%EF%BC%92026-12-01",
        "9" * 5_000,
    ],
    "raw": ["yes", "2", "null", ""],
    "evidence": ["yes", "2", "null", ""],
    "after_seq": ["-1", "1e3", str(2**62 + 1), "9" * 40, "abc", ""],
    "seq": ["-1", "1.0", "+1", str(2**62 + 1), "9" * 5_000, "last", "%00", ""],
    "type": ["", "x" * 101, "a%00b"],
    "format": ["xml", "JSON", ""],
    "status": ["nope", "null", "ACTIVE", "active%0a", "x" * 5_000],
    "customer_id": ["", "a%20b", "x" * 65, "a%0a", "%00", "4111111111111111", "4111-1111-1111-1111"],
}

# What each list is called in its cursors.
LISTS: dict[str, str] = {
    "/api/v1/leases": "leases",
    "/api/v1/leases/{lease_id}/history": f"history of {OLD_V7}",
    "/api/v1/payments/{payment_id}/attempts": f"attempts on {OLD_V7}",
    "/api/v1/audit/leases/{lease_id}": f"trail of {OLD_V7}",
    "/api/v1/audit/leases/{lease_id}/journal": f"journal of {OLD_V7}",
    "/api/v1/audit/events": "events",
    "/api/v1/audit/anomalies": "anomalies",
}

# Not UUIDs, as they stand in a request line.
BAD_IDS: list[str] = [
    "x",
    "0",
    "-1",
    "null",
    "..%2f",
    "..%2f..%2fetc%2fpasswd",
    "%2e%2e",
    "%00",
    "%ff",
    "%ED%A0%80",
    OLD_V7[:-1],
    OLD_V7 + "0",
    OLD_V7 + "%0a",
    OLD_V7 + "%00",
    OLD_V7 + "%20",
    OLD_V7.replace("-", ""),
    f"%7B{OLD_V7}%7D",
    f"urn:uuid:{OLD_V7}",
    OLD_V7.replace("0", quote("\u0660")),
    OLD_V7.replace("a", quote("\uff41")),
    "x" * 4_000,
    "'%20OR%201=1--",
    "4111111111111111",
]

BAD_KEYS: list[bytes] = [
    b"",
    b"   ",
    b"x" * 256,
    "schlüssel".encode(),
    "schlüssel".encode("latin-1"),
    b"a\tb",
    b"a\x7fb",
    b"\xff\xfe",
]


def _token(text: str) -> bytes:
    return base64.urlsafe_b64encode(text.encode()).rstrip(b"=")


BAD_TOKENS: list[bytes] = [
    b"",
    b"x",
    b"!",
    b"====",
    b"A" * 5_000,
    "tökén".encode(),
    b"\xff\xfe",
    _token("no token"),
    _token(f"/lease-svc:-1:{OLD_V7}"),
    _token(f"/lease-svc:1e3:{OLD_V7}"),
    _token(f"/lease-svc:2147483648:{OLD_V7}"),
    _token(f"/payment-svc:9999999999:{OLD_V7}"),
    _token(f"/lease-svc:1:{OLD_V7}\n"),
    _token("/lease-svc:1:------------------------------------"),
    _token(f"/ledger-svc:1:{OLD_V7}"),
    _token(f"/nobody:1:{OLD_V7}"),
    _token(f"/lease-svc:01:{OLD_V7}"),
    _token(f"/lease-svc:1:{OLD_V7}:00000000"),
    _token(f"/lease-svc:1:{SOME_V4}"),
    _token(f"/lease-svc:1:{OLD_V7}") + b"AAAA",
    _token(f"/lease-svc:1:{OLD_V7}") + b"!",
    _token(f"/lease-svc:1:{OLD_V7}") + b"x" * 200,
]
ODD_PREFERENCES: list[bytes] = [
    b"",
    b",,,",
    b"wait",
    b"wait=",
    b"wait=abc",
    b"wait=-1",
    b"wait=1.5",
    b"wait=9999999999999",
    b"wait=0",
    b'wait="0',
    b"respond-async; x=y",
    b"\xff\xfe",
    "wait=٣".encode(),
]

# Well-known test numbers of the card networks, 13 to 19 digits, in the forms in which people write them.
CARDS: list[Any] = [
    "4111111111111111",
    "4111 1111 1111 1111",
    "4111-1111-1111-1111",
    "4222222222222",
    "378282246310005",
    "3782 822463 10005",
    "6304000000000000",
    "6212345678900000003",
    "card: 5555555555554444.",
    "4111111111111111 12/29",
    "4111 1111 1111 1111 123",
    "4242.4242.4242.4242",
    "4242_4242/4242\u20134242",
    "tok-4242\u200b4242\u200b4242\u200b4242",
    "4242\n4242\n4242\n4242",
    "\uff14" + "\uff11" * 15,
    "\u0664\u0662\u0664\u0662 " * 4,
]

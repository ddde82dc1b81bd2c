"""Identifiers: UUIDv7 and what is derived from it."""

import time
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.kernel.ids import canonical_uuid, payment_id, uuid7, uuid7_timestamp_ms


def test_uuid7() -> None:
    """Canonical, version 7, variant 2, of this moment, ascending within a process."""
    before = time.time_ns() // 1_000_000
    made = [uuid7() for _ in range(1_000)]
    after = time.time_ns() // 1_000_000
    assert made == sorted(set(made))
    for each in made:
        parsed = uuid.UUID(each)
        assert (str(parsed), parsed.version, parsed.variant) == (each, 7, uuid.RFC_4122)
        born = uuid7_timestamp_ms(each)
        assert born is not None
        assert before <= born <= after


@given(st.uuids())
def test_canonical(identifier: uuid.UUID) -> None:
    """Upper case is the same id; no other spelling is one."""
    text = str(identifier)
    assert canonical_uuid(text) == canonical_uuid(text.upper()) == text
    for other in (
        f"{{{text}}}",
        identifier.hex,
        f"urn:uuid:{text}",
        f"{text}\n",
        f" {text}",
        text[:-1],
        f"{text}0",
    ):
        assert canonical_uuid(other) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-",
        "x",
        "٠1890a5d-ac96-774b-8bce-b302099a8057",
        "\uff101890a5d-ac96-774b-8bce-b302099a8057",
        "01890a5d_ac96_774b_8bce_b302099a8057",
        "01890a5d-ac96-774b-8bce-b302099a805g",
        "01890a5d-ac96-774b-8bce-b302099a8057\x00",
        "01890a5d-ac96-774b-8bce-b302099a8057/..",
    ],
)
def test_no_uuid(text: str) -> None:
    """Digits of other scripts, other separators and whatever follows are none."""
    assert canonical_uuid(text) is None


def test_born() -> None:
    """Only version 7 tells a time, and only one that a calendar has."""
    assert uuid7_timestamp_ms("017f22e2-79b0-7cc3-98c4-dc0c0c07398f") == 0x017F22E279B0  # RFC 9562, A.6
    assert uuid7_timestamp_ms("919108f7-52d1-4320-9bac-f847db4148a8") is None  # A.3, version 4
    assert uuid7_timestamp_ms("00000000-0000-7000-8000-000000000000") == 0
    assert uuid7_timestamp_ms("ffffffff-ffff-7fff-bfff-ffffffffffff") is None
    assert uuid7_timestamp_ms("e677d21f-dbff-7000-8000-000000000000") == 253_402_300_799_999
    assert uuid7_timestamp_ms("e677d21f-dc00-7000-8000-000000000000") is None


@given(st.uuids(), st.integers(1, 520))
def test_payment_ids(identifier: uuid.UUID, number: int) -> None:
    """A UUID again, in the lease's neighbourhood, its own for each instalment, the same each time."""
    lease_id = str(identifier)
    made = payment_id(lease_id, number)
    assert canonical_uuid(made) == made
    assert made[:24] == lease_id[:24]
    assert (int(made[24:], 16) - int(lease_id[24:], 16)) % 2**48 == number
    assert len({payment_id(lease_id, each) for each in range(521)}) == 521


def test_payment_ids_at_the_end() -> None:
    """The last 48 bits wrap, the rest stays."""
    assert payment_id("01890a5d-ac96-774b-8bce-ffffffffffff", 2) == "01890a5d-ac96-774b-8bce-000000000001"

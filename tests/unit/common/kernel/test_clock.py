"""Times that somebody asks for: what is understood, and that nothing is ever rounded up."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.kernel.clock import day_or_instant, instant, rfc3339

UTC_TEXTS = {
    "2026-12-01T12:00:00Z": "2026-12-01T12:00:00.000000Z",
    "2026-12-01t12:00:00z": "2026-12-01T12:00:00.000000Z",
    "2026-12-01 12:00:00Z": "2026-12-01T12:00:00.000000Z",
    "2026-12-01T12:00:00.5Z": "2026-12-01T12:00:00.500000Z",
    "2026-12-01T12:00:00.123456Z": "2026-12-01T12:00:00.123456Z",
    "2026-12-01T12:00:00.1234569Z": "2026-12-01T12:00:00.123456Z",
    "2026-12-01T12:00:00.9999999999999Z": "2026-12-01T12:00:00.999999Z",
    "2026-12-01T12:00:00.0000005+00:00": "2026-12-01T12:00:00.000000Z",
    "2026-12-01T12:00:00-00:00": "2026-12-01T12:00:00.000000Z",
    "2026-12-01T12:00:00+05:45": "2026-12-01T06:15:00.000000Z",
    "2026-12-01T12:00:00-23:59": "2026-12-02T11:59:00.000000Z",
    "2016-12-31T23:59:60Z": "2017-01-01T00:00:00.000000Z",
    "2016-12-31T23:59:60.75Z": "2017-01-01T00:00:00.750000Z",
    "2016-12-31T15:59:60-08:00": "2017-01-01T00:00:00.000000Z",
    "2026-12-01T12:34:60Z": "2026-12-01T12:35:00.000000Z",
    "0001-01-01T00:00:00Z": "0001-01-01T00:00:00.000000Z",
    "9999-12-31T23:59:59.9999999Z": "9999-12-31T23:59:59.999999Z",
}


@pytest.mark.parametrize(("text", "utc"), UTC_TEXTS.items())
def test_instants(text: str, utc: str) -> None:
    """Any offset, any number of decimals, a leap second: always the instant in UTC, cut to microseconds."""
    assert rfc3339(instant(text)) == utc
    assert instant(text).tzinfo is UTC


@pytest.mark.parametrize(
    "text",
    [
        *("", "now", "1764547200", "2026-12-01", "20261201T120000Z", "2026-W49-2T12:00:00Z"),
        *("2026-12-01T12:00:00", "2026-12-01T12:00Z", "2026-12-01T12:00:00.Z", "2026-12-01T12:00:00,5Z"),
        *("2026-12-01T12:00:00+0100", "2026-12-01T12:00:00+1:00", "2026-12-01T12:00:00+24:00"),
        *(
            "2026-12-01T12:00:00+01:60",
            "2026-12-01T24:00:00Z",
            "2026-12-01T12:60:00Z",
            "2026-12-01T12:00:61Z",
        ),
        *("2026-02-29T12:00:00Z", "2026-13-01T12:00:00Z", "0000-01-01T00:00:00Z", "2026-12-01T12:00:00Z\n"),
        *(
            " 2026-12-01T12:00:00Z",
            "2026-12-01T12:00:00 Z",
            "\u0662026-12-01T12:00:00Z",
            "2026-12-01T12:00:00ZZ",
        ),
        *("0001-01-01T00:00:00+00:01", "9999-12-31T23:59:59-00:01", "9999-12-31T23:59:60Z"),
    ],
)
def test_what_is_no_instant(text: str) -> None:
    """Other shapes, days and hours that do not exist, and what lies outside of the calendar in UTC."""
    with pytest.raises(ValueError, match="RFC 3339"):
        instant(text)


@given(
    st.datetimes(datetime(2, 1, 1), datetime(9998, 1, 1)),
    st.integers(-1439, 1439),
    st.text("0123456789", max_size=9),
)
def test_every_instant(moment: datetime, offset: int, more: str) -> None:
    """Whatever its offset and however many decimals follow the sixth: the instant, never a later one."""
    given_in = moment.replace(tzinfo=UTC).astimezone(timezone(timedelta(minutes=offset)))
    text = given_in.isoformat(timespec="microseconds")
    assert instant(text[:-6] + more + text[-6:]) == given_in


def test_days() -> None:
    """A day stands for its first instant in UTC; anything else has to be an instant."""
    assert day_or_instant("2026-11-01") == datetime(2026, 11, 1, tzinfo=UTC)
    assert day_or_instant("2026-11-01T01:00:00+01:00") == datetime(2026, 11, 1, tzinfo=UTC)
    for wrong in ("2026-11-31", "2026-11", "20261101", "2026-11-01T00:00:00", "yesterday", ""):
        with pytest.raises(ValueError, match="RFC 3339"):
            day_or_instant(wrong)

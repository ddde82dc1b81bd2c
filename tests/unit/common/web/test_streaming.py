"""Which clients get a download compressed."""

import pytest

from common.web.streaming import accepts_gzip

YES = ["gzip", "GZIP", "x-gzip", "br, gzip;q=0.5", "*", "deflate, *;q=0.1", "gzip;q=1.0", " gzip ; q=0.001"]
NO = ["", "identity", "br", "gzip;q=0", "gzip; q=0.000", "*;q=0", "gzip;q=0, *", "notgzip", ",;,"]


@pytest.mark.parametrize("header", YES)
def test_accepted(header: str) -> None:
    """Named, by either name, or covered by the asterisk."""
    assert accepts_gzip([header])


@pytest.mark.parametrize("header", NO)
def test_refused(header: str) -> None:
    """Not named, or with the weight 0, which goes before an asterisk."""
    assert not accepts_gzip([header])


def test_over_several_lines() -> None:
    """A field that came in two lines is one list (RFC 9110, 5.3)."""
    assert accepts_gzip(["br", "gzip"])
    assert not accepts_gzip(["*", "gzip;q=0"])

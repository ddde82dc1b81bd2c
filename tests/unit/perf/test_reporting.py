"""Reports: one page with everything in it, and the numbers beside it."""

import re
from datetime import UTC, datetime
from pathlib import Path
from xml.etree import ElementTree

import msgspec

from perf.reporting import page
from perf.stats.latencies import Latencies
from perf.stats.run import Figure, Rows, Run, Series, Spectrum, Stack

HOSTILE = '<script>alert(1)</script> & "co"'


def _run(**changes: object) -> Run:
    run = Run(
        kind="a-test",
        title="A test",
        at=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
        commit="abc1234",
        machine="a machine",
        settings={"seed": "7", HOSTILE: HOSTILE},
        verdict=False,
        remarks=[HOSTILE],
        figures=[
            Figure(name="p99", value=123.4, unit="ms", threshold=100),
            Figure(name="rate", value=1_234.5, unit="a second", threshold=1_000, at_least=True),
            Figure(name="lag", value=0.123, unit="s"),
        ],
        tables=[Rows(title="Hops", columns=["hop", "ms"], rows=[["front", "1.5"], [HOSTILE, "2"]])],
        spectra=[Spectrum(name="creation", points=Latencies([0.01, 0.02, 0.5] * 500).spectrum())],
        stacks=[Stack(name="creation", hops=[("front", 1.5), ("worker", 3.0)])],
        series=[
            Series(group="CPU", name="lease-worker", unit="% of a core", points=[(0, 10), (1, 90)]),
            Series(group="Queues", name="lease.commands", unit="messages", points=[(0, 0), (1, 5)]),
        ],
    )
    return msgspec.structs.replace(run, **changes)


def test_page() -> None:
    """Figures with their bounds, plots as SVG, tables; nothing is fetched from anywhere, nothing is run."""
    text = page.render(_run())
    assert "<script" not in text.lower()
    assert not re.search(r"""(?:src|href)=["']?https?:""", text)
    assert not re.search(r"@import|url\(http", text)
    drawn = re.findall(r"<svg.*?</svg>", text, re.DOTALL)
    assert len(drawn) == 4
    for svg in drawn:
        ElementTree.fromstring(svg)
    assert all(word in text for word in ("Latency by percentile", "Where the time goes", "lease-worker"))
    assert "✗ at most 100 ms" in text
    assert "✓ at least 1,000 a second" in text
    assert "failed" in text
    assert "passed" in page.render(_run(verdict=True, remarks=[]))


def test_empty_run() -> None:
    """A run that was cut short has a page as well."""
    text = page.render(_run(figures=[], tables=[], spectra=[], stacks=[], series=[]))
    assert "<svg" not in text
    assert "A test" in text


def test_files(tmp_path: Path) -> None:
    """The page and the numbers, under the time of the run; the same run gives the same page."""
    run = _run()
    path = page.write(run, tmp_path / "reports")
    assert path.name == "a-test-20260102-030405.html"
    assert msgspec.json.decode(path.with_suffix(".json").read_bytes(), type=Run) == run
    first = path.read_text()
    assert page.write(run, tmp_path / "reports").read_text() == first


def test_numbers() -> None:
    """Three digits that count."""
    assert [page.number(value) for value in (12_345.6, 123.4, 12.34, 1.234, -0.5)] == [
        *("12,346", "123", "12.3", "1.23", "-0.50"),
    ]

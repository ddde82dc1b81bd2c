"""From a run to a page: one self-contained file, and the run as JSON beside it."""

import os
from pathlib import Path

import jinja2
import msgspec
from markupsafe import Markup

from perf.reporting import plots
from perf.stats.run import Figure, Run

DIRECTORY = Path(os.environ.get("PERF_REPORTS") or Path(__file__).parents[1] / "reports")

_templates = jinja2.Environment(
    loader=jinja2.FileSystemLoader(Path(__file__).parent),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def number(value: float) -> str:
    """Three digits that count, thousands apart."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:,.{2 if abs(value) < 10 else 1}f}"


def bound(figure: Figure) -> str:
    """What is asked of a figure, in words."""
    if figure.threshold is None:
        return ""
    return f"{'at least' if figure.at_least else 'at most'} {number(figure.threshold)} {figure.unit}"


def render(run: Run) -> str:
    """The page."""
    shown = [series for series in run.series if series.points]
    groups = list(dict.fromkeys(series.group for series in shown))
    drawn = [
        *([plots.spectra(run.spectra)] if run.spectra else []),
        *([plots.stacks(run.stacks)] if run.stacks else []),
        *(plots.across(group, [each for each in shown if each.group == group]) for group in groups),
    ]
    template = _templates.get_template("page.html.j2")
    return template.render(run=run, plots=[Markup(svg) for svg in drawn], number=number, bound=bound)


def write(run: Run, directory: Path = DIRECTORY) -> Path:
    """Write `<kind>-<time>.html` and `.json`; gives the page's path. Raises OSError."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"{run.kind}-{run.at:%Y%m%d-%H%M%S}.html"
    path.with_suffix(".json").write_bytes(msgspec.json.format(msgspec.json.encode(run)))
    path.write_text(render(run), encoding="utf-8")
    return path

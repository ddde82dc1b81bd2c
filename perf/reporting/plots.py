"""The plots of a report, as SVG to be put into a page."""

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from cycler import cycler
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedFormatter, FixedLocator, LogLocator, NullFormatter, StrMethodFormatter

from perf.stats.run import Series, Spectrum, Stack

# Okabe and Ito's colours, which colour-blind readers can tell apart (https://jfly.uni-koeln.de/color/).
COLOURS = (
    *("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9"),
    *("#8B6F47", "#7F7F7F", "#332288", "#999933"),  # and some more, as far from those as there is room
)
_STYLE = {
    "font.family": "sans-serif",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "axes.prop_cycle": cycler(color=COLOURS),
    "svg.fonttype": "none",  # text stays text: to be searched and read aloud
    "svg.hashsalt": "report",  # the same run gives the same page
}
_NINES = (0, 50, 90, 99, 99.9, 99.99, 99.999)


@contextmanager
def _axes(title: str, height: float) -> Iterator[tuple[Axes, list[str]]]:
    """Axes to draw on; afterwards the list holds the SVG."""
    drawn: list[str] = []
    with style.context([_STYLE]):
        figure = Figure(figsize=(9, height), layout="constrained")
        axes = figure.subplots()
        axes.set_title(title, loc="left", fontweight="bold")
        yield axes, drawn
        file = io.StringIO()
        figure.savefig(file, format="svg", metadata={"Date": None})
        drawn.append(file.getvalue()[file.getvalue().index("<svg") :])


def spectra(given: Sequence[Spectrum]) -> str:
    """Latency by percentile; the axis gives every further nine the same room."""
    with _axes("Latency by percentile", 3.6) as (axes, drawn):
        for spectrum in given:
            below = [(percent, ms) for percent, ms in spectrum.points if percent < 100]
            axes.plot(
                [100 / (100 - percent) for percent, _ in below], [ms for _, ms in below], label=spectrum.name
            )
        axes.set_xscale("log")
        axes.set_yscale("log")
        highest = max((percent for each in given for percent, _ in each.points if percent < 100), default=99)
        shown = [nine for nine in _NINES if nine <= highest] or [0]
        axes.xaxis.set_major_locator(FixedLocator([100 / (100 - nine) for nine in shown]))
        axes.xaxis.set_major_formatter(FixedFormatter([f"{nine:g}" for nine in shown]))
        axes.xaxis.set_minor_locator(FixedLocator([]))
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.set_xlabel("percentile")
        axes.set_ylabel("ms")
        axes.legend(frameon=False, ncols=3, loc="upper center", bbox_to_anchor=(0.5, -0.17))
    return drawn[0]


def stacks(given: Sequence[Stack]) -> str:
    """Where the time goes: a bar for each kind of request, a part for each hop."""
    names = list(dict.fromkeys(name for stack in given for name, _ in stack.hops))
    colour = {name: COLOURS[number % len(COLOURS)] for number, name in enumerate(names)}
    with _axes("Where the time goes (mean)", 1.6 + 0.7 * len(given)) as (axes, drawn):
        labelled: set[str] = set()
        for stack in given:
            left = 0.0
            for name, ms in stack.hops:
                label = None if name in labelled else name
                labelled.add(name)
                axes.barh(stack.name, ms, left=left, color=colour[name], label=label, edgecolor="white")
                left += ms
            axes.annotate(f" {left:.1f} ms", (left, stack.name), va="center")
        axes.invert_yaxis()
        axes.margins(x=0.1)
        axes.set_xlabel("ms")
        axes.grid(axis="y", visible=False)
        axes.legend(frameon=False, ncols=3, loc="upper center", bbox_to_anchor=(0.5, -0.25))
    return drawn[0]


def across(group: str, given: Sequence[Series]) -> str:
    """Quantities of one unit over the run, or over something else: then each point was measured by itself."""
    axis = given[0].across
    with _axes(group, 2.8) as (axes, drawn):
        for series in given:
            marker = "" if axis == "seconds" else "o"
            axes.plot(*zip(*series.points, strict=True), label=series.name, marker=marker, markersize=4)
        axes.set_xlabel(axis)
        axes.set_ylabel(given[0].unit)
        axes.set_ylim(bottom=0)
        axes.legend(frameon=False, ncols=4, loc="upper center", bbox_to_anchor=(0.5, -0.22))
    return drawn[0]

"""`python -m common.docgen [--into docs/reference] lease_svc payment_svc …`: write the generated pages."""

import argparse
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from common.docgen.pages import Documented, files

GENERATED = ("events", "openapi")  # folders that hold nothing else


def write(into: Path, made: dict[str, str]) -> None:
    """Write all files and remove those that nobody makes any longer."""
    for folder in GENERATED:
        for old in (into / folder).rglob("*.*"):
            if str(old.relative_to(into)) not in made:
                old.unlink()
    for path, text in made.items():
        (into / path).parent.mkdir(parents=True, exist_ok=True)
        (into / path).write_text(text, encoding="utf-8")


def documented(packages: Sequence[str]) -> list[Documented]:
    """What each package's `entrypoints.docs` module tells of its service."""
    return [import_module(f"{package}.entrypoints.docs").documented() for package in packages]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m common.docgen", description="Write the generated pages.")
    parser.add_argument(
        "--into", type=Path, default=Path("docs/reference"), help="folder (default: docs/reference)"
    )
    parser.add_argument("packages", nargs="+", help="services, each with a module `entrypoints.docs`")
    chosen = parser.parse_args()
    write(chosen.into, files(documented(chosen.packages)))

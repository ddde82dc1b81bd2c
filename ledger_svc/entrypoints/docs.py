"""What the generated pages show of this service: its front. It has no events of its own."""

from typing import Any, cast

from common.docgen.pages import Documented
from common.web.server import build_app
from ledger_svc.bootstrap import TITLE, routes


def documented() -> Documented:
    """This service for the generator."""
    nothing = cast(Any, None)  # the routes are asked for, never called
    return Documented(name="ledger", app=build_app(TITLE, routes(nothing, nothing), {}))

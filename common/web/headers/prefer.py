"""The Prefer header (RFC 7240): `respond-async` and `wait=N`."""

import re

from aiohttp import web

from common.web.headers.fields import elements

MAX_WAIT_S = 30.0
_SECONDS = re.compile(r"0*([0-9]+)")  # the RFC's delta-seconds, of any length


def wait_s(request: web.Request, *, default_s: float) -> float:
    """Seconds that the client is willing to wait, 30 at most; `default_s` where it does not say."""
    match = _SECONDS.fullmatch(_preferences(request).get("wait", ""))
    if match is None:
        return default_s
    return MAX_WAIT_S if len(match[1]) > 2 else min(float(match[1]), MAX_WAIT_S)


def respond_async(request: web.Request) -> bool:
    """Whether the client wants its answer as soon as the command is safe."""
    return _preferences(request).get("respond-async") == ""  # the preference has no values


def _preferences(request: web.Request) -> dict[str, str]:
    """Values by name; of a preference that comes twice the first one counts, whatever it says."""
    found: dict[str, str] = {}
    for each in elements(request.headers.getall("Prefer", ())):
        found.setdefault(each.name, each.value)
    return found

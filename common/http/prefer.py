"""The Prefer header (RFC 7240): `respond-async` and `wait=N`."""

import re

from aiohttp import web

MAX_WAIT_S = 30.0
_WAIT = re.compile(r'wait\s*=\s*"?(\d{1,6})"?')


def wait_s(request: web.Request, *, default_s: float) -> float:
    """Seconds that the client is willing to wait, 30 at most; other preferences are ignored."""
    for preference in _preferences(request):
        if match := _WAIT.fullmatch(preference):
            return min(float(match[1]), MAX_WAIT_S)
    return default_s


def respond_async(request: web.Request) -> bool:
    """Whether the client wants its answer as soon as the command is safe."""
    return "respond-async" in _preferences(request)


def _preferences(request: web.Request) -> list[str]:
    given = ",".join(request.headers.getall("Prefer", []))
    return [preference.strip().lower() for preference in given.split(",") if preference.strip()]

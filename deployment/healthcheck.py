"""Asks a service how it is. Standard library only: the container image checks its health with this."""

import http.client
import urllib.error
import urllib.request

_TIMEOUT_S = 3


def answers_ok(url: str) -> bool:
    """Whether a GET of `url` is answered with 200."""
    try:
        with urllib.request.urlopen(url, timeout=_TIMEOUT_S) as response:
            return bool(response.status == 200)
    except (OSError, http.client.HTTPException):
        return False


def explain(url: str) -> str:
    """What `url` answers at this moment, in a line: a health page names the check that fails."""
    try:
        with urllib.request.urlopen(url, timeout=_TIMEOUT_S) as response:
            return f"{url} answers {response.status}"
    except urllib.error.HTTPError as error:
        return f"{url} answers {error.code}: {error.read(300).decode(errors='replace')}"
    except (OSError, http.client.HTTPException) as error:
        return f"{url} does not answer: {error}"

"""Durations as people write them: "10s", "5m", "1h30m"; a bare number is seconds.

As Locust has it (`locust.util.timespan`), whose import would replace this process's sockets by gevent's.
"""

import re

_FORM = re.compile(r"(?:(\d{1,6})h)?(?:(\d{1,6})m)?(?:(\d{1,6})s)?", re.ASCII)
_BARE = re.compile(r"\d{1,6}", re.ASCII)


def seconds(text: str) -> int:
    """How many seconds that is, at least 1. Raises ValueError for anything else."""
    asked = text.strip()
    if _BARE.fullmatch(asked):
        asked += "s"
    match = _FORM.fullmatch(asked)
    hours, minutes, rest = (int(part or 0) for part in match.groups()) if match else (0, 0, 0)
    if total := hours * 3600 + minutes * 60 + rest:
        return total
    raise ValueError(f'not a duration: {text!r}; write "10s", "5m" or "1h30m"')

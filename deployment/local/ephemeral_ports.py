"""The ports that the kernel gives to outgoing connections as it likes.

A connection that has had one keeps it for a minute after its end (TIME_WAIT): nothing can
listen there until then.
"""

import subprocess
import sys
from pathlib import Path

# https://docs.kernel.org/networking/ip-sysctl.html: first and last; those never given, as "8080,9000-9010".
_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
_RESERVED = Path("/proc/sys/net/ipv4/ip_local_reserved_ports")
_MACOS = ("sysctl", "-n", "net.inet.ip.portrange.first", "net.inet.ip.portrange.last")


def ephemeral_ports() -> frozenset[int]:
    """All of them on this machine; empty where it does not say."""
    try:
        if sys.platform == "darwin":
            text = subprocess.run(_MACOS, capture_output=True, text=True, check=True).stdout
        else:
            text = _RANGE.read_text()
        first, last = map(int, text.split())
        return frozenset(range(first, last + 1)) - _reserved()
    except (OSError, ValueError, subprocess.CalledProcessError):
        return frozenset()


def _reserved() -> frozenset[int]:
    if not _RESERVED.exists():
        return frozenset()
    ports: set[int] = set()
    for part in filter(None, _RESERVED.read_text().strip().split(",")):
        first, _, last = part.partition("-")
        ports.update(range(int(first), int(last or first) + 1))
    return frozenset(ports)

"""The ports a stack listens on, all on loopback."""

import random
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType

from deployment.errors import StackError
from deployment.roles import HTTP_SERVICES

LOOPBACK = "127.0.0.1"
# Where `Ports.free` looks first, and where else, on a machine that gives those to outgoing connections.
_FREE_PORTS = (range(10_000, 32_000), range(1_024, 65_536))
_ENOUGH = 1_000
# Numbers that `Ports.free` has given away lately; they are held until their listeners have surely come.
_HELD: deque[socket.socket] = deque()
_HELD_AT_MOST = 200
# https://docs.kernel.org/networking/ip-sysctl.html: first and last; those never given, as "8080,9000-9010".
_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
_RESERVED = Path("/proc/sys/net/ipv4/ip_local_reserved_ports")
_MACOS = ("sysctl", "-n", "net.inet.ip.portrange.first", "net.inet.ip.portrange.last")

# Ports of the servers, far from their usual ones on purpose: name → (variable that changes it, number).
# `dist` is RabbitMQ's Erlang distribution, the door for its command line tools; `epmd` is Erlang's port
# mapper, which RabbitMQ does not start without.
_SERVERS = {
    "postgres": ("POSTGRES_PORT", 25432),
    "amqp": ("RABBITMQ_PORT", 25670),
    "dist": ("RABBITMQ_DIST_PORT", 25671),
    "epmd": ("EPMD_PORT", 25669),
}
# The variable that changes a port, by the port's name.
VARIABLES = {name: variable for name, (variable, _) in _SERVERS.items()} | {
    name: service.port_variable for name, service in HTTP_SERVICES.items()
}
DEFAULTS = {name: number for name, (_, number) in _SERVERS.items()} | {
    name: service.default_port for name, service in HTTP_SERVICES.items()
}


class Ports(dict[str, int]):
    """One TCP port for each thing that listens, by its name in VARIABLES."""

    def __init__(self, given: Mapping[str, int] = MappingProxyType({}), /, **more: int) -> None:
        """The default ports, but for those that are given."""
        super().__init__(DEFAULTS | dict(given) | more)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str], base: "Ports | None" = None) -> "Ports":
        """The ports of `base` (None: the default ones), each replaced by its variable where that is set.

        Raises StackError when a value is not a port number or two things share one.
        """
        given: dict[str, int] = {}
        for field, variable in VARIABLES.items():
            text = environment.get(variable, "")
            if not text:
                continue
            if not (text.isascii() and text.isdigit() and 1 <= int(text[:6]) <= 65535):
                raise StackError(f"{variable}={text!r} is not a port.", f"Set {variable} to 1 … 65535.")
            given[field] = int(text)
        ports = cls(base or {}, **given)
        owners: dict[int, str] = {}
        for field, variable in VARIABLES.items():
            port = ports.of(field)
            if port in owners:
                raise StackError(
                    f"{owners[port]} and {variable} are both {port}.", "Give each of them a port of its own."
                )
            owners[port] = variable
        return ports

    @classmethod
    def free(cls) -> "Ports":
        """Ports nobody listens on at this moment, for tests that must not meet a running system.

        They lie outside of the kernel's ephemeral range: no outgoing connection takes one before it is used.
        Another process that chooses at the same time gets others. None is a default port.
        """
        candidates = _candidates()
        found: dict[str, int] = {}
        for field in VARIABLES:
            held = None
            while held is None:
                found[field] = next(candidates)
                held = _hold(found[field])
            _HELD.append(held)
        while len(_HELD) > _HELD_AT_MOST:
            _HELD.popleft().close()
        return cls(**found)

    def of(self, name: str) -> int:
        """The port of that name."""
        return self[name]


def _candidates() -> Iterator[int]:
    taken_at_random = ephemeral_ports() | set(DEFAULTS.values())
    for ports in _FREE_PORTS:
        usable = [port for port in ports if port not in taken_at_random]
        if len(usable) >= _ENOUGH:
            return iter(random.sample(usable, _ENOUGH))
    # The kernel gives away all there is: any port can be taken.
    return iter(random.sample(_FREE_PORTS[0], _ENOUGH))


def _hold(port: int) -> socket.socket | None:
    """Take a number that is free, so that no other process finds it free; None where it is not.

    It is held in UDP, where nothing of a stack listens, since in TCP that would keep its own listener off.
    """
    held = socket.socket(type=socket.SOCK_DGRAM)
    with suppress(OSError), socket.socket() as probe:
        held.bind((LOOPBACK, port))
        probe.bind((LOOPBACK, port))
        return held
    held.close()
    return None


def ephemeral_ports() -> frozenset[int]:
    """Those that the kernel gives to outgoing connections as it likes; empty where it does not say.

    A connection that has had one keeps it for a minute after its end (TIME_WAIT): nothing can listen there
    until then.
    """
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

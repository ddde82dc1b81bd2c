"""The ports a stack listens on, all on loopback."""

import random
import socket
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import suppress

import msgspec

from deployment.errors import StackError
from deployment.local.ephemeral_ports import ephemeral_ports

LOOPBACK = "127.0.0.1"
# Where `Ports.free` looks first, and where else, on a machine that gives those to outgoing connections.
_FREE_PORTS = (range(10_000, 32_000), range(1_024, 65_536))
_ENOUGH = 1_000
# Numbers that `Ports.free` has given away lately; they are held until their listeners have surely come.
_HELD: deque[socket.socket] = deque()
_HELD_AT_MOST = 200

# The variable that changes a port, by field of Ports.
VARIABLES = {
    "postgres": "POSTGRES_PORT",
    "amqp": "RABBITMQ_PORT",
    "dist": "RABBITMQ_DIST_PORT",
    "epmd": "EPMD_PORT",
    "lease": "LEASE_PORT",
    "payment": "PAYMENT_PORT",
    "ledger": "LEDGER_PORT",
    "gateway": "GATEWAY_PORT",
}


class Ports(msgspec.Struct, frozen=True, kw_only=True):
    """One TCP port for each thing that listens. The servers' are far from their usual ones on purpose."""

    postgres: int = 25432
    # AMQP 0-9-1 listener of RabbitMQ.
    amqp: int = 25670
    # Erlang distribution of RabbitMQ: the door its command line tools come through.
    dist: int = 25671
    # Erlang's port mapper, which RabbitMQ does not start without.
    epmd: int = 25669
    lease: int = 8000
    payment: int = 8001
    ledger: int = 8002
    gateway: int = 8003

    @classmethod
    def from_environment(cls, environment: Mapping[str, str], base: "Ports | None" = None) -> "Ports":
        """The ports of `base` (None: the default ones), each replaced by its variable where that is set.

        Raises StackError when a value is not a port number or two fields share one.
        """
        given: dict[str, int] = {}
        for field, variable in VARIABLES.items():
            text = environment.get(variable, "")
            if not text:
                continue
            if not (text.isascii() and text.isdigit() and 1 <= int(text[:6]) <= 65535):
                raise StackError(f"{variable}={text!r} is not a port.", f"Set {variable} to 1 … 65535.")
            given[field] = int(text)
        ports = msgspec.structs.replace(base or cls(), **given)
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

    def of(self, field: str) -> int:
        """The port of a field of this class, by its name."""
        value: int = getattr(self, field)
        return value


def _candidates() -> Iterator[int]:
    taken_at_random = ephemeral_ports() | set(msgspec.structs.asdict(Ports()).values())
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

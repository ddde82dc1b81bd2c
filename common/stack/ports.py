"""The ports a stack listens on, all on loopback."""

import random
import socket
from collections.abc import Mapping
from contextlib import ExitStack, suppress

import msgspec

from common.stack.errors import StackError

LOOPBACK = "127.0.0.1"
_FREE_PORTS = range(10_000, 32_000)

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
    def from_environment(cls, environment: Mapping[str, str]) -> "Ports":
        """The default ports, each replaced by its variable where that is set.

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
        ports = cls(**given)
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

        They lie below the kernel's ephemeral range: no outgoing connection takes one before it is used.
        """
        with ExitStack() as sockets:
            found: dict[str, int] = {}
            candidates = iter(random.sample(_FREE_PORTS, 1_000))
            for field in VARIABLES:
                while field not in found:
                    probe = sockets.enter_context(socket.socket())
                    with suppress(OSError):
                        port = next(candidates)
                        probe.bind((LOOPBACK, port))
                        found[field] = port
        return cls(**found)

    def of(self, field: str) -> int:
        """The port of a field of this class, by its name."""
        value: int = getattr(self, field)
        return value

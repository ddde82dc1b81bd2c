"""Exchanges and queues, as data; every process declares all of them when it connects.

Declaring is idempotent. Publishers declare the consumers' queues too: an event that is published before
its consumer was ever started must not be lost.

The names are facts of this system, and still stand here and not in deployment/: every connection of every
process declares them (see connection.py), so handing them down as data would put one more argument into each
publisher, consumer, reply queue and relay, for a set that is the same everywhere.
"""

from dataclasses import dataclass, field

import aiormq

COMMANDS = "commands"  # direct: routing key = the queue's name
EVENTS = "events"  # topic: routing key = the event's type
DEAD_LETTERS = "dead-letters"  # direct: routing key = the queue the message failed in

LEASE_COMMANDS = "lease.commands"
LEASE_PAYMENT_EVENTS = "lease.payment-events"
PAYMENT_COMMANDS = "payment.commands"
PAYMENT_LEASE_EVENTS = "payment.lease-events"
LEDGER_STREAM = "ledger.events"

# The broker counts a redelivery for each connection that ends, however innocent the message: its own limit is
# only for what ends every process that touches it. What *fails* is given up on sooner, and answered.
DELIVERY_LIMIT = 100
GIVE_UP_AFTER = 5  # redeliveries of a message that fails
MAX_QUEUE_MESSAGES = 100_000  # a full queue refuses the publish, the front answers 503
STREAM_MAX_BYTES = 4_000_000_000
STREAM_MAX_AGE = "30D"
STREAM_SEGMENT_BYTES = 50_000_000  # retention works by whole segments; the default of 500 MB is too coarse


@dataclass(frozen=True, kw_only=True)
class WorkQueue:
    """A quorum queue whose failures end in `<name>.dead`."""

    name: str
    exchange: str
    binding: list[str]  # routing keys
    # Events are projected in order: one consumer at a time, the others stand by.
    single_active: bool = False
    arguments: dict[str, object] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self.arguments.update(
            {
                "x-queue-type": "quorum",
                "x-delivery-limit": DELIVERY_LIMIT,
                "x-dead-letter-exchange": DEAD_LETTERS,
                "x-dead-letter-routing-key": self.name,
                # at-least-once silently degrades to at-most-once without reject-publish
                "x-dead-letter-strategy": "at-least-once",
                "x-overflow": "reject-publish",
                "x-max-length": MAX_QUEUE_MESSAGES,
            }
        )
        if self.single_active:
            self.arguments["x-single-active-consumer"] = True


WORK_QUEUES = (
    WorkQueue(name=LEASE_COMMANDS, exchange=COMMANDS, binding=[LEASE_COMMANDS]),
    WorkQueue(name=PAYMENT_COMMANDS, exchange=COMMANDS, binding=[PAYMENT_COMMANDS]),
    # Both services tell of a lease's status; each is to get all that the other tells, and nothing of its own.
    WorkQueue(
        name=LEASE_PAYMENT_EVENTS,
        exchange=EVENTS,
        binding=[
            *("payment.#", "payoff.#", "lease.autopay_changed"),
            *("lease.late_fee_assessed", "lease.delinquent", "lease.cured"),
        ],
        single_active=True,
    ),
    WorkQueue(
        name=PAYMENT_LEASE_EVENTS,
        exchange=EVENTS,
        binding=["lease.created", "lease.paid_off", "lease.reopened", "lease.cancelled", "lease.charged_off"],
        single_active=True,
    ),
)

DEAD_QUEUE_ARGUMENTS: dict[str, object] = {
    "x-queue-type": "quorum",
    "x-overflow": "reject-publish",
    "x-max-length": MAX_QUEUE_MESSAGES,
}

STREAM_ARGUMENTS: dict[str, object] = {
    "x-queue-type": "stream",
    "x-max-length-bytes": STREAM_MAX_BYTES,
    "x-max-age": STREAM_MAX_AGE,
    "x-stream-max-segment-size-bytes": STREAM_SEGMENT_BYTES,
}


async def declare(channel: aiormq.Channel) -> None:
    """Declare everything; a no-op where it exists. Raises ChannelPreconditionFailed where it differs."""
    await channel.exchange_declare(COMMANDS, exchange_type="direct", durable=True)
    await channel.exchange_declare(EVENTS, exchange_type="topic", durable=True)
    await channel.exchange_declare(DEAD_LETTERS, exchange_type="direct", durable=True)
    for queue in WORK_QUEUES:
        dead = f"{queue.name}.dead"
        await channel.queue_declare(dead, durable=True, arguments=DEAD_QUEUE_ARGUMENTS)  # type: ignore[arg-type]
        await channel.queue_bind(dead, DEAD_LETTERS, queue.name)
        await channel.queue_declare(queue.name, durable=True, arguments=queue.arguments)  # type: ignore[arg-type]
        for key in queue.binding:
            await channel.queue_bind(queue.name, queue.exchange, key)
    await channel.queue_declare(LEDGER_STREAM, durable=True, arguments=STREAM_ARGUMENTS)  # type: ignore[arg-type]
    await channel.queue_bind(LEDGER_STREAM, EVENTS, "#")

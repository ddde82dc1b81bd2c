"""Queues as they are declared: what must never be forgotten is in their arguments."""

import pytest

from common.messaging import topology
from common.messaging.topology import WORK_QUEUES, WorkQueue
from lease_svc.contracts.events import CATALOGUE as TOLD_BY_LEASES
from payment_svc.contracts.events import CATALOGUE as TOLD_BY_PAYMENTS

# Of each queue of events: what its own service tells, and what the other does.
TOLD = {
    topology.LEASE_PAYMENT_EVENTS: (TOLD_BY_LEASES, TOLD_BY_PAYMENTS),
    topology.PAYMENT_LEASE_EVENTS: (TOLD_BY_PAYMENTS, TOLD_BY_LEASES),
}


@pytest.mark.parametrize("queue", WORK_QUEUES, ids=lambda queue: queue.name)
def test_work_queues(queue: WorkQueue) -> None:
    """Replicated, bounded, with a positive delivery limit and dead letters that are not lost on their way."""
    arguments = queue.arguments
    assert arguments["x-queue-type"] == "quorum"
    assert isinstance(arguments["x-delivery-limit"], int)
    assert arguments["x-delivery-limit"] > 0
    assert arguments["x-dead-letter-strategy"] == "at-least-once"
    assert arguments["x-overflow"] == "reject-publish"  # without it the strategy silently degrades
    assert arguments["x-dead-letter-exchange"] == topology.DEAD_LETTERS
    assert arguments["x-dead-letter-routing-key"] == queue.name
    assert isinstance(arguments["x-max-length"], int)


def test_commands_are_shared_and_events_are_not() -> None:
    """Any worker takes commands; events are projected in order, by one consumer at a time."""
    single = {queue.name: bool(queue.arguments.get("x-single-active-consumer")) for queue in WORK_QUEUES}
    assert single == {
        topology.LEASE_COMMANDS: False,
        topology.PAYMENT_COMMANDS: False,
        topology.LEASE_PAYMENT_EVENTS: True,
        topology.PAYMENT_LEASE_EVENTS: True,
    }


def test_names_and_bindings() -> None:
    """Names are unique; a command queue is bound by its own name, an event queue by the other's types.

    All of them, for sequences have no gaps; and none of its own service, whatever the types begin with.
    """
    assert len({queue.name for queue in WORK_QUEUES}) == len(WORK_QUEUES)
    for queue in WORK_QUEUES:
        if queue.exchange == topology.COMMANDS:
            assert queue.binding == [queue.name]
        else:
            own, others = TOLD[queue.name]
            assert not any(bound(queue, type_) for type_ in own)
            assert all(bound(queue, type_) for type_ in others)


def bound(queue: WorkQueue, type_: str) -> bool:
    """Whether the broker gives the queue events of this type."""
    return any(type_ == key or (key.endswith("#") and type_.startswith(key[:-1])) for key in queue.binding)


def test_arguments_are_not_shared() -> None:
    """Changing one queue's arguments changes no other's."""
    one, two = (WorkQueue(name=name, exchange="x", binding=[]) for name in "ab")
    one.arguments["x-max-length"] = 1
    assert two.arguments["x-max-length"] == topology.MAX_QUEUE_MESSAGES


def test_stream() -> None:
    """A stream takes no work queue's arguments, and its segments are smaller than its bounds."""
    arguments = topology.STREAM_ARGUMENTS
    assert arguments["x-queue-type"] == "stream"
    assert not {"x-delivery-limit", "x-dead-letter-exchange", "x-overflow"} & arguments.keys()
    assert topology.STREAM_SEGMENT_BYTES * 4 <= topology.STREAM_MAX_BYTES

"""Places in a stream, as RabbitMQ tells them over AMQP 0-9-1."""

from aiormq.abc import DeliveredMessage


def offset_of(message: DeliveredMessage) -> int:
    """The message's offset in its stream; -1 where the broker gave none."""
    offset = (message.header.properties.headers or {}).get("x-stream-offset")
    return offset if isinstance(offset, int) else -1

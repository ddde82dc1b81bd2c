"""The hand-laid frames of a publish."""

import pamqp.body
import pamqp.commands
import pamqp.frame
import pamqp.header
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.messaging import publish_frames

words = st.text(st.characters(codec="ascii", categories=("L", "N")), min_size=1, max_size=80)


@given(
    body=st.binary(max_size=600),
    channel=st.integers(1, 2047),
    exchange=words,
    routing_key=words,
    message_id=words,
    message_type=words,
    content_type=words,
    reply_to=st.none() | words,
    delivery_mode=st.sampled_from([1, 2]),
)
def test_the_same_bytes_as_pamqp(
    body: bytes,
    channel: int,
    exchange: str,
    routing_key: str,
    message_id: str,
    message_type: str,
    content_type: str,
    reply_to: str | None,
    delivery_mode: int,
) -> None:
    """Whatever the message, its frames are those that pamqp lays out, the body split at frame_max."""
    frame_max = 128
    properties = pamqp.commands.Basic.Properties(
        content_type=content_type,
        delivery_mode=delivery_mode,
        message_id=message_id,
        message_type=message_type,
        reply_to=reply_to,
    )
    expected = pamqp.frame.marshal(
        pamqp.commands.Basic.Publish(exchange=exchange, routing_key=routing_key, mandatory=True), channel
    )
    expected += pamqp.frame.marshal(
        pamqp.header.ContentHeader(properties=properties, body_size=len(body)), channel
    )
    for start in range(0, len(body), frame_max - 8):
        piece = body[start : start + frame_max - 8]
        expected += pamqp.frame.marshal(pamqp.body.ContentBody(piece), channel)
    assert expected == publish_frames.publish(
        body,
        channel=channel,
        frame_max=frame_max,
        exchange=exchange,
        routing_key=routing_key,
        content_type=content_type,
        delivery_mode=delivery_mode,
        message_id=message_id,
        message_type=message_type,
        reply_to=reply_to,
    )


def test_what_does_not_fit_is_refused() -> None:
    """A name of more than 255 bytes cannot be said in AMQP: a ValueError, not a torn frame."""
    with pytest.raises(ValueError, match="range"):
        publish_frames.publish(
            b"",
            channel=1,
            frame_max=128,
            exchange="x" * 256,
            routing_key="k",
            content_type="c",
            delivery_mode=2,
            message_id="i",
            message_type="t",
            reply_to=None,
        )

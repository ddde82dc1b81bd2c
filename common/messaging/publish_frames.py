"""The bytes of one `basic.publish`, in one step.

aiormq builds them from objects, frame by frame and property by property, which is the largest single part of
a front's work on a request. Here what is the same for every message of a kind is laid out once.
Source: AMQP 0-9-1, sections 4.2.3 (general frame format), 4.2.6 (content framing), 1.8.3.3 (basic.publish).
A test holds these bytes against pamqp's.
"""

import struct
from functools import lru_cache

_METHOD, _HEADER, _BODY = 1, 2, 3  # frame types
_END = b"\xce"
_BASIC, _PUBLISH = 60, 40  # class and method
_MANDATORY = 1
# Property flags, in the order in which the properties follow.
_CONTENT_TYPE, _DELIVERY_MODE, _REPLY_TO, _MESSAGE_ID, _TYPE = 1 << 15, 1 << 12, 1 << 9, 1 << 7, 1 << 5
_FRAME_OVERHEAD = 8  # type, channel, size and end of a frame

_frame_head = struct.Struct(">BHI").pack
_content_head = struct.Struct(">HHQH").pack


@lru_cache(maxsize=256)
def _method_frame(channel: int, exchange: str, routing_key: str) -> bytes:
    payload = b"".join(
        (
            struct.pack(">HHH", _BASIC, _PUBLISH, 0),
            _short(exchange),
            _short(routing_key),
            bytes([_MANDATORY]),
        )
    )
    return _frame_head(_METHOD, channel, len(payload)) + payload + _END


@lru_cache(maxsize=256)
def _short(text: str) -> bytes:
    """A short string; ValueError where it is longer than 255 bytes."""
    encoded = text.encode()
    return bytes([len(encoded)]) + encoded


def publish(
    body: bytes,
    *,
    channel: int,
    frame_max: int,
    exchange: str,
    routing_key: str,
    content_type: str,
    delivery_mode: int,
    message_id: str,
    message_type: str,
    reply_to: str | None,
) -> bytes:
    """The frames of a mandatory publish: method, content header, body in pieces that fit `frame_max` bytes.

    Raises ValueError where a name or id has more than 255 bytes.
    """
    flags = _CONTENT_TYPE | _DELIVERY_MODE | _MESSAGE_ID | _TYPE | (_REPLY_TO if reply_to else 0)
    identifier = message_id.encode()
    header = b"".join(
        (
            _content_head(_BASIC, 0, len(body), flags),
            _short(content_type),
            bytes([delivery_mode]),
            _short(reply_to) if reply_to else b"",
            bytes([len(identifier)]),
            identifier,
            _short(message_type),
        )
    )
    parts = [
        _method_frame(channel, exchange, routing_key),
        _frame_head(_HEADER, channel, len(header)),
        header,
        _END,
    ]
    piece = frame_max - _FRAME_OVERHEAD
    for start in range(0, len(body), piece):
        content = body[start : start + piece]
        parts += (_frame_head(_BODY, channel, len(content)), content, _END)
    return b"".join(parts)

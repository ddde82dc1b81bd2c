"""Gateways that misbehave byte by byte, for the tests of the gateway client."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import msgspec

CHARGE = {
    "charge_id": "ch_1",
    "idempotency_key": "key-1",
    "amount": 13162,
    "currency": "USD",
    "amount_refunded": 0,
    "status": "succeeded",
    "decline_code": None,
    "metadata": {"lease_id": "lea-1", "payment_id": "pay-1", "attempt_id": "att-1"},
    "created_at": "2026-01-01T00:00:00.000000Z",
}

REFUND = {
    "refund_id": "re_1",
    "charge_id": "ch_1",
    "idempotency_key": "key-1",
    "amount": 13162,
    "currency": "USD",
    "status": "succeeded",
    "decline_code": None,
    "metadata": {"lease_id": "lea-1", "payment_id": "pay-1", "attempt_id": "att-2"},
    "created_at": "2026-01-01T00:00:00.000000Z",
}

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def hostile(handler: Handler) -> AsyncIterator[str]:
    """A raw server that does whatever the handler says once a request has been read whole."""

    served: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if task := asyncio.current_task():
            served.add(task)
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            length = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
            await reader.readexactly(int(length[0].split(b":")[1]) if length else 0)
            await handler(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client left first
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        if served:
            await asyncio.wait(served, timeout=2)  # each notices that its client has left


def says(data: bytes) -> Handler:
    """Sends these bytes and closes."""

    async def handler(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        await writer.drain()

    return handler


def answer(status: int, body: object, more: bytes = b"") -> bytes:
    encoded = body if isinstance(body, bytes) else msgspec.json.encode(body)
    return b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n%s\r\n%s" % (status, len(encoded), more, encoded)


async def hangs(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    """Says nothing until the client leaves."""
    await reader.read()


async def drips(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Sends a good answer, but so slowly that it is never there in time."""
    for byte in answer(201, CHARGE):
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(0.02)


async def resets(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Cuts the connection with a reset."""
    writer.transport.abort()


# What a server may do after it has the whole request: none of it says whether the money moved.
UNCERTAIN = {
    "closes": says(b""),
    "resets": resets,
    "garbage": says(b"\x00\xff garbage \r\n\r\n"),
    "half a head": says(b"HTTP/1.1 201 Crea"),
    "half a body": says(answer(201, CHARGE)[:-20]),
    "hangs": hangs,
    "drips": drips,
    "not json": says(answer(201, b"<html>")),
    "json of something else": says(answer(201, [])),
    "no id": says(answer(201, {**CHARGE, "charge_id": ""})),
    "endless": says(answer(201, b" " * 100_000 + msgspec.json.encode(CHARGE))),
    "broken gzip": says(answer(201, b"not gzip", b"Content-Encoding: gzip\r\n")),
    "500 after charge": says(answer(500, CHARGE)),
    "502": says(answer(502, b"Bad gateway")),
    "504": says(answer(504, b"")),
    "503 of a proxy": says(answer(503, b"<h1>busy</h1>")),
    "503 with another code": says(answer(503, {"error": {"code": "overloaded", "message": ""}})),
    "503 without a code": says(answer(503, {"error": {}})),
    "404": says(answer(404, {"error": {"code": "not_found", "message": ""}})),
    "422": says(answer(422, {"error": {"code": "idempotency_key_reused", "message": ""}})),
    "429": says(answer(429, {"error": {"code": "gateway_unavailable", "message": ""}})),
    "redirect": says(answer(307, b"", b"Location: http://127.0.0.1:1/\r\n")),
}
UNCERTAIN_CHARGE = {
    "200 instead of 201": says(answer(200, CHARGE)),
    "201 but declined": says(answer(201, {**CHARGE, "status": "declined", "decline_code": "lost_card"})),
    "402 but succeeded": says(answer(402, CHARGE)),
    "402 without a code": says(answer(402, {**CHARGE, "status": "declined"})),
    "another key": says(answer(201, {**CHARGE, "idempotency_key": "key-2"})),
    "another amount": says(answer(201, {**CHARGE, "amount": 1})),
    "another currency": says(answer(201, {**CHARGE, "currency": "EUR"})),
    "status unheard of": says(answer(201, {**CHARGE, "status": "pending"})),
}
UNCERTAIN_FIND = {
    "201": says(answer(201, {"items": []})),
    "404 with a list": says(answer(404, {"items": []})),
    "no list": says(answer(200, {})),
    "null list": says(answer(200, {"items": None})),
    "two of them": says(answer(200, {"items": [CHARGE, CHARGE]})),
    "somebody else's": says(answer(200, {"items": [{**CHARGE, "idempotency_key": "key-2"}]})),
    "declined without a code": says(answer(200, {"items": [{**CHARGE, "status": "declined"}]})),
}

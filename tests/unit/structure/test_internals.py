"""What belongs to a library alone: one place of ours knows it, and notices when it changes."""

import ast
import asyncio
from collections.abc import Iterator
from pathlib import Path

import aiormq
import pytest
from aiohttp import web
from pamqp import commands as spec

from common.messaging.publisher import ConfirmingChannel

PROJECT = Path(__file__).parents[3]
PACKAGES = (
    *("common", "deployment", "lease_svc", "payment_svc", "ledger_svc"),
    *("gateway_sandbox", "demo", "perf"),
)
PUBLIC = {"_replace", "_fields", "_asdict"}  # of a named tuple: documented
RECORDS_OF_AIORMQ = {"confirmations", "message_id_delivery_tag", "write_queue", "connection_tune"}


def _own(tree: ast.AST) -> Iterator[str]:
    """Private names that a module's classes define themselves."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name
        elif isinstance(node, ast.ClassDef):
            for each in node.body:
                targets = each.targets if isinstance(each, ast.Assign) else [getattr(each, "target", None)]
                yield from (target.id for target in targets if isinstance(target, ast.Name))
        elif (
            isinstance(node, ast.Attribute)
            and isinstance(node.ctx, ast.Store)
            and isinstance(node.value, ast.Name)
            and node.value.id in ("self", "cls")
        ):
            yield node.attr


def _foreign(path: Path) -> Iterator[str]:
    """Private attributes that a module uses and does not define."""
    tree = ast.parse(path.read_text())
    own = PUBLIC | set(_own(tree))
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Attribute)
            and node.attr.startswith("_")
            and not node.attr.startswith("__")
            and node.attr not in own
        ):
            yield node.attr


def test_private_fields_are_used_by_their_adapters_alone() -> None:
    """Nobody uses a private attribute that is not of its own module, but for one adapter."""
    using = {
        str(path.relative_to(PROJECT)): sorted(found)
        for package in PACKAGES
        for path in (PROJECT / package).rglob("*.py")
        if (found := set(_foreign(path)))
    }
    assert using == {
        "common/web/aiohttp_internals.py": ["_current_request", "_kwargs", "_loop", "_messages", "_version"]
    }


def test_records_of_aiormq_are_used_by_the_publisher_alone() -> None:
    """They have public names, and are nothing that aiormq documents."""
    using = {
        str(path.relative_to(PROJECT))
        for package in PACKAGES
        for path in (PROJECT / package).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and node.attr in RECORDS_OF_AIORMQ
    }
    assert using == {"common/messaging/publisher.py"}


async def test_aiormq_confirms_what_was_sent_past_it() -> None:
    """Its reader finds the confirmation by delivery tag, a refused one as well; and its writer the frames."""
    connection = aiormq.Connection("amqp://127.0.0.1/")
    connection.connection_tune = spec.Connection.Tune(frame_max=131_072)
    channel = aiormq.Channel(connection, 1, publisher_confirms=False)
    ours = ConfirmingChannel(channel)
    taken, refused = ours.send("a", b"one"), ours.send("b", b"two")
    assert channel.message_id_delivery_tag == {"a": 1, "b": 2}
    channel._confirm_delivery(1, spec.Basic.Ack(delivery_tag=1))
    channel._confirm_delivery(2, spec.Basic.Nack(delivery_tag=2))
    await taken
    with pytest.raises(aiormq.exceptions.DeliveryError):
        await refused
    writing = asyncio.ensure_future(ours.write())
    frame = await asyncio.wait_for(connection.write_queue.get(), 1)
    assert frame.payload == b"onetwo"
    writing.cancel()
    waits = ours.send("c", b"three")
    ours.fail_all()
    with pytest.raises(ConnectionError):
        await waits
    with pytest.raises(ConnectionError):
        ours.send("d", b"four")


async def test_aiohttp_has_what_its_adapter_uses() -> None:
    """A connection's messages and request, a request's version, a server's loop and arguments."""
    server = web.Server(lambda _: None)  # type: ignore[arg-type,return-value]
    connection = server()
    assert len(connection._messages) == 0
    assert connection._current_request is None
    assert server._loop is asyncio.get_running_loop()
    assert server._kwargs == {}
    assert "_version" in web.BaseRequest.__init__.__code__.co_names
    assert hasattr(web.AppRunner, "_make_server")

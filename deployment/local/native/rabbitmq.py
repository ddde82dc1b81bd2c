"""The private RabbitMQ server and Erlang's port mapper: their settings and whether they answer."""

import asyncio
import os
import socket
from pathlib import Path
from urllib.parse import urlsplit

import aio_pika
from aio_pika.exceptions import AMQPConnectionError

from deployment import rabbitmq_conf
from deployment.credentials import Credentials, write_private
from deployment.errors import StackError
from deployment.local.directories import Layout
from deployment.local.native.os_account import Account
from deployment.local.native.supervisord_config import Program
from deployment.local.ports import LOOPBACK, Ports

NAME = "rabbitmq"
EPMD = "epmd"
_NODE = "lpo@localhost"
_CONNECT_TIMEOUT_S = 5

# Beside what every broker has: this one shares the machine's addresses and keeps its own log.
_PRIVATE_SETTINGS = """\
listeners.tcp.local = {host}:{port}
log.dir = {directory}/log
log.file = rabbitmq.log
log.file.level = info
log.file.rotation.size = 10485760
log.file.rotation.count = 3
log.console = false
"""

# Schedulers that spin while idle would take a core from the services on a small machine. Distribution is for
# the command line tools on this machine only.
_ERLANG = "+sbwt none +sbwtdcpu none +sbwtdio none -kernel inet_dist_use_interface {127,0,0,1}"


def prepare(layout: Layout, ports: Ports, credentials: Credentials, account: Account | None) -> None:
    """Write the broker's configuration; it makes its user itself when it starts with no data."""
    owner = (account.uid, account.gid) if account else (-1, -1)
    for name in ("log", "data", "home"):
        directory = layout.rabbitmq / name
        directory.mkdir(mode=0o700, exist_ok=True)
        os.chown(directory, *owner)
    private = _PRIVATE_SETTINGS.format(host=LOOPBACK, port=ports.of("amqp"), directory=layout.rabbitmq)
    configuration = rabbitmq_conf.text(credentials) + private
    write_private(layout.rabbitmq / "rabbitmq.conf", configuration.encode(), *owner)
    write_private(layout.rabbitmq / "enabled_plugins", b"[].\n", *owner)
    # Present and empty, so that the machine's own /etc/rabbitmq is not read.
    write_private(layout.rabbitmq / "rabbitmq-env.conf", b"", *owner)


def environment(layout: Layout, ports: Ports) -> dict[str, str]:
    """Variables for the broker and for its command line tools."""
    here = layout.rabbitmq
    return {
        "HOME": str(here / "home"),
        "LC_ALL": "C.UTF-8",
        "ERL_EPMD_PORT": str(ports.of("epmd")),
        "ERL_EPMD_ADDRESS": LOOPBACK,
        "RABBITMQ_NODENAME": _NODE,
        "RABBITMQ_DIST_PORT": str(ports.of("dist")),
        "RABBITMQ_CONFIG_FILE": str(here / "rabbitmq.conf"),
        "RABBITMQ_ADVANCED_CONFIG_FILE": str(here / "advanced.config"),
        "RABBITMQ_CONF_ENV_FILE": str(here / "rabbitmq-env.conf"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(here / "enabled_plugins"),
        "RABBITMQ_MNESIA_BASE": str(here / "data"),
        "RABBITMQ_LOG_BASE": str(here / "log"),
        "RABBITMQ_PID_FILE": str(here / "rabbitmq.pid"),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": _ERLANG,
    }


def programs(
    layout: Layout, ports: Ports, server: Path, epmd: Path, account: Account | None
) -> list[Program]:
    """How the process manager runs the port mapper and the broker, in the order they are started."""
    user = account.name if account else None
    mapper = Program(
        name=EPMD,
        command=(str(epmd), "-port", str(ports.of("epmd")), "-address", LOOPBACK),
        directory="/",
        user=user,
        stop_wait_s=5,
    )
    # Under a supervisor the start script replaces itself by the broker instead of staying as its parent, so
    # that signals reach the broker and its death is seen.
    watched = {"RUNNING_UNDER_SYSTEMD": "true"}
    broker = Program(
        name=NAME,
        command=(str(server),),
        directory=str(layout.rabbitmq),
        user=user,
        stop_wait_s=60,
        signal_group=False,
        environment=environment(layout, ports) | watched,
    )
    return [mapper, broker]


def epmd_is_ready(ports: Ports) -> bool:
    """Whether the port mapper accepts connections."""
    return _accepts(LOOPBACK, ports.of("epmd"))


def is_ready(url: str) -> bool:
    """Whether the broker lets us in. Wrong credentials raise StackError: waiting would not help."""
    parts = urlsplit(url)
    if not _accepts(parts.hostname or LOOPBACK, parts.port or (5671 if parts.scheme == "amqps" else 5672)):
        return False
    try:
        asyncio.run(_connect(url))
    except (AMQPConnectionError, OSError, TimeoutError) as error:
        if "ACCESS_REFUSED" in str(error):
            raise StackError(
                "RabbitMQ does not accept the user and password of AMQP_URL.",
                "If it is the private broker, its data and secrets.json are not of the same stack: `make "
                "clean` starts afresh. Otherwise correct AMQP_URL.",
            ) from error
        return False
    return True


def _accepts(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=_CONNECT_TIMEOUT_S).close()
    except OSError:
        return False
    return True


async def _connect(url: str) -> None:
    connection = await aio_pika.connect(url, timeout=_CONNECT_TIMEOUT_S)
    await connection.close()

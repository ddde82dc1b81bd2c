"""The secrets of the system in containers: made once, and handed out to each process alone.

compose.yaml runs this first. Only here all secrets are together; what a process may know is written into a
volume of its own, which is mounted there and nowhere else.
"""

from pathlib import Path

from deployment import rabbitmq_conf
from deployment.credentials import Credentials, load_or_create, rotate_ledger_key, write_private
from deployment.database_setup import PASSWORD_VARIABLES, role_url
from deployment.roles import AMQP_USER, DATABASE, OWNER, SERVICES

# Where compose.yaml mounts the volume that keeps all of them, and the volumes of the services by their names.
KEPT = Path("/credentials")
HANDED_OUT = Path("/secrets")
# Who reads the files: root in Postgres' image, a user of its own in RabbitMQ's, the Dockerfile's in ours.
_SERVERS_UIDS = {"postgres": 0, "rabbitmq": 999}
OUR_UID = 10001


def files(credentials: Credentials) -> dict[str, dict[str, str]]:
    """The files of each service in compose.yaml, with their content, by name."""
    database = f"postgresql://{OWNER}:{credentials.owner}@postgres:5432/{DATABASE}"
    roles = {variable: credentials.roles[role] for role, variable in PASSWORD_VARIABLES.items()}
    handed_out = {
        "postgres": {"POSTGRES_PASSWORD": credentials.owner},
        "rabbitmq": {"rabbitmq.conf": rabbitmq_conf.text(credentials)},
        "migrate": {"DATABASE_URL": database} | roles,
    }
    values = {
        "AMQP_URL": f"amqp://{AMQP_USER}:{credentials.amqp}@rabbitmq:5672/",
        "WEBHOOK_SECRET": credentials.webhook,
        "LEDGER_KEY": credentials.ledger_key,
    }
    for service in SERVICES:
        if role := service.database_role:
            values["DATABASE_URL"] = role_url(database, role, credentials.roles[role])
        handed_out[service.name] = {name: values[name] for name in service.secrets()}
    return handed_out


def hand_out(kept: Path = KEPT, to: Path = HANDED_OUT, *, rotate: bool = False) -> None:
    """Make what is missing in `kept`, and write the services' files into the directories in `to`.

    With `rotate`, the ledger gets a new key. Raises StackError. Safe to repeat: the files stay the same.
    """
    if rotate:
        rotate_ledger_key(kept)
    for service, contents in files(load_or_create(kept)).items():
        for name, content in contents.items():
            uid = _SERVERS_UIDS.get(service, OUR_UID)
            write_private(to / service / name, content.encode(), uid=uid)

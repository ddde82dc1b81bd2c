"""Makes the database ready for the services: the database itself, their login roles, the migrations.

The same for a private server, for one that DATABASE_URL names, and for the one in compose.yaml. Safe to
repeat.
"""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

import psycopg
from psycopg import sql

from deployment.errors import StackError
from deployment.roles import DATABASE_ROLES, PROJECT

# Names the password of a role in the environment of `python -m deployment bootstrap`.
PASSWORD_VARIABLES = {role: f"{role.upper()}_PASSWORD" for role in DATABASE_ROLES}
_CONNECT_TIMEOUT_S = 10
_MIGRATE_TIMEOUT_S = 300
# Two stacks that share a database server take turns. The number only has to be the same in both.
_LOCK = 8_000_8003


def role_url(database_url: str, role: str, password: str) -> str:
    """`database_url` with another login: host, port, database and options stay."""
    parts = urlsplit(database_url)
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{role}:{quote(password, safe='')}@{host}"))


def create_roles(database_url: str, passwords: Mapping[str, str]) -> None:
    """Make the database and the roles that are not there, and set their passwords.

    Raises StackError where the server cannot be reached or the login may not do it.
    """
    try:
        with _connect(database_url) as connection:
            _require_rights(connection)
            for role, password in passwords.items():
                _create_role(connection, role, password)
            database = sql.Identifier(connection.info.dbname)
            # Nobody comes in by default, and roles may go where a migration lets them.
            connection.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(database))
            connection.execute(
                sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(
                    database, sql.SQL(", ").join(map(sql.Identifier, passwords))
                )
            )
    except psycopg.Error as error:
        raise StackError(
            f"The database could not be made ready: {str(error).strip()}",
            "DATABASE_URL needs a login that may create roles, and schemas in its database.",
        ) from error


def migrate(database_url: str, modules: Sequence[str], directory: Path = PROJECT) -> None:
    """Run `python -m <module> migrate` for all modules, side by side in `directory`, as the database's owner.

    Raises StackError with what the first of them printed when one fails.
    """
    environment = os.environ | {"DATABASE_URL": database_url, "PYTHONUNBUFFERED": "1"}
    running = [
        subprocess.Popen(
            [sys.executable, "-m", module, "migrate"],
            cwd=directory,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for module in modules
    ]
    failed: list[tuple[str, str]] = []
    for module, process in zip(modules, running, strict=True):
        try:
            printed, _ = process.communicate(timeout=_MIGRATE_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            printed, _ = process.communicate()
        if process.returncode != 0:
            failed.append((module, printed))
    if failed:
        module, printed = failed[0]
        log = "\n".join(printed.splitlines()[-20:])
        raise StackError(f"The migrations of {module} failed.", "Nothing of the system was started.", log)


def _connect(database_url: str) -> psycopg.Connection:
    """Connect, making the database first where the server does not know it."""
    try:
        return psycopg.connect(database_url, autocommit=True, connect_timeout=_CONNECT_TIMEOUT_S)
    except psycopg.OperationalError as error:
        name = urlsplit(database_url).path.lstrip("/")
        if not (name and f'database "{name}" does not exist' in str(error)):
            raise
    with psycopg.connect(
        database_url, dbname="postgres", autocommit=True, connect_timeout=_CONNECT_TIMEOUT_S
    ) as connection:
        create = sql.SQL("CREATE DATABASE {} ENCODING 'UTF8' TEMPLATE template0")
        connection.execute(create.format(sql.Identifier(name)))
    return psycopg.connect(database_url, autocommit=True, connect_timeout=_CONNECT_TIMEOUT_S)


def _require_rights(connection: psycopg.Connection) -> None:
    row = connection.execute(
        "SELECT rolsuper OR rolcreaterole, has_database_privilege(current_database(), 'CREATE'), current_user"
        " FROM pg_roles WHERE rolname = current_user"
    ).fetchone()
    if row is None or not (row[0] and row[1]):
        who = row[2] if row else "this login"
        raise StackError(
            f"`{who}` may not create roles and schemas in `{connection.info.dbname}`.",
            f"As an administrator: ALTER ROLE {who} CREATEROLE; GRANT CREATE ON DATABASE "
            f"{connection.info.dbname} TO {who}; or give another login in DATABASE_URL.",
        )


def _create_role(connection: psycopg.Connection, role: str, password: str) -> None:
    # Sent as a SCRAM verifier, so that the password itself reaches neither the wire nor the server's log.
    verifier = connection.pgconn.encrypt_password(password.encode(), role.encode(), b"scram-sha-256").decode()
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
        known = connection.execute("SELECT FROM pg_roles WHERE rolname = %s", (role,)).fetchone()
        verb = "CREATE" if known is None else "ALTER"
        connection.execute(
            sql.SQL(verb + " ROLE {} LOGIN PASSWORD {}").format(sql.Identifier(role), sql.Literal(verifier))
        )

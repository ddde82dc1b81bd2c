"""Applying a service's migrations: plain SQL files, by yoyo, as the database's owner."""

from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
import yoyo

MESSAGING = Path(__file__).parents[1] / "messaging/migrations"


def migrate(database_url: str, schema: str, *folders: Path) -> int:
    """Apply what is missing to `schema`, in the order of the files' names; the number applied.

    One at a time: a second process waits for the first. Raises psycopg.Error.
    """
    with psycopg.connect(database_url) as connection:
        connection.execute(f'CREATE SCHEMA IF NOT EXISTS "{schema}"')  # a constant of the service
    parts = urlsplit(database_url)
    query = "&".join(filter(None, [parts.query, f"schema={schema}"]))
    backend = yoyo.get_backend(urlunsplit(("postgresql+psycopg", parts.netloc, parts.path, query, "")))
    migrations = yoyo.read_migrations(*map(str, folders))
    with backend.lock():
        missing = backend.to_apply(migrations)
        backend.apply_migrations(missing)
    return len(missing)

"""Bootstrapping a database server that exists, as DATABASE_URL names it."""

from collections.abc import Iterator
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest

from deployment.credentials import generate
from deployment.database_setup import create_roles, role_url
from deployment.errors import StackError
from deployment.local.native import rabbitmq
from deployment.roles import DATABASE_ROLES
from tests.support.servers.servers import Servers

_ADMIN, _PLAIN = "given_admin", "given_plain"
_PASSWORD = "given-only-to-this-test"


@pytest.fixture
def given_url(servers: Servers) -> Iterator[str]:
    """A database of its own, and two logins: one that may create roles, one that may not."""
    with psycopg.connect(servers.database_url, autocommit=True) as owner:
        owner.execute(f"CREATE ROLE {_ADMIN} LOGIN CREATEROLE CREATEDB PASSWORD '{_PASSWORD}'")
        owner.execute(f"CREATE ROLE {_PLAIN} LOGIN PASSWORD '{_PASSWORD}'")
        yield urlunsplit(urlsplit(servers.database_url)._replace(path="/given"))
        owner.execute("DROP DATABASE IF EXISTS given WITH (FORCE)")
        owner.execute(f"DROP OWNED BY {_ADMIN}, {_PLAIN}")
        owner.execute("DROP ROLE IF EXISTS given_service")
        owner.execute(f"DROP ROLE {_ADMIN}, {_PLAIN}")


def test_login_that_may_create_roles_is_enough(given_url: str) -> None:
    """No superuser is needed: the database is made, the role can log in, and a second run changes nothing."""
    url = role_url(given_url, _ADMIN, _PASSWORD)
    for password in ("first", "second"):
        create_roles(url, {"given_service": password})
        with psycopg.connect(role_url(given_url, "given_service", password)) as service:
            assert service.execute("SELECT current_user").fetchone() == ("given_service",)


def test_other_logins_are_shut_out(given_url: str) -> None:
    """Only the roles made may connect to the database."""
    create_roles(role_url(given_url, _ADMIN, _PASSWORD), {"given_service": "x"})
    with pytest.raises(psycopg.OperationalError, match="permission denied"):
        psycopg.connect(role_url(given_url, _PLAIN, _PASSWORD))


def test_login_without_the_right_is_told_which(servers: Servers) -> None:
    """A login that may not create roles gets the statement that would allow it."""
    url = servers.dsn("ledger_reader")
    with pytest.raises(StackError) as caught:
        create_roles(url, generate().roles)
    assert "ALTER ROLE ledger_reader CREATEROLE" in caught.value.advice


def test_unreachable_server_is_said(servers: Servers) -> None:
    """Nobody at the address: the driver's reason is in the message, the password is not."""
    with pytest.raises(StackError) as caught:
        create_roles("postgresql://me:hidden@127.0.0.1:1/x", {})
    assert "could not be made ready" in str(caught.value)
    assert "hidden" not in str(caught.value)


def test_every_role_can_log_in(servers: Servers) -> None:
    """What `start_servers` promises to the other tests."""
    for role in DATABASE_ROLES:
        with psycopg.connect(servers.dsn(role)) as connection:
            assert connection.execute("SELECT current_user").fetchone() == (role,)


def test_broker_with_another_password_is_not_waited_for(servers: Servers) -> None:
    """Wrong credentials end the waiting at once, and the message says what is wrong with them."""
    password = urlsplit(servers.amqp_url).password or ""
    with pytest.raises(StackError, match="does not accept the user and password"):
        rabbitmq.is_ready(servers.amqp_url.replace(password, "wrong"))
    assert rabbitmq.is_ready(servers.amqp_url)
    assert not rabbitmq.is_ready("amqp://u:p@127.0.0.1:1/")

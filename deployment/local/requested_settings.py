"""What the user's environment asks of a stack, beside what it was started with.

Settings hold from `up` until `down`. A stack that runs is used with them; nothing else can be asked of it. Of
one that was not taken down and does not run (after a crash), they hold where nothing else is asked for.
"""

from collections.abc import Mapping

import msgspec

from common.runtime.settings import SECRETS
from deployment.credentials import Credentials
from deployment.errors import StackError
from deployment.local.ports import VARIABLES
from deployment.local.settings import Addresses, Settings
from deployment.roles import TUNABLES


def refuse_changes(kept: Settings, environment: Mapping[str, str], credentials: Credentials) -> None:
    """Raise StackError naming what the environment asks for that is not what the stack was started with."""
    wanted = Settings.from_environment(environment, kept)
    now, then = _values(kept, credentials), _values(wanted, credentials)
    differing = [name for name in now if environment.get(name) and now[name] != then[name]]
    if not differing:
        return
    told = [f"  {name}: {_shown(name, now[name])}, not {_shown(name, then[name])}" for name in differing]
    raise StackError(
        "\n".join(["The stack that runs was started with other settings:", *told]),
        "`make down` first, then `make up` with all the settings that you want. To use what runs, leave out "
        f"(or `unset`) {', '.join(differing)}.",
    )


def without_own_servers(settings: Settings, credentials: Credentials) -> Settings:
    """With no URL of a server that is the stack's own: where that listens, its ports say."""
    addresses = Addresses(settings, credentials)
    return msgspec.structs.replace(
        settings,
        amqp_url=None if addresses.private_rabbitmq else settings.amqp_url,
        database_url=None if addresses.private_postgres else settings.database_url,
    )


def differing_from_default(settings: Settings) -> str:
    """The settings that are not the default ones, for a sentence; secrets are not shown."""
    default = Settings(run_dir=settings.run_dir)
    ports = {
        variable: str(settings.ports.of(field))
        for field, variable in VARIABLES.items()
        if settings.ports.of(field) != default.ports.of(field)
    }
    urls = {"AMQP_URL": settings.amqp_url, "DATABASE_URL": settings.database_url}
    values = ports | {name: url for name, url in urls.items() if url} | settings.tunables
    return " ".join(f"{name}={_shown(name, value)}" for name, value in values.items())


def _values(settings: Settings, credentials: Credentials) -> dict[str, str]:
    """Everything that can be asked for, by variable, with what is in force."""
    addresses = Addresses(settings, credentials)
    return {
        **{variable: str(settings.ports.of(field)) for field, variable in VARIABLES.items()},
        "AMQP_URL": addresses.amqp,
        "DATABASE_URL": addresses.database,
        **TUNABLES,
        "WEBHOOK_SECRET": credentials.webhook,
        **settings.tunables,
    }


def _shown(name: str, value: str) -> str:
    return "…" if name.lower() in SECRETS else value or "(nothing)"

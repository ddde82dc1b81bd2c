"""Writes the parts of compose.yaml that follow from deployment/roles.py: `python -m deployment.compose_file`.

A part stands between `# <roles: its name>` and `# </roles>`; the rest of the file is written by hand.
"""

import re
import sys
from collections.abc import Callable, Mapping
from pathlib import PurePosixPath

from deployment.database_setup import PASSWORD_VARIABLES
from deployment.roles import HTTP_SERVICES, PROJECT, SERVICES, TUNABLES, WEBHOOK_PATH, Service

COMPOSE = PROJECT / "compose.yaml"
_PART = re.compile(r"(^ *# <roles: ([a-z ]+)>\n).*?(^ *# </roles>\n)", re.MULTILINE | re.DOTALL)


def rendered(text: str) -> str:
    """The text of compose.yaml with its generated parts as they should be.

    Raises KeyError for a part that is not known.
    """
    return _PART.sub(lambda part: part[1] + "".join(f"{line}\n" for line in PARTS[part[2]]()) + part[3], text)


def _secret_volumes() -> list[str]:
    return [f"      - {service.name}-secrets:/secrets/{service.name}" for service in SERVICES]


def _role_passwords() -> list[str]:
    return [f"      {name}_FILE: /run/secrets/{name}" for name in PASSWORD_VARIABLES.values()]


def _volumes() -> list[str]:
    data = [f"  {service.name}:" for service in SERVICES if service.data_file]
    return data + [f"  {service.name}-secrets:" for service in SERVICES]


def _processes() -> list[str]:
    return [line for service in SERVICES for line in ("", *_process(service))][1:]


def _process(service: Service) -> list[str]:
    """One process as a service of Compose."""
    data = [f"{service.name}:/data"] if service.data_file else []
    secrets = [f"{service.name}-secrets:/run/secrets:ro"]
    volumes = ", ".join(f'"{volume}"' for volume in data + secrets)
    lines = [
        f"  {service.name}:",
        "    <<: *service",
        f"    command: [{', '.join(service.arguments)}]",
        "    environment:",
        *(f"      {name}: {value}" for name, value in _environment(service).items()),
    ]
    if service.port:
        published = f"${{{service.port_variable}:-{service.default_port}}}"
        lines.append(f'    ports: ["127.0.0.1:{published}:{service.default_port}"]')
    lines += [f"    volumes: [{volumes}]", *_depends_on(service)]
    if service.port and service.health:
        check = f'["CMD", "python", "-m", "deployment", "health", "{_url(service)}{service.health}"]'
        lines += ["    healthcheck:", "      <<: *healthy", f"      test: {check}"]
    return lines


def _environment(service: Service) -> Mapping[str, str]:
    fixed = {
        "HOST": "0.0.0.0",
        "PORT": f'"{service.default_port}"',
        "GATEWAY_URL": _url(HTTP_SERVICES["gateway"], "gateway"),
        "WEBHOOK_URL": _url(HTTP_SERVICES["payment"], HTTP_SERVICES["payment"].name) + WEBHOOK_PATH,
    }
    if service.data_file:
        fixed["GATEWAY_DB"] = f"/data/{PurePosixPath(service.data_file).name}"
    found: dict[str, str] = {}
    for name in service.variables():
        if name in TUNABLES:  # the user's own secret goes before the one that is made
            found[name] = f"${{{name}:-{TUNABLES[name]}}}"
        if name in service.secrets():
            found[f"{name}_FILE"] = f"/run/secrets/{name}"
        elif name not in TUNABLES:
            found[name] = fixed[name]
    return found


def _depends_on(service: Service) -> list[str]:
    before = "*after-migrations" if service.database_role or service.uses_amqp else "*after-credentials"
    if not service.calls_gateway:
        return [f"    depends_on: {before}"]
    gateway = HTTP_SERVICES["gateway"].name
    return ["    depends_on:", f"      <<: {before}", f"      {gateway}: {{condition: service_healthy}}"]


def _url(service: Service, host: str = "127.0.0.1") -> str:
    return f"http://{host}:{service.default_port}"


PARTS: Mapping[str, Callable[[], list[str]]] = {
    "secret volumes": _secret_volumes,
    "role passwords": _role_passwords,
    "processes": _processes,
    "volumes": _volumes,
}

if __name__ == "__main__":
    if sys.argv[1:]:
        sys.exit("usage: python -m deployment.compose_file\n" + __doc__)
    COMPOSE.write_text(rendered(COMPOSE.read_text()))

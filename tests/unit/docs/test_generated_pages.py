"""The pages say what the code says."""

import importlib
import re
from pathlib import Path

import jsonschema
import msgspec
import pytest
from prometheus_client import REGISTRY

from common.docgen.__main__ import GENERATED, documented
from common.docgen.fields import fields, nested
from common.docgen.pages import Documented, files, schema
from common.messaging.envelope import Event, encode
from common.runtime.settings import Settings
from deployment import roles
from deployment.local import ports
from lease_svc.application.event_handlers import EVENTS as LEASE_READS
from ledger_svc.contracts import envelope as ledger_events
from ledger_svc.event_types import registry
from ledger_svc.log import appender  # its metrics register themselves
from payment_svc.application.event_handlers import EVENTS as PAYMENT_READS
from payment_svc.entrypoints import docs as payment_docs

PROJECT = Path(__file__).parents[3]
DOCS = PROJECT / "docs"
REFERENCE = DOCS / "reference"
PAGES = [*PROJECT.glob("*.md"), *DOCS.rglob("*.md")]
PACKAGES = ["lease_svc", "payment_svc", "ledger_svc"]
CODE = re.compile(r"`([^`]+)`")


@pytest.fixture(scope="module")
def services() -> list[Documented]:
    return documented(PACKAGES)


def examples(services: list[Documented]) -> list[tuple[type[msgspec.Struct], Event]]:
    return [
        (model, service.examples[type_]) for service in services for type_, model in service.catalogue.items()
    ]


def test_generated_pages_are_up_to_date(services: list[Documented]) -> None:
    """The generated pages in docs/reference/ are what `make docs` would write, no file more or less."""
    made = files(services)
    there = {path for folder in GENERATED for path in (REFERENCE / folder).rglob("*.*")}
    there |= {REFERENCE / path for path in made if (REFERENCE / path).is_file()}
    found = {str(path.relative_to(REFERENCE)): path.read_text(encoding="utf-8") for path in there}
    assert sorted(found) == sorted(made), "run `make docs`"
    assert [path for path in made if made[path] != found[path]] == [], "run `make docs`"


def test_every_type_that_anybody_reads_has_a_page(services: list[Documented]) -> None:
    """The catalogue holds exactly the types that the three services understand."""
    told = {event.type for _, event in examples(services)}
    assert told == set(registry.TYPES) >= {*LEASE_READS, *PAYMENT_READS}
    assert all((REFERENCE / "events" / f"{type_}.md").is_file() for type_ in told)


def test_every_field_of_an_event_has_a_meaning(services: list[Documented]) -> None:
    """No row of a table of fields is without words."""
    models = [model for model, _ in examples(services)]
    everything: list[type[msgspec.Struct]] = [Event, *models]
    for model in everything + [struct for each in models for struct in nested(each)]:
        assert [field.name for field in fields(model) if not field.meaning] == [], model


def test_examples_fit_their_types_and_schemas(services: list[Documented]) -> None:
    """Each example is valid by its JSON Schema, and has every field of its type and no other."""
    for model, event in examples(services):
        whole = msgspec.json.decode(encode(event))
        jsonschema.validate(whole, schema(event.type, model, event.source))
        assert set(whole["data"]) == {field.name for field in fields(model)}, event.type
        msgspec.json.decode(event.data, type=model)
        registry.data_of(ledger_events.decode(encode(event)))


def test_schemas_let_events_grow(services: list[Documented]) -> None:
    """A reader that validates is not broken by a field that is added, at any depth."""
    assert not any(
        '"additionalProperties": false' in text
        for path, text in files(services).items()
        if path.startswith("events/")
    )
    for model, event in examples(services):
        grown = msgspec.json.decode(encode(event))
        grown["data"]["added_later"] = 1
        jsonschema.validate(grown, schema(event.type, model, event.source))


def test_examples_of_both_services_are_about_one_lease(services: list[Documented]) -> None:
    """The payment service's examples stand on the schedule that the lease service's example agreed."""
    created = msgspec.json.decode(services[0].examples["lease.created"].data)
    rows = [
        (row["due_date"], row["principal"], row["interest"], row["fees"], row["principal_balance"])
        for row in created["schedule"]
    ]
    assert [(str(day), *amounts) for day, *amounts in payment_docs.SCHEDULE] == rows
    assert created["lease_id"] == payment_docs.LEASE_ID
    payoff = msgspec.json.decode(services[1].examples["payoff.succeeded"].data)
    paid_off = msgspec.json.decode(services[0].examples["lease.paid_off"].data)
    assert (paid_off["amount_paid"], paid_off["attempt_id"]) == (payoff["amount"], payoff["attempt_id"])


def test_commands_named_in_the_pages_are_targets_of_the_makefile() -> None:
    """`make x` in a page is a target, and the README has every target that `make help` lists."""
    makefile = (PROJECT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z0-9-]+):", makefile, re.MULTILINE))
    for page in PAGES:
        named = set(re.findall(r"(?:`|^)make (?:-s )?([a-z0-9-]+)", page.read_text(), re.MULTILINE))
        assert named <= targets, page.name
    listed = set(re.findall(r"^([a-z0-9-]+):.*## ", makefile, re.MULTILINE)) - {"help"}
    readme = (PROJECT / "README.md").read_text()
    assert [target for target in sorted(listed) if f"`make {target}`" not in readme] == []


def test_pages_name_no_path_of_a_machine() -> None:
    """Nothing but the project itself is spoken of."""
    for page in DOCS.rglob("*.*"):
        assert not re.search(r"/(?:home|root|Users|work|tmp/(?!lease))[/\s]", page.read_text()), page


def test_limits_are_those_of_the_code() -> None:
    """Every row of the table of limits has its constant's value."""
    text = (REFERENCE / "limits.md").read_text()
    rows = re.findall(r"^\| .+? \| (.+?) \| `([a-z_.]+)\.([A-Z_]+)` \|$", text, re.MULTILINE)
    assert len(rows) > 25
    for words, module, name in rows:
        value = str(getattr(importlib.import_module(module), name))
        assert words == value or words.startswith(f"{value} "), f"{module}.{name} is {value}, not {words}"


def test_configuration_is_that_of_the_code() -> None:
    """The tables of variables have every variable with its default, of processes and of ports."""
    text = (REFERENCE / "settings.md").read_text()
    rows = dict(re.findall(r"^\| `([A-Z_]+)` \| (\S+) \|", text, re.MULTILINE))
    expected = {
        field.name.upper(): f"`{field.default}`" if field.default != "" else "–"
        for field in msgspec.structs.fields(Settings)
    } | {variable: str(ports.Ports().of(field)) for field, variable in ports.VARIABLES.items()}
    assert rows == expected
    assert all(f"`{name}`" in text for name in roles.TUNABLES)


def test_every_metric_is_explained() -> None:
    """The table of metrics has the project's metrics and no other."""
    assert appender.LAST_SEQ is not None
    text = (REFERENCE / "metrics.md").read_text()
    listed = set(re.findall(r"^\| `(\w+)` \| (?:counter|gauge|histogram) \|", text, re.MULTILINE))
    own = {
        metric.name for metric in REGISTRY.collect() if not metric.name.startswith(("python_", "process_"))
    }
    assert listed == own

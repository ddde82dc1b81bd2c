"""Mutations of good bodies: never a 5xx, and never taken where the documented schema says no."""

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from common.web.openapi import document
from tests.support.builders import bad_values
from tests.support.builders.requests import WITH_BODY, Case, named, places, pointer, replaced, sample, target
from tests.support.openapi import Document
from tests.support.servers.apis import ROUTES, Fronts

pytestmark = pytest.mark.asyncio(loop_scope="session")

DOCUMENTS = {service: Document(json.loads(document(service, routes))) for service, routes in ROUTES.items()}

LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-2, 2)
    | st.floats()
    | st.text()
    | st.text(st.characters(codec=None, exclude_categories=()), max_size=5)
    | st.dates().map(str)
    | st.datetimes().map(lambda instant: instant.isoformat() + "Z")
    | st.sampled_from(bad_values.SOMETIMES_RIGHT + bad_values.CARDS)
    | st.from_regex(r"[0-9]{1,2}(\.[0-9]{1,8})?", fullmatch=True)
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)


@st.composite
def mutated(draw: st.DrawFn, body: dict[str, Any]) -> Any:
    """The body with one to three of its places replaced, removed or joined by another."""
    for _ in range(draw(st.integers(1, 3))):
        if not (found := list(places(body))):
            return draw(VALUES)
        at = draw(st.sampled_from(found))
        action = draw(st.sampled_from(["replace", "replace", "remove", "add"]))
        if action == "replace" or len(at) > 1:
            body = replaced(body, at, draw(VALUES))
        elif action == "remove":
            body = {key: value for key, value in body.items() if key != at[0]}
        else:
            body = body | {
                draw(st.text(max_size=10) | st.sampled_from(["seq", "status", "lease_id"])): draw(VALUES)
            }
    return body


def has_fraction_of_zero(value: Any) -> bool:
    """JSON Schema takes 1.0 for an integer; the contract does not."""
    if isinstance(value, dict | list):
        return any(map(has_fraction_of_zero, value.values() if isinstance(value, dict) else value))
    return isinstance(value, float)


@pytest.mark.parametrize("case", WITH_BODY, ids=named)
@given(data=st.data())
@settings(
    max_examples=100, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True, database=None
)
async def test_mutated_bodies(fronts: Fronts, case: Case, data: st.DataObject) -> None:
    """The answer is 202 (or 404, of a read) only where the schema agrees; otherwise a whole problem."""
    service, route = case
    body = data.draw(mutated(sample(case)))
    sent = json.dumps(body).encode()
    answer = await fronts.ask(service, route.method, target(route), sent, Prefer="respond-async")
    if answer.status in (202, 404):
        assert not has_fraction_of_zero(body)
        DOCUMENTS[service].body(route.method, route.path).validate(body)
    else:
        answer.problem(400, 422)


@pytest.mark.parametrize("case", WITH_BODY, ids=named)
async def test_values_that_fit_some_places(fronts: Fronts, case: Case) -> None:
    """At every place, values that fit elsewhere: refused by name where the documented schema refuses them."""
    service, route = case
    documented = DOCUMENTS[service].body(route.method, route.path)
    for at in places(sample(case)):
        for value in bad_values.SOMETIMES_RIGHT:
            body = replaced(sample(case), at, value)
            answer = await fronts.ask(service, route.method, target(route), body, Prefer="respond-async")
            if not documented.is_valid(body):
                assert any(named.startswith(pointer(at)) for named in answer.problem(422).pointers), (
                    at,
                    value,
                )
            elif answer.status not in (202, 404):
                answer.problem(422)

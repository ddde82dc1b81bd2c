"""Checkpoints, keys and proofs over HTTP, verified by RFC 9162 as the tests have it by hand."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from common.web.read_your_writes import Position, token
from ledger_svc.contracts import envelope
from ledger_svc.transparency import checkpoint, proofs, signed_note
from ledger_svc.transparency.signed_note import NoteError
from tests.integration.ledger_svc.test_writer import a_life
from tests.support.builders.sealed_batches import append
from tests.support.oracles import merkle
from tests.support.servers.apis import LEDGER_KEY, Answer, Fronts
from tests.support.servers.database import empty, owner, pools
from tests.support.servers.servers import Servers

pytestmark = pytest.mark.asyncio(loop_scope="session")

RAWS = a_life(10).raws  # 21
LEAVES = [merkle.leaf(raw) for raw in RAWS]
IDS = [envelope.decode(raw).id for raw in RAWS]
SIZE = len(RAWS)
SIZES = (1, 2, 7, 8, 13, SIZE)
BATCHES = (1, 2, 5, 6, 15, SIZE)  # sizes at which a batch ended
OLD_KEY = signed_note.generate(LEDGER_KEY.name)
NOBODY = "01890a5d-ac96-774b-8bce-b302099a8057"


@pytest_asyncio.fixture(scope="module", loop_scope="session", autouse=True)
async def ledger(servers: Servers, fronts: Fronts) -> AsyncIterator[None]:
    """A ledger of one lease, the first batches of which were signed with a key that is no longer in use."""
    async with owner(servers) as db, pools(servers, "ledger", role="ledger_writer") as [pool]:
        await empty(db, "ledger")
        start = 0
        for end in BATCHES:
            await append(pool, RAWS[start:end], OLD_KEY if end < 6 else LEDGER_KEY)
            start = end
        yield
        await empty(db, "ledger")


async def get(fronts: Fronts, path: str, **headers: str) -> Answer:
    return await fronts.ask("ledger", "GET", f"/api/v1/audit/{path}", **headers)


async def proof(fronts: Fronts, path: str) -> dict[str, Any]:
    answer = await get(fronts, f"proofs/{path}")
    assert answer.status == 200, answer
    found: dict[str, Any] = answer.json
    return found


async def test_checkpoints(fronts: Fronts) -> None:
    """The newest one, and each that was made, as plain text that verifies with the keys that are served."""
    served = await get(fronts, "public-key")
    assert served.headers["content-type"] == "text/plain; charset=utf-8"
    assert served.body.decode() == f"{LEDGER_KEY.verifier}\n{OLD_KEY.verifier}\n"
    known = [signed_note.verifier_key(line) for line in served.body.decode().splitlines()]
    newest = await get(fronts, "checkpoint")
    assert newest.headers["content-type"] == "text/plain; charset=utf-8"
    for size in BATCHES:
        answer = await get(fronts, f"checkpoint?size={size}")
        stated = checkpoint.verified(answer.body.decode(), known)
        assert stated == (LEDGER_KEY.name, size, merkle.root(LEAVES[:size]))
        with pytest.raises(NoteError, match="none of the known keys"):
            checkpoint.verified(answer.body.decode(), known[:1] if size < 6 else known[1:])
    assert newest.body == answer.body
    for size in (3, SIZE - 1, SIZE + 1, 2**62):
        (await get(fronts, f"checkpoint?size={size}")).problem(404)


async def test_inclusion_of_every_event_at_every_size(fronts: Fronts) -> None:
    """Each path leads from the event's own bytes to the root, also where no checkpoint was made."""
    for size in SIZES:
        for index, event_id in enumerate(IDS[:size]):
            found = await proof(fronts, f"inclusion?event_id={event_id}&tree_size={size}")
            root = merkle.root(LEAVES[:size])
            path = [bytes.fromhex(digest) for digest in found.pop("path")]
            assert found == {
                "leaf_index": index,
                "tree_size": size,
                "leaf_hash": LEAVES[index].hex(),
                "root_hash": root.hex(),
            }
            assert proofs.includes(LEAVES[index], index, size, path, root)
    newest = await proof(fronts, f"inclusion?event_id={IDS[3].upper()}")
    assert newest == await proof(fronts, f"inclusion?event_id={IDS[3]}&tree_size={SIZE}")


async def test_consistency_of_every_two_sizes(fronts: Fronts) -> None:
    """From any size, that of no entries included, to a later one."""
    for second in (0, *SIZES):
        for first in range(second + 1):
            found = await proof(fronts, f"consistency?first={first}&second={second}")
            roots = [merkle.root(LEAVES[:size]) for size in (first, second)]
            path = [bytes.fromhex(digest) for digest in found.pop("path")]
            assert found == {
                "first": first,
                "second": second,
                "first_root": roots[0].hex(),
                "second_root": roots[1].hex(),
            }
            assert proofs.consistent(first, roots[0], second, roots[1], path)
    assert await proof(fronts, "consistency?first=3") == await proof(
        fronts, f"consistency?first=3&second={SIZE}"
    )


@pytest.mark.parametrize(
    ("path", "status", "pointer"),
    [
        ("checkpoint?size=0", 422, "/size"),
        ("checkpoint?size=-1", 422, "/size"),
        ("checkpoint?size=x", 422, "/size"),
        ("checkpoint?tree_size=1", 422, "/tree_size"),
        ("public-key?x=1", 422, "/x"),
        ("proofs/inclusion", 422, "/event_id"),
        ("proofs/inclusion?event_id=x", 422, "/event_id"),
        (f"proofs/inclusion?event_id={NOBODY}", 404, None),
        (f"proofs/inclusion?event_id={NOBODY}&tree_size=0", 422, "/tree_size"),
        (f"proofs/inclusion?event_id={IDS[9]}&tree_size=9", 422, "/tree_size"),
        (f"proofs/inclusion?event_id={IDS[9]}&tree_size={SIZE + 1}", 422, "/tree_size"),
        (f"proofs/inclusion?event_id={IDS[9]}&tree_size={2**63}", 422, "/tree_size"),
        ("proofs/consistency", 422, "/first"),
        ("proofs/consistency?second=3", 422, "/first"),
        ("proofs/consistency?first=-1", 422, "/first"),
        ("proofs/consistency?first=4&second=3", 422, "/first"),
        (f"proofs/consistency?first=4&second={SIZE + 1}", 422, "/second"),
        (f"proofs/consistency?first={SIZE + 1}", 422, "/first"),
    ],
)
async def test_what_cannot_be_answered(fronts: Fronts, path: str, status: int, pointer: str | None) -> None:
    """Sizes the ledger does not have, events it does not hold, and what is no size or id at all."""
    answer = (await get(fronts, path)).problem(status)
    assert answer.pointers == ({pointer} if pointer else set())


@pytest.mark.parametrize(
    "path",
    ["checkpoint", f"proofs/inclusion?event_id={IDS[0]}", "proofs/consistency?first=1"],
)
async def test_a_token_is_heeded(fronts: Fronts, path: str) -> None:
    """With the token of an event that is here, the answer; of one to come, 503 after the wait."""
    last = envelope.decode(RAWS[-1])
    here = token(Position(last.source, last.sequence, last.subject))
    to_come = token(Position(last.source, last.sequence + 1, last.subject))
    assert (await get(fronts, path, Consistency_Token=here)).status == 200
    late = await get(fronts, path, Consistency_Token=to_come, Prefer="wait=0")
    assert late.problem(503).headers["retry-after"] == "1"


async def test_an_empty_ledger(servers: Servers, fronts: Fronts) -> None:
    """There is a key and no checkpoint yet; of nothing there are no proofs but that of nothing."""
    async with owner(servers) as db:
        await empty(db, "ledger")
    assert (await get(fronts, "public-key")).body.decode() == f"{LEDGER_KEY.verifier}\n"
    (await get(fronts, "checkpoint")).problem(404)
    (await get(fronts, f"proofs/inclusion?event_id={IDS[0]}")).problem(404)
    nothing = await proof(fronts, "consistency?first=0")
    assert nothing["second_root"] == merkle.root([]).hex()

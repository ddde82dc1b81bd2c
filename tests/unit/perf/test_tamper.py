"""Random falsifications of random exports: every one is found, and no honest export is called false."""

import gzip
import json
from datetime import timedelta
from io import BufferedReader, BytesIO
from random import Random

import pytest

from ledger_svc.verifier.export_reader import Unreadable
from ledger_svc.verifier.verifier import Trust, verify
from perf.checks.export_file import Export, parse
from perf.checks.tamper_mutations import WAYS, Unfit, tamper
from tests.support.builders.exports import KEY, LATER, ledger

ROUNDS = 1  # of all ways; `make tamper` has as many as are wanted


def found(data: bytes) -> bool:
    """Whether something is wrong with it."""
    try:
        return not verify(BufferedReader(BytesIO(data)), "file", Trust([KEY.verifier])).ok
    except Unreadable:
        return True


async def honest(seed: int) -> list[bytes]:
    """Exports of one ledger at two times: the whole of it and two leases, in both forms."""
    made = ledger(seed, leases=3)
    now = len(made.entries)
    return [
        await made.export(form, lease_id, size, LATER - timedelta(days=now - size))
        for size in (now, now * 3 // 4)
        for form in ("ndjson", "json")
        for lease_id in (None, made.lives[0].lease_id, made.lives[1].lease_id)
    ]


def otherwise(export: Export, chance: Random) -> list[bytes]:
    """The same claims in other files: compressed, indented, on one line, members in another order."""
    members = {**export.head, "entries": export.rows, **export.tail}
    shuffled = dict(chance.sample(list(members.items()), len(members)))
    whole = json.dumps(members).encode()
    lines = [json.dumps(each, sort_keys=True) for each in (export.head, *export.rows, export.tail)]
    return [
        gzip.compress(whole),
        json.dumps(members, indent=2, ensure_ascii=False).encode(),
        json.dumps(shuffled, separators=(",", ":")).encode(),
        "\r\n".join([*lines, "", ""]).encode(),
    ]


@pytest.mark.parametrize("seed", range(ROUNDS))
async def test_every_tampering_is_found(seed: int) -> None:
    """Each way of falsifying, on exports of both sorts and both forms."""
    exports = await honest(seed)
    taken_apart = [parse(each) for each in exports]
    chance = Random(seed)
    for kind in WAYS:
        done = 0
        for data in chance.sample(exports, len(exports)):
            try:
                forged = tamper(chance, kind, data, taken_apart)
            except Unfit:
                continue
            assert found(forged), kind
            done += 1
            if done == 2:
                break
        assert done, kind


@pytest.mark.parametrize("seed", range(ROUNDS))
async def test_no_false_alarms(seed: int) -> None:
    """Honest exports verify, also compressed or laid out by somebody else."""
    chance = Random(seed)
    for data in await honest(seed):
        assert not found(data)
        for other in otherwise(parse(data), chance):
            assert not found(other)

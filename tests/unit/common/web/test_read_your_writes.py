"""What is young is waited for, what is old is not."""

import pytest

from common.kernel.ids import uuid7
from common.web import read_your_writes


class Place:
    """Somewhere a thing turns up at the `arrives_at`-th look; 0: never."""

    def __init__(self, arrives_at: int) -> None:
        self.looks = 0
        self._arrives_at = arrives_at

    async def here(self) -> bool:
        self.looks += 1
        return self.looks == self._arrives_at


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("common.web.read_your_writes.ON_ITS_WAY_S", 0.1)


@pytest.mark.parametrize("looks", [1, 3])
async def test_what_is_young_is_waited_for(looks: int) -> None:
    """Asked again until it is there."""
    place = Place(looks)
    assert await read_your_writes.arrives(uuid7(), place.here)
    assert place.looks == looks


async def test_not_for_long() -> None:
    """What does not come in time is told of."""
    place = Place(0)
    assert not await read_your_writes.arrives(uuid7(), place.here)
    assert place.looks > 1


@pytest.mark.parametrize(
    "identifier",
    [
        "01890a5d-ac96-774b-8bce-b302099a8057",  # of 2023
        "8f14e45f-ceea-467f-a8de-9d5e2f8b1c11",  # of no time
        "ffffffff-ffff-7fff-bfff-ffffffffffff",  # of no year that there is
    ],
)
async def test_what_is_old_is_not(identifier: str) -> None:
    """Nobody is asked: whatever it is, it has arrived by now."""
    place = Place(0)
    assert await read_your_writes.arrives(identifier, place.here)
    assert place.looks == 0

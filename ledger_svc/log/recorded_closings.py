"""What the log knows of closed leases, as far as the totals of a batch depend on it (see `closing_races`)."""

from collections import defaultdict
from collections.abc import Sequence

from common.postgres.pool import Connection, Pool
from ledger_svc.contracts.envelope import Event
from ledger_svc.event_types import registry
from ledger_svc.event_types.basics.fields import Closing
from ledger_svc.event_types.registry import CLOSINGS, MOVES
from ledger_svc.log import repository


class Recorded:
    """Closings and moves of balances that were recorded before, by lease; it grows with the batch."""

    def __init__(self, before: Sequence[Event] = ()) -> None:
        self._by_lease: defaultdict[str, list[Event]] = defaultdict(list)
        for event in before:
            self.note(event)

    def of(self, event: Event) -> Sequence[Event]:
        """What concerns the event's lease."""
        return self._by_lease.get(event.subject, ())

    def note(self, event: Event) -> None:
        """It is recorded now."""
        if event.type in CLOSINGS or event.type in MOVES:
            self._by_lease[event.subject].append(event)


async def recorded(
    connection: Connection | Pool, batch: Sequence[Event], upto: int = repository.END
) -> Recorded:
    """What the log has already, up to entry `upto`, that the totals of this batch depend on."""
    moved = {event.subject for event in batch if event.type in MOVES}
    closed = {event.subject: data for event in batch if isinstance(data := _closing(event), Closing)}
    before = await repository.closings(connection, list(moved), upto) if moved else []
    if closed:
        positions = {lease_id: data.payment_sequence for lease_id, data in closed.items()}
        before += await repository.moves_after(connection, positions, upto)
    return Recorded(before)


def _closing(event: Event) -> object:
    return registry.data_of(event) if event.type in CLOSINGS else None

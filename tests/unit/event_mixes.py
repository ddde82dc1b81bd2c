"""Lives of leases at random, and what the ledger makes of their events: entries, in this order or another."""

from collections.abc import Iterable
from datetime import timedelta
from random import Random

from ledger_svc import events
from ledger_svc.entry import Entry, seal
from tests.unit.event_samples import START, Life


def random_life(random: Random) -> Life:
    """A lease that lives through up to 25 attempts of every outcome, in part or whole, perhaps paid off."""
    life = Life(term=random.randint(1, 14), currency=random.choice(["USD", "JPY", "KWD"]))
    life.due = random.randrange(len(life.rows))
    life.create()
    for _ in range(random.randrange(26)):
        payable = [row for row in life.rows if row.status in ("scheduled", "late")]
        if payable and random.random() < 0.15:
            life.be_late(random.choice(payable).number)
        elif life.status == "delinquent" and random.random() < 0.2:
            life.be_cured()
        if life.unresolved and random.random() < 0.3:
            attempt = random.choice(list(life.unresolved.values()))
        elif payable and random.random() < 0.9:
            row = random.choice(payable)
            attempt = life.start(row.number, random.choice([None, random.randint(1, row.amount - row.paid)]))
        elif payable and not life.unresolved and life.payoff_amount() > 0:
            attempt = life.start(None)
        else:
            continue
        word = random.choice([life.succeed, life.succeed, life.decline, life.fail, life.lose_sight])
        if attempt["attempt_id"] in life.unresolved and word == life.lose_sight:
            continue  # still nothing is known
        if attempt["number"] is None and word == life.lose_sight:
            word = life.decline  # an open payoff would hold up all the others
        word(attempt)
    return life


def record(raws: Iterable[bytes], *, first_seq: int = 1) -> list[Entry]:
    """The ledger's entries of these events in this order, each recorded 30 s after the newest one so far."""
    entries: list[Entry] = []
    newest = START
    for seq, raw in enumerate(raws, first_seq):
        event = events.decode(raw)
        newest = max(newest, event.time)
        entries.append(seal(event, raw, seq=seq, recorded_at=newest + timedelta(seconds=30)))
    return entries


def interleave(raws: Iterable[bytes], random: Random) -> list[bytes]:
    """The same events with another order between the sources; each source keeps its own."""
    queues: dict[str, list[bytes]] = {}
    for raw in raws:
        queues.setdefault(events.decode(raw).source, []).append(raw)
    mixed = []
    while queues:
        source = random.choice(sorted(queues))
        mixed.append(queues[source].pop(0))
        if not queues[source]:
            del queues[source]
    return mixed

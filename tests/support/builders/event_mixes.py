"""Lives of leases at random, and what the ledger makes of their events: entries, in this order or another."""

from collections.abc import Iterable
from datetime import timedelta
from random import Random

from ledger_svc.contracts import envelope
from ledger_svc.contracts.entry import Entry
from ledger_svc.event_types import registry
from ledger_svc.event_types.basics.fields import Closing
from ledger_svc.log.entry import seal
from tests.support.builders.events import LEASES, PAYMENTS, START, Attempt, Life


def random_life(random: Random) -> Life:
    """A lease that lives through up to 25 attempts of every outcome, in part or whole, perhaps paid off.

    Perhaps it is closed on the way: then the payment service learns of it a little later, or at the end.
    Money is given back as well, also then; while a payoff stands, only that of the payoff, and at once.
    """
    life = Life(term=random.randint(1, 14), currency=random.choice(["USD", "JPY", "KWD"]))
    life.due = random.randrange(len(life.rows))
    life.create()
    for _ in range(random.randrange(26)):
        if life.status in ("active", "delinquent") and random.random() < 0.04:
            unseen = random.randint(0, min(6, life.unapplied))
            seen = life.sequences[PAYMENTS] - unseen
            untouched = not (life.kept_after[seen - 1] if seen else 0)
            life.close(random.choice(["cancelled", "charged_off"]) if untouched else "charged_off", unseen)
        elif life.closed and not life.knows and random.random() < 0.3:
            life.learn()
        if random.random() < 0.15 and give_back(life, random):
            continue
        payable = [row for row in life.rows if row.status in ("scheduled", "late")]
        if payable and random.random() < 0.1:
            life.quote()
        if payable and random.random() < 0.15:
            life.be_late(random.choice(payable).number)
        elif life.delinquent and random.random() < 0.2:
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
    if life.closed and not life.knows:
        life.learn()
    return life


def give_back(life: Life, random: Random) -> bool:
    """Give some of the money back, if there is any."""
    left = {
        attempt_id: attempt["amount"] - life.given_back.get(attempt_id, 0)
        for attempt_id, attempt in life.taken.items()
        if not life.settled or attempt_id in life.settled
    }
    left = {key: amount for key, amount in left.items() if amount and not _in_flight(life, life.taken[key])}
    if not left or life.unresolved:
        return False
    attempt = life.taken[random.choice(sorted(left))]
    amount = left[attempt["attempt_id"]]
    if attempt["number"]:
        amount = random.choice([amount, random.randint(1, amount)])
    life.refund(attempt, amount, random.choice(["refund", "chargeback"]))
    return True


def _in_flight(life: Life, attempt: Attempt) -> bool:
    return bool(attempt["number"]) and life.rows[attempt["number"] - 1].status == "processing"


def record(raws: Iterable[bytes], *, first_seq: int = 1) -> list[Entry]:
    """The ledger's entries of these events in this order, each recorded 30 s after the newest one so far."""
    entries: list[Entry] = []
    newest = START
    for seq, raw in enumerate(raws, first_seq):
        event = envelope.decode(raw)
        newest = max(newest, event.time)
        entries.append(seal(event, raw, seq=seq, recorded_at=newest + timedelta(seconds=30)))
    return entries


def causal(life: Life, random: Random) -> list[bytes]:
    """Another order in which its events can have been told: each source keeps its own, nothing is foreseen.

    The lease is told of first, a closing after what it takes into account, and what knows of it after that.
    """
    queues: dict[str, list[bytes]] = {LEASES: [], PAYMENTS: []}
    for raw in life.raws:
        queues[envelope.decode(raw).source].append(raw)
    mixed = [queues[LEASES].pop(0)]
    while queues[LEASES] or queues[PAYMENTS]:
        told = life.sequences[PAYMENTS] - len(queues[PAYMENTS])
        ready = [source for source in queues if queues[source]]
        data = registry.data_of(envelope.decode(queues[LEASES][0])) if queues[LEASES] else None
        if isinstance(data, Closing) and data.payment_sequence > told:
            ready = [PAYMENTS]
        elif data and life.knows and told == life.learned_after:
            ready = [LEASES]
        mixed.append(queues[random.choice(ready)].pop(0))
    return mixed


def interleave(raws: Iterable[bytes], random: Random) -> list[bytes]:
    """The same events with another order between the sources; each source keeps its own."""
    queues: dict[str, list[bytes]] = {}
    for raw in raws:
        queues.setdefault(envelope.decode(raw).source, []).append(raw)
    mixed = []
    while queues:
        source = random.choice(sorted(queues))
        mixed.append(queues[source].pop(0))
        if not queues[source]:
            del queues[source]
    return mixed

"""`replay verify`: the stream, or the ledger itself, is read again and held against what is on record."""

from datetime import datetime

import msgspec

from common.kernel.clock import rfc3339
from common.messaging.consumer import offset_of
from common.postgres.pool import Connection
from common.replay import stream_reader
from common.replay.bounds import Bounds, Unreadable
from common.replay.progress import progress, say
from ledger_svc.log import repository
from ledger_svc.log.message_decoder import read
from ledger_svc.replay import recorded_log
from ledger_svc.replay.stream_comparison import Compared, Comparison, entry_words


class Verified(Compared, kw_only=True):
    """What came of reading the stream."""

    source: str = "stream"
    first_offset: int | None = None  # that was read; null: nothing was
    last_offset: int | None = None
    begins_later: bool = False  # than was asked for: what was before is in the stream no longer
    messages: int = 0
    malformed: int = 0  # no events: the ledger passes them over


async def verify_stream(connection: Connection, amqp_url: str, bounds: Bounds) -> Verified:
    """Read the stream and compare it with the ledger. Raises Unreadable."""
    comparison: Comparison | None = None
    read_so_far = Verified()
    recorded = (await repository.head(connection)).last_seq  # what of it has to have been published by now
    async with stream_reader.opened(amqp_url) as source:
        extent = await source.extent()
        if extent is None:
            raise Unreadable("the stream is empty")
        if bounds.first > extent.last:
            raise Unreadable(f"the stream ends with offset {extent.last}")
        last = min(extent.last, bounds.last)
        total = None if isinstance(bounds.start, datetime) else last - max(bounds.first, extent.first) + 1
        with progress("reading the stream", total, "messages") as advance:
            async for messages in source.read(bounds.start, last):
                if comparison is None:
                    read_so_far.first_offset = first = offset_of(messages[0])
                    if not isinstance(bounds.start, datetime) and first > bounds.first:
                        read_so_far.begins_later = True
                        say(f"the stream begins with offset {first}: what was before is in it no longer")
                    comparison = Comparison(connection, bounds, first, last)
                    await comparison.begin()
                events, malformed = read(messages)
                await comparison.take(events)
                read_so_far.malformed += len(malformed)
                read_so_far.messages += len(messages)
                read_so_far.last_offset = offset_of(messages[-1])
                advance(len(messages))
    if comparison is not None:
        compared = await comparison.conclude()
        return msgspec.structs.replace(read_so_far, **msgspec.structs.asdict(compared))
    assert isinstance(bounds.start, datetime)  # from an offset that is there, something comes
    await _nothing_since(connection, bounds, bounds.start, recorded, read_so_far)
    return read_so_far


async def _nothing_since(
    connection: Connection, bounds: Bounds, since: datetime, upto: int, result: Verified
) -> None:
    """Nothing was published since then: no difference, if none of that is on record."""
    say(f"the stream holds nothing that was published since {rfc3339(since)}")
    after = await recorded_log.recorded_before(connection, since)
    async for some in recorded_log.entries(connection, after, upto):
        for entry in some:
            if bounds.hold(entry.occurred_at):
                result.entries += 1
                result.not_in_stream.add(entry_words(entry))
    result.same = not result.not_in_stream.count

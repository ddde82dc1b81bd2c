"""What `reconcile` prints: for people, or a JSON object a line; nothing is kept but numbers."""

from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec

from common.kernel.clock import rfc3339
from common.messaging.envelope import encode
from common.messaging.outbox import HORIZON
from ledger_svc.completeness.differences import Difference, words
from ledger_svc.log.event_checks import SOURCES


class Report:
    """Prints what was found, as it is found, and in the end the sums."""

    def __init__(self, *, as_json: bool) -> None:
        self.entries: Counter[str] = Counter()  # compared with the outbox, by source
        self.published: Counter[str] = Counter()  # of the outbox, compared with the ledger, by source
        self.differing: Counter[str] = Counter()  # events, by source
        self.forgotten = 0  # entries compared when they came, which the outbox has forgotten since
        self.still_open = 0  # differences
        self._anomalies = 0
        self._not_compared: tuple[int, str] | None = None
        self._as_json = as_json

    @property
    def differences(self) -> int:
        """How many events differ."""
        return sum(self.differing.values())

    def say(self, line: str) -> None:
        """A line for people."""
        if not self._as_json:
            print(line, flush=True)

    def not_compared(self, last: int, recorded_before: datetime, *, asked: bool) -> None:
        """Entries up to `last` are left out: that was asked for, or nobody can say anything of them."""
        if last:
            self._not_compared = last, rfc3339(recorded_before)
            why = "--since" if asked else f"the outboxes keep {HORIZON.days} days"
            self.say(
                f"entries 1 to {last} are not compared: they were recorded before {rfc3339(recorded_before)}"
                f" ({why})"
            )

    def difference(self, each: Difference) -> None:
        """An event that differs."""
        self.differing[each.source] += 1
        if self._as_json:
            print(encode({"difference": msgspec.to_builtins(each)}).decode(), flush=True)
        else:
            print(words(each), flush=True)

    def anomaly(self, row: Mapping[str, Any]) -> None:
        """Something else that is open."""
        self._anomalies += 1
        if self._as_json:
            print(encode({"anomaly": row}).decode(), flush=True)
            return
        event = f" (event {row['event_id']}, {row['event_type']})" if row["event_type"] else ""
        lease = f", lease {row['lease_id']}" if row["lease_id"] else ""
        print(f"open anomaly {row['anomaly_id']}, {row['kind']}{lease}{event}: {row['detail']}", flush=True)

    def end(self) -> None:
        """The sums."""
        if self._as_json:
            print(encode({"summary": self._summary()}).decode(), flush=True)
            return
        for source in sorted({*SOURCES, *self.entries}):
            print(
                f"{source}: {self.entries[source]} entries and {self.published[source]} events compared,"
                f" {self.differing[source]} differ"
            )
        if self.forgotten:
            print(
                f"{self.forgotten} entries are older than the outboxes keep: compared when they were recorded"
            )
        if self.still_open:
            print(f"{self.still_open} differences are open: see GET /api/v1/audit/anomalies?status=open")
        elif self.differences:
            print("all of them are healed, or accepted before")

    def _summary(self) -> dict[str, Any]:
        left_out = self._not_compared
        return {
            "not_compared": left_out and {"first": 1, "last": left_out[0], "recorded_before": left_out[1]},
            "forgotten": self.forgotten,
            "sources": [
                {
                    "source": source,
                    "entries_compared": self.entries[source],
                    "events_compared": self.published[source],
                    "differ": self.differing[source],
                }
                for source in sorted({*SOURCES, *self.entries})
            ],
            "differences": self.differences,
            "differences_open": self.still_open,
            "anomalies_open": self._anomalies,
        }

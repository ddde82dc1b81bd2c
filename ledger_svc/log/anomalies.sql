-- name: raise_anomalies
-- Once for each kind and place; those that are new come back.
INSERT INTO anomalies (kind, place, noticed_at, detail, source, lease_id, first_sequence, last_sequence, since_id,
                       until_id, event_id, event_type, differs, generation, stream_offset, evidence)
SELECT * FROM unnest($1::text[], $2::text[], $3::timestamptz[], $4::text[], $5::text[], $6::uuid[], $7::int[],
                     $8::int[], $9::uuid[], $10::uuid[], $11::text[], $12::text[], $13::text[], $14::int[],
                     $15::bigint[], $16::bytea[])
ON CONFLICT (kind, place) DO NOTHING
RETURNING kind, place

-- name: note
-- What was learned of an anomaly, once.
INSERT INTO anomaly_notes (anomaly_id, noted_at, healed, note)
VALUES ($1, now(), $2, $3) ON CONFLICT DO NOTHING

-- name: heal_gaps
-- Gaps of these leases and sources in which no number is missing any more.
INSERT INTO anomaly_notes (anomaly_id, noted_at, healed, note)
SELECT a.anomaly_id, now(), true, $3
  FROM anomalies AS a
  JOIN (SELECT DISTINCT * FROM unnest($1::uuid[], $2::text[]) AS u (lease_id, source)) AS w USING (lease_id, source)
 WHERE a.kind = 'gap'
   AND NOT EXISTS (SELECT FROM anomaly_notes AS n WHERE n.anomaly_id = a.anomaly_id AND n.healed)
   AND (SELECT count(*) FROM places AS e
         WHERE e.lease_id = a.lease_id AND e.source = a.source
           AND e.sequence BETWEEN a.first_sequence AND a.last_sequence) = a.last_sequence - a.first_sequence + 1
ON CONFLICT DO NOTHING
RETURNING anomaly_id

-- name: open_by_kind
SELECT kind, count(*), count(*) FILTER (WHERE differs IN ('unknown', 'other_bytes')) AS forged
  FROM anomalies AS a
 WHERE NOT EXISTS (SELECT FROM anomaly_notes AS n WHERE n.anomaly_id = a.anomaly_id AND n.healed)
 GROUP BY kind

-- name: count_open
-- At most one note of each anomaly heals it.
SELECT (SELECT count(*) FROM anomalies) - (SELECT count(*) FROM anomaly_notes WHERE healed)

-- name: is_open
SELECT EXISTS (SELECT FROM anomalies WHERE anomaly_id = $1)
   AND NOT EXISTS (SELECT FROM anomaly_notes WHERE anomaly_id = $1 AND healed)

-- name: count_differences
-- Those that are open.
SELECT count(*)
  FROM anomalies AS a
 WHERE kind = 'difference'
   AND NOT EXISTS (SELECT FROM anomaly_notes AS n WHERE n.anomaly_id = a.anomaly_id AND n.healed)

-- name: count_unanswered
-- Differences that are open and of which nothing is known yet: they may still heal.
SELECT count(*) FROM anomalies AS a
 WHERE kind = 'difference' AND NOT EXISTS (SELECT FROM anomaly_notes AS n WHERE n.anomaly_id = a.anomaly_id)

-- name: to_be_healed
-- Open ones that a producer can be asked about and has not been found wanting for, oldest first.
SELECT a.anomaly_id, a.kind, a.source, a.lease_id::text, a.first_sequence, a.last_sequence, a.since_id::text,
       a.until_id::text
  FROM anomalies AS a
 WHERE a.kind IN ('gap', 'conflict', 'id_reused', 'implausible_id', 'difference', 'cursor_mismatch')
   AND NOT EXISTS (SELECT FROM anomaly_notes AS n WHERE n.anomaly_id = a.anomaly_id)
 ORDER BY a.anomaly_id
 LIMIT $1

-- name: hashes_of_ranges
-- A source's entries by leases and ranges of numbers, with the place of the range, from 1.
SELECT w.place, e.leaf_hash
  FROM unnest($2::uuid[], $3::int[], $4::int[]) WITH ORDINALITY AS w (lease_id, first, last, place)
  JOIN places AS p ON p.lease_id = w.lease_id AND p.source = $1 AND p.sequence BETWEEN w.first AND w.last
  JOIN entries AS e USING (seq)

-- name: hashes_of_window
-- A source's entries by their event ids.
SELECT i.event_id::text, e.leaf_hash
  FROM event_ids AS i JOIN entries AS e USING (seq)
 WHERE e.source = $1 AND i.event_id >= $2 AND i.event_id < $3
 ORDER BY i.event_id
 LIMIT $4

-- name: events_of_window
-- The same with the bytes' place: what a listing says, and what of it is named.
SELECT i.event_id::text, e.leaf_hash, e.seq, e.type, e.source, e.lease_id::text, e.sequence
  FROM event_ids AS i JOIN entries AS e USING (seq)
 WHERE e.source = $1 AND i.event_id >= $2 AND i.event_id < $3
 ORDER BY i.event_id
 LIMIT $4

-- name: entries_to_compare
-- Entries after $1 up to $2, oldest first, whatever their ids say.
SELECT event_id::text, leaf_hash, seq, type, source, lease_id::text, sequence
  FROM entries
 WHERE seq > $1 AND seq <= $2
 ORDER BY seq
 LIMIT $3

-- name: last_seq
SELECT coalesce(max(seq), 0) FROM entries

-- name: recorded_ids
-- Which of these events are recorded, by entry $2.
SELECT event_id::text FROM event_ids WHERE event_id = ANY($1::uuid[]) AND seq <= $2

-- name: recorded_before
-- The last entry that was recorded before $1, found by halving: one writer's clock gave the times, in order.
WITH RECURSIVE halving (low, high) AS (
    SELECT 0::bigint, coalesce((SELECT max(seq) FROM entries), 0)
    UNION ALL
    SELECT CASE WHEN e.recorded_at < $1 THEN e.seq ELSE low END,
           CASE WHEN e.recorded_at < $1 THEN high ELSE e.seq - 1 END
      FROM halving JOIN LATERAL (SELECT seq, recorded_at FROM entries WHERE seq = (low + high + 1) / 2) AS e ON true
     WHERE low < high
)
SELECT max(low) FROM halving

-- name: compared_upto
SELECT max(seq) FROM compared

-- name: compared
INSERT INTO compared (seq, compared_at) VALUES ($1, now()) ON CONFLICT DO NOTHING

-- name: found_before
-- For which of these places a difference was ever raised.
SELECT place FROM anomalies WHERE kind = 'difference' AND place = ANY($1::text[])

-- name: open_anomalies
-- Oldest first, after $1: those that are no difference.
SELECT a.anomaly_id, a.kind, a.source, a.lease_id::text, a.event_id, a.event_type, a.detail
  FROM anomalies AS a
 WHERE a.anomaly_id > $1 AND a.kind <> 'difference'
   AND NOT EXISTS (SELECT FROM anomaly_notes AS n WHERE n.anomaly_id = a.anomaly_id AND n.healed)
 ORDER BY a.anomaly_id
 LIMIT $2

-- name: reconciled_until
SELECT max(until) FROM reconciled WHERE source = $1

-- name: reconciled
INSERT INTO reconciled (source, until, compared_at) VALUES ($1, $2, now()) ON CONFLICT DO NOTHING

-- name: anomalies
-- Newest first, before $1; open, healed or ($2 is null) both; with the evidence where $4.
SELECT a.anomaly_id, a.kind, a.noticed_at, h.noted_at AS healed_at, a.detail, a.source, a.lease_id::text,
       a.first_sequence, a.last_sequence, a.since_id::text, a.until_id::text, a.event_id, a.event_type, a.differs,
       a.generation, a.stream_offset, octet_length(a.evidence) AS evidence_bytes, CASE WHEN $4 THEN a.evidence END AS evidence
  FROM anomalies AS a
  LEFT JOIN anomaly_notes AS h ON h.anomaly_id = a.anomaly_id AND h.healed
 WHERE ($1::bigint = 0 OR a.anomaly_id < $1)
   AND ($2::text IS NULL OR (h.anomaly_id IS NOT NULL) = ($2 = 'healed'))
 ORDER BY a.anomaly_id DESC
 LIMIT $3

-- name: notes
SELECT anomaly_id, noted_at, note FROM anomaly_notes WHERE anomaly_id = ANY($1::bigint[]) ORDER BY noted_at

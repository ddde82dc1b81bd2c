-- name: raise_anomalies
-- Once for each kind and place; those that are new come back.
INSERT INTO anomalies (kind, place, noticed_at, detail, source, lease_id, first_sequence, last_sequence, since_id,
                       until_id, event_id, generation, stream_offset, evidence)
SELECT * FROM unnest($1::text[], $2::text[], $3::timestamptz[], $4::text[], $5::text[], $6::uuid[], $7::int[],
                     $8::int[], $9::uuid[], $10::uuid[], $11::text[], $12::int[], $13::bigint[], $14::bytea[])
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
SELECT kind, count(*)
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

-- name: to_be_healed
-- Open ones that a producer can be asked about and has not been found wanting for, oldest first.
SELECT a.anomaly_id, a.kind, a.source, a.lease_id::text, a.first_sequence, a.last_sequence, a.since_id::text,
       a.until_id::text
  FROM anomalies AS a
 WHERE a.kind IN ('gap', 'conflict', 'id_reused', 'difference', 'cursor_mismatch')
   AND NOT EXISTS (SELECT FROM anomaly_notes AS n WHERE n.anomaly_id = a.anomaly_id)
 ORDER BY a.anomaly_id
 LIMIT $1

-- name: hashes_of_range
SELECT leaf_hash
  FROM places AS p JOIN entries AS e USING (seq)
 WHERE p.lease_id = $1 AND p.source = $2 AND p.sequence BETWEEN $3 AND $4

-- name: hashes_of_window
-- A source's entries by their event ids.
SELECT i.event_id::text, e.leaf_hash
  FROM event_ids AS i JOIN entries AS e USING (seq)
 WHERE e.source = $1 AND i.event_id >= $2 AND i.event_id < $3
 ORDER BY i.event_id
 LIMIT $4

-- name: reconciled_until
SELECT max(until) FROM reconciled WHERE source = $1

-- name: reconciled
INSERT INTO reconciled (source, until, compared_at) VALUES ($1, $2, now()) ON CONFLICT DO NOTHING

-- name: anomalies
-- Newest first, before $1; open, healed or ($2 is null) both; with the evidence where $4.
SELECT a.anomaly_id, a.kind, a.noticed_at, h.noted_at AS healed_at, a.detail, a.source, a.lease_id::text,
       a.first_sequence, a.last_sequence, a.since_id::text, a.until_id::text, a.event_id, a.generation,
       a.stream_offset, octet_length(a.evidence) AS evidence_bytes, CASE WHEN $4 THEN a.evidence END AS evidence
  FROM anomalies AS a
  LEFT JOIN anomaly_notes AS h ON h.anomaly_id = a.anomaly_id AND h.healed
 WHERE ($1::bigint = 0 OR a.anomaly_id < $1)
   AND ($2::text IS NULL OR (h.anomaly_id IS NOT NULL) = ($2 = 'healed'))
 ORDER BY a.anomaly_id DESC
 LIMIT $3

-- name: notes
SELECT anomaly_id, noted_at, note FROM anomaly_notes WHERE anomaly_id = ANY($1::bigint[]) ORDER BY noted_at

-- name: last_batch
-- The last that ends with $1 or before; with the books that were made up for it, if it has none of its own.
SELECT last_seq, generation, stream_offset, event_id::text, root_hash, totals, recorded_at, checkpoint,
       (SELECT books FROM openings AS o WHERE o.last_seq = b.last_seq) AS opening
  FROM batches AS b
 WHERE last_seq <= $1
 ORDER BY last_seq DESC
 LIMIT 1

-- name: cursor
-- Up to where the stream was read: the last batch, or what was kept where none was appended.
SELECT generation, stream_offset, event_id::text, read_at
  FROM ((SELECT generation, stream_offset, event_id, recorded_at AS read_at
           FROM batches ORDER BY last_seq DESC LIMIT 1)
        UNION ALL
        (SELECT * FROM cursors ORDER BY generation DESC, stream_offset DESC LIMIT 1)) AS last
 ORDER BY generation DESC, stream_offset DESC
 LIMIT 1

-- name: keep_cursor
-- Messages may be read again: the row of a place stays the first one.
INSERT INTO cursors (generation, stream_offset, event_id, read_at) VALUES ($1, $2, $3, $4)
ON CONFLICT DO NOTHING

-- name: make_room
-- Partitions for what comes; gives the number at which to call again. The schema says more.
SELECT make_room($1)

-- name: nodes
-- Nodes of the tree: inner ones by level and position, leaf hashes by their entries' numbers.
SELECT level, position, hash FROM nodes JOIN unnest($1::smallint[], $2::bigint[]) AS w (level, position)
 USING (level, position)
UNION ALL
SELECT 0, seq - 1, leaf_hash FROM entries WHERE seq = ANY($3::bigint[])

-- name: keys
-- The public keys that have signed checkpoints, newest first.
SELECT vkey FROM keys ORDER BY first_size DESC

-- name: last_checkpoint
SELECT checkpoint FROM batches ORDER BY last_seq DESC LIMIT 1

-- name: checkpoint_of
-- The checkpoint that was made when there were exactly $1 entries.
SELECT checkpoint FROM batches WHERE last_seq = $1

-- name: size
-- How many entries there are, and in which table the last batch is: in another one, where a rebuilt ledger has taken
-- this one's place (or this one has reached its next partition).
SELECT last_seq, tableoid AS batches FROM batches ORDER BY last_seq DESC LIMIT 1

-- name: last_seq
SELECT seq FROM entries ORDER BY seq DESC LIMIT 1

-- name: seq_of
SELECT seq FROM event_ids WHERE event_id = $1

-- name: places
-- What stands at these (lease, source, sequence), if anything, and the source's last number of the lease.
SELECT w.lease_id::text, w.source, w.sequence, e.leaf_hash,
       coalesce((SELECT max(l.sequence) FROM places AS l WHERE l.lease_id = w.lease_id AND l.source = w.source), 0)
       AS last
  FROM unnest($1::uuid[], $2::text[], $3::int[]) AS w (lease_id, source, sequence)
  LEFT JOIN places AS p ON p.lease_id = w.lease_id AND p.source = w.source AND p.sequence = w.sequence
  LEFT JOIN entries AS e ON e.seq = p.seq

-- name: places_of_ids
-- Which of these events' ids are in the log already, and where.
SELECT i.event_id::text, e.lease_id::text, e.source, e.sequence
  FROM event_ids AS i JOIN entries AS e USING (seq)
 WHERE i.event_id = ANY($1::uuid[])

-- name: closings
-- Where these leases were closed before they were paid, by entry $2.
SELECT raw FROM closings JOIN entries USING (seq) WHERE closings.lease_id = ANY($1::uuid[]) AND seq <= $2

-- name: moves_after
-- Events of these types ($4) of these leases, that the payment service recorded after a number of its own, by
-- entry $3.
SELECT raw
  FROM unnest($1::uuid[], $2::int[]) AS w (lease_id, sequence)
  JOIN places AS p ON p.lease_id = w.lease_id AND p.source = '/payment-svc' AND p.sequence > w.sequence
  JOIN entries AS e ON e.seq = p.seq
 WHERE e.type = ANY($4) AND e.seq <= $3

-- name: append_entries
-- Entries, and by what else they are found.
WITH appended AS (
    INSERT INTO entries (seq, event_id, type, source, sequence, lease_id, occurred_at, recorded_at, raw, leaf_hash)
    SELECT * FROM unnest($1::bigint[], $2::uuid[], $3::text[], $4::text[], $5::int[], $6::uuid[],
                         $7::timestamptz[], $8::timestamptz[], $9::bytea[], $10::bytea[])
    RETURNING seq, event_id, type, source, sequence, lease_id
), placed AS (
    INSERT INTO places (lease_id, seq, sequence, source) SELECT lease_id, seq, sequence, source FROM appended
), identified AS (
    INSERT INTO event_ids (event_id, seq) SELECT event_id, seq FROM appended
), correlated AS (
    INSERT INTO correlations (correlation_id, seq)
    SELECT * FROM unnest($11::uuid[], $1::bigint[]) AS e (correlation_id, seq) WHERE correlation_id IS NOT NULL
)
INSERT INTO closings (lease_id, seq)
SELECT lease_id, seq FROM appended WHERE type IN ('lease.cancelled', 'lease.charged_off')

-- name: append_nodes
INSERT INTO nodes (level, position, hash) SELECT * FROM unnest($1::smallint[], $2::bigint[], $3::bytea[])

-- name: append_batch
-- The end of the log, and the key that signed its checkpoint where it is a new one.
WITH signer AS (
    INSERT INTO keys (vkey, first_size) VALUES ($8, $1) ON CONFLICT DO NOTHING
)
INSERT INTO batches (last_seq, stream_offset, event_id, root_hash, totals, recorded_at, checkpoint, generation)
VALUES ($1, $2, $3, $4, $5, $6, $7, $9)

-- name: raws
-- The whole ledger's events after $1 up to $2, oldest first.
SELECT seq, raw FROM entries WHERE seq > $1 AND seq <= $2 ORDER BY seq LIMIT $3

-- name: insert_opening
INSERT INTO openings (last_seq, books, made_at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING

-- name: trail
-- Entries of a lease after $2 up to $3, oldest first.
SELECT seq, event_id::text, type, e.source, e.sequence, e.lease_id::text, occurred_at, recorded_at, raw, leaf_hash
  FROM places AS p JOIN entries AS e USING (seq)
 WHERE p.lease_id = $1 AND p.seq > $2 AND p.seq <= $3
 ORDER BY p.seq
 LIMIT $4

-- name: events
-- Entries of the whole ledger after $1, oldest first; of type $2 where it is given.
SELECT seq, event_id::text, type, source, sequence, lease_id::text, occurred_at, recorded_at, raw, leaf_hash
  FROM entries
 WHERE seq > $1 AND ($2::text IS NULL OR type = $2)
 ORDER BY seq
 LIMIT $3

-- name: events_of_correlation
-- Entries of correlation $4, likewise.
SELECT seq, event_id::text, type, source, sequence, lease_id::text, occurred_at, recorded_at, raw, leaf_hash
  FROM correlations AS c JOIN entries AS e USING (seq)
 WHERE c.correlation_id = $4 AND c.seq > $1 AND ($2::text IS NULL OR e.type = $2)
 ORDER BY c.seq
 LIMIT $3

-- name: events_of_lease
-- Entries of lease $4, likewise; of correlation $5 where it is given.
SELECT seq, event_id::text, type, e.source, e.sequence, e.lease_id::text, occurred_at, recorded_at, raw, leaf_hash
  FROM places AS p JOIN entries AS e USING (seq)
 WHERE p.lease_id = $4 AND p.seq > $1 AND ($2::text IS NULL OR e.type = $2)
   AND ($5::uuid IS NULL OR EXISTS (SELECT FROM correlations AS c WHERE (c.correlation_id, c.seq) = ($5, p.seq)))
 ORDER BY p.seq
 LIMIT $3

-- name: entries_upto
-- Entries of the whole ledger after $1 up to $2, oldest first.
SELECT seq, event_id::text, type, source, sequence, lease_id::text, occurred_at, recorded_at, raw, leaf_hash
  FROM entries
 WHERE seq > $1 AND seq <= $2
 ORDER BY seq
 LIMIT $3

-- name: event
SELECT seq, e.event_id::text, type, source, sequence, lease_id::text, occurred_at, recorded_at, raw, leaf_hash
  FROM event_ids AS i JOIN entries AS e USING (seq)
 WHERE i.event_id = $1

-- name: lease_exists
SELECT EXISTS (SELECT FROM places WHERE lease_id = $1)

-- name: reached
-- Whether the source's event of the lease with the number $3 is here; a later one may come before it.
SELECT $3 = 0 OR EXISTS (SELECT FROM places WHERE lease_id = $1 AND source = $2 AND sequence = $3)

-- name: last_times
SELECT occurred_at, recorded_at FROM entries ORDER BY seq DESC LIMIT 1

-- name: lead
-- Become the one writer, for as long as the connection lives.
SELECT pg_try_advisory_lock(hashtext('ledger-writer'), hashtext(current_schema()))

-- name: last_batch
SELECT last_seq, generation, stream_offset, event_id::text, root_hash, totals, recorded_at
  FROM batches
 ORDER BY last_seq DESC
 LIMIT 1

-- name: get_nodes
SELECT level, position, hash FROM nodes JOIN unnest($1::smallint[], $2::bigint[]) AS w (level, position)
 USING (level, position)

-- name: places
-- What stands at these (lease, source, sequence), if anything, and the source's last number of the lease.
SELECT w.lease_id::text, w.source, w.sequence, e.leaf_hash,
       coalesce((SELECT max(l.sequence) FROM entries AS l WHERE l.lease_id = w.lease_id AND l.source = w.source), 0)
       AS last
  FROM unnest($1::uuid[], $2::text[], $3::int[]) AS w (lease_id, source, sequence)
  LEFT JOIN entries AS e ON e.lease_id = w.lease_id AND e.source = w.source AND e.sequence = w.sequence

-- name: places_of_ids
-- Which of these events' ids are in the log already, and where.
SELECT event_id::text, lease_id::text, source, sequence FROM entries WHERE event_id = ANY($1::uuid[])

-- name: closings
-- Where these leases were closed before they were paid.
SELECT raw FROM entries WHERE lease_id = ANY($1::uuid[]) AND type IN ('lease.cancelled', 'lease.charged_off')

-- name: moves_after
-- Money of these leases, taken or given back, and late fees, that the payment service told of after a number of
-- its own.
SELECT raw
  FROM entries AS e JOIN unnest($1::uuid[], $2::int[]) AS w (lease_id, sequence)
    ON e.lease_id = w.lease_id AND e.source = '/payment-svc' AND e.sequence > w.sequence
 WHERE e.type IN ('payment.succeeded', 'payoff.succeeded', 'payment.refunded', 'payment.charged_back',
                  'lease.late_fee_assessed')

-- name: append_entries
INSERT INTO entries (seq, event_id, type, source, sequence, lease_id, occurred_at, recorded_at, raw, leaf_hash)
SELECT * FROM unnest($1::bigint[], $2::uuid[], $3::text[], $4::text[], $5::int[], $6::uuid[], $7::timestamptz[],
                     $8::timestamptz[], $9::bytea[], $10::bytea[])

-- name: append_nodes
INSERT INTO nodes (level, position, hash) SELECT * FROM unnest($1::smallint[], $2::bigint[], $3::bytea[])

-- name: append_batch
INSERT INTO batches (last_seq, stream_offset, event_id, root_hash, totals, recorded_at, generation)
VALUES ($1, $2, $3, $4, $5, $6, $7)

-- name: trail
-- Entries of a lease after $2 up to $3, oldest first.
SELECT seq, event_id::text, type, source, sequence, lease_id::text, occurred_at, recorded_at, raw, leaf_hash
  FROM entries
 WHERE lease_id = $1 AND seq > $2 AND seq <= $3
 ORDER BY seq
 LIMIT $4

-- name: events
-- Entries of the whole ledger after $1, oldest first; of type $2 where it is given.
SELECT seq, event_id::text, type, source, sequence, lease_id::text, occurred_at, recorded_at, raw, leaf_hash
  FROM entries
 WHERE seq > $1 AND ($2::text IS NULL OR type = $2)
 ORDER BY seq
 LIMIT $3

-- name: event
SELECT seq, event_id::text, type, source, sequence, lease_id::text, occurred_at, recorded_at, raw, leaf_hash
  FROM entries
 WHERE event_id = $1

-- name: lease_exists
SELECT EXISTS (SELECT FROM entries WHERE lease_id = $1)

-- name: reached
-- Whether the source's event of the lease with the number $3 is here; a later one may come before it.
SELECT $3 = 0 OR EXISTS (SELECT FROM entries WHERE lease_id = $1 AND source = $2 AND sequence = $3)

-- name: last_times
SELECT occurred_at, recorded_at FROM entries ORDER BY seq DESC LIMIT 1

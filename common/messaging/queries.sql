-- name: find_commands
-- Commands seen before, by id ($1) or by idempotency key ($2); a duplicate has the outcome of its original.
SELECT c.command_id::text, c.idempotency_key, c.fingerprint, o.status, o.http_status, o.body, o.location, o.token,
       c.original_id::text, o.completed_at
  FROM commands AS c
  JOIN commands AS o
    ON o.command_id = coalesce((SELECT command_id FROM commands WHERE command_id = c.original_id), c.command_id)
 WHERE c.command_id = ANY($1::uuid[]) OR c.idempotency_key = ANY($2::text[])

-- name: record_commands
-- One row for each command of a batch, with its outcome where there is one already.
INSERT INTO commands (command_id, type, idempotency_key, fingerprint, status, http_status, body, location, token,
                      original_id, submitted_at, completed_at)
SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::smallint[], $7::json[],
                     $8::text[], $9::text[], $10::uuid[], $11::timestamptz[], $12::timestamptz[])

-- name: complete_commands
-- The outcome of commands that are pending: the final one, or what is known so far.
UPDATE commands AS c
   SET status = o.status, http_status = o.http_status, body = o.body, location = o.location, token = o.token,
       completed_at = o.completed_at
  FROM unnest($1::uuid[], $2::text[], $3::smallint[], $4::json[], $5::text[], $6::text[], $7::timestamptz[])
       AS o (command_id, status, http_status, body, location, token, completed_at)
 WHERE c.command_id = o.command_id AND c.status = 'pending'

-- name: outcomes
-- Outcomes of commands by id, a duplicate's being that of its original.
-- (The original may have been forgotten before its duplicate; the duplicate's own record then has to do.)
SELECT c.command_id::text, c.submitted_at, o.status, o.http_status, o.body, o.location, o.token, o.completed_at,
       c.original_id::text
  FROM commands AS c
  JOIN commands AS o
    ON o.command_id = coalesce((SELECT command_id FROM commands WHERE command_id = c.original_id), c.command_id)
 WHERE c.command_id = ANY($1::uuid[])

-- name: append_outbox
-- Events of a batch, in order.
WITH appended AS (
    INSERT INTO outbox (event_id, lease_id, type, body)
    SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::bytea[])
    RETURNING id
)
INSERT INTO outbox_pending (id) SELECT id FROM appended

-- name: pending_events
-- The next events to publish, oldest first.
SELECT o.id, o.event_id::text, o.lease_id::text, o.type, o.body
  FROM outbox_pending AS p
  JOIN outbox AS o ON o.id = p.id
 ORDER BY p.id
 LIMIT $1

-- name: published_events
-- These have been published: every queue that takes them has confirmed.
DELETE FROM outbox_pending WHERE id = ANY($1::bigint[])

-- name: count_pending
SELECT count(*) FROM outbox_pending

-- name: prune_outbox
-- Forget published events from before $1; a bounded number at a time.
DELETE FROM outbox
 WHERE id IN (SELECT id FROM (SELECT id, created_at FROM outbox ORDER BY id LIMIT $2) AS oldest WHERE created_at < $1)
   AND id NOT IN (SELECT id FROM outbox_pending)

-- name: prune_commands
-- Forget outcomes of commands older than the UUIDv7 $1; a bounded number at a time. Not while a duplicate shows them: its
-- own record may be of a time when the outcome was still to come.
DELETE FROM commands
 WHERE command_id IN (SELECT c.command_id FROM commands AS c
                       WHERE c.command_id < $1::uuid
                         AND (c.original_id IS NOT NULL
                              OR (c.status <> 'pending'
                                  AND NOT EXISTS (SELECT FROM commands AS t WHERE t.original_id = c.command_id)))
                       ORDER BY c.command_id
                       LIMIT $2)

-- name: outbox_ranges
-- Of leases, the events with numbers in a range, written since $4, $5 at most of each; with the place of the range,
-- from 1, and the hash that the ledger keeps of their bytes.
SELECT w.place, e.*
  FROM unnest($1::uuid[], $2::int[], $3::int[]) WITH ORDINALITY AS w (lease_id, first, last, place)
 CROSS JOIN LATERAL (
       SELECT o.id, sha256('\x00'::bytea || o.body) AS leaf_hash, p.id IS NOT NULL AS pending
         FROM outbox AS o
         LEFT JOIN outbox_pending AS p ON p.id = o.id
        WHERE o.lease_id = w.lease_id AND o.created_at >= $4
          AND (convert_from(o.body, 'UTF8')::json ->> 'sequence')::int BETWEEN w.first AND w.last
        ORDER BY o.id
        LIMIT $5) AS e

-- name: outbox_window
-- Events with ids from $1 up to $2, written since $3, with the same hash.
SELECT o.id, o.event_id::text, sha256('\x00'::bytea || o.body) AS leaf_hash, p.id IS NOT NULL AS pending
  FROM outbox AS o
  LEFT JOIN outbox_pending AS p ON p.id = o.id
 WHERE o.event_id >= $1 AND o.event_id < $2 AND o.created_at >= $3
 ORDER BY o.event_id
 LIMIT $4

-- name: outbox_events
-- Events by their ids, however long ago they were written.
SELECT event_id::text, sha256('\x00'::bytea || body) AS leaf_hash FROM outbox WHERE event_id = ANY($1::uuid[])

-- name: outbox_names
-- What these rows tell, in order.
SELECT event_id::text, lease_id::text, type AS event_type,
       (convert_from(body, 'UTF8')::json ->> 'sequence')::int AS sequence
  FROM outbox
 WHERE id = ANY($1::bigint[])
 ORDER BY id

-- name: publish_again
-- In the order in which they were written, like everything that is pending.
INSERT INTO outbox_pending SELECT unnest($1::bigint[]) ON CONFLICT DO NOTHING

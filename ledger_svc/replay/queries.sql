-- name: at_places
-- What stands at these (lease, source, sequence).
SELECT e.lease_id::text, e.source, e.sequence, e.seq, e.raw, e.leaf_hash
  FROM unnest($1::uuid[], $2::text[], $3::int[]) AS w (lease_id, source, sequence)
  JOIN places AS p ON p.lease_id = w.lease_id AND p.source = w.source AND p.sequence = w.sequence
  JOIN entries AS e ON e.seq = p.seq

-- name: numbers_at
SELECT lease_id::text, source, sequence, seq
  FROM unnest($1::uuid[], $2::text[], $3::int[]) AS w (lease_id, source, sequence)
  JOIN places USING (lease_id, source, sequence)

-- name: entries
-- After $1 up to $2.
SELECT seq, event_id::text, type, source, sequence, lease_id::text, occurred_at, recorded_at, raw, leaf_hash
  FROM entries
 WHERE seq > $1 AND seq <= $2
 ORDER BY seq
 LIMIT $3

-- name: numbered
SELECT seq, event_id::text, type, source, sequence, lease_id::text, occurred_at, recorded_at, raw, leaf_hash
  FROM entries
 WHERE seq = ANY($1::bigint[])
 ORDER BY seq

-- name: by_lease
-- All up to $1, lease by lease.
SELECT seq, event_id::text, type, e.source, e.sequence, e.lease_id::text, occurred_at, recorded_at, raw, leaf_hash
  FROM places AS p JOIN entries AS e USING (seq)
 WHERE seq <= $1
 ORDER BY p.lease_id, seq

-- name: batches
-- Those that end after $1 and by $2, oldest first; with the books that were made up for them.
SELECT last_seq, generation, stream_offset, event_id::text, root_hash, totals, recorded_at, checkpoint,
       books AS opening
  FROM batches LEFT JOIN openings USING (last_seq)
 WHERE last_seq > $1 AND last_seq <= $2
 ORDER BY last_seq
 LIMIT $3

-- name: batches_before
-- Those that end before $1, newest first; likewise.
SELECT last_seq, generation, stream_offset, event_id::text, root_hash, totals, recorded_at, checkpoint,
       books AS opening
  FROM batches LEFT JOIN openings USING (last_seq)
 WHERE last_seq < $1
 ORDER BY last_seq DESC
 LIMIT $2

-- name: recorded_before
-- The last entry that was recorded before $1.
SELECT last_seq FROM batches WHERE recorded_at < $1 ORDER BY last_seq DESC LIMIT 1

-- name: nodes
SELECT level, position, hash FROM nodes JOIN unnest($1::smallint[], $2::bigint[]) AS w (level, position)
 USING (level, position)

-- name: make_room
SELECT make_room()

-- name: take_over_keys
INSERT INTO keys SELECT * FROM ledger.keys

-- name: allow_unsigned
ALTER TABLE batches DROP CONSTRAINT sealed

-- name: no_more_unsigned
-- As the migration has it: what is there stays as it is.
ALTER TABLE batches ADD CONSTRAINT sealed CHECK (checkpoint IS NOT NULL) NOT VALID

-- name: raws
-- The bytes of the entries after $1 up to $2.
SELECT seq, raw FROM entries WHERE seq > $1 AND seq <= $2 ORDER BY seq

-- name: make_staged
-- The stream's bytes under the numbers of the entries that stand at their places.
CREATE UNLOGGED TABLE IF NOT EXISTS staged (seq bigint PRIMARY KEY, raw bytea NOT NULL)

-- name: stage
INSERT INTO staged SELECT * FROM unnest($1::bigint[], $2::bytea[]) ON CONFLICT DO NOTHING

-- name: staged
SELECT seq, raw FROM staged WHERE seq > $1 AND seq <= $2 ORDER BY seq

-- name: drop_staged
DROP TABLE IF EXISTS staged

-- name: end_whoever_leads
-- Disconnect those that session $1 waits for.
SELECT pg_terminate_backend(pid) FROM unnest(pg_blocking_pids($1)) AS pid

-- name: tables
-- The tables of a schema as they are named in statements, those of the migrations' own records aside.
SELECT relname
  FROM pg_class JOIN pg_namespace AS n ON n.oid = relnamespace
 WHERE nspname = $1 AND relkind IN ('r', 'p') AND NOT relispartition AND relname NOT LIKE '%yoyo%'

-- name: users
-- Roles that may use a schema, its owner aside.
SELECT quote_ident(rolname) AS role
  FROM pg_namespace, aclexplode(nspacl) AS a JOIN pg_roles AS r ON r.oid = a.grantee
 WHERE nspname = $1 AND a.privilege_type = 'USAGE' AND a.grantee <> nspowner

-- name: functions
-- Functions of a schema that look for their tables in a schema of their own.
SELECT format('%I.%I(%s)', nspname, proname, pg_get_function_identity_arguments(p.oid)) AS name
  FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = pronamespace
 WHERE nspname = $1 AND EXISTS (SELECT FROM unnest(proconfig) AS setting WHERE setting LIKE 'search_path=%')

-- name: identities
-- Columns of a table that number themselves.
SELECT attname FROM pg_attribute WHERE attrelid = to_regclass($1 || '.' || $2) AND attidentity <> ''

-- name: astray
-- Entries after $1 up to $2 that are not found by their lease, or by their id; or, and no others, by a correlation
-- or as closings.
SELECT e.seq
  FROM entries AS e
  LEFT JOIN places AS p ON (p.lease_id, p.source, p.sequence, p.seq) = (e.lease_id, e.source, e.sequence, e.seq)
  LEFT JOIN event_ids AS i ON (i.event_id, i.seq) = (e.event_id, e.seq)
  LEFT JOIN closings AS c ON (c.lease_id, c.seq) = (e.lease_id, e.seq)
  LEFT JOIN correlations AS k ON (k.correlation_id, k.seq) = (correlation_of(e.raw), e.seq)
 WHERE e.seq > $1 AND e.seq <= $2
   AND (p.seq IS NULL OR i.seq IS NULL
        OR (k.seq IS NULL) = (correlation_of(e.raw) IS NOT NULL)
        OR (c.seq IS NULL) = (e.type IN ('lease.cancelled', 'lease.charged_off')))
 ORDER BY e.seq

-- name: references
-- How often entries after $1 up to $2 can be found by a lease, by an id, and by a correlation.
SELECT (SELECT count(*) FROM places WHERE seq > $1 AND seq <= $2) AS by_lease,
       (SELECT count(*) FROM event_ids WHERE seq > $1 AND seq <= $2) AS by_id,
       (SELECT count(*) FROM correlations WHERE seq > $1 AND seq <= $2) AS by_correlation

-- name: insert_leases
INSERT INTO leases (lease_id, customer_id, status, version, amount_paid, balance, next_due_date, payments_made,
                    paid, contract, schedule, event_sequence, payment_sequence, created_at, updated_at,
                    principal_left, fees_left, late_fees_left)
SELECT lease_id, customer_id, status, version, amount_paid, balance, next_due_date, payments_made,
       paid::bigint[], contract, schedule, event_sequence, payment_sequence, created_at, updated_at,
       principal_left, fees_left, late_fees_left
  FROM unnest($1::uuid[], $2::text[], $3::text[], $4::int[], $5::bigint[], $6::bigint[], $7::date[], $8::int[],
              $9::text[], $10::json[], $11::json[], $12::int[], $13::int[], $14::timestamptz[], $15::timestamptz[],
              $16::bigint[], $17::bigint[], $18::bigint[])
       AS l (lease_id, customer_id, status, version, amount_paid, balance, next_due_date, payments_made,
             paid, contract, schedule, event_sequence, payment_sequence, created_at, updated_at,
             principal_left, fees_left, late_fees_left)

-- name: update_leases
-- What moves of leases that were locked before.
UPDATE leases AS l
   SET status = n.status, version = n.version, amount_paid = n.amount_paid, balance = n.balance,
       next_due_date = n.next_due_date, payments_made = n.payments_made, paid = n.paid::bigint[],
       event_sequence = n.event_sequence, payment_sequence = n.payment_sequence, updated_at = n.updated_at,
       amended = n.amended, principal_left = n.principal_left, fees_left = n.fees_left,
       late_fees_left = n.late_fees_left, autopay_now = n.autopay_now
  FROM unnest($1::uuid[], $2::text[], $3::int[], $4::bigint[], $5::bigint[], $6::date[], $7::int[], $8::text[],
              $9::int[], $10::int[], $11::timestamptz[], $12::json[], $13::bigint[], $14::bigint[],
              $15::bigint[], $16::json[])
       AS n (lease_id, status, version, amount_paid, balance, next_due_date, payments_made, paid,
             event_sequence, payment_sequence, updated_at, amended, principal_left, fees_left, late_fees_left,
             autopay_now)
 WHERE l.lease_id = n.lease_id

-- name: insert_history
INSERT INTO history (lease_id, version, type, occurred_at, status_before, status_after, balance, data)
SELECT * FROM unnest($1::uuid[], $2::int[], $3::text[], $4::timestamptz[], $5::text[], $6::text[], $7::bigint[],
                     $8::json[])

-- name: lock_leases
-- Whole leases, locked in one order so that two workers never wait for each other.
SELECT lease_id::text, customer_id, status, version, amount_paid, balance, next_due_date, payments_made, paid,
       contract, schedule, amended, event_sequence, payment_sequence, created_at, updated_at, principal_left,
       fees_left, late_fees_left, autopay_now
  FROM leases
 WHERE lease_id = ANY($1::uuid[])
 ORDER BY leases.lease_id
   FOR UPDATE

-- name: get_leases
SELECT lease_id::text, customer_id, status, version, amount_paid, balance, next_due_date, payments_made, paid,
       contract, schedule, amended, event_sequence, payment_sequence, created_at, updated_at, principal_left,
       fees_left, late_fees_left, autopay_now
  FROM leases
 WHERE lease_id = ANY($1::uuid[])

-- name: list_leases
-- Newest first, from before $3 on; $1 customer and $2 status filter where they are given.
SELECT lease_id::text, customer_id, status, version, amount_paid, balance, next_due_date, payments_made, paid,
       contract, '[]'::json AS schedule, NULL::json AS amended, event_sequence, payment_sequence, created_at, updated_at,
       principal_left, fees_left, late_fees_left, autopay_now
  FROM leases
 WHERE ($1::text IS NULL OR customer_id = $1)
   AND ($2::text IS NULL OR status = $2)
   AND ($3::uuid IS NULL OR lease_id < $3)
 ORDER BY leases.lease_id DESC
 LIMIT $4

-- name: get_history
-- Changes of a lease after version $2, oldest first.
SELECT version, type, occurred_at, status_before, status_after, balance, data
  FROM history
 WHERE lease_id = $1 AND version > $2::bigint
 ORDER BY version
 LIMIT $3

-- name: ever_collected
-- Those of these leases in whose history money came in.
SELECT DISTINCT lease_id::text
  FROM history
 WHERE lease_id = ANY($1::uuid[]) AND type IN ('payment.succeeded', 'payoff.succeeded')

-- name: get_payment_sequence
SELECT payment_sequence FROM leases WHERE lease_id = $1

-- name: get_event_sequence
SELECT event_sequence FROM leases WHERE lease_id = $1

-- name: insert_accounts
-- Leases told of for the first time.
INSERT INTO accounts (lease_id, currency, principal, annual_rate, day_count, start_date, lease_sequence,
                      payment_method, autopay, grace_days, late_fee, next_look_on)
SELECT * FROM unnest($1::uuid[], $2::text[], $3::bigint[], $4::text[], $5::text[], $6::date[], $7::int[], $8::text[],
                     $9::boolean[], $10::int[], $11::bigint[], $12::date[])

-- name: insert_payments
INSERT INTO payments (payment_id, lease_id, number, due_date, principal, interest, fees, principal_balance)
SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::int[], $4::date[], $5::bigint[], $6::bigint[], $7::bigint[],
                     $8::bigint[])

-- name: lock_accounts
-- Locked in one order, so that two workers never wait for each other.
SELECT lease_id::text, currency, principal, annual_rate, day_count, start_date, payment_method, autopay,
       autopay_stopped, grace_days, late_fee, delinquent, next_look_on, collected_as_of, payoff_in_flight::text,
       payoff_standing::text, closed, money_moves, event_sequence, lease_sequence
  FROM accounts
 WHERE lease_id = ANY($1::uuid[])
 ORDER BY accounts.lease_id
   FOR UPDATE

-- name: leases_of_payments
SELECT DISTINCT lease_id::text FROM payments WHERE payment_id = ANY($1::uuid[])

-- name: get_payments
-- Payments by id ($1) or by lease ($2), or of these leases ($3) what is open and due by the day ($4), in order.
SELECT payment_id::text, lease_id::text, number, due_date, principal, interest, fees, late_fees, paid_principal,
       paid_interest, paid_fees, paid_late_fees, principal_balance, status, in_flight::text, attempts,
       next_retry_at, last_attempt_id::text, autopay_since, autopay_declines, autopay_failures,
       autopay_stopped, cancelled_by_payoff, late_fees_waived, first_tried_on, moved
  FROM payments
 WHERE payment_id = ANY($1::uuid[]) OR lease_id = ANY($2::uuid[])
    OR lease_id = ANY($3::uuid[]) AND status IN ('scheduled', 'due', 'late') AND due_date <= $4
 ORDER BY payments.lease_id, number

-- name: update_accounts
UPDATE accounts AS a
   SET payoff_in_flight = n.payoff_in_flight, payoff_standing = n.payoff_standing,
       event_sequence = n.event_sequence, lease_sequence = n.lease_sequence,
       delinquent = n.delinquent, next_look_on = n.next_look_on, collected_as_of = n.collected_as_of,
       payment_method = n.payment_method, autopay = n.autopay, autopay_stopped = n.autopay_stopped,
       money_moves = n.money_moves
  FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::int[], $5::int[], $6::boolean[], $7::date[], $8::date[],
              $9::text[], $10::boolean[], $11::json[], $12::int[])
       AS n (lease_id, payoff_in_flight, payoff_standing, event_sequence, lease_sequence, delinquent, next_look_on,
             collected_as_of, payment_method, autopay, autopay_stopped, money_moves)
 WHERE a.lease_id = n.lease_id

-- name: close_accounts
-- No collection run looks at them any more.
UPDATE accounts AS a
   SET closed = n.closed, delinquent = false, next_look_on = NULL
  FROM unnest($1::uuid[], $2::text[]) AS n (lease_id, closed)
 WHERE a.lease_id = n.lease_id

-- name: update_payments
UPDATE payments AS p
   SET paid_principal = n.paid_principal, paid_interest = n.paid_interest, paid_fees = n.paid_fees,
       paid_late_fees = n.paid_late_fees, status = n.status, in_flight = n.in_flight, attempts = n.attempts,
       last_attempt_id = n.last_attempt_id, late_fees = n.late_fees, next_retry_at = n.next_retry_at,
       autopay_since = n.autopay_since, autopay_declines = n.autopay_declines,
       autopay_failures = n.autopay_failures, autopay_stopped = n.autopay_stopped,
       cancelled_by_payoff = n.cancelled_by_payoff, late_fees_waived = n.late_fees_waived,
       first_tried_on = n.first_tried_on
  FROM unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::text[], $7::uuid[], $8::int[],
              $9::uuid[], $10::bigint[], $11::timestamptz[], $12::date[], $13::int[], $14::int[], $15::json[],
              $16::boolean[], $17::bigint[], $18::date[])
       AS n (payment_id, paid_principal, paid_interest, paid_fees, paid_late_fees, status, in_flight, attempts,
             last_attempt_id, late_fees, next_retry_at, autopay_since, autopay_declines, autopay_failures,
             autopay_stopped, cancelled_by_payoff, late_fees_waived, first_tried_on)
 WHERE p.payment_id = n.payment_id

-- name: update_owed
-- What payments ask for, whose accounts are locked, and what on them is others' money.
UPDATE payments AS p
   SET principal = n.principal, interest = n.interest, fees = n.fees, late_fees = n.late_fees, moved = n.moved
  FROM unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[])
       AS n (payment_id, principal, interest, fees, late_fees, moved)
 WHERE p.payment_id = n.payment_id

-- name: insert_attempts
INSERT INTO attempts (attempt_id, command_id, lease_id, payment_id, number, kind, amount, currency, payment_method,
                      status, payoff, traceparent, created_at, refunds, reason, notice_id, next_check_at, run_id,
                      as_of, refund_due_of)
SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::uuid[], $5::int[], $6::text[], $7::bigint[], $8::text[],
                     $9::text[], $10::text[], $11::json[], $12::text[], $13::timestamptz[], $14::uuid[],
                     $15::text[], $16::text[], $17::timestamptz[], $18::uuid[], $19::date[], $20::uuid[])

-- name: update_attempts
-- What became of attempts whose accounts are locked.
UPDATE attempts AS a
   SET status = n.status, decline = n.decline, gateway_reference = n.gateway_reference, settled_at = n.settled_at,
       checks = n.checks, next_check_at = n.next_check_at, failures = n.failures, after_closing = n.after_closing,
       cured = n.cured
  FROM unnest($1::uuid[], $2::text[], $3::json[], $4::text[], $5::timestamptz[], $6::int[], $7::timestamptz[],
              $8::int[], $9::boolean[], $10::boolean[])
       AS n (attempt_id, status, decline, gateway_reference, settled_at, checks, next_check_at, failures, after_closing,
             cured)
 WHERE a.attempt_id = n.attempt_id

-- name: take_up
-- Attempts that a worker makes once more, as another may have died over them; their accounts are locked. Those from
-- before $3 are too old to be sent again.
UPDATE attempts
   SET checks = checks + (status = 'started')::int, taken_up_at = CASE WHEN created_at < $3 THEN taken_up_at ELSE $2 END
 WHERE attempt_id = ANY($1::uuid[]) AND status IN ('started', 'unknown')

-- name: count_failure
-- What the gateway said of an attempt could not be recorded.
UPDATE attempts SET failures = failures + 1 WHERE attempt_id = $1

-- name: update_refunded
-- How much was taken back of attempts whose accounts are locked.
UPDATE attempts AS a
   SET refunded = n.refunded
  FROM unnest($1::uuid[], $2::bigint[]) AS n (attempt_id, refunded)
 WHERE a.attempt_id = n.attempt_id

-- name: update_payoffs
-- What payoffs have waived, which is known when they have succeeded.
UPDATE attempts AS a SET payoff = n.payoff
  FROM unnest($1::uuid[], $2::json[]) AS n (attempt_id, payoff)
 WHERE a.attempt_id = n.attempt_id

-- name: find_given
-- Refunds that gave back what these payoffs owe to customers, or may be doing so.
SELECT attempt_id::text, refunds::text
  FROM attempts
 WHERE refund_due_of = ANY($1::uuid[]) AND status IN ('started', 'unknown', 'succeeded')

-- name: get_attempts
-- Attempts by id ($1) or by the command that asked for them ($2).
SELECT attempt_id::text, command_id::text, lease_id::text, payment_id::text, number, kind, amount, currency,
       payment_method, status, decline, gateway_reference, payoff, traceparent, created_at, settled_at,
       checks, next_check_at, taken_up_at, failures, refunds::text, reason, notice_id, refunded, run_id::text, as_of,
       after_closing, refund_due_of::text, cured
  FROM attempts
 WHERE attempt_id = ANY($1::uuid[]) OR (command_id = ANY($2::uuid[]) AND run_id IS NULL)

-- name: find_collected
-- Attempts that have collected money, by the gateway's references of it.
SELECT attempt_id::text
  FROM attempts
 WHERE gateway_reference = ANY($1::text[]) AND status = 'succeeded' AND kind IN ('instalment', 'payoff')

-- name: get_charged_back
SELECT attempt_id::text, command_id::text, lease_id::text, payment_id::text, number, kind, amount, currency,
       payment_method, status, decline, gateway_reference, payoff, traceparent, created_at, settled_at,
       checks, next_check_at, taken_up_at, failures, refunds::text, reason, notice_id, refunded, run_id::text, as_of,
       after_closing, refund_due_of::text, cured
  FROM attempts
 WHERE notice_id = ANY($1::text[])

-- name: list_attempts
-- Attempts on a payment after $2, oldest first.
SELECT attempt_id::text, command_id::text, lease_id::text, payment_id::text, number, kind, amount, currency,
       payment_method, status, decline, gateway_reference, payoff, traceparent, created_at, settled_at,
       checks, next_check_at, taken_up_at, failures, refunds::text, reason, notice_id, refunded, run_id::text, as_of,
       after_closing, refund_due_of::text, cured
  FROM attempts
 WHERE payment_id = $1 AND ($2::uuid IS NULL OR attempt_id > $2)
 ORDER BY attempts.attempt_id
 LIMIT $3

-- name: claim_unknown
-- Unknown attempts whose time to be asked about has come by $1; put off to $2, so that no other worker asks too.
UPDATE attempts
   SET next_check_at = $2
 WHERE attempt_id IN (SELECT attempt_id FROM attempts
                       WHERE status = 'unknown' AND next_check_at <= $1
                       ORDER BY next_check_at
                       LIMIT $3
                         FOR UPDATE SKIP LOCKED)
RETURNING attempt_id::text,
          (SELECT gateway_reference FROM attempts AS c WHERE c.attempt_id = attempts.refunds) AS charge

-- name: recheck_unknown_now
-- After a restart the gateway is asked at once.
UPDATE attempts SET next_check_at = now() WHERE status = 'unknown' AND next_check_at > now()

-- name: count_unknown
-- How many attempts from before $1 the gateway has not said the end of.
SELECT count(*) FROM attempts WHERE status = 'unknown' AND created_at < $1

-- name: get_account
SELECT lease_id::text, currency, principal, annual_rate, day_count, start_date, payment_method, autopay,
       autopay_stopped, grace_days, late_fee, delinquent, next_look_on, collected_as_of, payoff_in_flight::text,
       payoff_standing::text, closed, money_moves, event_sequence, lease_sequence
  FROM accounts
 WHERE lease_id = $1

-- name: payment_exists
SELECT EXISTS (SELECT FROM payments WHERE payment_id = $1)

-- name: account_exists
SELECT EXISTS (SELECT FROM accounts WHERE lease_id = $1)

-- name: get_quotes
SELECT quote_id::text, lease_id::text, payoff, state, created_at, expires_at, used_by::text
  FROM quotes
 WHERE quote_id = ANY($1::uuid[])

-- name: insert_quotes
-- One that is there is of the same command in another worker's hands, which the inbox notices.
INSERT INTO quotes (quote_id, lease_id, as_of, amount, payoff, formula, state, created_at, expires_at)
SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::date[], $4::bigint[], $5::json[], $6::text[], $7::text[],
                     $8::timestamptz[], $9::timestamptz[])
ON CONFLICT (quote_id) DO NOTHING

-- name: claim_quotes
-- Give each quote to the attempt that pays it; one that has an attempt already stays with that.
UPDATE quotes AS q
   SET used_by = n.used_by
  FROM unnest($1::uuid[], $2::uuid[]) AS n (quote_id, used_by)
 WHERE q.quote_id = n.quote_id AND q.used_by IS NULL
RETURNING q.quote_id

-- name: free_quotes
-- Attempts that moved no money no longer use their quotes.
UPDATE quotes SET used_by = NULL WHERE used_by = ANY($1::uuid[])

-- name: prune_quotes
-- Forget quotes that expired before $1 and that nobody has used; a bounded number at a time.
DELETE FROM quotes
 WHERE quote_id IN (SELECT quote_id FROM quotes WHERE used_by IS NULL AND expires_at < $1 ORDER BY expires_at LIMIT $2)

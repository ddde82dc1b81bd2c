-- name: begin_run
-- The run of a day, unless somebody has asked for it before. Any conflict: to name one of the two unique columns would
-- let those who begin in the same moment fail on the other.
INSERT INTO collection_runs (run_id, as_of, command_id, traceparent, started_at)
VALUES ($1, $2, $3, $4, $5)
ON CONFLICT DO NOTHING

-- name: hold_run
-- Locked until the transaction ends.
SELECT run_id::text, as_of, status, command_id::text, traceparent, started_at, completed_at, leases, due, late_fees,
       delinquent, cured, attempted, succeeded, declined, unknown, token
  FROM collection_runs
 WHERE run_id = $1
   FOR UPDATE

-- name: reopen_run
-- A completed run goes on where it has something to do since: with a lease that came, or that waited for an attempt.
UPDATE collection_runs AS r
   SET status = 'running', completed_at = NULL
 WHERE run_id = $1 AND status = 'completed'
   AND EXISTS (SELECT FROM accounts
                WHERE next_look_on <= r.as_of AND (collected_as_of IS NULL OR collected_as_of <= r.as_of))
RETURNING run_id::text, as_of, status, command_id::text, traceparent, started_at, completed_at, leases, due, late_fees,
          delinquent, cured, attempted, succeeded, declined, unknown, token

-- name: get_run
SELECT run_id::text, as_of, status, command_id::text, traceparent, started_at, completed_at, leases, due, late_fees,
       delinquent, cured, attempted, succeeded, declined, unknown, token
  FROM collection_runs
 WHERE run_id = $1

-- name: look_ahead
-- A page of what a run as of $1 would work through now, after the lease ($2, $3); nothing is locked.
SELECT lease_id::text, currency, principal, annual_rate, day_count, start_date, payment_method, autopay,
       autopay_stopped, grace_days, late_fee, delinquent, next_look_on, collected_as_of, payoff_in_flight::text,
       payoff_standing::text, closed, money_moves, event_sequence, lease_sequence
  FROM accounts
 WHERE next_look_on <= $1 AND (collected_as_of IS NULL OR collected_as_of <= $1)
   AND (next_look_on, accounts.lease_id) > ($2::date, $3::uuid)
 ORDER BY next_look_on, accounts.lease_id
 LIMIT $4

-- name: today
-- By the database's clock, UTC.
SELECT (now() AT TIME ZONE 'UTC')::date

-- name: last_completed
-- The last day up to $1 whose run is completed.
SELECT max(as_of) FROM collection_runs WHERE status = 'completed' AND as_of <= $1

-- name: run_exists
SELECT EXISTS (SELECT FROM collection_runs WHERE as_of = $1)

-- name: first_running
-- Runs are worked on one after the other, the earliest day first.
SELECT run_id::text, as_of, status, command_id::text, traceparent, started_at, completed_at, leases, due, late_fees,
       delinquent, cured, attempted, succeeded, declined, unknown, token
  FROM collection_runs
 WHERE status = 'running'
 ORDER BY as_of
 LIMIT 1

-- name: insert_waiters
INSERT INTO collection_waiters (command_id, run_id)
SELECT * FROM unnest($1::uuid[], $2::uuid[])
ON CONFLICT (command_id) DO NOTHING

-- name: set_reply_to
UPDATE collection_waiters AS w
   SET reply_to = n.reply_to
  FROM unnest($1::uuid[], $2::text[]) AS n (command_id, reply_to)
 WHERE w.command_id = n.command_id

-- name: take_accounts
-- The next leases of a run as of $1; those that another worker or a payment holds are passed over for now, those that
-- a run of a later day has worked on for good. To have been looked at puts off `next_look_on` beyond the day.
SELECT lease_id::text, currency, principal, annual_rate, day_count, start_date, payment_method, autopay,
       autopay_stopped, grace_days, late_fee, delinquent, next_look_on, collected_as_of, payoff_in_flight::text,
       payoff_standing::text, closed, money_moves, event_sequence, lease_sequence
  FROM accounts
 WHERE next_look_on <= $1 AND (collected_as_of IS NULL OR collected_as_of <= $1)
 ORDER BY next_look_on, accounts.lease_id
 LIMIT $2
   FOR UPDATE SKIP LOCKED

-- name: reached_payments
-- Open instalments of these leases that fall due by $2.
SELECT payment_id::text, lease_id::text, number, due_date, principal, interest, fees, late_fees, paid_principal,
       paid_interest, paid_fees, paid_late_fees, principal_balance, status, in_flight::text, attempts,
       next_retry_at, last_attempt_id::text, autopay_since, autopay_declines, autopay_failures,
       autopay_stopped, cancelled_by_payoff, late_fees_waived, first_tried_on, moved
  FROM payments
 WHERE lease_id = ANY($1::uuid[]) AND status IN ('scheduled', 'due', 'late') AND due_date <= $2
 ORDER BY payments.lease_id, number
 LIMIT $3

-- name: next_dues
-- The first due date after $2 of each of these leases that has one.
SELECT lease_id::text, min(due_date) AS due_date
  FROM payments
 WHERE lease_id = ANY($1::uuid[]) AND status IN ('scheduled', 'due', 'late') AND due_date > $2
 GROUP BY lease_id

-- name: pass_over
-- Leave a lease to the run of another day.
UPDATE accounts SET next_look_on = $2::date + 1 WHERE lease_id = $1

-- name: count_run
UPDATE collection_runs
   SET leases = leases + $2, due = due + $3, late_fees = late_fees + $4, delinquent = delinquent + $5
 WHERE run_id = $1

-- name: lock_run
-- Nothing where another worker is completing it, or has.
SELECT run_id FROM collection_runs WHERE run_id = $1 AND status = 'running' FOR UPDATE SKIP LOCKED

-- name: unfinished
-- Whether the run as of $2 has leases left to work through, or attempts under way that did not fail so often ($3).
SELECT EXISTS (SELECT FROM accounts WHERE next_look_on <= $2 AND (collected_as_of IS NULL OR collected_as_of <= $2))
    OR EXISTS (SELECT FROM attempts WHERE run_id = $1 AND status = 'started' AND failures < $3)

-- name: count_attempts
SELECT status, count(*)::int AS times, count(*) FILTER (WHERE cured)::int AS cured
  FROM attempts WHERE run_id = $1 GROUP BY status

-- name: count_remaining
SELECT count(*)::int FROM accounts WHERE next_look_on <= $1 AND (collected_as_of IS NULL OR collected_as_of <= $1)

-- name: complete_run
-- (`cured` of a run from before attempts said so is what it had counted.)
UPDATE collection_runs
   SET status = 'completed', completed_at = $2, attempted = $3, succeeded = $4, declined = $5, unknown = $6,
       cured = greatest(cured, $7), token = $8
 WHERE run_id = $1
RETURNING run_id::text, as_of, status, command_id::text, traceparent, started_at, completed_at, leases, due, late_fees,
          delinquent, cured, attempted, succeeded, declined, unknown, token

-- name: newest_event
-- The last of all that has been told, published or not.
SELECT body FROM outbox ORDER BY id DESC LIMIT 1

-- name: release_waiters
DELETE FROM collection_waiters WHERE run_id = $1 RETURNING command_id::text, reply_to

-- name: claim_started
-- Attempts that nobody is at work on any more, those of runs soon, others (whose message should have come again)
-- after a while; put off to $2, so that no other worker takes them up too.
UPDATE attempts
   SET next_check_at = $2
 WHERE attempt_id IN (SELECT attempt_id FROM attempts
                       WHERE status = 'started' AND next_check_at <= $1
                       ORDER BY next_check_at
                       LIMIT $3
                         FOR UPDATE SKIP LOCKED)
RETURNING attempt_id::text

-- name: claim_started_now
-- After a restart, what was left behind or put off is taken up at once.
UPDATE attempts SET next_check_at = now()
 WHERE status = 'started' AND (run_id IS NOT NULL OR failures > 0) AND next_check_at > now()

-- name: to_give_back
-- Of attempts on these payments ($1), of these attempts ($2) and of the payoffs of these leases ($3), those that hold
-- money; but not where the gateway has refused to give it back by itself before: that is an operator's to look at.
SELECT attempt_id::text
  FROM (SELECT * FROM attempts WHERE payment_id = ANY($1::uuid[])
        UNION ALL
        SELECT * FROM attempts WHERE attempt_id = ANY($2::uuid[])
        UNION ALL
        SELECT * FROM attempts WHERE lease_id = ANY($3::uuid[]) AND kind = 'payoff') AS a
 WHERE a.kind IN ('instalment', 'payoff') AND a.status = 'succeeded' AND a.refunded < a.amount
   AND NOT EXISTS (SELECT FROM returns AS r JOIN attempts AS d ON d.attempt_id = r.attempt_id
                    WHERE r.refunds = a.attempt_id AND d.status = 'declined' AND d.decline ->> 'code' <> $4)
 GROUP BY attempt_id

-- name: insert_returns
-- To be carried out from $3 on.
INSERT INTO returns (attempt_id, refunds, next_try_at)
SELECT attempt_id, refunds, $3 FROM unnest($1::uuid[], $2::uuid[]) AS n (attempt_id, refunds)

-- name: claim
-- Those whose time has come by $1; put off to $2, so that no other worker takes them up too.
UPDATE returns
   SET next_try_at = $2
 WHERE attempt_id IN (SELECT attempt_id FROM returns
                       WHERE next_try_at <= $1
                       ORDER BY next_try_at
                       LIMIT $3
                         FOR UPDATE SKIP LOCKED)
RETURNING attempt_id::text

-- name: claim_anew
-- After a restart, what was left behind is taken up at once.
UPDATE returns SET next_try_at = now() WHERE next_try_at > now()

-- name: put_off
-- Refunds that are to be carried out again, each at its time; others have no row here.
UPDATE returns AS r
   SET next_try_at = n.next_try_at
  FROM unnest($1::uuid[], $2::timestamptz[]) AS n (attempt_id, next_try_at)
 WHERE r.attempt_id = n.attempt_id AND r.next_try_at IS NOT NULL

-- name: done
-- Settled, or asked about like any other attempt that is `unknown`.
UPDATE returns SET next_try_at = NULL WHERE attempt_id = ANY($1::uuid[])

-- name: asked_for
-- What is under way or has gone back, or was refused, of what these payoffs ($1) owe to customers: what the gateway has
-- never heard of (its code is $2) has to be asked for again.
SELECT refund_due_of::text AS payoff, sum(amount)::bigint AS amount
  FROM attempts
 WHERE refund_due_of = ANY($1::uuid[]) AND NOT (status = 'declined' AND decline ->> 'code' = $2)
 GROUP BY refund_due_of

-- name: with_money
-- Attempts on these payments ($1) and payoffs of these leases ($2) whose money has not all gone back; but not where the
-- gateway has refused to give it back by itself before (its code is not $3).
SELECT attempt_id::text
  FROM (SELECT * FROM attempts WHERE payment_id = ANY($1::uuid[])
        UNION ALL
        SELECT * FROM attempts WHERE lease_id = ANY($2::uuid[]) AND kind = 'payoff') AS a
 WHERE a.kind IN ('instalment', 'payoff') AND a.status = 'succeeded' AND a.refunded < a.amount
   AND NOT EXISTS (SELECT FROM returns AS r JOIN attempts AS d ON d.attempt_id = r.attempt_id
                    WHERE r.refunds = a.attempt_id AND d.status = 'declined' AND d.decline ->> 'code' <> $3)

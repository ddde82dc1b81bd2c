-- name: to_give_back
-- Of attempts on these payments ($1), of payoffs of these leases ($2) and of these attempts ($3), those that hold money;
-- but not where the gateway has refused to give it back by itself before: that is an operator's to look at.
SELECT a.attempt_id::text
  FROM attempts AS a
 WHERE (a.payment_id = ANY($1::uuid[]) OR (a.lease_id = ANY($2::uuid[]) AND a.payment_id IS NULL)
        OR a.attempt_id = ANY($3::uuid[]))
   AND a.kind IN ('instalment', 'payoff') AND a.status = 'succeeded' AND a.refunded < a.amount
   AND NOT EXISTS (SELECT FROM returns AS r JOIN attempts AS d ON d.attempt_id = r.attempt_id
                    WHERE r.refunds = a.attempt_id AND d.status = 'declined')

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

-- name: done
-- Settled, or asked about like any other attempt that is `unknown`.
UPDATE returns SET next_try_at = NULL WHERE attempt_id = ANY($1::uuid[])

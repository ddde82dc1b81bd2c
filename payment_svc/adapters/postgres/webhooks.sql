-- name: given_back
-- How much of a charge has been given back here, refunds under way included; no row: no such charge is known.
SELECT (SELECT coalesce(sum(r.amount), 0)::bigint
          FROM attempts AS r
         WHERE r.refunds = a.attempt_id AND r.kind = 'refund' AND r.status IN ('started', 'unknown', 'succeeded'))
  FROM attempts AS a
 WHERE a.gateway_reference = $1 AND a.status = 'succeeded' AND a.kind IN ('instalment', 'payoff')

-- name: status_of
-- What has become of a refund.
SELECT status FROM attempts WHERE attempt_id = $1 AND kind = 'refund'

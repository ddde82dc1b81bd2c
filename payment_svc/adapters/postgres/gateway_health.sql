-- name: gateway_health
SELECT away_since, next_probe_at, returned_at FROM gateway_health

-- name: doubt
-- Somebody is to find out, from $1 on, whether the gateway answers. Locked until the transaction ends, so that
-- its return is noticed before or after it.
INSERT INTO gateway_health AS h (next_probe_at) VALUES ($1)
ON CONFLICT (one) DO UPDATE SET next_probe_at = coalesce(h.next_probe_at, $1)
RETURNING returned_at

-- name: gateway_away
-- A look-up that was made at $1 was not answered; unless it has answered others since. To be probed from $2 on.
INSERT INTO gateway_health AS h (away_since, next_probe_at) VALUES ($1, $2)
ON CONFLICT (one) DO UPDATE SET away_since = coalesce(h.away_since, $1), next_probe_at = coalesce(h.next_probe_at, $2)
 WHERE h.returned_at IS NULL OR h.returned_at < $1

-- name: claim_probe
-- Whether this worker is to find out now ($1); the next one is not before $2.
UPDATE gateway_health SET next_probe_at = $2 WHERE next_probe_at <= $1 RETURNING true

-- name: to_probe
-- Any of the attempts that wait for the gateway, to be asked about; of a refund, with what it gives back from. Not the
-- same one each time: the gateway may fail over a single one.
SELECT a.attempt_id::text, a.status, c.gateway_reference AS charge
  FROM (SELECT attempt_id, status, refunds FROM attempts WHERE status = 'unknown'
        UNION ALL
        SELECT attempt_id, status, refunds FROM attempts WHERE status = 'started' AND failures > 0) AS a
  LEFT JOIN attempts AS c ON c.attempt_id = a.refunds
 ORDER BY random()
 LIMIT 1

-- name: nothing_to_probe
-- Nothing waits for it: nobody needs to know, and nobody can find out.
UPDATE gateway_health SET away_since = NULL, next_probe_at = NULL

-- name: gateway_answers
-- It answers at $1. Gives since when it was away, if it was.
WITH before AS (SELECT away_since FROM gateway_health FOR UPDATE)
UPDATE gateway_health AS h
   SET away_since = NULL, next_probe_at = NULL,
       returned_at = CASE WHEN before.away_since IS NULL THEN h.returned_at ELSE $1 END
  FROM before
RETURNING before.away_since

-- name: ask_about_all
-- Each unknown attempt is asked about now ($1), and then as if it had just become unknown. Those in another's hands are
-- being settled, or have just been asked about.
UPDATE attempts
   SET next_check_at = $1, checks = 0
 WHERE attempt_id IN (SELECT attempt_id FROM attempts
                       WHERE status = 'unknown' AND (next_check_at > $1 OR checks > 0)
                         FOR UPDATE SKIP LOCKED)

-- name: make_all_again
-- Each attempt that was put off is made again now ($1).
UPDATE attempts
   SET next_check_at = $1
 WHERE attempt_id IN (SELECT attempt_id FROM attempts
                       WHERE status = 'started' AND failures > 0 AND next_check_at > $1
                         FOR UPDATE SKIP LOCKED)

-- name: give_all_back_again
-- So is each refund that no command has asked for.
UPDATE returns
   SET next_try_at = $1
 WHERE attempt_id IN (SELECT r.attempt_id
                        FROM returns AS r JOIN attempts AS a ON a.attempt_id = r.attempt_id
                       WHERE r.next_try_at > $1 AND a.status = 'started' AND a.failures > 0
                         FOR UPDATE OF r SKIP LOCKED)

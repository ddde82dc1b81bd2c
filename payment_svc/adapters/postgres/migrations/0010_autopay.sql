-- depends: 0008_ends
-- Autopay: a payment method that was declined for good is stopped, an instalment says why it is not tried any more,
-- and both can be taken up again, with another method.

ALTER TABLE accounts
    ADD COLUMN autopay_stopped json;         -- the method: {"reason", "since", "attempt_id"}; null: it is not stopped
ALTER TABLE payments
    ADD COLUMN autopay_stopped json;         -- the same of this instalment; always null where it is not open
-- (`autopay_since`, `autopay_declines` and `autopay_failures` are of its present series of attempts.)

-- What is over already is stopped, for the reason that its attempts tell, the first that counted: declines, tries that
-- the gateway would not take, a hard decline of the lease's method, money that went back. A lease without autopay has
-- nothing to stop.
WITH stopped AS (
    SELECT p.payment_id, p.lease_id, a.payment_method,
           CASE WHEN p.autopay_declines >= 4 THEN 'last_decline'
                WHEN p.autopay_failures >= 4 THEN 'cannot_be_made' END AS counted
      FROM payments AS p JOIN accounts AS a USING (lease_id)
     WHERE p.autopay_over AND a.autopay AND p.status IN ('scheduled', 'due', 'late')
), reasons AS (
    SELECT s.payment_id, 1 AS rank, s.counted AS reason, t.settled_at, t.attempt_id
      FROM stopped AS s JOIN attempts AS t USING (payment_id)
     WHERE t.as_of IS NOT NULL AND t.status = CASE s.counted WHEN 'last_decline' THEN 'declined' ELSE 'failed' END
       AND s.counted IS NOT NULL
       AND t.settled_at = (SELECT max(settled_at) FROM attempts AS o
                            WHERE o.payment_id = t.payment_id AND o.as_of IS NOT NULL AND o.status = t.status)
     UNION ALL
    SELECT s.payment_id, 2, 'hard_decline', t.settled_at, t.attempt_id
      FROM stopped AS s JOIN attempts AS t USING (payment_id)
     WHERE t.kind = 'instalment' AND t.status = 'declined' AND t.decline ->> 'class' = 'hard'
       AND t.payment_method = s.payment_method
     UNION ALL
    SELECT s.payment_id, 3, 'money_taken_back', t.settled_at, t.attempt_id
      FROM stopped AS s JOIN attempts AS t ON t.payment_id = s.payment_id
                                           OR t.payment_id IS NULL AND t.lease_id = s.lease_id
     WHERE t.refunds IS NOT NULL AND t.status = 'succeeded'
     UNION ALL
    SELECT payment_id, 4, 'before_upgrade', now(), NULL FROM stopped
), first AS (
    SELECT DISTINCT ON (payment_id) * FROM reasons ORDER BY payment_id, rank, settled_at, attempt_id
)
UPDATE payments AS p
   SET autopay_stopped = format(  -- to the letter as the service writes it
           '{"reason":"%s","since":"%s","attempt_id":%s}', f.reason,
           to_char(f.settled_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
           coalesce(to_json(f.attempt_id)::text, 'null'))::json
  FROM first AS f
 WHERE f.payment_id = p.payment_id;

-- `autopay_over` is what the version before this one reads and writes, as long as it still runs; it is dropped later.

-- depends: 0003_closing 0004_refunds
-- What a balance is made of, so that a closing can tell what exactly is given up: minor units of principal, fees
-- and late fees; the rest is interest. A lease's history has what was collected and given back so far.

ALTER TABLE leases
    ADD COLUMN principal_left bigint,
    ADD COLUMN fees_left bigint,
    ADD COLUMN late_fees_left bigint;

WITH moved AS (
    SELECT lease_id,
           CASE WHEN type IN ('payment.refunded', 'payment.charged_back') THEN 1 ELSE -1 END AS sign,
           data -> 'allocation' AS allocation
      FROM history
     WHERE type IN ('payment.succeeded', 'payoff.succeeded', 'payment.refunded', 'payment.charged_back')
), sums AS (
    SELECT lease_id, sum(sign * (allocation ->> 'principal')::bigint) AS principal,
           sum(sign * (allocation ->> 'fees')::bigint) AS fees,
           sum(sign * (allocation ->> 'late_fees')::bigint) AS late_fees
      FROM moved
     GROUP BY lease_id
), assessed AS (
    SELECT lease_id, sum((data ->> 'amount')::bigint) AS late_fees
      FROM history
     WHERE type = 'lease.late_fee_assessed'
     GROUP BY lease_id
)
UPDATE leases AS l
   SET principal_left = (l.contract ->> 'principal')::bigint + coalesce(s.principal, 0),
       fees_left = (l.contract ->> 'total_fees')::bigint + coalesce(s.fees, 0),
       late_fees_left = coalesce(a.late_fees, 0) + coalesce(s.late_fees, 0)
  FROM leases AS k LEFT JOIN sums AS s USING (lease_id) LEFT JOIN assessed AS a USING (lease_id)
 WHERE k.lease_id = l.lease_id;

ALTER TABLE leases
    ALTER COLUMN principal_left SET NOT NULL,
    ALTER COLUMN fees_left SET NOT NULL,
    ALTER COLUMN late_fees_left SET NOT NULL;

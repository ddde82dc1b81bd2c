-- depends: 0008_ends
-- Payoffs that the lender cannot break, and payoffs below zero.

ALTER TABLE accounts
    ADD COLUMN money_moves integer NOT NULL DEFAULT 0;       -- how often money was collected, given or taken back
ALTER TABLE payments
    ADD COLUMN late_fees_waived bigint NOT NULL DEFAULT 0;   -- minor units; by a payoff: they are in late_fees no longer
ALTER TABLE attempts
    ADD COLUMN refund_due_of uuid;                           -- the payoff whose `refund_due` a refund gives back
CREATE INDEX attempts_by_refund_due ON attempts (refund_due_of) WHERE refund_due_of IS NOT NULL;

-- What is there already: each attempt that has succeeded has moved money, and nothing else has.
UPDATE accounts AS a SET money_moves = n.moves
  FROM (SELECT lease_id, count(*) AS moves FROM attempts WHERE status = 'succeeded' GROUP BY lease_id) AS n
 WHERE a.lease_id = n.lease_id;

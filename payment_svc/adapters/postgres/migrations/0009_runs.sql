-- depends: 0008_ends
-- Runs that try first and fine afterwards, and cures in the payment's own transaction.

ALTER TABLE payments
    ADD COLUMN first_tried_on date;          -- as_of of the run whose attempt was the first to reach the gateway
UPDATE payments SET first_tried_on = autopay_since WHERE autopay_since IS NOT NULL;

ALTER TABLE attempts
    ADD COLUMN cured boolean NOT NULL DEFAULT false; -- its money has ended the lease's delinquency

-- Delinquent leases of which all is paid that was late: the next run finds them.
UPDATE accounts SET next_look_on = least(next_look_on, collected_as_of) WHERE delinquent AND collected_as_of IS NOT NULL;

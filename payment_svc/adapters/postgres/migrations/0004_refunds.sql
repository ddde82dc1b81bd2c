-- depends: 0002_payment
-- Refunds and chargebacks: attempts that take back what an earlier one has collected.

ALTER TABLE attempts
    DROP CONSTRAINT attempts_kind_check,
    ADD CONSTRAINT attempts_kind_check CHECK (kind IN ('instalment', 'payoff', 'refund', 'chargeback')),
    ADD COLUMN refunds   uuid,                    -- the attempt whose money it takes back
    ADD COLUMN reason    text,                    -- of a refund or chargeback
    ADD COLUMN notice_id text,                    -- of a chargeback: what tells a repeat of the gateway's notice
    ADD COLUMN refunded  bigint NOT NULL DEFAULT 0, -- minor units of this attempt that were taken back
    -- Never more than was collected, whatever the code does.
    ADD CONSTRAINT attempts_refunded_check CHECK (refunded BETWEEN 0 AND amount),
    ADD CONSTRAINT attempts_refunds_check CHECK ((kind IN ('refund', 'chargeback')) = (refunds IS NOT NULL));
-- One refund at a time of each attempt; attempts_one_in_flight holds back other attempts on its payment.
CREATE UNIQUE INDEX attempts_one_refund_in_flight ON attempts (refunds)
    WHERE status IN ('started', 'unknown') AND refunds IS NOT NULL;
CREATE UNIQUE INDEX attempts_one_per_notice ON attempts (notice_id) WHERE notice_id IS NOT NULL;
-- A gateway's notice names the charge, not always the attempt.
CREATE INDEX attempts_by_reference ON attempts (gateway_reference)
    WHERE status = 'succeeded' AND kind IN ('instalment', 'payoff');

-- The payoff that settled the lease, until all of it has been taken back.
ALTER TABLE accounts ADD COLUMN payoff_standing uuid;

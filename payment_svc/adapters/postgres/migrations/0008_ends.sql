-- depends: 0003_quotes 0006_collections 0007_returns
-- What an attempt needs to come to an end whatever happens, and indexes for what is looked for.

ALTER TABLE attempts
    -- (`checks` counts how often the gateway was asked about it, and how often it was made once more.)
    ADD COLUMN taken_up_at   timestamptz,                    -- when it was last made once more; null: never
    ADD COLUMN failures      integer NOT NULL DEFAULT 0,     -- times it was made once more, or recorded, in vain
    ADD COLUMN after_closing boolean NOT NULL DEFAULT false; -- a payoff that found the lease closed: it settled nothing
CREATE INDEX attempts_by_refunded ON attempts (refunds) WHERE refunds IS NOT NULL;
CREATE INDEX attempts_payoffs ON attempts (lease_id) WHERE kind = 'payoff';

ALTER TABLE payments
    ADD COLUMN autopay_failures    integer NOT NULL DEFAULT 0,     -- autopay attempts that could not be made as they were
    ADD COLUMN cancelled_by_payoff boolean NOT NULL DEFAULT false; -- by the standing one, whose share is not in `paid`

ALTER TABLE collection_runs
    ADD COLUMN token text;                                   -- Consistency-Token, once it is completed

-- Expired ones that nobody has used are not kept for ever.
CREATE INDEX quotes_to_prune ON quotes (expires_at) WHERE used_by IS NULL;
GRANT DELETE ON quotes TO payment_svc;

-- What is there already. Attempts in flight may have been sent until now.
UPDATE attempts SET taken_up_at = now() WHERE status IN ('started', 'unknown') AND checks > 0;
UPDATE attempts SET next_check_at = now()
 WHERE status = 'started' AND next_check_at IS NULL AND attempt_id NOT IN (SELECT attempt_id FROM returns);
UPDATE attempts AS t SET after_closing = true
  FROM accounts AS a
 WHERE a.lease_id = t.lease_id AND a.closed IS NOT NULL AND a.payoff_standing IS DISTINCT FROM t.attempt_id
   AND t.kind = 'payoff' AND t.status = 'succeeded';
UPDATE payments AS p SET cancelled_by_payoff = true
  FROM accounts AS a JOIN attempts AS t ON t.attempt_id = a.payoff_standing
 WHERE a.lease_id = p.lease_id AND p.status = 'cancelled' AND (a.closed IS NULL OR t.refunded = 0);

-- depends: 0004_refunds 0005_closing
-- Refunds that are made without being asked for: money that came in for a lease that was closed.

CREATE TABLE returns (
    attempt_id  uuid PRIMARY KEY,             -- the refund
    refunds     uuid NOT NULL,                -- the attempt whose money goes back
    next_try_at timestamptz                   -- when it is to be taken up (again); null: the gateway has said something
) WITH (fillfactor = 80);
CREATE INDEX returns_by_refunded ON returns (refunds);
CREATE INDEX returns_to_take_up ON returns (next_try_at) WHERE next_try_at IS NOT NULL;

GRANT SELECT, INSERT, UPDATE ON returns TO payment_svc;

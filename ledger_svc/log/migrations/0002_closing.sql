-- depends: 0001_ledger
-- Whether a lease was closed is asked for every payment that succeeds.

CREATE INDEX entries_closings ON entries (lease_id) WHERE type IN ('lease.cancelled', 'lease.charged_off');

-- depends: 0001_messaging
-- How events are found that the ledger asks for again: by lease, and by the time at which their ids were made.

CREATE INDEX outbox_by_lease ON outbox (lease_id);
CREATE INDEX outbox_by_event ON outbox (event_id);

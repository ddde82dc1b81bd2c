-- depends: 0001_messaging
-- The lease service's own tables.

-- One row per lease. `contract` and `schedule` are agreed once and never change, so they are kept as the
-- JSON that every answer shows; what moves and what is searched by are columns.
CREATE TABLE leases (
    lease_id         uuid PRIMARY KEY,          -- UUIDv7: the primary key is also the order of creation
    customer_id      text NOT NULL,
    status           text NOT NULL CHECK (status IN ('active', 'paid_off')),
    version          integer NOT NULL,          -- changes so far, the creation included
    amount_paid      bigint NOT NULL CHECK (amount_paid >= 0),  -- minor units
    balance          bigint NOT NULL CHECK (balance >= 0),      -- minor units still to be paid
    next_due_date    date,                      -- of the first instalment not paid in full
    payments_made    integer NOT NULL,          -- instalments paid in full
    paid             bigint[] NOT NULL,         -- minor units paid on instalment 1, 2, 3 …
    contract         json NOT NULL,
    schedule         json NOT NULL,
    event_sequence   integer NOT NULL,          -- events told of this lease
    payment_sequence integer NOT NULL,          -- the payment service's events of it that are applied here
    created_at       timestamptz NOT NULL,
    updated_at       timestamptz NOT NULL
) WITH (fillfactor = 90);
CREATE INDEX leases_by_customer ON leases (customer_id, lease_id);
CREATE INDEX leases_not_active ON leases (status, lease_id) WHERE status <> 'active';

-- Every change of a lease, payments included.
CREATE TABLE history (
    lease_id      uuid NOT NULL,
    version       integer NOT NULL,
    type          text NOT NULL,               -- the event's
    occurred_at   timestamptz NOT NULL,
    status_before text,                        -- null at creation
    status_after  text NOT NULL,
    balance       bigint NOT NULL,             -- minor units, after the change
    data          json NOT NULL,               -- what changed it
    PRIMARY KEY (lease_id, version)
);

-- Rows come in by the thousand and hardly change: vacuum after many of them, or it takes as much as the work does.
ALTER TABLE leases SET (autovacuum_vacuum_insert_threshold = 200000, autovacuum_analyze_threshold = 50000);
ALTER TABLE history SET (autovacuum_vacuum_insert_threshold = 200000, autovacuum_analyze_threshold = 50000);

GRANT USAGE ON SCHEMA lease TO lease_svc;
GRANT SELECT, INSERT, UPDATE, DELETE ON commands, outbox, outbox_pending TO lease_svc;
GRANT SELECT, INSERT, UPDATE ON leases TO lease_svc;
GRANT SELECT, INSERT ON history TO lease_svc;

-- depends: 0001_messaging
-- The payment service's own tables.

-- One row per lease: what payoffs depend on, and the lock under which its payments change.
CREATE TABLE accounts (
    lease_id         uuid PRIMARY KEY,
    currency         text NOT NULL,
    principal        bigint NOT NULL,          -- minor units
    annual_rate      text NOT NULL,            -- yearly nominal, decimal
    day_count        text NOT NULL,
    start_date       date NOT NULL,
    payoff_in_flight uuid,                     -- the payoff attempt that is not settled yet
    event_sequence   integer NOT NULL DEFAULT 0, -- events told of this lease
    lease_sequence   integer NOT NULL          -- the lease service's events of it that are applied here
) WITH (fillfactor = 80);

-- One row per instalment. Owed and paid are kept by what the money is for.
CREATE TABLE payments (
    payment_id        uuid PRIMARY KEY,
    lease_id          uuid NOT NULL,
    number            integer NOT NULL,
    due_date          date NOT NULL,
    principal         bigint NOT NULL,         -- minor units owed, as are the next three
    interest          bigint NOT NULL,
    fees              bigint NOT NULL,
    late_fees         bigint NOT NULL DEFAULT 0,
    paid_principal    bigint NOT NULL DEFAULT 0, -- minor units paid, as are the next three
    paid_interest     bigint NOT NULL DEFAULT 0,
    paid_fees         bigint NOT NULL DEFAULT 0,
    paid_late_fees    bigint NOT NULL DEFAULT 0,
    principal_balance bigint NOT NULL,         -- of the lease after this instalment, by the schedule
    status            text NOT NULL DEFAULT 'scheduled' CHECK (status IN ('scheduled', 'paid', 'cancelled')),
    in_flight         uuid,                    -- the attempt that is not settled yet: shown as `processing`
    attempts          integer NOT NULL DEFAULT 0,
    next_retry_at     timestamptz,
    last_attempt_id   uuid,
    UNIQUE (lease_id, number)
) WITH (fillfactor = 90);

CREATE TABLE attempts (
    attempt_id        uuid PRIMARY KEY,        -- also the gateway's idempotency key
    command_id        uuid NOT NULL UNIQUE,
    lease_id          uuid NOT NULL,
    payment_id        uuid,                    -- null: a payoff
    number            integer,                 -- of the instalment; null: a payoff
    kind              text NOT NULL CHECK (kind IN ('instalment', 'payoff')),
    amount            bigint NOT NULL CHECK (amount >= 0), -- minor units
    currency          text NOT NULL,
    payment_method    text NOT NULL,
    status            text NOT NULL CHECK (status IN ('started', 'succeeded', 'declined', 'failed', 'unknown')),
    decline           json,
    gateway_reference text,
    payoff            json,                    -- of a payoff: how the amount comes about
    traceparent       text,                    -- W3C trace context of the request
    created_at        timestamptz NOT NULL,
    settled_at        timestamptz,
    checks            integer NOT NULL DEFAULT 0, -- how often the gateway was asked about it
    next_check_at     timestamptz              -- while unknown: when to ask next
) WITH (fillfactor = 80);
-- One attempt at a time for each payment, and one payoff for each lease, whatever the code does.
CREATE UNIQUE INDEX attempts_one_in_flight ON attempts (payment_id)
    WHERE status IN ('started', 'unknown') AND payment_id IS NOT NULL;
CREATE UNIQUE INDEX attempts_one_payoff_in_flight ON attempts (lease_id)
    WHERE status IN ('started', 'unknown') AND kind = 'payoff';
CREATE INDEX attempts_by_payment ON attempts (payment_id, attempt_id);
CREATE INDEX attempts_to_ask_about ON attempts (next_check_at) WHERE status = 'unknown';

-- Rows come in by the thousand and hardly change: vacuum after many of them, or it takes as much as the work does.
ALTER TABLE accounts SET (autovacuum_vacuum_insert_threshold = 200000, autovacuum_analyze_threshold = 50000);
ALTER TABLE payments SET (autovacuum_vacuum_insert_threshold = 2000000, autovacuum_analyze_threshold = 500000);

GRANT USAGE ON SCHEMA payment TO payment_svc;
GRANT SELECT, INSERT, UPDATE, DELETE ON commands, outbox, outbox_pending TO payment_svc;
GRANT SELECT, INSERT, UPDATE ON accounts, payments, attempts TO payment_svc;

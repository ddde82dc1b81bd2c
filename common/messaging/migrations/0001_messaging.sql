-- The inbox with its stored outcomes, and the outbox. Made in the schema of each service that carries out commands.

-- One row per command: that it was seen (inbox) and what became of it (stored outcome).
CREATE TABLE commands (
    command_id      uuid PRIMARY KEY,
    type            text NOT NULL,
    idempotency_key text,
    fingerprint     text,
    status          text NOT NULL CHECK (status IN ('pending', 'succeeded', 'rejected')),
    http_status     smallint NOT NULL,
    body            json NOT NULL,
    location        text,
    token           text,
    original_id     uuid,          -- set on a twin: the command whose outcome it shares
    submitted_at    timestamptz NOT NULL,
    completed_at    timestamptz
);
CREATE UNIQUE INDEX commands_idempotency_key ON commands (idempotency_key) WHERE idempotency_key IS NOT NULL;

-- Events, exactly as they are published. Rows stay for a horizon after publishing, for reconciliation.
CREATE TABLE outbox (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event_id   uuid NOT NULL,
    lease_id   uuid NOT NULL,
    type       text NOT NULL,
    body       bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

-- What is still to be published. A table of its own, so that marking an event as published deletes a few
-- bytes and does not write its body a second time.
CREATE TABLE outbox_pending (
    id bigint PRIMARY KEY
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);

-- Rows come in by the thousand and hardly change: vacuum after many of them, or it takes as much as the work does.
ALTER TABLE commands SET (autovacuum_vacuum_insert_threshold = 200000, autovacuum_analyze_threshold = 50000);
ALTER TABLE outbox SET (autovacuum_vacuum_insert_threshold = 200000, autovacuum_analyze_threshold = 50000);

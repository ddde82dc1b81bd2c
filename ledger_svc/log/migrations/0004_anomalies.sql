-- depends: 0003_seal
-- What was not as it has to be, and how far the log has been compared with its producers. Only ever appended to.

-- Counts the streams that were read: a new one begins where the stream was found to be another.
ALTER TABLE batches ADD COLUMN generation integer NOT NULL DEFAULT 1;

CREATE TABLE anomalies (
    anomaly_id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind           text NOT NULL,
    place          text NOT NULL,            -- with the kind: what it is about; told once
    noticed_at     timestamptz NOT NULL,
    detail         text NOT NULL,            -- in words
    source         text,
    lease_id       uuid,
    first_sequence integer,                  -- of the source's events of the lease
    last_sequence  integer,
    since_id       uuid,                     -- or of the events that were made in a time, by their ids: from …
    until_id       uuid,                     -- … up to
    event_id       text,
    generation     integer,                  -- where in the stream it was seen
    stream_offset  bigint,
    evidence       bytea,                    -- the bytes in question, the first of them
    UNIQUE (kind, place)
);
CREATE INDEX anomalies_gaps ON anomalies (lease_id, source) WHERE kind = 'gap';

-- What was learned of an anomaly afterwards; at most one note of each ends it.
CREATE TABLE anomaly_notes (
    anomaly_id bigint NOT NULL REFERENCES anomalies,
    noted_at   timestamptz NOT NULL,
    healed     boolean NOT NULL,             -- it is open until one says so
    note       text NOT NULL,
    PRIMARY KEY (anomaly_id, note)
);
CREATE UNIQUE INDEX anomaly_notes_healed ON anomaly_notes (anomaly_id) WHERE healed;

-- Up to when all that a source has told was compared.
CREATE TABLE reconciled (
    source      text NOT NULL,
    until       timestamptz NOT NULL,
    compared_at timestamptz NOT NULL,
    PRIMARY KEY (source, until)
);

DO $$ BEGIN PERFORM protect('anomalies'), protect('anomaly_notes'), protect('reconciled'); END $$;

GRANT SELECT, INSERT ON anomalies, anomaly_notes, reconciled TO ledger_writer;
GRANT SELECT ON anomalies, anomaly_notes, reconciled TO ledger_reader;

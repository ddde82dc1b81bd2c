-- depends: 0007_cursors
-- Every entry is compared with the outbox of its producer, and what differs is named.

-- Up to which entry all were compared; the highest one counts.
CREATE TABLE compared (
    seq         bigint PRIMARY KEY,
    compared_at timestamptz NOT NULL
);

ALTER TABLE anomalies
    ADD COLUMN event_type text,              -- of the event in question
    ADD COLUMN differs    text;              -- of a difference: missing, unknown, other_bytes

GRANT SELECT, INSERT ON compared TO ledger_writer;
GRANT SELECT ON compared TO ledger_reader;

DO $$ BEGIN PERFORM protect('compared'); END $$;

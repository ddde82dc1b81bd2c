-- depends: 0004_anomalies
-- Batches keep the sums of the journal (the books) beside their totals. These are the books of a batch that was
-- appended when nobody kept them: made up once, so that the next batch has something to go on from.

CREATE TABLE openings (
    last_seq bigint PRIMARY KEY,             -- of the batch
    books    json NOT NULL,
    made_at  timestamptz NOT NULL
);

GRANT SELECT, INSERT ON openings TO ledger_writer;
GRANT SELECT ON openings TO ledger_reader;

DO $$ BEGIN PERFORM protect('openings'); END $$;

-- depends: 0006_journal
-- Up to where the stream was read behind the last batch: through messages that brought nothing to append, or to the
-- beginning of another stream. The cursor is the last of these rows and of `batches`.

CREATE TABLE cursors (
    generation    integer NOT NULL,
    stream_offset bigint NOT NULL,           -- of the last message read; -1: none yet
    event_id      uuid,                      -- of an event in it: what has to be found again at that offset
    read_at       timestamptz NOT NULL,
    PRIMARY KEY (generation, stream_offset)
);

GRANT SELECT, INSERT ON cursors TO ledger_writer;
GRANT SELECT ON cursors TO ledger_reader;

DO $$ BEGIN PERFORM protect('cursors'); END $$;

-- The log, the Merkle tree over it, and a commit record for each batch. All of it is only ever appended to.

CREATE TABLE entries (
    seq           bigint PRIMARY KEY,        -- 1, 2, 3 … without gaps
    event_id      uuid NOT NULL UNIQUE,
    type          text NOT NULL,
    source        text NOT NULL,
    sequence      integer NOT NULL,          -- 1, 2, 3 … per source and lease
    lease_id      uuid NOT NULL,
    occurred_at   timestamptz NOT NULL,      -- the event's own time
    recorded_at   timestamptz NOT NULL,      -- when the ledger took it in
    raw           bytea NOT NULL,            -- the event's exact bytes
    leaf_hash     bytea NOT NULL,            -- SHA-256(0x00 ‖ raw), RFC 9162
    UNIQUE (lease_id, source, sequence)      -- what makes a redelivery append nothing
);
CREATE INDEX entries_by_lease ON entries (lease_id, seq);
CREATE INDEX entries_by_type ON entries (type, seq);

-- Roots of the perfect subtrees of two leaves and more, each stored once, when it is complete.
CREATE TABLE nodes (
    level    smallint NOT NULL,              -- the subtree has 2^level leaves
    position bigint NOT NULL,                -- among the subtrees of its level, from 0
    hash     bytea NOT NULL,
    PRIMARY KEY (level, position)
);

-- The cursor into the stream, the totals and the root, as of the last entry of each appended batch.
CREATE TABLE batches (
    last_seq      bigint PRIMARY KEY,
    stream_offset bigint NOT NULL,           -- of the message that brought the last entry
    event_id      uuid NOT NULL,             -- of the last entry: what has to be found again at that offset
    root_hash     bytea NOT NULL,            -- of the tree of `last_seq` leaves
    totals        json NOT NULL,
    recorded_at   timestamptz NOT NULL
);

-- Rows come in by the thousand and hardly change: vacuum after many of them, or it takes as much as the work does.
ALTER TABLE entries SET (autovacuum_vacuum_insert_threshold = 200000, autovacuum_analyze_threshold = 50000);
ALTER TABLE nodes SET (autovacuum_vacuum_insert_threshold = 200000, autovacuum_analyze_threshold = 50000);

GRANT USAGE ON SCHEMA ledger TO ledger_writer, ledger_reader;
GRANT SELECT, INSERT ON entries, nodes, batches TO ledger_writer;
GRANT SELECT ON entries, nodes, batches TO ledger_reader;

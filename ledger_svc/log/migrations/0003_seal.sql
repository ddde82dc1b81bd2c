-- depends: 0002_closing
-- Append-only for everybody, in partitions, and sealed by signed checkpoints.

-- The log and the record of its batches, by number. What there is becomes the first partition as it stands;
-- make_room, below, makes the others.

ALTER TABLE entries RENAME TO entries_1;
ALTER TABLE entries_1
    DROP CONSTRAINT entries_event_id_key,
    DROP CONSTRAINT entries_lease_id_source_sequence_key;
DROP INDEX entries_by_lease, entries_closings;
ALTER INDEX entries_pkey RENAME TO entries_1_pkey;
ALTER INDEX entries_by_type RENAME TO entries_1_type_seq_idx;
CREATE TABLE entries (LIKE entries_1) PARTITION BY RANGE (seq);
ALTER TABLE entries ADD PRIMARY KEY (seq);
CREATE INDEX entries_by_type ON entries (type, seq);

ALTER TABLE batches RENAME TO batches_1;
ALTER INDEX batches_pkey RENAME TO batches_1_pkey;
ALTER TABLE batches_1 ADD COLUMN checkpoint text;  -- C2SP tlog-checkpoint of `last_seq` and `root_hash`, signed
CREATE TABLE batches (LIKE batches_1) PARTITION BY RANGE (last_seq);
ALTER TABLE batches ADD PRIMARY KEY (last_seq);

DO $$
DECLARE
    size  constant bigint := 10000000;
    after constant bigint := (SELECT coalesce(max(seq), 1) + size - 1 FROM entries_1) / size * size + 1;
BEGIN
    EXECUTE format('ALTER TABLE entries ATTACH PARTITION entries_1 FOR VALUES FROM (1) TO (%s)', after);
    EXECUTE format('ALTER TABLE batches ATTACH PARTITION batches_1 FOR VALUES FROM (1) TO (%s)', after);
END $$;

-- What was appended before there were checkpoints stays without one; nothing else does.
ALTER TABLE batches ADD CONSTRAINT sealed CHECK (checkpoint IS NOT NULL) NOT VALID;

-- Public keys, from the first checkpoint on that each has signed.
CREATE TABLE keys (
    vkey       text PRIMARY KEY,             -- as in Go's sumdb/note: <name>+<id>+<base64>
    first_size bigint NOT NULL               -- of the tree in that checkpoint
);

-- What is unique over the whole log, and how an entry is found by anything but its number.

CREATE TABLE places (
    lease_id uuid NOT NULL,
    seq      bigint NOT NULL,
    sequence integer NOT NULL,
    source   text NOT NULL,
    PRIMARY KEY (lease_id, source, sequence) -- what makes a redelivery append nothing
) PARTITION BY HASH (lease_id);
CREATE INDEX places_by_lease ON places (lease_id, seq);

CREATE TABLE event_ids (
    event_id uuid PRIMARY KEY,
    seq      bigint NOT NULL
) PARTITION BY HASH (event_id);

-- Asked for every payment that succeeds, so it must not depend on how many entries there are.
CREATE TABLE closings (
    lease_id uuid NOT NULL,
    seq      bigint NOT NULL,                -- of its lease.cancelled or lease.charged_off
    PRIMARY KEY (lease_id, seq)
);

-- The tree's nodes of every third level: those between are worked out from them.
ALTER TABLE nodes RENAME TO nodes_before;
ALTER INDEX nodes_pkey RENAME TO nodes_before_pkey;
CREATE TABLE nodes (LIKE nodes_before, PRIMARY KEY (level, position)) PARTITION BY HASH (level, position);

DO $$
DECLARE
    parent text;
BEGIN
    FOREACH parent IN ARRAY ARRAY['places', 'event_ids', 'nodes'] LOOP
        FOR part IN 0..7 LOOP
            EXECUTE format(
                'CREATE TABLE %I PARTITION OF %I FOR VALUES WITH (MODULUS 8, REMAINDER %s)'
                ' WITH (autovacuum_vacuum_insert_threshold = 200000, autovacuum_analyze_threshold = 50000)',
                parent || '_' || part, parent, part);
        END LOOP;
    END LOOP;
END $$;

INSERT INTO places SELECT lease_id, seq, sequence, source FROM entries;
INSERT INTO event_ids SELECT event_id, seq FROM entries;
INSERT INTO closings SELECT lease_id, seq FROM entries WHERE type IN ('lease.cancelled', 'lease.charged_off');
INSERT INTO nodes SELECT * FROM nodes_before WHERE level % 3 = 0;
DROP TABLE nodes_before;

-- Nothing is ever changed or deleted: not by the roles, who may not, and not by the owner, who might.

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE insufficient_privilege
        USING MESSAGE = format('%s of %I.%I: the ledger is append-only', TG_OP, TG_TABLE_SCHEMA, TG_TABLE_NAME);
END $$;

-- Statement triggers, and so one for each partition too. ALWAYS: session_replication_role switches it not off.
CREATE FUNCTION protect(name regclass) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON %s'
                   ' FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()', name);
    EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER append_only', name);
END $$;

DO $$
BEGIN
    PERFORM protect('closings'), protect('keys');
    PERFORM protect(relid)
       FROM unnest(ARRAY['entries', 'batches', 'places', 'event_ids', 'nodes']) AS parent,
            pg_partition_tree(parent::regclass);
END $$;

-- Make sure that beyond the partition which the next entry goes into two more are there. Gives the first number
-- of the next one: when the log has reached it, call again. A batch must not be larger than a partition.
--
-- The writer calls it, whose role may create nothing: it runs as the owner. Partitions are granted to nobody, they
-- are reached through the whole. Readers and vacuums are not held up: no lock that it takes conflicts with theirs.
CREATE FUNCTION make_room(size bigint DEFAULT 10000000) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
    ahead  bigint;    -- the next entry's number
    ends   bigint[];  -- first numbers after its partition and those that follow
    parent text;
    part   text;
BEGIN
    IF size < 1 THEN
        RAISE invalid_parameter_value USING MESSAGE = 'a partition holds at least one entry';
    END IF;
    LOCK TABLE ONLY entries, ONLY batches IN SHARE UPDATE EXCLUSIVE MODE;
    ahead := coalesce((SELECT last_seq FROM batches ORDER BY last_seq DESC LIMIT 1), 0) + 1;
    ends := ARRAY(
        SELECT after
          FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid,
               CAST(substring(pg_get_expr(relpartbound, inhrelid) FROM 'TO \(''(\d+)''\)') AS bigint) AS after
         WHERE inhparent = 'entries'::regclass AND after > ahead
         ORDER BY after);
    WHILE cardinality(ends) < 3 LOOP
        FOREACH parent IN ARRAY ARRAY['entries', 'batches'] LOOP
            part := parent || '_' || ends[cardinality(ends)];
            EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING ALL)', part, parent);
            EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%s) TO (%s)',
                           parent, part, ends[cardinality(ends)], ends[cardinality(ends)] + size);
            PERFORM protect(part::regclass);
        END LOOP;
        -- Entries come by the thousand: vacuum after many, or it takes as much as the work does.
        EXECUTE format('ALTER TABLE %I SET ('
                       'autovacuum_vacuum_insert_threshold = 200000, autovacuum_analyze_threshold = 50000)',
                       'entries_' || ends[cardinality(ends)]);
        ends := ends || ends[cardinality(ends)] + size;
    END LOOP;
    RETURN ends[1];
END $$;

DO $$
BEGIN
    EXECUTE format('ALTER FUNCTION make_room SET search_path = %I, pg_temp', current_schema());
    PERFORM make_room();
END $$;

REVOKE ALL ON FUNCTION make_room, protect FROM PUBLIC;
GRANT EXECUTE ON FUNCTION make_room TO ledger_writer;
GRANT SELECT, INSERT ON entries, batches, nodes, places, event_ids, closings, keys TO ledger_writer;
GRANT SELECT ON entries, batches, nodes, places, event_ids, closings, keys TO ledger_reader;
REVOKE ALL ON entries_1, batches_1 FROM ledger_writer, ledger_reader;

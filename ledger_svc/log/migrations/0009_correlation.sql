-- depends: 0008_compared
-- What came of one command, all over the log: entries are found by their correlation id too.

-- The correlation id in an event's exact bytes; null where there is none, or none that is a UUID.
CREATE FUNCTION correlation_of(raw bytea) RETURNS uuid LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
    said text;
BEGIN
    said := convert_from(raw, 'UTF8')::json ->> 'correlationid';
    RETURN CASE WHEN lower(said) ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' THEN said::uuid END;
EXCEPTION WHEN data_exception THEN
    RETURN NULL;
END $$;

-- One narrow table beside `places` and `event_ids`: entries are neither written again nor given a column, however
-- many there are.
CREATE TABLE correlations (
    correlation_id uuid NOT NULL,
    seq            bigint NOT NULL,
    PRIMARY KEY (correlation_id, seq)
) PARTITION BY HASH (correlation_id);

DO $$
BEGIN
    FOR part IN 0..7 LOOP
        EXECUTE format(
            'CREATE TABLE %I PARTITION OF correlations FOR VALUES WITH (MODULUS 8, REMAINDER %s)'
            ' WITH (autovacuum_vacuum_insert_threshold = 200000, autovacuum_analyze_threshold = 50000)',
            'correlations_' || part, part);
    END LOOP;
END $$;

-- The writer lists what it appends. What a writer from before this appends is listed here, which it shows by the last
-- entry of its batch.
CREATE FUNCTION correlate() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM entries AS e JOIN correlations AS c
                   ON (c.correlation_id, c.seq) = (correlation_of(e.raw), e.seq) WHERE e.seq = NEW.last_seq) THEN
        RETURN NULL;
    END IF;
    INSERT INTO correlations
    SELECT its.correlation_id, its.seq
      FROM (SELECT correlation_of(raw) AS correlation_id, seq
              FROM entries
             WHERE seq <= NEW.last_seq
               AND seq > coalesce((SELECT last_seq FROM batches WHERE last_seq < NEW.last_seq
                                    ORDER BY last_seq DESC LIMIT 1), 0)) AS its
     WHERE its.correlation_id IS NOT NULL
    ON CONFLICT DO NOTHING;
    RETURN NULL;
END $$;
CREATE TRIGGER correlate AFTER INSERT ON batches FOR EACH ROW EXECUTE FUNCTION correlate();

DO $$
BEGIN
    EXECUTE format('ALTER FUNCTION correlate SET search_path = %1$I, pg_temp', current_schema());
END $$;

-- What is there already, in batches of a bounded size. Old entries are read, none is changed.
DO $$
DECLARE
    size  constant bigint := 50000;
    ends  constant bigint := (SELECT coalesce(max(seq), 0) FROM entries);
    after bigint := 0;
BEGIN
    WHILE after < ends LOOP
        INSERT INTO correlations
        SELECT its.correlation_id, its.seq
          FROM (SELECT correlation_of(raw) AS correlation_id, seq
                  FROM entries WHERE seq > after AND seq <= after + size) AS its
         WHERE its.correlation_id IS NOT NULL;
        after := after + size;
    END LOOP;
END $$;

DO $$ BEGIN PERFORM protect(relid) FROM pg_partition_tree('correlations'); END $$;

GRANT SELECT, INSERT ON correlations TO ledger_writer;
GRANT SELECT ON correlations TO ledger_reader;

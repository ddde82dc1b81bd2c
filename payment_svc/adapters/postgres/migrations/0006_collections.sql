-- depends: 0002_payment
-- Collections: what a daily run needs to know of leases, instalments and attempts, and the runs themselves.

ALTER TABLE accounts
    ADD COLUMN payment_method  text,                            -- what autopay charges
    ADD COLUMN autopay         boolean NOT NULL DEFAULT false,
    ADD COLUMN grace_days      integer NOT NULL DEFAULT 0,      -- days after a due date without consequences
    ADD COLUMN late_fee        bigint NOT NULL DEFAULT 0,       -- minor units; 0: none is ever assessed
    ADD COLUMN delinquent      boolean NOT NULL DEFAULT false,
    ADD COLUMN next_look_on    date,                            -- the next day a run has something to do here
    ADD COLUMN collected_as_of date;                            -- of the last run that has worked through it
CREATE INDEX accounts_to_look_at ON accounts (next_look_on, lease_id) WHERE next_look_on IS NOT NULL;

ALTER TABLE payments
    DROP CONSTRAINT payments_status_check,
    ADD CONSTRAINT payments_status_check CHECK (status IN ('scheduled', 'due', 'late', 'paid', 'cancelled')),
    ADD COLUMN autopay_since    date,                           -- as_of of the run that first tried to collect it
    ADD COLUMN autopay_declines integer NOT NULL DEFAULT 0,
    ADD COLUMN autopay_over     boolean NOT NULL DEFAULT false; -- no run is to try (again)

-- The attempts of a run share the command that began it.
ALTER TABLE attempts
    ADD COLUMN run_id uuid,                                     -- null: by hand, a command waits for the outcome
    ADD COLUMN as_of  date,                                     -- of the run
    DROP CONSTRAINT attempts_command_id_key;
CREATE UNIQUE INDEX attempts_by_command ON attempts (command_id) WHERE run_id IS NULL;
CREATE INDEX attempts_by_run ON attempts (run_id, status) WHERE run_id IS NOT NULL;
-- `next_check_at` while started: from when on their process counts as dead.
CREATE INDEX attempts_to_take_up ON attempts (next_check_at) WHERE status = 'started';

-- One row for each day that was asked for.
CREATE TABLE collection_runs (
    run_id       uuid PRIMARY KEY,
    as_of        date NOT NULL UNIQUE,
    status       text NOT NULL DEFAULT 'running' CHECK (status IN ('running', 'completed')),
    command_id   uuid NOT NULL,             -- the command that began it
    traceparent  text,                      -- W3C trace context of that command's request
    started_at   timestamptz NOT NULL,
    completed_at timestamptz,
    leases       integer NOT NULL DEFAULT 0, -- this and what follows: see runs.Counts
    due          integer NOT NULL DEFAULT 0,
    late_fees    integer NOT NULL DEFAULT 0,
    delinquent   integer NOT NULL DEFAULT 0,
    cured        integer NOT NULL DEFAULT 0,
    attempted    integer NOT NULL DEFAULT 0, -- this and what follows: written at completion, counted until then
    succeeded    integer NOT NULL DEFAULT 0,
    declined     integer NOT NULL DEFAULT 0,
    unknown      integer NOT NULL DEFAULT 0
);
CREATE INDEX collection_runs_running ON collection_runs (as_of) WHERE status = 'running';

-- Commands that wait for a run to complete.
CREATE TABLE collection_waiters (
    command_id uuid PRIMARY KEY,
    run_id     uuid NOT NULL,
    reply_to   text                          -- the queue of the front that waits, once it is known
);
CREATE INDEX collection_waiters_by_run ON collection_waiters (run_id);

-- Leases from before: their terms for autopay and late fees were not kept; their instalments are.
UPDATE accounts AS a
   SET next_look_on = (SELECT min(due_date) FROM payments AS p WHERE p.lease_id = a.lease_id AND p.status = 'scheduled');

GRANT SELECT, INSERT, UPDATE ON collection_runs TO payment_svc;
GRANT SELECT, INSERT, UPDATE, DELETE ON collection_waiters TO payment_svc;

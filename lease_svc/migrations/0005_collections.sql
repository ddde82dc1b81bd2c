-- depends: 0002_lease
-- Late fees, and leases that are delinquent.

ALTER TABLE leases
    ADD COLUMN late_fees bigint[] NOT NULL DEFAULT '{}', -- minor units that instalment 1, 2, 3 … costs more; empty: none
    DROP CONSTRAINT leases_status_check,
    ADD CONSTRAINT leases_status_check
        CHECK (status IN ('active', 'delinquent', 'paid_off', 'cancelled', 'charged_off'));

-- depends: 0002_lease
-- Leases that are closed before they are paid.

ALTER TABLE leases DROP CONSTRAINT leases_status_check;
ALTER TABLE leases ADD CONSTRAINT leases_status_check
    CHECK (status IN ('active', 'delinquent', 'paid_off', 'cancelled', 'charged_off'));

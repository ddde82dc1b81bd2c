-- depends: 0002_payment
-- Leases that are closed before they are paid: nothing more is collected on them.

ALTER TABLE accounts
    ADD COLUMN closed text CHECK (closed IN ('cancelled', 'charged_off')); -- how; null: open, or paid off

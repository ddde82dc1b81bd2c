-- depends: 0002_lease
-- Instalments that no longer are as the schedule has them: `{"3": {"amount", "cancelled"}}`; null: all are.
ALTER TABLE leases ADD COLUMN amended json;

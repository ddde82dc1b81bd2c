-- depends: 0002_outbox_lookups
-- A command is not forgotten while a twin shows its outcome.

CREATE INDEX commands_by_original ON commands (original_id) WHERE original_id IS NOT NULL;

-- depends: 0007_returns
-- Of a cancelled lease the money of every payoff goes back, also of one that paid what another had left open.

CREATE INDEX attempts_of_whole_leases ON attempts (lease_id) WHERE payment_id IS NULL;

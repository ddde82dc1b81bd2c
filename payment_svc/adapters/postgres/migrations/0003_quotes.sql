-- depends: 0002_payment
-- Binding payoff quotes: at what amount a lease can be paid off, once, until the day is over.

CREATE TABLE quotes (
    quote_id   uuid PRIMARY KEY,
    lease_id   uuid NOT NULL,
    as_of      date NOT NULL,                  -- the day it was worked out for
    amount     bigint NOT NULL CHECK (amount >= 0), -- minor units
    payoff     json NOT NULL,                  -- how the amount comes about, and what it makes of each instalment
    formula    text NOT NULL,                  -- version of the formula
    state      text NOT NULL,                  -- digest of the instalments it stands on: it holds while they are so
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,           -- exclusive: the midnight (UTC) that ends the day
    used_by    uuid UNIQUE                     -- the attempt that pays it or has; null again when no money moved
) WITH (fillfactor = 90);

GRANT SELECT, INSERT, UPDATE ON quotes TO payment_svc;

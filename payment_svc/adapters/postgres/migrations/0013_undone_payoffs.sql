-- depends: 0012_payoffs
-- What an undone payoff gave back was one instalment's money, and another's interest that is owed no longer.

ALTER TABLE payments
    ADD COLUMN moved bigint NOT NULL DEFAULT 0;  -- minor units on it that others' attempts collected; < 0: on others

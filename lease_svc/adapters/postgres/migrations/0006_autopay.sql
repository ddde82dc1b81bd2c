-- depends: 0005_left
-- Autopay as it is, once it is no longer as agreed: {"autopay", "payment_method", "autopay_stopped"}; null: it is.
ALTER TABLE leases ADD COLUMN autopay_now json;

-- depends: 0008_ends
-- Commands stay pending while their attempt is unknown, and all workers know together whether the gateway answers.

CREATE TABLE gateway_health (
    one           boolean PRIMARY KEY DEFAULT true CHECK (one), -- one row at the most; none: it answers
    away_since    timestamptz,  -- the first look-up that it did not answer; null: it answers
    next_probe_at timestamptz,  -- when any worker is to find out; null: nobody doubts it
    returned_at   timestamptz   -- when it answered again after its last outage
) WITH (fillfactor = 20);
GRANT SELECT, INSERT, UPDATE ON gateway_health TO payment_svc;

-- What has been answered too early: `succeeded` with an attempt that was unknown.
UPDATE commands AS c
   SET status = 'pending', completed_at = NULL
  FROM attempts AS a
 WHERE a.command_id = c.command_id AND a.run_id IS NULL AND c.status = 'succeeded' AND c.http_status = 202
   AND a.status = 'unknown';

UPDATE commands AS c
   SET http_status = 201, completed_at = a.settled_at,
       body = (c.body::jsonb
               || jsonb_build_object('status', 'succeeded', 'gateway_reference', a.gateway_reference, 'settled_at',
                                     to_char(a.settled_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'))
               || coalesce((SELECT jsonb_build_object('payment', c.body::jsonb -> 'payment' || jsonb_build_object(
                       'amount', owed, 'amount_paid', paid, 'attempts', attempts, 'last_attempt_id', last_attempt_id,
                       'amount_due', CASE status WHEN 'cancelled' THEN 0 ELSE owed - paid END,
                       'status', CASE WHEN in_flight IS NULL THEN status ELSE 'processing' END))
                  FROM (SELECT p.*, principal + interest + fees + late_fees AS owed,
                               paid_principal + paid_interest + paid_fees + paid_late_fees AS paid
                          FROM payments AS p WHERE p.payment_id = a.payment_id) AS now), '{}'))::json
  FROM attempts AS a
 WHERE a.command_id = c.command_id AND a.run_id IS NULL AND c.status = 'succeeded' AND c.http_status = 202
   AND a.status = 'succeeded';

UPDATE commands AS c
   SET status = 'rejected', http_status = 402, completed_at = a.settled_at,
       body = json_build_object('type', CASE a.kind WHEN 'refund' THEN '/problems/refund-declined'
                                            ELSE '/problems/payment-declined' END,
                                'title', CASE a.kind WHEN 'refund' THEN 'Refund declined' ELSE 'Payment declined' END,
                                'status', 402,
                                'detail', CASE a.kind WHEN 'refund' THEN 'The gateway declined the refund: '
                                                      ELSE 'The issuer declined the charge: ' END
                                          || (a.decline ->> 'code') || '.',
                                'instance', '/api/v1/commands/' || c.command_id,
                                'attempt_id', a.attempt_id, 'decline', a.decline)
  FROM attempts AS a
 WHERE a.command_id = c.command_id AND a.run_id IS NULL AND c.status = 'succeeded' AND c.http_status = 202
   AND a.status = 'declined';

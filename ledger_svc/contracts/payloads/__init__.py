"""What each type of event says, as far as the ledger stands on it; money in minor units of `currency`.

Every other field is left to the raw bytes, which the ledger keeps: views can grow without touching an entry.
"""

from ledger_svc.contracts.payloads.attempts import (
    Attempt,
    AttemptStarted,
    ChangedInstalment,
    ClosedInstalment,
    Decline,
    MoneyTakenBack,
    PaymentDeclined,
    PaymentFailed,
    PaymentResolved,
    PaymentSucceeded,
    PaymentUnknown,
    PayoffDeclined,
    PayoffQuoted,
    PayoffSucceeded,
)
from ledger_svc.contracts.payloads.collections import (
    AutopayChanged,
    AutopayStop,
    LateFeeAssessed,
    LeaseCured,
    LeaseDelinquent,
    RetryScheduled,
)
from ledger_svc.contracts.payloads.common import Allocation, Waived
from ledger_svc.contracts.payloads.leases import (
    LeaseCancelled,
    LeaseChargedOff,
    LeaseCreated,
    LeasePaidOff,
    LeaseReopened,
    ScheduledInstalment,
)

Data = (
    LeaseCreated
    | LeasePaidOff
    | LeaseCancelled
    | LeaseChargedOff
    | LeaseReopened
    | AttemptStarted
    | PaymentSucceeded
    | PaymentDeclined
    | PaymentFailed
    | PaymentUnknown
    | PaymentResolved
    | MoneyTakenBack
    | PayoffSucceeded
    | PayoffDeclined
    | PayoffQuoted
    | RetryScheduled
    | AutopayChanged
    | LateFeeAssessed
    | LeaseDelinquent
    | LeaseCured
)

__all__ = [
    "Allocation",
    "Attempt",
    "AttemptStarted",
    "AutopayChanged",
    "AutopayStop",
    "ChangedInstalment",
    "ClosedInstalment",
    "Data",
    "Decline",
    "LateFeeAssessed",
    "LeaseCancelled",
    "LeaseChargedOff",
    "LeaseCreated",
    "LeaseCured",
    "LeaseDelinquent",
    "LeasePaidOff",
    "LeaseReopened",
    "MoneyTakenBack",
    "PaymentDeclined",
    "PaymentFailed",
    "PaymentResolved",
    "PaymentSucceeded",
    "PaymentUnknown",
    "PayoffDeclined",
    "PayoffQuoted",
    "PayoffSucceeded",
    "RetryScheduled",
    "ScheduledInstalment",
    "Waived",
]

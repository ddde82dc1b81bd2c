"""What an early payoff costs, worked out once more from the business rules, with nothing of the product.

"Early payoff as of day D": unpaid principal of all instalments, unpaid interest of those due on or before D,
what the running period has earned so far (on the *scheduled* principal balance, never more than that period's
scheduled interest), unpaid fees, less interest already paid on instalments due after D.
Money goes to fees first, then interest, then principal.
"""

from datetime import date
from fractions import Fraction
from typing import Any


def payoff(lease: dict[str, Any], payments: list[dict[str, Any]], day: date) -> dict[str, int]:
    """The breakdown of a payoff, and its `amount`, in minor units.

    `lease`: as the lease service shows it; `payments`: as the payment service lists them.
    """
    principal = accrued = fees = credits = 0
    start, balance = date.fromisoformat(lease["start_date"]), lease["principal"]
    running: dict[str, Any] | None = None
    for row, payment in zip(lease["schedule"], payments, strict=True):
        left = payment["amount_paid"]
        paid_fees = min(left, row["fees"])
        paid_interest = min(left - paid_fees, row["interest"])
        paid_principal = left - paid_fees - paid_interest
        fees += row["fees"] - paid_fees
        principal += row["principal"] - paid_principal
        if date.fromisoformat(row["due_date"]) <= day:
            accrued += row["interest"] - paid_interest
            start, balance = date.fromisoformat(row["due_date"]), row["principal_balance"]
        else:
            running = running or row
            credits += paid_interest
    if running is not None:
        earned = round(balance * Fraction(lease["annual_rate"]) * _years(lease["day_count"], start, day))
        accrued += min(earned, running["interest"])
    parts = {
        "principal": principal,
        "accrued_interest": accrued,
        "fees": fees,
        "late_fees": 0,
        "credits": credits,
    }
    return parts | {"amount": principal + accrued + fees - credits}


def _years(day_count: str, start: date, end: date) -> Fraction:
    """Exact; `round` of a Fraction is half to even."""
    if day_count == "30/360":
        months = (end.year - start.year) * 12 + end.month - start.month
        return Fraction(months * 30 + min(end.day, 30) - min(start.day, 30), 360)
    return Fraction((end - start).days, int(day_count.removeprefix("actual/")))

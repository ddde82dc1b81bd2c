"""QuotePayoff: a command of one step; the promise is an event, a row, and the answer at once."""

import msgspec

from common.kernel.clock import rfc3339
from common.messaging.envelope import Command, Outcome, encode
from common.web.command_status import status_url
from payment_svc.application.rejections import refusal
from payment_svc.application.representations import quote_view
from payment_svc.application.unit_of_work import Batch, MessageContext, token
from payment_svc.contracts.commands import QuotePayoff
from payment_svc.contracts.events import PayoffQuoted
from payment_svc.domain.attempt import Refused
from payment_svc.domain.payoff import FORMULA
from payment_svc.domain.payoff_quote import quote

decode_quote = msgspec.json.Decoder(QuotePayoff).decode


def quote_payoff(batch: Batch, command: Command, asked: QuotePayoff, *, formula: str = FORMULA) -> Outcome:
    """QuotePayoff: 201 with the quote, or refused as things stand; `formula` as in `payoff`.

    Its Location is the command's own status, which shows the quote as its outcome: a quote has no page.
    """
    account = batch.accounts.get(asked.lease_id)
    if account is None:
        return refusal(command, Refused(404, "There is no such lease."), None)
    try:
        payments = batch.payments_of(asked.lease_id)
        given = quote(account, payments, asked.quote_id, asked.as_of, batch.now, formula=formula)
    except Refused as refused:
        return refusal(command, refused, account)
    batch.quotes[given.quote_id] = given
    batch.quoted.append(given)
    data = PayoffQuoted(
        quote_id=given.quote_id,
        lease_id=given.lease_id,
        currency=account.currency,
        as_of=given.payoff.as_of,
        amount=given.payoff.amount,
        refund_due=given.payoff.refund_due,
        breakdown=given.payoff.breakdown,
        interest_saved=given.payoff.interest_saved,
        formula=given.payoff.formula,
        expires_at=rfc3339(given.expires_at),
    )
    context = MessageContext(
        correlation_id=command.command_id, causation_id=command.command_id, traceparent=command.traceparent
    )
    batch.tell(account, "payoff.quoted", data, context)
    return Outcome(
        command_id=command.command_id,
        status="succeeded",
        http_status=201,
        body=msgspec.Raw(encode(quote_view(account, given))),
        location=status_url(command.command_id),
        token=token(account),
    )

"""Errors that cross module borders. An exception's docstring is its message to the reader."""


class BrokerUnavailable(Exception):
    """The broker could not be reached, or did not confirm, within the time allowed.

    Whether the message was taken is unknown: it may yet be delivered.
    """


class BrokerFull(BrokerUnavailable):
    """The queue is at its length limit and refused the message: certainly not taken."""


class Unroutable(Exception):
    """No queue takes this message: a defect of the topology, never a client's fault."""


class Retry(Exception):
    """Something the batch stands on is away for the moment: the same batch is to be tried again later."""


class UnprocessableMessage(ValueError):
    """The message can never be processed: not decodable, or of a type that nobody here knows."""


class SequenceGap(Exception):
    """An event came before its predecessor: something was lost, and nothing is skipped silently."""

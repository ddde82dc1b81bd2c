"""Logs: JSON lines on standard error."""

import logging
import sys

import structlog


def configure_logging(level: str = "INFO", **context: str) -> None:
    """One JSON object a line; `context` (service, role) is in each of them.

    The standard library's loggers (aiohttp, aio-pika) go through the same output.
    """
    logging.basicConfig(stream=sys.stderr, level=level.upper(), format="%(message)s")
    shared: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.JSONRenderer(default=str),
        ],
    )
    for handler in logging.getLogger().handlers:
        handler.setFormatter(formatter)
    for noisy in ("aiormq", "aio_pika", "asyncio"):
        logging.getLogger(noisy).setLevel(logging.ERROR)
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(**context)

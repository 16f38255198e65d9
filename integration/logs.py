"""structlog over stdlib logging: JSON lines on stderr, so that standard output stays a program's to read."""

import logging
import sys

import structlog


def configure_logs(level: str = "info") -> None:
    """Call once, before the first line is logged."""
    logging.basicConfig(stream=sys.stderr, level=level.upper(), format="%(message)s", force=True)
    structlog.configure(
        processors=[
            structlog.stdlib.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(),
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )

"""structlog over stdlib logging: JSON lines on stderr, so that standard output stays a program's to read.

What libraries log comes out as JSON too. kafka-python tells of every connection at level info, and of every one that fails
at level error, a dozen for a broker that is not there: what it gives up on reaches us as an exception, which is told once.
"""

import logging
import sys

import structlog


def configure_logs(level: str = "info") -> None:
    """Call once, before the first line is logged."""
    shared: list[structlog.typing.Processor] = [
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    logging.basicConfig(handlers=[handler], level=level.upper(), force=True)
    quieten_kafka()
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )


def quieten_kafka() -> None:
    """kafka-python from warnings on, and nothing of its connections."""
    logging.getLogger("kafka").setLevel(logging.WARNING)
    logging.getLogger("kafka.net").setLevel(logging.CRITICAL)

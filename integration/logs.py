"""structlog over stdlib logging: JSON lines on stderr, so that standard output stays a program's to read.

What libraries log comes out as JSON too, but for kafka-python's connections: each that fails is an error there, a dozen for a
broker that is not there. What it gives up on comes as an exception, whose text has the last of them, and is told once.
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
    handler.addFilter(lambda record: not record.name.startswith("kafka.net"))
    logging.basicConfig(handlers=[handler], level=level.upper(), force=True)
    quieten_kafka()
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )


def quieten_kafka() -> None:
    """kafka-python from warnings on: it tells of every connection at level info."""
    logging.getLogger("kafka").setLevel(logging.WARNING)
    logging.getLogger("kafka.net.selector").setLevel(logging.ERROR)  # warns of every tenth of a second

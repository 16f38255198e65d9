"""What Python logs inside a TaskManager, of which Flink's own log is told by pemja."""

import logging
from logging.handlers import QueueHandler, QueueListener
from queue import SimpleQueue
from threading import Lock

from integration.logs import quieten_kafka

_lock = Lock()


def log_from_one_thread() -> None:
    """Has one thread hand all records over to Java, for as long as the process lives. Call before the first of ours
    starts; what was done is not done again.

    A Python thread that logs becomes one of Java's, and pemja never takes it back: those of Kafka clients end, and each
    would be left for ever as a thread that is none. `jstack`, which asks each for the time that it took, then ends the
    TaskManager.
    """
    quieten_kafka()
    root = logging.getLogger()
    with _lock:
        for handler in (each for each in root.handlers if type(each).__module__ == "pemja.logger"):
            records: SimpleQueue[logging.LogRecord] = SimpleQueue()
            root.removeHandler(handler)
            root.addHandler(QueueHandler(records))
            QueueListener(records, handler, respect_handler_level=True).start()
            return

"""Threads of Python inside a TaskManager, which must never become Java's: of our own Kafka clients, and those that load
models.

A Python thread that calls Java becomes one of Java's, and pemja never takes it back: when it ends it is left for ever as
a thread that is none, and `jstack`, which asks each for the time that it took, ends the TaskManager. A thread would call
Java when it logs, and when Python's garbage collector, which runs in whatever thread comes along, frees Java's objects
in it.
"""

import gc
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from logging.handlers import QueueHandler, QueueListener
from queue import SimpleQueue
from threading import Lock

from integration.logs import quieten_kafka

_lock = Lock()
_open = 0


@contextmanager
def python_threads() -> Iterator[None]:
    """Around the life of a thread that will end. Meanwhile reference counts alone free memory: keep it short."""
    global _open
    with _lock:
        _log_from_one_thread()
        _open += 1
        gc.disable()
    try:
        yield
    finally:
        with _lock:
            _open -= 1
            if not _open:
                gc.enable()


def _log_from_one_thread() -> None:
    """Has a thread that stays for ever hand all records over to Java. What was done is not done again."""
    quieten_kafka()
    root = logging.getLogger()
    for handler in (each for each in root.handlers if type(each).__module__ == "pemja.logger"):
        records: SimpleQueue[logging.LogRecord] = SimpleQueue()
        root.removeHandler(handler)
        root.addHandler(QueueHandler(records))
        QueueListener(records, handler, respect_handler_level=True).start()
        return

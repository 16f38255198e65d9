"""What keeps threads of Python from becoming Java's: none of theirs tells its log, none frees what is Java's."""

import gc
import logging
import threading
from collections.abc import Iterator

import pytest

from jobs.flink_job.python_threads import python_threads


class Java(logging.Handler):
    """Stands for pemja's: takes note of the threads that call it."""

    __module__ = "pemja.logger"

    def __init__(self) -> None:
        super().__init__()
        self.told: list[tuple[str, str]] = []
        self.came = threading.Semaphore(0)

    def emit(self, record: logging.LogRecord) -> None:
        self.told.append((threading.current_thread().name, record.getMessage()))
        self.came.release()


@pytest.fixture
def java() -> Iterator[Java]:
    root = logging.getLogger()
    before = root.handlers[:]
    handler = Java()
    root.addHandler(handler)
    yield handler
    root.handlers[:] = before


def test_records_of_all_threads_come_from_one_that_stays(java: Java) -> None:
    for number in range(3):
        with python_threads():
            thread = threading.Thread(target=logging.getLogger("kafka.client").warning, args=("broker %d", number))
            thread.start()
            thread.join()
    for _ in range(3):
        assert java.came.acquire(timeout=10)
    assert [text for _, text in java.told] == ["broker 0", "broker 1", "broker 2"]
    (name,) = {name for name, _ in java.told}
    (one,) = (each for each in threading.enumerate() if each.name == name)
    assert one.daemon


def test_kafka_clients_are_heard_from_warnings_on(java: Java) -> None:
    with python_threads():
        logging.getLogger("kafka.conn").info("connected")
        logging.getLogger("kafka.net.selector").warning("blocks the loop")
        logging.getLogger("kafka.conn").warning("refused")
    assert java.came.acquire(timeout=10)
    assert [text for _, text in java.told] == ["refused"]


def test_nothing_is_collected_while_one_of_them_lives() -> None:
    assert gc.isenabled()
    with pytest.raises(ValueError, match="broken"), python_threads():
        with python_threads():
            assert not gc.isenabled()
        assert not gc.isenabled()
        raise ValueError("broken")
    assert gc.isenabled()

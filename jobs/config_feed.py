"""The config log of a run: opened and read to its end before the first event, then followed.

A topic that cannot be reached is waited for. If the state knows no timeline yet, events are judged after that with
everything in shadow, and the topic is tried on; a state that knows one is not run without it.
"""

import threading
import time
from collections.abc import Callable
from pathlib import Path

import structlog

from integration.config_file import ConfigFile
from integration.config_log import ConfigLine, ConfigLog
from integration.kafka.address import KafkaPlace, is_kafka, kafka_place
from integration.kafka.client import UnreachableError
from integration.kafka.config_topic import ConfigTopic
from integration.kafka.properties import ClientProperties

WAIT_S = 60.0
_RETRY_S = 2.0

log = structlog.get_logger("watchgate")


class ConfigFeed:
    """`found` is the log, None while it cannot be read. Raises what opening it raises."""

    def __init__(
        self,
        config: str,
        properties: ClientProperties | None,
        needed: bool,
        wait_s: float = WAIT_S,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """`needed`: the state knows a timeline, so nothing may be judged without the log."""
        self.found: ConfigLog | None = None
        self._failed: Exception | None = None
        self._stop = threading.Event()
        if not is_kafka(config):
            self.found = ConfigFile(Path(config))
            return
        place = kafka_place(config, "TOPIC")
        until = time.monotonic() + wait_s
        while True:
            try:
                self.found = ConfigTopic(place, properties)
                return
            except UnreachableError as error:
                log.warning("the config topic cannot be read yet", why=str(error))
                if time.monotonic() + _RETRY_S > until:
                    if needed:
                        raise
                    break
            sleep(_RETRY_S)
        threading.Thread(target=self._open_later, args=(place, properties), daemon=True).start()

    def new(self) -> list[ConfigLine]:
        """What was appended since. Raises what opening the log in the background raised."""
        if self._failed is not None:
            raise self._failed
        return [] if self.found is None else self.found.read_new()

    def close(self) -> None:
        self._stop.set()
        if self.found is not None:
            self.found.close()

    def _open_later(self, place: KafkaPlace, properties: ClientProperties | None) -> None:
        while not self._stop.wait(_RETRY_S):
            try:
                self.found = ConfigTopic(place, properties)
                return
            except UnreachableError:
                continue
            except Exception as error:
                self._failed = error
                return

"""Records that commands append to a config log."""

from collections.abc import Callable
from typing import Any

import orjson
import pytest

from jobs.cli import config_log
from jobs.cli.config_log import append, effective


def test_a_delay_counts_from_when_the_record_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Models are checked before, people asked, brokers looked for: what is left of two seconds would be none."""
    now = 1_000.0
    sent: list[dict[str, Any]] = []

    def slowly(place: object, key: str, record: Callable[[], bytes], properties: object) -> None:
        nonlocal now
        now += 5
        sent.append(orjson.loads(record()))

    monkeypatch.setattr(config_log, "append_to_topic", slowly)
    monkeypatch.setattr("time.time", lambda: now)
    record = {"key": "mode/*", "value": {"ceiling": "shadow"}, "by": "ann", "reason": "r", "at": "2026-01-01T00:00:00Z"}
    done = append("kafka://127.0.0.1:9092/config", record, effective(None, "2s"), None, wait=False)
    assert done.effective_at == sent[0]["effective_at"] == "1970-01-01T00:16:47.000Z"

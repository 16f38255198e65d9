"""A JobManager that answers as one would, with no Flink behind it."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Flink(ThreadingHTTPServer):
    """A JobManager with one job: answers by path, and which requests changed something."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answers)
        self.address = f"127.0.0.1:{self.server_address[1]}"
        self.did: list[str] = []
        self.state = "RUNNING"
        self.checkpoint: dict[str, Any] = {"id": 7, "external_path": "file:/c/chk-7", "discarded": False}
        self.externalization = {"enabled": True, "delete_on_cancellation": False}
        self.settings: dict[str, str] = {}
        self.gone_after_cancel = False
        self.parameters: dict[str, str] = {}
        self.slots = 0
        self.savepoint: dict[str, Any] = {}

    def answer(self, path: str) -> Any:
        job = {"jid": "a" * 32, "name": "shop", "state": self.state, "start-time": 1}
        return {
            "/jobs/overview": {"jobs": [job | {"tasks": {"total": 2, "running": 2}}]},
            f"/jobs/{'a' * 32}": job,
            f"/jobs/{'a' * 32}/checkpoints": {"latest": {"completed": self.checkpoint}},
            f"/jobs/{'a' * 32}/checkpoints/config": {"externalization": self.externalization},
            "/jobmanager/config": [{"key": key, "value": value} for key, value in self.settings.items()],
            f"/jobs/{'a' * 32}/config": {"execution-config": {"user-config": self.parameters}},
            f"/jobs/{'a' * 32}/savepoints/s": {"status": {"id": "COMPLETED"}, "operation": self.savepoint},
            "/overview": {"slots-available": self.slots, "slots-total": 1},
        }[path]


class Answers(BaseHTTPRequestHandler):
    server: Flink

    def do_GET(self) -> None:
        if self.server.gone_after_cancel and self.server.did:
            self.close_connection = True
            return
        body = json.dumps(self.server.answer(self.path)).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        body = json.dumps({"request-id": "s"}).encode()
        self.send_response(202)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_PATCH(self) -> None:
        self.server.did.append(self.path)
        self.server.state = "CANCELED"
        self.send_response(202)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def serving() -> Iterator[Flink]:
    """One that answers until the block ends."""
    with Flink() as server:
        threading.Thread(target=server.serve_forever, args=(0.01,)).start()
        yield server
        server.shutdown()

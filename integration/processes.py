"""Processes that outlive the command which started them: started detached, found again, stopped, and no others.

A pid alone may have gone to somebody else's process since. So a process is kept by its pid and its start time, and
`alive` and `stop` touch it only when both fit.
"""

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_POLL_S = 0.05


@dataclass(frozen=True, slots=True)
class Started:
    """A process: `began` is its start time in the system's own form, compared and never computed with."""

    pid: int
    began: str

    @property
    def alive(self) -> bool:
        """False too where the pid belongs to another process by now. A dead child of this process is reaped."""
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.pid, os.WNOHANG)
        return _began(self.pid) == self.began

    def stop(self, patience_s: float = 20.0) -> None:
        """Asks it to end, waits, then kills it. Nothing happens when it is gone already."""
        self.send(signal.SIGTERM)
        if not self.wait_ended(patience_s):
            self.kill()

    def kill(self) -> None:
        """Ends it and its children at once (SIGKILL), as the loss of their machine would."""
        self.send(signal.SIGKILL)
        self.wait_ended(10)

    def send(self, number: signal.Signals) -> None:
        """Sends a signal to it and its children: it leads a group of its own since `start`."""
        if self.alive:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, number)

    def wait_ended(self, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while self.alive:
            if time.monotonic() > deadline:
                return False
            time.sleep(_POLL_S)
        return True


def start(command: Sequence[str], log: Path, env: Mapping[str, str], folder: Path) -> Started:
    """Starts a process in its own session, so that Ctrl-C in the terminal does not reach it; output goes to `log`."""
    with log.open("ab") as output:
        child = subprocess.Popen(
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=dict(env),
            cwd=folder,
            start_new_session=True,
        )
    began = _began(child.pid)
    child.returncode = 0  # Popen's own warning about a child that still runs: it is meant to
    if began is None:
        raise OSError(f"{command[0]} ended at once; see {log}")
    return Started(child.pid, began)


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 that are free now, all different. Held together, so that one is not given twice."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [int(each.getsockname()[1]) for each in sockets]
    finally:
        for each in sockets:
            each.close()


def port_is_free(port: int) -> bool:
    """Whether a server can listen on a port of 127.0.0.1."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def tail_of(log: Path, lines: int = 15) -> str:
    """The last lines of a log, for an error text."""
    try:
        return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])
    except OSError:
        return "(no log was written)"


def _began(pid: int) -> str | None:
    """The start time of a living process, None when there is none. A zombie is dead."""
    if Path("/proc/self/stat").exists():
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return None
        return None if fields[0] in "ZX" else fields[19]
    found = subprocess.run(["ps", "-o", "stat=,lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    state, _, began = found.stdout.strip().partition(" ")
    return None if not began or state.startswith("Z") else began.strip()

"""The events of other machines' processes, on their way to the process that shows them: pickled, over TCP.

Whoever connects has to know a key, which travels with the jobs.
"""

import hmac
import pickle
import secrets
import socket
import socketserver
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from types import TracebackType

from sonosynth import progress
from sonosynth.progress.events import Event, JobFinished, JobStarted, TaskAdvanced, TaskEnded, now

EVERY = 0.5  # seconds, at least, between two events of a task
PATIENCE = 5.0  # seconds: a process that can't send its events works on without


@dataclass(frozen=True)
class Address:
    """Where events are taken, and the key."""

    host: str
    port: int
    key: bytes


class Sending:
    """Sends the events of a process, but not every step of a task; a context, at whose end all have been shown."""

    def __init__(self, address: Address) -> None:
        self.sent: dict[str, float] = {}
        try:
            self.socket = socket.create_connection((address.host, address.port), PATIENCE)
            self.socket.sendall(address.key)
            self.broken = False
        except OSError:
            self.broken = True

    def __call__(self, event: Event) -> None:
        """Send an event, if it is not too soon for it."""
        if isinstance(event, TaskAdvanced):
            last = self.sent.get(event.key)
            if last is not None and event.done < event.total and time.monotonic() - last < EVERY:
                return
            self.sent[event.key] = time.monotonic()
        elif isinstance(event, TaskEnded):
            self.sent.pop(event.key, None)
        if not self.broken:
            try:
                self.socket.sendall(pickle.dumps(event))
            except OSError:
                self.broken = True

    def __enter__(self) -> "Sending":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if not self.broken:
            with suppress(OSError), self.socket:
                self.socket.shutdown(socket.SHUT_WR)
                self.socket.recv(1)  # nothing, once the other side has read all


class Showing:
    """Shows the events of this process and, at the times when they arrive, those of others; a context.

    Clocks of machines differ, so an event gets the time of this one.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.running: set[str] = set()

    def late(self, event: Event) -> None:
        """Show an event of another process; of a job that is over, no progress any more."""
        if not isinstance(event, TaskAdvanced) or event.job in self.running:
            self._show(replace(event, time=now()))

    def __enter__(self) -> "Showing":
        self.before = progress.relay(self._show)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        progress.relay(self.before)

    def _show(self, event: Event) -> None:
        with self.lock:
            if isinstance(event, JobStarted):
                self.running.add(event.job)
            elif isinstance(event, JobFinished):
                self.running.discard(event.job)
            self.before(event)


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True


@contextmanager
def shown(host: str) -> Iterator[Address]:
    """Show the events of this process and those that are sent to the address, on this `host`."""
    key = secrets.token_bytes(32)

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            if hmac.compare_digest(self.rfile.read(len(key)), key):
                with suppress(EOFError, OSError, pickle.UnpicklingError):  # of a process that was killed
                    while True:
                        showing.late(pickle.load(self.rfile))

    with Showing() as showing, _Server((host, 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.1,), daemon=True).start()
        try:
            yield Address(host, server.server_address[1], key)
        finally:
            server.shutdown()

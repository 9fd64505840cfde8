"""Where metrics go: into a file that is replaced every few seconds, and to those who ask for them by HTTP."""

import os
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from prometheus_client import make_wsgi_app

from pipeline.errors import UsageError
from pipeline.events.listener import Event, Listener, Note
from pipeline.events.metrics import Metrics
from pipeline.settings import Settings, shown_address
from pipeline.timing import Timing

_LAST_WRITE = 0.5  # seconds to wait for the last write, because a network folder may not answer
_POLL = 0.1  # seconds, at most, until a server notices that it is closed


class Exported:
    """A listener that keeps metrics, and exports them as the settings say until it is closed."""

    def __init__(self, settings: Settings, timing: Timing, log: Listener) -> None:
        """`log` hears where metrics are served, and faults of the file. Raises `UsageError`."""
        self._metrics = Metrics()
        self._outlets: list[MetricsFile | MetricsServer] = []

        def warn(message: str) -> None:
            log.hear(Note(message, "warning"))

        try:
            if settings.metrics_file:
                path = Path(settings.metrics_file)
                self._outlets.append(MetricsFile(path, self._metrics.text, timing.metrics_file, warn))
            if settings.metrics_address:
                server = MetricsServer(self._metrics, *settings.metrics_address)
                self._outlets.append(server)
                log.hear(Note("serving metrics", details={"url": server.url}))
        except UsageError:
            self.close()
            raise

    def hear(self, event: Event) -> None:
        self._metrics.hear(event)

    def close(self) -> None:
        self._metrics.close()
        for outlet in self._outlets:
            outlet.close()


class MetricsFile:
    """A file that a thread replaces every few seconds, and when it is closed.

    It is written beside its place and renamed, so that nobody reads a part of it. Its name until then does
    not end with `.prom`, so that the textfile collector of node_exporter does not read it.
    """

    def __init__(
        self, path: Path, text: Callable[[], bytes], every: float, warn: Callable[[str], None]
    ) -> None:
        """`text` gives the content, `every` is in seconds, `warn` gets a sentence when faults begin.

        Raises `UsageError` if the file can't be written.
        """
        self._path, self._text, self._every, self._warn = path, text, every, warn
        self._closed, self._failing = threading.Event(), False
        if not path.name:
            raise UsageError(f"{path}: metrics can't be written there (it is a folder); choose another file")
        try:
            self._write()
        except OSError as error:
            raise UsageError(f"{self._fault(error)}; choose another file") from None
        self._thread = threading.Thread(target=self._work, name="metrics file", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Write it for the last time."""
        self._closed.set()
        self._thread.join(_LAST_WRITE)

    def _work(self) -> None:
        while not self._closed.wait(self._every):
            self._try_to_write()
        self._try_to_write()

    def _try_to_write(self) -> None:
        try:
            self._write()
        except OSError as error:
            if not self._failing:
                self._warn(f"{self._fault(error)}; trying again")
            self._failing = True
        else:
            self._failing = False

    def _write(self) -> None:
        partial = self._path.with_name(f"{self._path.name}.{os.getpid()}.tmp")
        try:
            partial.write_bytes(self._text())
            partial.replace(self._path)
        except OSError:
            with suppress(OSError):
                partial.unlink()
            raise

    def _fault(self, error: OSError) -> str:
        return f"{self._path}: metrics can't be written there ({error.strerror})"


class MetricsServer:
    """Serves metrics by HTTP at every path, in threads."""

    def __init__(self, metrics: Metrics, host: str, port: int) -> None:
        """Port 0 is any free one; `url` then has its number. Raises `UsageError` if the port is taken."""
        try:
            self._server = _Server(host, port)
        except OSError as error:
            raise UsageError(
                f"metrics can't be served at {shown_address(host, port)} ({error.strerror}); "
                "choose another port"
            ) from None
        self._server.set_app(make_wsgi_app(metrics.registry))
        self.url = f"http://{shown_address(host, self._server.server_port)}/metrics"
        threading.Thread(
            target=self._server.serve_forever, args=(_POLL,), name="metrics server", daemon=True
        ).start()

    def close(self) -> None:
        """Take no more requests."""
        self._server.shutdown()
        self._server.server_close()


class _Handler(WSGIRequestHandler):
    timeout = 10.0  # seconds for a client that sends nothing

    def log_message(self, *_: Any) -> None:
        pass  # requests do not belong into the log


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True

    def __init__(self, host: str, port: int) -> None:
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        super().__init__((host, port), _Handler)

    def handle_error(self, *_: Any) -> None:
        pass  # a client that breaks off is no fault of this process

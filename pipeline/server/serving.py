"""Runs the application in a thread: the main thread waits for signals, and the work has its own thread."""

import asyncio
import logging
import socket
import threading
from collections import Counter
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from pipeline.errors import UsageError
from pipeline.server.hub import Hub
from pipeline.timing import Timing
from pipeline.work.session import Session

_QUEUED = 1024  # connections that the kernel keeps until they are accepted
_CONNECTIONS, _CONNECTIONS_EACH = 1024, 512  # at the same time, and of them from one address
_FINISHING = 0.6  # seconds for answers that are on their way when the server stops

# The lines of uvicorn are not JSON. What a person should know is reported as an event.
for _name in ("uvicorn.error", "uvicorn.access"):
    logging.getLogger(_name).setLevel(logging.CRITICAL + 1)


def bound(host: str, port: int) -> socket.socket:
    """A socket that listens at an address. Raises `UsageError` with the reason if that is impossible."""
    try:
        family, *_, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        return socket.create_server(address[:2], family=family, backlog=_QUEUED)
    except (OSError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise UsageError(
            f"can't listen at {host}, port {port}: {reason}; choose others with --host and --port"
        ) from None


class Serving:
    """An application that is served until the session stops; waiting requests are answered then."""

    def __init__(self, app: ASGIApp, listening: socket.socket, hub: Hub, session: Session) -> None:
        """All of the session ends when the server does."""
        self._socket, self._hub, self._session = listening, hub, session
        timing = session.timing
        config = uvicorn.Config(
            app,
            http=_protocol(timing),
            ws="none",
            loop="asyncio",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=round(timing.headers),
            timeout_graceful_shutdown=1,
            h11_max_incomplete_event_size=2**16,  # bytes of headers
        )
        self._server = uvicorn.Server(config)
        self.failure: BaseException | None = None  # that ended the server
        self._thread = threading.Thread(target=self._serve, name="door", daemon=True)
        self._watcher = threading.Thread(target=self._end_with_stop, name="stop door", daemon=True)

    def start(self) -> None:
        """Accept connections."""
        self._thread.start()
        self._watcher.start()

    def join(self) -> None:
        """Wait for answers that are on their way, for a moment at most. Stop the session before."""
        self._thread.join(_FINISHING)

    def _serve(self) -> None:
        try:
            asyncio.run(self._server.serve(sockets=[self._socket]))
        except BaseException as error:
            self.failure = error
        self._session.end_soon()

    def _end_with_stop(self) -> None:
        self._session.stop.wait()
        self._server.should_exit = True
        self._hub.ring()


def _protocol(timing: Timing) -> type[asyncio.Protocol]:
    """The protocol of a connection, which ends if no request comes, or if the answer is not taken."""
    addresses: Counter[str] = Counter()

    class Limited(H11Protocol):
        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._address = self.client[0] if self.client else ""
            self._request_timer: asyncio.TimerHandle | None = None
            self._answer_timer: asyncio.TimerHandle | None = None
            addresses[self._address] += 1
            if len(self.connections) > _CONNECTIONS or addresses[self._address] > _CONNECTIONS_EACH:
                transport.abort()
                return
            self._expect_request()

        def connection_lost(self, exc: Exception | None) -> None:
            _cancel(self._request_timer)
            _cancel(self._answer_timer)
            addresses[self._address] -= 1
            if not addresses[self._address]:
                del addresses[self._address]
            super().connection_lost(exc)

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self._expect_request()

        def pause_writing(self) -> None:
            super().pause_writing()
            self._answer_timer = self.loop.call_later(timing.answer_part, self.transport.abort)

        def resume_writing(self) -> None:
            super().resume_writing()
            _cancel(self._answer_timer)

        def _expect_request(self) -> None:
            """Give the client some time for the headers of a request, unless one is being answered."""
            if self.cycle is not None and not self.cycle.response_complete:
                _cancel(self._request_timer)
                self._request_timer = None
            elif self._request_timer is None:
                self._request_timer = self.loop.call_later(timing.headers, self.transport.abort)

    return Limited


def _cancel(timer: asyncio.TimerHandle | None) -> None:
    if timer is not None:
        timer.cancel()

"""The outermost layer of the door: bodies are counted and timed, and each answer gets its headers."""

import asyncio
from collections import Counter
from collections.abc import Callable
from contextlib import suppress

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pipeline.errors import UNEXPECTED
from pipeline.server.access import Access
from pipeline.server.problems import RefusedError, problem_response, retry_later
from pipeline.timing import Timing

# For answers that load nothing and run nothing. A page that loads or runs something sets its own policy.
POLICY = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
_HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
_PLACES = 512  # requests at the same time
_PLACES_EACH = 256  # of them, from one address
_DRAINED = 2.0  # seconds for which what a refused client still sends is thrown away
_ALWAYS = ("/healthz",)  # paths that need no place


class Bodies:
    """Lets requests in, one by one, and passes them on with limits.

    A client whose request is refused before its body has come gets the answer at once; the connection then
    ends.
    """

    def __init__(
        self, app: ASGIApp, access: Access, most: int, timing: Timing, warn: Callable[[str], None]
    ) -> None:
        """`most` is the number of bytes that a body may have.

        `warn` reports a fault of the program in the checks of a request.
        """
        self._app, self._access, self._most, self._timing, self._warn = app, access, most, timing, warn
        self._taken: Counter[str] = Counter()  # places, by address

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        headers = Headers(scope=scope)
        exchange = _Exchange(headers, receive, send, self._most, self._timing)
        client = scope["client"][0] if scope.get("client") else ""
        counted = scope["path"] not in _ALWAYS
        self._taken[client] += counted
        try:
            self._access.check(headers, scope["method"], scope["path"])
            if counted:
                self._check_places(client)
            exchange.check_length()
        except RefusedError as refused:
            await problem_response(refused)(scope, exchange.receive, exchange.send)
        except Exception as error:
            self._warn(f"{scope['method']} {scope['path']}: {UNEXPECTED}: {error!r}")
            await problem_response(RefusedError(500, UNEXPECTED))(scope, exchange.receive, exchange.send)
        else:
            await self._app(scope, exchange.receive, exchange.send)
        finally:
            self._taken[client] -= counted
            if not self._taken[client]:
                del self._taken[client]

    def _check_places(self, client: str) -> None:
        if self._taken[client] > _PLACES_EACH:
            raise retry_later(429, f"this client has {_PLACES_EACH} requests open; wait until one has ended")
        if self._taken.total() > _PLACES:
            raise retry_later(503, "too many requests are open; try again")


class _Exchange:
    """One request and its answer."""

    def __init__(self, headers: Headers, receive: Receive, send: Send, most: int, timing: Timing) -> None:
        self._receive, self._send, self._most, self._timing = receive, send, most, timing
        self._length = headers.get("content-length", "0")
        self._size, self._whole = 0, self._length == "0" and "transfer-encoding" not in headers
        self._late = False  # the client sends nothing any more
        self._until = asyncio.get_running_loop().time() + timing.body

    def check_length(self) -> None:
        """Refuse a body that says itself that it is too long."""
        if int(self._length) > self._most:
            raise self._too_large()

    async def receive(self) -> Message:
        """The next part of the body. Raises `RefusedError` if it is too long or comes too slowly."""
        if self._whole:
            return await self._receive()  # waits until the client leaves
        part = asyncio.get_running_loop().time() + self._timing.body_part
        try:
            async with asyncio.timeout_at(min(part, self._until)):
                message = await self._receive()
        except TimeoutError:
            self._late = True
            raise RefusedError(408, "the body of the request came too slowly; send it again") from None
        self._size += len(message.get("body", b""))
        self._whole = not message.get("more_body", False)
        if self._size > self._most:
            raise self._too_large()
        return message

    async def send(self, message: Message) -> None:
        """Send a part of the answer."""
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in _HEADERS.items():
                headers.setdefault(name, value)
            if not self._whole:
                headers["Connection"] = "close"
        last = message["type"] == "http.response.body" and not message.get("more_body", False)
        if last and not self._whole:
            await self._send({**message, "more_body": True})
            await self._drain()
            message = {"type": "http.response.body", "body": b""}
        await self._send(message)

    async def _drain(self) -> None:
        """Throw away what the client still sends, so that it reads its answer before the connection ends."""
        with suppress(TimeoutError):
            async with asyncio.timeout(0 if self._late else _DRAINED):
                while not self._whole:
                    self._whole = not (await self._receive()).get("more_body", False)

    def _too_large(self) -> RefusedError:
        return RefusedError(413, f"the request is larger than {self._most:,} bytes; send less (--max-upload)")

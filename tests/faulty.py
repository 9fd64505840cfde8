"""A proxy between a client and a real S3 server that simulates faults of a network and of the server."""

import asyncio
import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from unittest import mock

from aiohttp import ClientSession, DummyCookieJar, TCPConnector, web
from multidict import CIMultiDict
from yarl import URL

STALL = 2.0  # seconds without an answer

FAULTS: tuple[str, ...] = ("error", "slow down", "timeout", "reset", "stall", "truncate", "late")
# Headers that a proxy does not forward, because they describe a single connection.
_HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "expect"}
_DENIED = "<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
_TIMEOUT = "<Error><Code>RequestTimeout</Code><Message>Idle connections are closed.</Message></Error>"
_SLOW_DOWN = "<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"


class Faulty:
    """Applies a random one of `FAULTS` to a share `rate` of all requests, or one of `faults`.

    `sorry`, which is none of `FAULTS`, is a page that a proxy sends in the place of an answer.

    `done` counts the faults. Requests for which `denies` is true get "access denied".
    """

    def __init__(self, backend: str) -> None:
        self.rate, self.faults = 0.0, FAULTS
        self.done: Counter[str] = Counter()
        self._backend, self._random = backend, random.Random(0)
        self._next: str | None = None
        self.denies: Callable[[web.Request], bool] = lambda request: False

    def fail_next(self, fault: str) -> None:
        """Apply this fault to the next request only."""
        self._next = fault

    def _choose(self) -> str:
        fault, self._next = self._next, None
        return fault or (self._random.choice(self.faults) if self._random.random() < self.rate else "none")

    async def serve(self, request: web.Request) -> web.StreamResponse:
        try:
            return await self._serve(request)
        except ConnectionResetError:  # the client has died
            return _reset(request)

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        fault = self._choose()
        self.done[fault] += 1
        body = await request.read()
        if self.denies(request):
            return web.Response(status=403, text=_DENIED, content_type="application/xml")
        if fault == "error":
            return web.Response(status=500)
        if fault == "slow down":
            return web.Response(status=503, text=_SLOW_DOWN, content_type="application/xml")
        if fault == "timeout":
            return web.Response(status=400, text=_TIMEOUT, content_type="application/xml")
        if fault == "reset":
            return _reset(request)
        if fault == "sorry":
            return web.Response(text="<html><body>Sorry</body></html>", content_type="text/html")
        if fault == "stall":
            await asyncio.sleep(STALL)
            return _reset(request)
        answer, data = await self._ask(request, body)
        if fault == "late":
            return _reset(request)  # the server has done it, but the client gets no answer
        if fault == "truncate" and len(data) > 1:
            await answer.prepare(request)
            await answer.write(data[: len(data) // 2])
            return _reset(request)
        answer.body = data
        return answer

    async def _ask(self, request: web.Request, body: bytes) -> tuple[web.Response, bytes]:
        headers = _end_to_end(request.headers)
        url = URL(self._backend + request.raw_path, encoded=True)
        # Keep host and path unchanged, because the signature of the request covers them.
        connector = TCPConnector(force_close=True)
        async with (
            ClientSession(connector=connector, auto_decompress=False, cookie_jar=DummyCookieJar()) as session,
            session.request(
                request.method, url, headers=headers, data=body, skip_auto_headers=["Content-Type"]
            ) as found,
        ):
            data = await found.read()
            return web.Response(status=found.status, headers=_end_to_end(found.headers)), data


def _end_to_end(headers: "CIMultiDict[str] | object") -> "CIMultiDict[str]":
    kept: CIMultiDict[str] = CIMultiDict(headers)  # type: ignore[arg-type]
    for name in _HOP_BY_HOP:
        kept.popall(name, None)
    return kept


def _reset(request: web.Request) -> web.Response:
    if request.transport:
        request.transport.abort()
    return web.Response()


def retries_at_once() -> AbstractContextManager[object]:
    """Let boto3 retry requests without a pause. No public name of botocore does so."""
    return mock.patch("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0)


@contextmanager
def proxy(backend: str) -> Iterator[tuple[str, Faulty]]:
    """Run a proxy for `backend`; yields its endpoint and its `Faulty`, which applies no faults at first."""
    faulty = Faulty(backend)
    loop = asyncio.new_event_loop()
    ports: list[int] = []
    ready = threading.Event()

    async def start() -> web.AppRunner:
        app = web.Application(client_max_size=2**30)
        app.router.add_route("*", "/{path:.*}", faulty.serve)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        ports.append(runner.addresses[0][1])
        ready.set()
        return runner

    def work() -> None:
        runner = loop.run_until_complete(start())
        loop.run_forever()
        loop.run_until_complete(runner.cleanup())
        loop.close()

    thread = threading.Thread(target=work, name="proxy")
    thread.start()
    ready.wait()
    try:
        yield f"http://127.0.0.1:{ports[0]}", faulty
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()

"""Many clients of an HTTP door at once, some of which leave or send only a part of a request."""

import asyncio
import random
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from io import BytesIO

from aiohttp import ClientError, ClientSession, ClientTimeout, FormData, TCPConnector
from PIL import Image

from tests.conftest import make_png

PAIRS = ("p0", "p1", "p2")  # of a manifest
_BROKEN = (ClientError, TimeoutError, ConnectionError)  # the door was killed
_REFUSED = (429, 503)  # a client sends the request again


@dataclass
class Clients:
    """What they send and what they are answered. `accepted` has the names of manifests.

    `counts["wrong"]` are answers that a client must not get; `remarks` has a sentence about each.
    """

    url: str
    chance: random.Random
    counts: Counter[str] = field(default_factory=Counter)
    accepted: set[str] = field(default_factory=set)
    remarks: list[str] = field(default_factory=list)

    async def visit(self, clients: int, seconds: float) -> None:
        """Let so many clients send requests for some time, one after the other each."""
        end = time.monotonic() + seconds
        limits = TCPConnector(limit=0, force_close=True)
        async with ClientSession(self.url, connector=limits, timeout=ClientTimeout(total=60)) as session:
            await session.put("/images/a.png", data=make_png())
            await asyncio.gather(*(self._client(session, end) for _ in range(clients)))

    async def _client(self, session: ClientSession, end: float) -> None:
        acts = (self._picture, self._leave, self._cut_off, self._manifest)
        while time.monotonic() < end:
            (act,) = self.chance.choices(acts, (0.6, 0.15, 0.15, 0.1))
            await act(session)
            await asyncio.sleep(self.chance.random())

    async def _picture(self, session: ClientSession) -> None:
        """Send a request until it is answered. The picture must be whole."""
        key, seed = self._key(), self.chance.randrange(10**6)
        headers = {
            "Idempotency-Key": key,
            "Prefer": self.chance.choice(("wait=30", "wait=30", "respond-async")),
        }
        while True:
            with suppress(*_BROKEN):
                async with session.post("/stylize", data=_form(seed), headers=headers) as answer:
                    data = await answer.read()
                    if answer.status not in _REFUSED:
                        self._answered(answer.status, answer.headers.get("Location", ""), data)
                        return
                    self.counts["refused"] += 1
            await asyncio.sleep(1)

    def _answered(self, status: int, location: str, data: bytes) -> None:
        if status not in (200, 202):
            self._remark(f"POST /stylize: {status} {data[:200]!r}")
            return
        self.accepted.add(location.removeprefix("/jobs/"))
        self.counts["pictures" if status == 200 else "later"] += 1
        if status == 200:
            with Image.open(BytesIO(data)) as picture:
                picture.load()

    async def _leave(self, session: ClientSession) -> None:
        """Send a request, and close the connection before the answer."""
        self.counts["left"] += 1
        patience = ClientTimeout(total=0.05 + 0.5 * self.chance.random())
        with suppress(*_BROKEN):
            form = _form(self.chance.randrange(10**6))
            async with session.post("/stylize", data=form, timeout=patience):
                pass

    async def _cut_off(self, session: ClientSession) -> None:
        """Send a part of a request, and close the connection."""
        self.counts["cut off"] += 1
        part = b'--x\r\nContent-Disposition: form-data; name="content_image"; filename="a.png"\r\n\r\n'
        body = part + make_png()
        head = (
            f"POST /stylize HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {2 * len(body)}\r\n"
            "Content-Type: multipart/form-data; boundary=x\r\n\r\n"
        )
        with suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", int(self.url.rpartition(":")[2]))
            writer.write(head.encode() + body[: self.chance.randrange(len(body))])
            await writer.drain()
            await asyncio.sleep(0.2 * self.chance.random())
            writer.transport.abort()

    async def _manifest(self, session: ClientSession) -> None:
        """Put a manifest into the inbox. It is there already if the answer to an earlier attempt was lost."""
        name = f"m{self._key()}"
        listed = [{"id": pair, "content": "a.png", "style": "a.png", "max_size": 32} for pair in PAIRS]
        while True:
            with suppress(*_BROKEN):
                async with session.put(f"/manifests/{name}", json={"pairs": listed}) as answer:
                    text = await answer.text()
                    if answer.status not in _REFUSED:
                        break
                    self.counts["refused"] += 1
            await asyncio.sleep(1)
        if answer.status in (201, 409):
            self.counts["manifests"] += 1
            self.accepted.add(name)
        else:
            self._remark(f"PUT /manifests: {answer.status} {text[:200]}")

    def _key(self) -> str:
        return f"{self.chance.getrandbits(64):016x}"

    def _remark(self, what: str) -> None:
        self.counts["wrong"] += 1
        self.remarks.append(f"wrong: {what}")


def _form(seed: int) -> FormData:
    form = FormData()
    for name in ("content_image", "style_image"):
        form.add_field(name, make_png(seed=seed), filename="image.png")
    form.add_field("max_size", "32")
    return form

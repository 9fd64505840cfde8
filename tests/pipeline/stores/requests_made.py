"""Counts the requests of a boto3 client."""

from typing import Any


class Requests:
    """What a client has sent, as method and key, since `clear`. `largest` is of all that it has sent."""

    def __init__(self, client: Any, bucket: str) -> None:
        self.made: list[str] = []
        self.largest = 0  # bytes of the largest body that was sent
        self._start = f"/{bucket}/"
        client.meta.events.register("before-send.s3", self._on_request)

    def clear(self) -> None:
        self.made.clear()

    def _on_request(self, request: Any, **_: object) -> None:
        path = request.url.partition("?")[0].partition(self._start)[2]
        self.made.append(f"{request.method} {path}".strip())
        body = request.body or b""
        self.largest = max(self.largest, len(body if isinstance(body, bytes) else body.getvalue()))

"""Requests that no ordinary client sends, byte by byte."""

import json
import socket
from dataclasses import dataclass
from typing import Any

BOUNDARY = "xxBOUNDARYxx"


@dataclass(frozen=True)
class Answer:
    """What came back before the server closed the connection."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def problem(self) -> dict[str, Any]:
        assert self.headers["content-type"] == "application/problem+json"
        found: dict[str, Any] = json.loads(self.body)
        return found


def send(port: int, *parts: bytes, end: bool = False) -> Answer | None:
    """Send bytes, and read until the server closes; none if it has closed without an answer.

    With `end`, the client ends its side of the connection after the last part, and the server takes that
    for leaving.
    """
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        try:
            for part in parts:
                connection.sendall(part)
            if end:
                connection.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # the server has answered meanwhile
        found = b""
        try:
            while data := connection.recv(2**16):
                found += data
        except ConnectionResetError:
            pass
    if not found:
        return None
    head, _, body = found.partition(b"\r\n\r\n")
    status, *lines = head.decode().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    return Answer(int(status.split()[1]), headers, body)


def head(method: str, path: str, *lines: str, host: str = "127.0.0.1") -> bytes:
    """The first lines of a request."""
    return "\r\n".join([f"{method} {path} HTTP/1.1", f"Host: {host}", *lines, "", ""]).encode()


def form(*parts: tuple[str, bytes]) -> bytes:
    """A form of parts, each with the text after `form-data; ` and its content."""
    return b"".join(
        f"--{BOUNDARY}\r\nContent-Disposition: form-data; {names}\r\n\r\n".encode() + content + b"\r\n"
        for names, content in parts
    ) + f"--{BOUNDARY}--\r\n".encode()  # fmt: skip


def posted(body: bytes, *lines: str, path: str = "/stylize") -> bytes:
    """A request with a form; it ends the connection."""
    kind = f"Content-Type: multipart/form-data; boundary={BOUNDARY}"
    return head("POST", path, kind, f"Content-Length: {len(body)}", "Connection: close", *lines) + body

"""Requests of an attacker: each gets a clear answer of 4xx, nothing is read for it, and nothing is kept."""

import io
import struct
import zlib

import pytest
from PIL import Image

from tests.nst.making import png, png_header
from tests.pipeline.server.conftest import CONTENT, STYLE, Serve, Served
from tests.pipeline.server.raw import BOUNDARY, form, head, posted, send

IMAGES = (
    ('name="content_image"; filename="content.jpg"', CONTENT),
    ('name="style_image"; filename="style.jpg"', STYLE),
)


@pytest.fixture
def served(serve: Serve) -> Served:
    return serve(works=False)


def bomb(width: int, height: int) -> bytes:
    """A PNG of so many white pixels, of which the data is a few kilobytes."""
    rows = zlib.compress(bytes(1000))
    return png(png_header(width, height, bits=1, kind=0), (b"IDAT", rows), (b"IEND", b""))


def many_frames() -> bytes:
    """A GIF whose first frame is larger than what may be decoded."""
    out = io.BytesIO()
    Image.new("P", (1, 1)).save(out, "GIF")
    data = bytearray(out.getvalue())
    data[6:10] = struct.pack("<HH", 65535, 65535)
    return bytes(data)


def with_type(kind: str, body: bytes) -> bytes:
    length = f"Content-Length: {len(body)}"
    return head("POST", "/stylize", f"Content-Type: {kind}", length, "Connection: close") + body


REQUESTS = {
    "no content type": head("POST", "/stylize", "Content-Length: 4", "Connection: close") + b"abcd",
    "another content type": with_type("text/plain", b"abcd"),
    "an urlencoded form": with_type("application/x-www-form-urlencoded", b"content_image=a&style_image=b"),
    "json": with_type("application/json", b"{}"),
    "no boundary": with_type("multipart/form-data", form(*IMAGES)),
    "an empty boundary": with_type("multipart/form-data; boundary=", form(*IMAGES)),
    "another boundary": with_type("multipart/form-data; boundary=other", form(*IMAGES)),
    "a long boundary": with_type(f"multipart/form-data; boundary={'b' * 5000}", form(*IMAGES)),
    "a codec that decodes nothing": with_type(
        f"multipart/form-data; boundary={BOUNDARY}; charset=undefined", form(*IMAGES)
    ),
    "an empty body": posted(b""),
    "no parts": posted(form()),
    "no last boundary": posted(form(*IMAGES)[: -len(BOUNDARY) - 6]),
    "a part without a name": posted(form(("", CONTENT))),
    "a part without a disposition": posted(f"--{BOUNDARY}\r\n\r\nx\r\n--{BOUNDARY}--\r\n".encode()),
    "many fields": posted(form(*((f'name="f{n}"', b"") for n in range(10**5)))),
    "many equal fields": posted(form(*(('name="epochs"', b"1") for _ in range(10**5)))),
    "a thousand files": posted(form(*(('name="style_image"; filename="a"', STYLE) for _ in range(1000)))),
    "a long field": posted(form(*IMAGES, ('name="epochs"', b"1" * 10**7))),
    "a long name of a field": posted(form(*IMAGES, (f'name="{"n" * 10**5}"', b"1"))),
    "many headers of a part": posted(
        f"--{BOUNDARY}\r\n{'X-A: b' * 2000}\r\n".encode() * 2 + b"\r\n" + form(*IMAGES)
    ),
    "a name with CRLF": posted(form(*IMAGES, ('name="a%0d%0aSet-Cookie: b"', b"1"))),
    "a bomb of pixels": posted(form((IMAGES[0][0], bomb(60_000, 60_000)), IMAGES[1])),
    "a bomb within the limit of pixels": posted(form((IMAGES[0][0], bomb(10_000, 10_000)), IMAGES[1])),
    "a bomb as a style": posted(form(IMAGES[0], (IMAGES[1][0], bomb(2**31 - 1, 2**31 - 1)))),
    "a GIF of a huge canvas": posted(form((IMAGES[0][0], many_frames()), IMAGES[1])),
    "a program as a picture": posted(form((IMAGES[0][0], b"%!PS-Adobe-3.0 EPSF-3.0\n"), IMAGES[1])),
    "a path as an image": posted(form(('name="content_image"', b"/etc/passwd"), IMAGES[1])),
    "deep nesting in a field": posted(form(*IMAGES, ('name="epochs"', b"[" * 1200 + b"]" * 1200))),
    "a path in a field": posted(form(*IMAGES, ('name="style"', b"../../etc/passwd"))),
    "another manifest in a field": posted(form(*IMAGES, ('name="pairs"', b'[{"content": "/etc/passwd"}]'))),
    "deep JSON in a field": posted(form(*IMAGES, ('name="content_layers"', b"[" * 60_000))),
    "a huge number": posted(form(*IMAGES, ('name="seed"', b"9" * 60_000))),
    "NUL in a field": posted(form(*IMAGES, ('name="format"', b"png\x00"))),
    "no UTF-8 in a field": posted(form(*IMAGES, ('name="format"', b"\xff\xfe"))),
    "another Host": posted(form(*IMAGES)).replace(b"Host: 127.0.0.1", b"Host: evil.example"),
    "another Origin": posted(form(*IMAGES), "Origin: http://evil.example"),
    "a form of another page": posted(form(*IMAGES), "Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate"),
    "a negative length": head("POST", "/stylize", "Content-Length: -1", "Connection: close"),
    "two lengths": head("POST", "/stylize", "Content-Length: 1", "Content-Length: 2"),
    "length and chunks": head("POST", "/stylize", "Content-Length: 4", "Transfer-Encoding: gzip"),
    "bad chunks": head("POST", "/stylize", "Transfer-Encoding: chunked") + b"zz\r\nabc\r\n",
    "no HTTP": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 20 + b"\r\n\r\n",
    "a path with NUL": head("GET", "/results/m/a%00b", "Connection: close"),
    "a path out of the outbox": head("GET", "/results/../../../etc/passwd", "Connection: close"),
    "an encoded path out of the outbox": head(
        "GET", "/results/m/..%2f..%2f..%2fetc/passwd", "Connection: close"
    ),
    "a path out of the inbox": head("PUT", "/images/../a.png", "Content-Length: 0", "Connection: close"),
    "an encoded path out of the inbox": head("GET", "/manifests/..%2f..%2fetc", "Connection: close"),
    "a long path": head("GET", f"/results/{'a/' * 10_000}", "Connection: close"),
    "an absolute address": head(
        "GET", "http://evil.example/manifests", "Connection: close", host="evil.example"
    ),
    "an upgrade": head("GET", "/nothing", "Connection: upgrade, close", "Upgrade: websocket"),
}


@pytest.mark.parametrize("name", REQUESTS)
def test_a_hostile_request_gets_a_clear_answer_and_nothing_is_kept(served: Served, name: str) -> None:
    answer = send(served.port, REQUESTS[name])
    assert answer is not None
    assert 400 <= answer.status < 500
    assert "set-cookie" not in answer.headers
    assert served.files() == []
    assert not any(verb in ("write", "replace") for verb, _ in served.inbox.calls)


def test_a_file_name_with_a_path_has_no_effect(served: Served) -> None:
    """Names of files are not used at all."""
    names = ("../../../etc/cron.d/x", "/etc/passwd", "a\0b", "con", "..\\..\\a", "a%0d%0ab", "x" * 3000)
    for name in names:
        parts = (f'name="content_image"; filename="{name}"', CONTENT), IMAGES[1]
        answer = send(served.port, posted(form(*parts), "Prefer: respond-async"))
        assert answer is not None
        assert answer.status == 202
    assert {key.rpartition("/")[2] for key in served.files() if "/" in key} == {"content.png", "style-1.png"}

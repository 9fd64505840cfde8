import zlib

import pytest

from tests.conftest import make_png
from tests.nst.making import with_chunk
from tests.pipeline.server.conftest import Serve


def test_an_image_is_put_where_a_manifest_names_it(serve: Serve) -> None:
    served, image = serve(works=False), make_png()
    answer = served.client.put("/images/photos/cat.png", content=image)
    assert (answer.status_code, answer.json()) == (201, {"path": "photos/cat.png", "size": len(image)})
    assert served.inbox.read("photos/cat.png", 10**6) == image


@pytest.mark.parametrize("content", [b"", b"text", make_png()[:-30]])
def test_what_cannot_be_decoded_is_refused_and_not_kept(serve: Serve, content: bytes) -> None:
    served = serve(works=False)
    answer = served.client.put("/images/a.png", content=content)
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
    assert served.files() == []


@pytest.mark.parametrize(
    "path",
    [
        "..%2fa.png",
        "%2e%2e/a.png",
        "a/%2e%2e/%2e%2e/b.png",
        "%2fetc/a.png",
        "processing/a.png",
        "Done/a.png",
        "requests/a.png",
        "a.json",
        "a.JSON",
        ".hidden.png",
        "a/.lock/b.png",
        "a%00.png",
        "a%0d%0ab.png",
        "a//b.png",
        "a%5cb.png",
        "/".join("a" * 20) + ".png",
    ],
)
def test_an_image_cannot_be_put_where_only_the_program_writes(serve: Serve, path: str) -> None:
    served = serve(works=False)
    answer = served.client.put(f"/images/{path}", content=make_png())
    assert 400 <= answer.status_code < 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert served.files() == []


@pytest.mark.parametrize(
    ("kind", "side_data"), [(b"zTXt", b"key\0\0" + zlib.compress(bytes(2**21))), (b"pHYs", b"1234")]
)
def test_a_png_is_kept_whatever_stands_beside_its_pixels(serve: Serve, kind: bytes, side_data: bytes) -> None:
    served = serve(works=False)
    image = with_chunk(make_png(), kind, side_data)
    assert served.client.put("/images/a.png", content=image).status_code == 201

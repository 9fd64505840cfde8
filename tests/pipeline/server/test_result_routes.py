from urllib.parse import quote

import pytest

from tests.pipeline.server.conftest import Serve, Served

TEXT = bytes(range(100))


@pytest.fixture
def filled(serve: Serve) -> Served:
    served = serve(works=False)
    snapshots = ("p.snapshots/01.jpg", "p.snapshots/animation.webp", "p.snapshots/mine.mp4")
    others = ("thumbs/0123456789abcdef.jpg", "x.svg", "p.tiff", *snapshots)
    for name in ("p.png", "p.loss.jsonl", "p.json", "index.html", *others):
        served.outbox.write(f"m/{name}", TEXT)
    served.outbox.write("m/.hidden", TEXT)
    served.outbox.write("secret.txt", TEXT)
    return served


@pytest.mark.parametrize(
    ("file", "kind"),
    [
        ("p.png", "image/png"),
        ("p.tiff", "image/tiff"),
        ("p.loss.jsonl", "application/x-ndjson"),
        ("p.json", "application/json"),
        ("index.html", "text/html; charset=utf-8"),
        ("thumbs/0123456789abcdef.jpg", "image/jpeg"),
        ("x.svg", "application/octet-stream"),
        ("p.snapshots/01.jpg", "image/jpeg"),
        ("p.snapshots/animation.webp", "image/webp"),
        ("p.snapshots/mine.mp4", "application/octet-stream"),
    ],
)
def test_files_have_their_type_and_run_nothing(filled: Served, file: str, kind: str) -> None:
    answer = filled.client.get(f"/results/m/{file}")
    assert (answer.status_code, answer.content, answer.headers["content-type"]) == (200, TEXT, kind)
    assert answer.headers["x-content-type-options"] == "nosniff"
    policy = [part.strip() for part in answer.headers["content-security-policy"].split(";")]
    assert "sandbox allow-same-origin allow-downloads" in policy
    assert {"default-src 'none'", "frame-ancestors 'none'"} <= set(policy)
    assert not any(part.startswith("script-src") for part in policy)
    assert ("content-disposition" in answer.headers) == (kind == "application/octet-stream")


def test_the_page_of_a_manifest_is_its_folder(filled: Served) -> None:
    answer = filled.client.get("/results/m", follow_redirects=True)
    assert answer.url.path == "/results/m/"
    assert answer.content == TEXT


@pytest.mark.parametrize("name", ["https:evil.example", "a%41", "a b", "ä?#"])
def test_the_page_of_a_manifest_of_any_name_is_its_folder(filled: Served, name: str) -> None:
    filled.outbox.write(f"{name}/index.html", TEXT)
    answer = filled.client.get(f"/results/{quote(name, safe='')}", follow_redirects=True)
    assert (answer.url.host, answer.url.path) == ("127.0.0.1", f"/results/{name}/")
    assert answer.content == TEXT


def test_a_file_that_the_client_has_is_not_sent_again(filled: Served) -> None:
    tag = filled.client.get("/results/m/p.png").headers["etag"]
    for known in (tag, f'"other", W/{tag}', "*"):
        answer = filled.client.get("/results/m/p.png", headers={"If-None-Match": known})
        assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", tag)
    filled.outbox.write("m/p.png", b"new")
    assert filled.client.get("/results/m/p.png", headers={"If-None-Match": tag}).status_code == 200


@pytest.mark.parametrize(
    ("asked", "part", "shown"),
    [
        ("bytes=0-9", TEXT[:10], "bytes 0-9/100"),
        ("bytes=90-", TEXT[90:], "bytes 90-99/100"),
        ("bytes=90-1000", TEXT[90:], "bytes 90-99/100"),
        ("bytes=-5", TEXT[-5:], "bytes 95-99/100"),
        ("bytes=-500", TEXT, "bytes 0-99/100"),
    ],
)
def test_a_part_of_a_file_is_sent(filled: Served, asked: str, part: bytes, shown: str) -> None:
    answer = filled.client.get("/results/m/p.png", headers={"Range": asked})
    assert (answer.status_code, answer.content, answer.headers["content-range"]) == (206, part, shown)


@pytest.mark.parametrize("asked", ["bytes=0-1,3-4", "bytes=9-3", "lines=1-2", "bytes=-", "bytes=a-b"])
def test_a_range_that_is_not_understood_gives_the_whole_file(filled: Served, asked: str) -> None:
    answer = filled.client.get("/results/m/p.png", headers={"Range": asked})
    assert (answer.status_code, answer.content) == (200, TEXT)


@pytest.mark.parametrize("asked", ["bytes=100-", "bytes=500-600", "bytes=-0"])
def test_a_range_outside_of_the_file_is_refused(filled: Served, asked: str) -> None:
    answer = filled.client.get("/results/m/p.png", headers={"Range": asked})
    assert (answer.status_code, answer.headers["content-range"]) == (416, "bytes */100")


def test_a_part_of_another_version_is_not_sent(filled: Served) -> None:
    headers = {"Range": "bytes=0-9", "If-Range": '"other"'}
    assert filled.client.get("/results/m/p.png", headers=headers).status_code == 200


def test_head_sends_the_headers_only(filled: Served) -> None:
    answer = filled.client.head("/results/m/p.png")
    assert (answer.status_code, answer.content, answer.headers["content-length"]) == (200, b"", "100")


def test_head_is_answered_wherever_a_probe_or_a_downloader_may_ask(served: Served) -> None:
    job = served.stylize().headers["location"]
    name = job.removeprefix("/jobs/")
    pictures = (f"{job}/picture", f"/thumbnails/{name}/picture.png")
    for path in ("/", "/static/page.js", "/healthz", "/readyz", *pictures):
        whole, answer = served.client.get(path), served.client.head(path)
        assert (answer.status_code, answer.content) == (200, b"")
        assert answer.headers["content-length"] == str(len(whole.content))


@pytest.mark.parametrize(
    "path",
    [
        "m/nothing.png",
        "m/.hidden",
        "m/thumbs",
        "m/p.snapshots",
        "m/p.snapshots/",
        "m/p.snapshots/02.jpg",
        "m/p.snapshots/..%2f..%2fsecret.txt",
        "nothing/",
        "m/..%2fsecret.txt",
        "m/%2e%2e/secret.txt",
        "..%2fm/p.png",
        "%2e%2e/p.png",
        "m/a%00b",
        "m/a%0d%0aSet-Cookie:%20a",
        "m//p.png",
        "%2fetc/passwd",
    ],
)
def test_nothing_else_is_served(filled: Served, path: str) -> None:
    answer = filled.client.get(f"/results/{path}")
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")

import asyncio
from pathlib import Path

import httpx
import pytest
from starlette.datastructures import Headers

from pipeline.errors import UsageError
from pipeline.events.listener import Note
from pipeline.server.access import Access, access_of
from pipeline.server.app import make_app
from pipeline.server.problems import RefusedError
from pipeline.settings import Settings
from tests.pipeline.server.conftest import Serve, Served
from tests.pipeline.server.raw import head, send

TOKEN = "0123456789abcdef0123456789abcdef"


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n")
    return file


@pytest.fixture
def guarded(serve: Serve, token_file: Path) -> Served:
    return serve(works=False, settings=Settings(port=0, token_file=str(token_file)))


def status(access: Access, host: str = "localhost:5002", method: str = "GET", **headers: str) -> int:
    """The status of a refusal, or 200."""
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    try:
        access.check(Headers({"host": host, **names}), method, "/manifests")
    except RefusedError as refused:
        return refused.status
    return 200


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.org"])
def test_other_machines_are_let_in_only_with_a_token_or_in_so_many_words(host: str, token_file: Path) -> None:
    with pytest.raises(UsageError, match=r"--token-file FILE.*--trust-network"):
        access_of(Settings(host=host))
    access_of(Settings(host=host, trust_network=True))
    access_of(Settings(host=host, token_file=str(token_file)))


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "::1", "localhost"])
def test_this_machine_is_let_in_without_a_token(host: str) -> None:
    access_of(Settings(host=host))


@pytest.mark.parametrize("text", ["", "short", "with space in the token", "üüüüüüüüüüüüüüüüüüüüü"])
def test_a_bad_token_file_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "token").write_text(text)
    with pytest.raises(UsageError, match="openssl rand"):
        access_of(Settings(token_file=str(tmp_path / "token")))
    with pytest.raises(UsageError, match="can't be read"):
        access_of(Settings(token_file=str(tmp_path / "nothing")))


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("localhost", 200),
        ("LOCALHOST:5002", 200),
        ("127.0.0.1:5002", 200),
        ("[::1]:5002", 200),
        ("evil.example", 421),
        ("localhost.evil.example:5002", 421),
        ("192.168.1.5", 421),
        ("", 400),
        ("localhost:x", 400),
        ("user@localhost", 400),
        ("localhost/path", 400),
    ],
)
def test_only_names_of_this_machine_are_answered(host: str, expected: int) -> None:
    assert status(Access("127.0.0.1"), host) == expected


def test_the_remedy_for_another_name_helps(token_file: Path) -> None:
    with pytest.raises(RefusedError, match=r"start it with --token-file, .*, or with --host and that name"):
        access_of(Settings()).check(Headers({"host": "nst.example"}), "GET", "/healthz")
    for settings in (
        Settings(host="nst.example", trust_network=True),
        Settings(token_file=str(token_file)),
    ):
        access_of(settings).check(Headers({"host": "nst.example"}), "GET", "/healthz")


def test_a_server_for_everybody_answers_for_addresses_and_with_a_token_for_any_name() -> None:
    assert status(Access("0.0.0.0"), "192.168.1.5:5002") == 200
    assert status(Access("0.0.0.0"), "evil.example") == 421
    assert status(Access("nst.example"), "nst.example:80") == 200
    for host in ("0.0.0.0", "127.0.0.1"):
        assert status(Access(host, TOKEN), "nst.example", authorization=f"Bearer {TOKEN}") == 200
        assert status(Access(host, TOKEN), "nst.example") == 401


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(
    ("origin", "expected"),
    [
        ("http://localhost:5002", 200),
        ("https://localhost:5002", 200),
        ("http://localhost:3000", 403),
        ("http://127.0.0.1:5002", 403),
        ("http://evil.example", 403),
        ("http://localhost:5002.evil.example", 403),
        ("null", 403),
        ("localhost:5002", 403),
        ("http://[", 403),
    ],
)
def test_pages_of_other_origins_are_refused(method: str, origin: str, expected: int) -> None:
    assert status(Access("127.0.0.1"), method=method, origin=origin) == expected


def test_what_a_browser_sends_for_another_site_is_refused_but_a_link_may_be_followed() -> None:
    access = Access("127.0.0.1")
    for site in ("cross-site", "same-site"):
        assert status(access, method="POST", sec_fetch_site=site, sec_fetch_mode="navigate") == 403
        assert status(access, sec_fetch_site=site, sec_fetch_mode="no-cors") == 403
        assert status(access, sec_fetch_site=site, sec_fetch_mode="navigate") == 200
    for site in ("same-origin", "none"):
        assert status(access, method="POST", sec_fetch_site=site) == 200


@pytest.mark.parametrize(
    "given",
    [
        "",
        "Bearer",
        "Bearer wrong",
        f"Bearer {TOKEN}x",
        f"Bearer {TOKEN[:-1]}",
        f"Basic {TOKEN}",
        TOKEN,
        "Bearer ü",
    ],
)
def test_nothing_is_answered_without_the_token(guarded: Served, given: str) -> None:
    headers = httpx.Headers({b"Authorization": given.encode()} if given else {})
    for method, path in (
        ("GET", "/manifests"),
        ("POST", "/stylize"),
        ("GET", "/nothing"),
        ("GET", "/results/m/"),
    ):
        answer = guarded.client.request(method, path, headers=headers)
        assert (answer.status_code, answer.headers["content-type"]) == (401, "application/problem+json")
        assert answer.headers["www-authenticate"].startswith("Bearer")
    assert guarded.inbox.calls == []


def test_the_token_lets_in_and_probes_need_none(guarded: Served) -> None:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    assert guarded.client.get("/manifests", headers=headers).status_code == 200
    for path in ("/healthz", "/readyz", "/docs", "/openapi.json"):
        assert guarded.client.get(path).status_code == 200


def test_every_answer_forbids_frames_and_guessing_of_types(serve: Serve) -> None:
    served = serve(works=False)
    for path in ("/manifests", "/docs", "/nothing", "/openapi.json"):
        headers = served.client.get(path).headers
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert "default-src 'none'" in headers["content-security-policy"]
        assert headers["x-frame-options"] == "DENY"
        assert headers["x-content-type-options"] == "nosniff"


def test_a_request_with_two_hosts_is_refused(serve: Serve) -> None:
    served = serve(works=False)
    answer = send(served.port, head("GET", "/manifests", "Host: localhost", "Connection: close"))
    assert answer is not None
    assert answer.status == 400


def test_an_error_in_the_checks_of_a_request_is_reported(serve: Serve) -> None:
    class Broken(Access):
        def check(self, headers: Headers, method: str, path: str) -> None:
            raise KeyError("broken")

    served = serve(works=False)
    transport = httpx.ASGITransport(make_app(served.door, Broken("127.0.0.1")), raise_app_exceptions=False)

    async def get() -> httpx.Response:
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            return await client.get("/manifests")

    answer = asyncio.run(get())
    assert (answer.status_code, answer.headers["content-type"]) == (500, "application/problem+json")
    served.listener.wait_for(Note, lambda note: "GET /manifests" in note.message and "broken" in note.message)

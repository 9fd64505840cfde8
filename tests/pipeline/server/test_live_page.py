"""The files of the page, as the door serves them. What a person sees is tested in `test_page_*.py`."""

import re
from pathlib import Path

import pytest

from pipeline import server
from pipeline.settings import Settings
from tests.pipeline.server.conftest import Serve

FILES = sorted((Path(server.__file__).parent / "static").iterdir())
SERVED = [f"/static/{file.name}" for file in FILES if file.name != "index.html"]


def test_the_page_and_its_files_need_no_token_and_data_do(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("a-token-of-some-length")
    served = serve(works=False, settings=Settings(port=0, token_file=str(tmp_path / "token")))
    for path in ("/", *SERVED):
        assert served.client.get(path).status_code == 200
    for path in ("manifests", "results", "progress", "events", "thumbnails/m/p.png", "manifests/m/pairs"):
        assert served.client.get(f"/{path}").status_code == 401


def test_the_page_runs_only_scripts_of_this_server_and_makes_no_html_of_text(serve: Serve) -> None:
    answer = serve(works=False).client.get("/")
    policy = {part.strip() for part in answer.headers["content-security-policy"].split(";")}
    assert {
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "connect-src 'self'",
        "img-src 'self' blob:",
        "frame-ancestors 'none'",
        "form-action 'none'",
        "require-trusted-types-for 'script'",
    } <= policy
    assert not any("unsafe" in part for part in policy)
    assert not re.search(r"<script(?![^>]* src=)|<style| style=| on[a-z]+=", answer.text)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_no_file_of_the_page_names_another_host(file: Path) -> None:
    text = file.read_text("utf-8").replace("http://www.w3.org/2000/svg", "")  # the name of a language
    assert not re.search(r"https?://|@import|url\(|\"//|'//", text)


@pytest.mark.parametrize("file", [file for file in FILES if file.suffix == ".js"], ids=lambda file: file.name)
def test_no_script_makes_html_of_text(file: Path) -> None:
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", file.read_text())
    assert len(file.read_text().splitlines()) < 200


def test_a_browser_that_has_a_file_does_not_get_it_again(serve: Serve) -> None:
    client = serve(works=False).client
    for path in ("/", "/static/page.js"):
        etag = client.get(path).headers["etag"]
        assert client.get(path, headers={"If-None-Match": etag}).status_code == 304


@pytest.mark.parametrize("name", ["index.html", "no.js", "..%2fassets.py", "%2e%2e", "page.js%00"])
def test_nothing_else_is_served(serve: Serve, name: str) -> None:
    assert serve(works=False).client.get(f"/static/{name}").status_code == 404

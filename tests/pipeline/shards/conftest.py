"""A manifest, an outbox in a folder or a bucket, and the command `run` with both."""

from pathlib import Path
from typing import Any

import pytest

from pipeline.stores.aws import connect
from pipeline.stores.folder import FolderStore
from pipeline.stores.opening import Stores
from tests.pipeline.calling import Call
from tests.pipeline.shards.sharded import project


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    return project(tmp_path / "in")


@pytest.fixture(params=["folder", "bucket"])
def out(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an outbox."""
    if request.param == "folder":
        return str(tmp_path / "out")
    return f"s3://bucket/{tmp_path.name}/shards"


@pytest.fixture
def endpoint(out: str, request: pytest.FixtureRequest) -> tuple[str, ...]:
    """The options with the endpoint of this outbox; none for a folder."""
    return ("--endpoint-url", request.getfixturevalue("seaweed")) if out.startswith("s3://") else ()


@pytest.fixture
def run(call_fake: Call, out: str, endpoint: tuple[str, ...]) -> Call:
    """Calls `run` with a manifest, this outbox, and more arguments."""

    def run(manifest: Path, *arguments: object) -> tuple[int, str]:
        return call_fake("run", manifest, "--outbox", out, *endpoint, *arguments)

    return run


@pytest.fixture
def results(out: str, request: pytest.FixtureRequest) -> Any:
    """The store with the results."""
    if not out.startswith("s3://"):
        return FolderStore(out)
    return Stores(client=connect("s3", request.getfixturevalue("seaweed"))).open(out)

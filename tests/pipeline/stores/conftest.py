"""Stores to test: a folder, one in memory, a bucket in moto, and a bucket on a real server."""

import os
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from manifests.demo_s3 import BUCKET
from pipeline.stores.aws import connect
from pipeline.stores.base import Store
from pipeline.stores.folder import FolderStore
from pipeline.stores.memory import MemoryStore
from pipeline.stores.s3 import S3Store


@pytest.fixture(params=["folder", "memory", "moto", "seaweed"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """One empty store of each kind."""
    if request.param == "folder":
        return FolderStore(tmp_path)
    if request.param == "memory":
        return MemoryStore("contract")
    if request.param == "moto":
        return S3Store(f"s3://{BUCKET}/some/prefix", request.getfixturevalue("client"))
    client = connect("s3", request.getfixturevalue("seaweed"))
    return S3Store(f"s3://{BUCKET}/{uuid4().hex}/prefix", client)


@pytest.fixture
def real_store(seaweed: str) -> S3Store:
    """An empty store on a real server."""
    return S3Store(f"s3://bucket/{uuid4().hex}", connect("s3", seaweed))


@pytest.fixture
def scanned(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The folders that are listed."""
    folders: list[str] = []
    scandir = os.scandir

    def counting(path: Any) -> Any:
        folders.append(str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", counting)
    return folders

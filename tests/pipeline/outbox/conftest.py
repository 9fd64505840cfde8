"""Outboxes for tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.stores.base import Store
from pipeline.stores.folder import FolderStore
from pipeline.stores.memory import MemoryStore


@pytest.fixture(params=["folder", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    yield FolderStore(tmp_path) if request.param == "folder" else MemoryStore("outbox")


@pytest.fixture
def memory() -> MemoryStore:
    return MemoryStore("outbox")

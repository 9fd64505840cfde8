"""Checks of an inbox or outbox after runners have worked."""

import io
import json

from PIL import Image

from pipeline.errors import NotFoundError
from pipeline.stores.base import Store

_LIMIT = 10**6


def documents(store: Store, folder: str) -> set[str]:
    """Names of the JSON files in a folder; none if the folder does not exist."""
    try:
        return {entry.name for entry in store.entries(folder) if entry.name.endswith(".json")}
    except NotFoundError:
        return set()


def assert_whole(outbox: Store, key: str) -> None:
    """Assert that the picture and the loss log of a record exist and agree with it."""
    record = json.loads(outbox.read(f"{key}.json", _LIMIT))
    assert len(outbox.read(f"{key}.loss.jsonl", _LIMIT).splitlines()) == record["evaluations"]
    with Image.open(io.BytesIO(outbox.read(f"{key}.png", _LIMIT))) as picture:
        picture.load()
        assert picture.size == (record["width"], record["height"])

"""Results: their file names, the order in which they are written, and whether a result is complete."""

import re
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from nst.parameters import Parameters
from pipeline.errors import NotFoundError
from pipeline.stores.base import Store

_MAX_RECORD = 2**20  # bytes
_REMEMBERED = 256  # thumbnails
_LOG = ".loss.jsonl"
_THUMBNAIL = re.compile(r".+/thumbs/[0-9a-f]{16}\.jpg")  # a key that ends with a `thumbnail_name`


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True)


class RecordedImage(_Model):
    """An input image of a result; `thumbnail` is relative to the outbox folder of the manifest."""

    reference: str
    sha256: str
    thumbnail: str
    weight: float = 1.0


class DeliveredLosses(_Model):
    """Losses of the delivered picture, as saved with 8 bits, in fp32; `total` is their weighted sum."""

    content: float
    style: float
    tv: float
    total: float


class WeightFile(_Model):
    """The weight file of VGG19 that was used."""

    source: str
    sha256: str


class Record(_Model):
    """Describes one finished pair. It is written last: a pair is done when its record exists."""

    id: str
    status: Literal["done"] = "done"
    input_digest: str
    picture: str
    tags: dict[str, str] = {}  # of the picture and the loss log, by file name; see `Store.tag`
    content: RecordedImage
    styles: list[RecordedImage]
    parameters: Parameters
    width: int
    height: int
    losses: DeliveredLosses
    evaluations: int
    seconds: float
    device: str
    dtype: str
    weights: WeightFile
    versions: dict[str, str]
    finished: str
    curve: list[tuple[int, float]]


class Outbox:
    """Writes the results of manifest NAME, pair ID to `NAME/ID.png`, `NAME/ID.loss.jsonl`, `NAME/ID.json`."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._thumbnails: deque[str] = deque(maxlen=_REMEMBERED)  # keys of those written last

    def record(self, manifest: str, pair: str) -> Record | None:
        """The record of a pair; `None` if there is no valid one."""
        try:
            return Record.model_validate_json(self.store.read(f"{manifest}/{pair}.json", _MAX_RECORD))
        except (NotFoundError, ValidationError):
            # Missing, damaged, or of another version: the pair is computed again.
            return None

    def is_whole(self, manifest: str, record: Record) -> bool:
        """Whether the picture and the loss log in the outbox are the ones that the record describes."""
        parts = (record.picture, f"{record.id}{_LOG}")
        return all(self.store.tag(f"{manifest}/{part}") == record.tags.get(part, "") for part in parts)

    def put_result(
        self,
        manifest: str,
        record: Record,
        picture: bytes,
        log: bytes,
        thumbnails: Mapping[str, bytes] = MappingProxyType({}),
        earlier: Record | None = None,
        confirm: Callable[[], None] = lambda: None,
    ) -> None:
        """Write thumbnails, loss log, picture and record, in this order, in place of those of `earlier`.

        `confirm` is called before each step. It raises `ClaimLostError` if another runner may already write
        the same files.
        """
        key = f"{manifest}/{record.id}"
        confirm()
        for name, thumbnail in thumbnails.items():
            self._put_thumbnail(f"{manifest}/{name}", thumbnail)
        if earlier is not None:
            # Otherwise the earlier record would describe the new picture for a moment.
            confirm()
            self.store.remove(f"{key}.json")
        tags = {}
        # Write the log before the picture: patterns skip a picture as a result only if its log exists.
        for name, data in ((f"{record.id}{_LOG}", log), (record.picture, picture)):
            confirm()
            tags[name] = self.store.write(f"{manifest}/{name}", data)
        record = record.model_copy(update={"tags": tags})
        confirm()
        self.store.write(f"{key}.json", record.model_dump_json(indent=1).encode())
        if earlier is not None and earlier.picture != record.picture:
            self.store.remove(f"{manifest}/{earlier.picture}")

    def tidy(self, manifest: str) -> None:
        """Remove files that a dead runner left half written. Call it only while no other runner may write."""
        self.store.tidy(manifest)

    def results_among(self, references: Iterable[str]) -> set[str]:
        """The absolute references among these that name results in this outbox: pictures and thumbnails.

        A picture counts as a result if a loss log of the same name is in its folder.
        """
        keys = {whole: key for whole in references if (key := self.store.key(whole)) and "/" in key}
        folders = {key.rpartition("/")[0] for key in keys.values()}
        files = {f"{folder}/{entry.name}" for folder in folders for entry in self.store.entries(folder)}
        return {
            whole
            for whole, key in keys.items()
            if f"{key.rpartition('.')[0]}{_LOG}" in files or _THUMBNAIL.fullmatch(key)
        }

    def _put_thumbnail(self, key: str, data: bytes) -> None:
        """Write a thumbnail, unless it was written for another pair of the same manifest."""
        if key not in self._thumbnails:
            self.store.write(key, data)
            self._thumbnails.append(key)

    def put_page(self, manifest: str, page: str) -> None:
        """Write `NAME/index.html`. The page is the last file of a manifest."""
        # Somebody may delete the thumbnails before a manifest of the same name comes.
        kept = (key for key in self._thumbnails if not key.startswith(f"{manifest}/"))
        self._thumbnails = deque(kept, maxlen=_REMEMBERED)
        self.store.write(_page_key(manifest), page.encode())

    def page_url(self, manifest: str) -> str:
        """The URL of the page, or its path."""
        return f"{self.store.url}/{_page_key(manifest)}"


def thumbnail_name(sha256: str) -> str:
    """The path of the thumbnail of an image, by its digest, relative to the outbox folder of the manifest."""
    return f"thumbs/{sha256[:16]}.jpg"


def _page_key(manifest: str) -> str:
    return f"{manifest}/index.html"

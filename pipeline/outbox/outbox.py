"""Results: their names, the order in which they are written, and whether one is there already."""

import re
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from nst.parameters import Parameters
from pipeline.errors import NotFoundError
from pipeline.stores.base import Store

_MAX_RECORD = 2**20
_REMEMBERED = 256
_LOG = ".loss.jsonl"
_THUMBNAIL = re.compile(r".+/thumbs/[0-9a-f]{16}\.jpg")  # a key that ends as `thumbnail_name` says


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True)


class RecordedImage(_Model):
    """An image that went into a result; `thumbnail` is relative to the manifest's outbox folder."""

    reference: str
    sha256: str
    thumbnail: str
    weight: float = 1.0


class DeliveredLosses(_Model):
    """Delivered losses: fp32, on the 8-bit picture as saved; `total` is the weighted sum."""

    content: float
    style: float
    tv: float
    total: float


class WeightFile(_Model):
    """Which VGG19 was used."""

    source: str
    sha256: str


class Record(_Model):
    """What is known of one finished pair; written last, so a pair is done when its record is there."""

    id: str
    status: Literal["done"] = "done"
    input_digest: str
    picture: str
    tags: dict[str, str] = {}  # of picture and loss log, as the store knows them (a bucket's ETags)
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
    """Results of manifest NAME and pair ID go to `NAME/ID.png`, `NAME/ID.loss.jsonl`, `NAME/ID.json`."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._thumbnails: deque[str] = deque(maxlen=_REMEMBERED)  # the last that were written

    def record(self, manifest: str, pair: str) -> Record | None:
        """The record of a pair that was done once."""
        try:
            return Record.model_validate_json(self.store.read(f"{manifest}/{pair}.json", _MAX_RECORD))
        except (NotFoundError, ValidationError):
            # None, or not one of ours, or of another version: the pair is done anew.
            return None

    def is_whole(self, manifest: str, record: Record) -> bool:
        """Whether the picture and the loss log in the outbox are those that the record was written for."""
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
        """Write thumbnails, loss log and picture in place of those of `earlier`; the record comes last.

        `confirm` is called before each step. It raises `ClaimLostError` if another runner may be writing by
        now.
        """
        key = f"{manifest}/{record.id}"
        confirm()
        for name, thumbnail in thumbnails.items():
            self._put_thumbnail(f"{manifest}/{name}", thumbnail)
        if earlier is not None:
            # A record must never stand beside a picture that is not its own.
            confirm()
            self.store.remove(f"{key}.json")
        tags = {}
        # The log comes before the picture, because patterns skip a picture with a log beside it as a result.
        for name, data in ((f"{record.id}{_LOG}", log), (record.picture, picture)):
            confirm()
            tags[name] = self.store.write(f"{manifest}/{name}", data)
        record = record.model_copy(update={"tags": tags})
        confirm()
        self.store.write(f"{key}.json", record.model_dump_json(indent=1).encode())
        if earlier is not None and earlier.picture != record.picture:
            self.store.remove(f"{manifest}/{earlier.picture}")

    def tidy(self, manifest: str) -> None:
        """Remove what a runner that died while writing has left; call it only where no other may write."""
        self.store.tidy(manifest)

    def results_among(self, references: Iterable[str]) -> set[str]:
        """Those of these whole references that are pictures of pairs, or thumbnails of their images, here.

        A picture is known by the loss log of its name beside it.
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
        """Write a thumbnail, once for all pairs of a manifest."""
        if key not in self._thumbnails:
            self.store.write(key, data)
            self._thumbnails.append(key)

    def put_page(self, manifest: str, page: str) -> None:
        """Write `NAME/index.html`, which ends a manifest: when it comes again, its thumbnails may be gone."""
        kept = (key for key in self._thumbnails if not key.startswith(f"{manifest}/"))
        self._thumbnails = deque(kept, maxlen=_REMEMBERED)
        self.store.write(_page_key(manifest), page.encode())

    def page_url(self, manifest: str) -> str:
        """Where a person finds the page."""
        return f"{self.store.url}/{_page_key(manifest)}"


def thumbnail_name(sha256: str) -> str:
    """Where the thumbnail of an image with this digest lies, relative to the manifest's outbox folder."""
    return f"thumbs/{sha256[:16]}.jpg"


def _page_key(manifest: str) -> str:
    return f"{manifest}/index.html"

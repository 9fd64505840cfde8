"""Results: their names, the order in which they are written, and whether one is there already."""

from collections.abc import Callable
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from nst.parameters import Parameters
from pipeline.errors import NotFoundError
from pipeline.stores.base import Store

_MAX_RECORD = 2**20


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True)


class Source(_Model):
    """An image that went into a result; `thumbnail` is relative to the manifest's outbox folder."""

    reference: str
    sha256: str
    thumbnail: str
    weight: float = 1.0


class Losses(_Model):
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
    content: Source
    styles: list[Source]
    parameters: Parameters
    width: int
    height: int
    losses: Losses
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

    def find(self, manifest: str, pair: str, digest: str) -> Record | None:
        """The record of a pair that is done with this digest and complete."""
        record = self._record(manifest, pair)
        if record is None or record.input_digest != digest:
            return None
        parts = (record.picture, f"{pair}.loss.jsonl")
        whole = all(self.store.tag(f"{manifest}/{part}") == record.tags.get(part, "") for part in parts)
        return record if whole else None

    def publish(self, manifest: str, record: Record, picture: bytes, log: bytes) -> None:
        """Put picture and loss log in place, then the record that stands for just these two."""
        earlier = self._record(manifest, record.id)
        key = f"{manifest}/{record.id}"
        if earlier is not None:
            # Otherwise the new picture would for a moment stand beside the old record.
            self.store.remove(f"{key}.json")
        parts = {record.picture: picture, f"{record.id}.loss.jsonl": log}
        tags = {name: self.store.write(f"{manifest}/{name}", data) for name, data in parts.items()}
        record = record.model_copy(update={"tags": tags})
        self.store.write(f"{key}.json", record.model_dump_json(indent=1).encode())
        if earlier is not None and earlier.picture != record.picture:
            self.store.remove(f"{manifest}/{earlier.picture}")

    def put_thumbnail(self, manifest: str, source: Source, make: Callable[[], bytes]) -> None:
        """Keep a small copy of a source image for the page; it is made where none is there yet."""
        key = f"{manifest}/{source.thumbnail}"
        if self.store.tag(key) is None:
            self.store.write(key, make())

    def records(self, manifest: str, pairs: list[str]) -> list[Record]:
        """The records of those pairs that are done, in the order given."""
        found = (self._record(manifest, pair) for pair in pairs)
        return [record for record in found if record is not None]

    def put_page(self, manifest: str, page: str) -> None:
        """Write `NAME/index.html`."""
        self.store.write(f"{manifest}/index.html", page.encode())

    def _record(self, manifest: str, pair: str) -> Record | None:
        try:
            return Record.model_validate_json(self.store.read(f"{manifest}/{pair}.json", _MAX_RECORD))
        except (NotFoundError, ValidationError):
            # None, or not one of ours, or of another version: the pair is done anew.
            return None

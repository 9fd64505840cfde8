"""The record of a result: what it says, and how records of other versions of this program are read."""

import hashlib
import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from nst.parameters import Format, Parameters

FORMAT = 1  # of records; a later format may add fields and values, but changes none of an earlier one
LONGEST = 2**20  # bytes of a record
SNAPSHOT = re.compile(r".+\.snapshots/([0-9]{2}\.jpg|animation\.webp)")  # a path from `RecordedSnapshots.of`
_SHOWN_BY_BROWSERS: set[Format] = {"png", "jpg", "webp"}

# JSON has no number for a loss that is infinite or not a number, so that null is written in its place.
Loss = Annotated[float, BeforeValidator(lambda value: math.nan if value is None else value)]


def sha256_of(data: bytes) -> str:
    """The SHA-256 of a file, as records have it."""
    return hashlib.sha256(data).hexdigest()


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class RecordedImage(_Model):
    """An input image of a result; `thumbnail` is relative to the outbox folder of the manifest.

    `state` is the state of the file that was read, as `Sources.fetch` returns it.
    """

    reference: str
    sha256: str
    thumbnail: str
    weight: float = 1.0
    state: str | None = None
    region: "RecordedImage | None" = None  # of a style: the mask of where it applies
    image_region: "RecordedImage | None" = None  # of a style: the mask of the part that is meant


class DeliveredLosses(_Model):
    """Losses of the delivered picture, as saved with 8 bits, in fp32; `total` is their weighted sum."""

    content: Loss
    style: Loss
    tv: Loss
    total: Loss


class WeightFile(_Model):
    """The weight file of VGG19 that was used."""

    source: str
    sha256: str


class RecordedSnapshots(_Model):
    """Small pictures of a pair on its way. Their paths are relative to the outbox folder of the manifest."""

    animation: str  # of all pictures, an animated WebP
    pictures: list[str]  # JPEGs; the last one is the result, reduced
    steps: list[int]  # the number of the evaluation of each picture

    @classmethod
    def of(cls, pair: str, steps: Sequence[int]) -> "RecordedSnapshots":
        """The snapshots of the pair with this id, with the names that their files get."""
        folder = snapshots_folder(pair)
        pictures = [f"{folder}/{number:02}.jpg" for number in range(1, len(steps) + 1)]
        return cls(animation=f"{folder}/animation.webp", pictures=pictures, steps=list(steps))


def _known_parameters(value: object) -> object:
    """The parameters without those that a newer version has added."""
    if not isinstance(value, dict):
        return value
    return {name: value[name] for name in value if name in Parameters.model_fields}


class Record(_Model):
    """Describes one finished pair. It is written last: a pair is done when its record exists."""

    format: int = FORMAT
    id: str
    status: Literal["done"] = "done"
    input_digest: str
    picture: str
    # The name of a JPEG of the picture. Records of pictures that browsers show do not have this key.
    thumbnail: str | None = Field(None, exclude_if=lambda value: value is None)
    tags: dict[str, str] = {}  # of the picture and the loss log, by file name; see `Store.tag`
    # The SHA-256 of the same files: by it they are known after they were copied to another store.
    digests: dict[str, str] = Field({}, exclude_if=lambda value: not value)
    content: RecordedImage
    styles: list[RecordedImage]
    keep: RecordedImage | None = None  # the mask of what stays of the content
    parameters: Annotated[Parameters, BeforeValidator(_known_parameters)]
    style_weight: float | None = Field(None, exclude_if=lambda value: value is None)  # that `strength` gave
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
    curve: list[tuple[int, Loss]]
    node: str | None = None  # the name of the machine that made the picture
    # Without snapshots it is left out, so that the text is the one that earlier versions wrote.
    snapshots: RecordedSnapshots | None = Field(None, exclude_if=lambda value: value is None)

    @property
    def log(self) -> str:
        """The name of the loss log."""
        return log_name(self.id)

    @property
    def shown(self) -> str:
        """The name of the file that browsers show: the picture, or a JPEG of it."""
        return self.thumbnail or self.picture

    def with_thumbnail(self, picture: bytes) -> "Record":
        """This record; with the name of a thumbnail of its picture if browsers do not show its format.

        `picture` is the encoded picture.
        """
        if self.parameters.format in _SHOWN_BY_BROWSERS:
            return self
        name = thumbnail_name(sha256_of(picture))
        return self.model_copy(update={"thumbnail": name})

    @property
    def images(self) -> list[RecordedImage]:
        """The content, the styles, and all masks."""
        masks = [mask for style in self.styles for mask in (style.region, style.image_region)]
        return [self.content, *self.styles, *(mask for mask in (*masks, self.keep) if mask)]


@dataclass(frozen=True)
class Reading:
    """What the text of a record says; no record if this version cannot understand it.

    `newer` if a newer version of this program has written it. Text that is neither a record of this version
    nor of a newer one is damaged.
    """

    record: Record | None
    newer: bool


def read_record(text: bytes) -> Reading:
    """Read the text of `ID.json`. Raises no error."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return Reading(None, newer=False)
    return read_parsed_record(found)


def read_parsed_record(found: object) -> Reading:
    """Read a record from what `json.loads` returns. Raises no error."""
    if not isinstance(found, dict):
        return Reading(None, newer=False)
    newer = _is_newer(found)
    try:
        return Reading(Record.model_validate(found), newer)
    except ValidationError:
        return Reading(None, newer)


def _is_newer(found: dict[str, Any]) -> bool:
    """Whether a record has a format number, a field or a parameter that this version does not know."""
    number, parameters = found.get("format", FORMAT), found.get("parameters")
    unknown = found.keys() - Record.model_fields.keys()
    if isinstance(parameters, dict):
        unknown |= parameters.keys() - Parameters.model_fields.keys()
    return bool(unknown) or (isinstance(number, int) and number > FORMAT)


def log_name(pair: str) -> str:
    """The name of the loss log of a pair."""
    return f"{pair}.loss.jsonl"


def record_name(pair: str) -> str:
    """The name of the record of a pair."""
    return f"{pair}.json"


def snapshots_folder(pair: str) -> str:
    """The folder of the snapshots of a pair, relative to the outbox folder of the manifest."""
    return f"{pair}.snapshots"


def thumbnail_name(sha256: str) -> str:
    """The path of the thumbnail of an image, by its digest, relative to the outbox folder of the manifest."""
    return f"thumbs/{sha256[:16]}.jpg"

"""Reads, hashes, decodes and resizes the images of a pair, before the device works on it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from PIL import Image

from nst import images
from nst.images import Picture
from nst.pair import PreparedPair, Style, largest_style_side
from nst.parameters import Parameters
from pipeline.cache import Cache
from pipeline.engines.base import Changed, Task, Unchanged
from pipeline.engines.budget import Budget
from pipeline.engines.files import Files, ImageFile, named
from pipeline.engines.masks import Masks
from pipeline.engines.prepare_memory import THUMBNAIL, mask_side, preparing_bytes, style_side
from pipeline.errors import StoreError, TooLargeError
from pipeline.manifest.models import Pair
from pipeline.outbox.record import RecordedImage, sha256_of
from pipeline.settings import Caps
from pipeline.stores.sources import MAX_BYTES, Sources

_MOST_BYTES = 2**30  # of all image files of a pair
_CACHED_PIXELS = 2**27  # of decoded styles; four bytes each
# Of all threads of this process; a pair with a larger picture is prepared while no other one is.
DECODING = Budget(2**30)
# Those of the first version, which wrote all of them into its digests. Later ones do not belong here.
_FIRST_PARAMETERS = {
    *("epochs", "tolerance", "content_weight", "style_weight", "tv_weight", "max_size", "style_scale"),
    *("init", "seed", "pooling", "content_layers", "style_layers", "preserve_color", "format"),
}


@dataclass(frozen=True)
class Inputs:
    """The files of a pair's images, and the digest of all inputs that determine its picture."""

    files: Files
    digest: str


@dataclass(frozen=True)
class Prepared:
    """A pair that is ready for the device, and the entries of its images in its record and on the page."""

    pair: PreparedPair
    content: RecordedImage
    styles: list[RecordedImage]
    digest: str
    thumbnails: dict[str, Image.Image]  # the images to reduce, by the name of the thumbnail
    dpi: tuple[float, float] | None = None  # of the result, for printing
    exif: bytes = b""  # of the content, if the result is to keep it
    keep: RecordedImage | None = None
    notes: tuple[str, ...] = ()  # sentences about what a person may not have meant


class Preparer:
    """Prepares pairs in several threads. A style that many pairs use is decoded and resized once."""

    def __init__(self, weights_sha256: str, most_pixels: int = Caps.pixels) -> None:
        """Images of more than `most_pixels` pixels are refused."""
        self._weights, self._most_pixels = weights_sha256, most_pixels
        # By the SHA-256 of the file and a number: the long side of a resized style; 0 for a style as stored;
        # below 0 for one that was shrunk while it was decoded, for pairs that need at most minus this number.
        self._styles = Cache[Style](_CACHED_PIXELS, _pixels)

    def read(self, pair: Pair, sources: Sources) -> Inputs:
        """Read a pair's images. Raises `StoreError`."""
        files, left = dict[str, ImageFile](), _MOST_BYTES
        for reference in dict.fromkeys(pair.images):
            try:
                files[reference] = ImageFile(reference, *sources.fetch(reference, min(MAX_BYTES, left)))
            except TooLargeError:
                if left >= MAX_BYTES:
                    raise
                raise StoreError(
                    f"{reference}: the images of this pair have more than {_MOST_BYTES // 2**20:,} MiB "
                    "together; make some of them smaller"
                ) from None
            left -= len(files[reference].data)
        return Inputs(files, self._digest(pair, {name: file.sha256 for name, file in files.items()}))

    def prepare_unless_known(self, task: Task, sources: Sources) -> Prepared | Unchanged | Changed:
        """Read and prepare the pair of a task, unless the result in the outbox is of the same inputs.

        Raises `StoreError`, also with the task's `refusal` if the inputs are others, and `ImageError`.
        """
        unread = task.images.keys() >= set(task.pair.images)
        if unread and self._digest(task.pair, task.images) == task.known:
            return Unchanged(task)
        inputs = self.read(task.pair, sources)
        if inputs.digest == task.known:
            return Unchanged(task)
        if task.check_only:
            return Changed(task)
        if task.refusal:
            raise StoreError(task.refusal)
        return self.prepare(task.pair, inputs)

    def prepare(self, pair: Pair, inputs: Inputs) -> Prepared:
        """Decode and resize the images. Raises `ImageError` with the name of the image."""
        with DECODING.taken(preparing_bytes(pair, inputs.files, self._most_pixels)):
            return self._prepare(pair, inputs)

    def _prepare(self, pair: Pair, inputs: Inputs) -> Prepared:
        with named(pair.content):
            content = self._decoded(inputs.files[pair.content].data, pair.parameters.max_size)
            images.check_transparency(content, pair.parameters.format)
        masks = Masks(inputs.files, self._most_pixels, mask_side(pair.parameters))
        styles, sources, thumbnails = [], [], {}
        for entry in pair.styles:
            # At least the size of a thumbnail, because all pairs with this style share one thumbnail.
            long_side = max(THUMBNAIL, largest_style_side(content.rgb.size, pair.parameters))
            with named(entry.image):
                style = self._style(inputs.files[entry.image], long_side, style_side(pair.parameters))
            source = inputs.files[entry.image].recorded(entry.weight)
            thumbnails[source.thumbnail] = style.image
            style, source = masks.applied(entry, style, source, pair.content, content.rgb.size)
            styles.append((style, entry.weight))
            sources.append(source)
        keep = masks.keep(pair, content.rgb.size)
        with named(pair.content):
            ready = PreparedPair.prepare(content, styles, pair.parameters, keep)
        source = inputs.files[pair.content].recorded()
        thumbnails = masks.thumbnails | thumbnails | {source.thumbnail: _shown(content.rgb, ready)}
        return Prepared(
            pair=ready,
            content=source,
            styles=sources,
            digest=inputs.digest,
            thumbnails=thumbnails,
            dpi=(dpi, dpi) if (dpi := pair.parameters.dpi) else content.dpi,
            exif=images.kept_exif(content.exif) if pair.parameters.keep_metadata else b"",
            keep=inputs.files[pair.keep].recorded() if pair.keep else None,
            notes=tuple(dict.fromkeys(masks.notes)),
        )

    def _digest(self, pair: Pair, sha256s: Mapping[str, str]) -> str:
        """The digest of all inputs, from those of the images by their references.

        Masks count only where there are some, so that results of pairs without them stay valid.
        """
        described = {
            "content": sha256s[pair.content],
            "styles": [[sha256s[entry.image], entry.weight] for entry in pair.styles],
            "parameters": _described(pair.parameters),
            "weights": self._weights,
        }
        masks = [[style.region, style.image_region] for style in pair.styles] + [[pair.keep]]
        if any(map(any, masks)):
            described["masks"] = [[mask and sha256s[mask] for mask in each] for each in masks]
        return sha256_of(json.dumps(described, sort_keys=True).encode())

    def _style(self, file: ImageFile, long_side: int, most: int) -> Style:
        """The style in this size in pixels; the pair needs no size above `most`."""

        def decoded() -> Style:
            # A style that is shrunk while it is decoded is not right for pairs that need it larger.
            header = images.header(file.data, most, self._most_pixels)
            key = file.sha256, 0 if header.decoded == header.stored else -most
            return self._styles.found_or_made(key, lambda: Style(self._decoded(file.data, most).rgb))

        return self._styles.found_or_made((file.sha256, long_side), lambda: decoded().within(long_side))

    def _decoded(self, data: bytes, long_side: int) -> Picture:
        return images.decode(data, long_side, self._most_pixels)


def _described(parameters: Parameters) -> dict[str, Any]:
    """The parameters as they go into a digest.

    A parameter that was added after the first version counts only where it differs from its default, so that
    results of pairs that do not use it stay valid.
    """
    always = parameters.model_dump(include=_FIRST_PARAMETERS)
    return always | parameters.model_dump(exclude_defaults=True)


def _shown(content: Image.Image, ready: PreparedPair) -> Image.Image:
    """What the thumbnail of a content is made of: all pairs with this content share it, also larger ones."""
    size = images.limited(content.size, THUMBNAIL)
    if max(ready.contents[-1].size) >= max(size):
        return ready.contents[-1]
    return images.resize(content, size)


def _pixels(style: Style) -> int:
    return style.image.width * style.image.height

"""Reads, hashes, decodes and resizes the images of a pair, before the device works on it."""

import hashlib
import json
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from PIL import Image

from nst import images
from nst.errors import ImageError
from nst.images import Picture
from nst.pair import PreparedPair, Style, largest_style_side
from nst.parameters import Parameters
from pipeline.engines.base import Changed, Task, Unchanged
from pipeline.engines.budget import Budget
from pipeline.errors import StoreError
from pipeline.manifest.models import Pair
from pipeline.outbox.record import RecordedImage, thumbnail_name
from pipeline.settings import Caps
from pipeline.stores.sources import Sources

_CACHED_PIXELS = 2**27  # of decoded styles; four bytes each
# Of all threads of this process; a pair with a larger picture is prepared while no other one is.
DECODING = Budget(2**30)
# Those of the first version, which wrote all of them into its digests. Later ones do not belong here.
_FIRST_PARAMETERS = {
    *("epochs", "tolerance", "content_weight", "style_weight", "tv_weight", "max_size", "style_scale"),
    *("init", "seed", "pooling", "content_layers", "style_layers", "preserve_color", "format"),
}
THUMBNAIL = 256  # pixels, the maximum of a thumbnail's long side


@dataclass(frozen=True)
class Inputs:
    """The bytes of a pair's images, and the digest of all inputs that determine its picture."""

    content: bytes
    styles: tuple[bytes, ...]
    digest: str
    states: tuple[str | None, ...]  # of content and styles, as `Sources.fetch` returns them


@dataclass(frozen=True)
class Prepared:
    """A pair that is ready for the device, and the entries of its images in its record and on the page."""

    pair: PreparedPair
    content: RecordedImage
    styles: list[RecordedImage]
    digest: str
    thumbnails: dict[str, Image.Image]  # the images to reduce, by the name of the thumbnail
    dpi: tuple[float, float] | None = None  # of the content, for printing
    exif: bytes = b""  # of the content, if the result is to keep it


class Preparer:
    """Prepares pairs in several threads. A style that many pairs use is decoded and resized once."""

    def __init__(self, weights_sha256: str, most_pixels: int = Caps.pixels) -> None:
        """Images of more than `most_pixels` pixels are refused."""
        self._weights, self._most_pixels = weights_sha256, most_pixels
        self._styles: OrderedDict[tuple[str, int], Style] = OrderedDict()
        self._lock = threading.Lock()

    def read(self, pair: Pair, sources: Sources) -> Inputs:
        """Read a pair's images. Raises `StoreError`."""
        content, *styles = [sources.fetch(reference) for reference in _references(pair)]
        digest = self._digest(pair, [_sha256(data) for data, _ in (content, *styles)])
        states = tuple(state for _, state in (content, *styles))
        return Inputs(content[0], tuple(data for data, _ in styles), digest, states)

    def prepare_unless_known(self, task: Task, sources: Sources) -> Prepared | Unchanged | Changed:
        """Read and prepare the pair of a task, unless the result in the outbox is of the same inputs.

        Raises `StoreError`, also with the task's `refusal` if the inputs are others, and `ImageError`.
        """
        unread = [task.images[reference] for reference in _references(task.pair) if reference in task.images]
        if len(unread) == len(_references(task.pair)) and self._digest(task.pair, unread) == task.known:
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
        content = images.decoding_bytes(inputs.content, pair.parameters.max_size, self._most_pixels)
        side = _style_side(pair.parameters)
        # The content stays in memory while the styles are decoded, one after the other.
        styles = [images.decoding_bytes(data, side, self._most_pixels) for data in inputs.styles]
        with DECODING.taken(content + max(styles, default=0)):
            return self._prepare(pair, inputs)

    def _prepare(self, pair: Pair, inputs: Inputs) -> Prepared:
        with _named(pair.content):
            content = self._decoded(inputs.content, pair.parameters.max_size)
        styles, sources, thumbnails = [], [], {}
        for entry, data, state in zip(pair.styles, inputs.styles, inputs.states[1:], strict=True):
            # At least the size of a thumbnail, because all pairs with this style share one thumbnail.
            long_side = max(THUMBNAIL, largest_style_side(content.rgb.size, pair.parameters))
            with _named(entry.image):
                style = self._style(data, long_side, _style_side(pair.parameters))
            source = _recorded_image(entry.image, data, state, entry.weight)
            styles.append((style, entry.weight))
            sources.append(source)
            thumbnails[source.thumbnail] = style.image
        with _named(pair.content):
            ready = PreparedPair.prepare(content, styles, pair.parameters)
        source = _recorded_image(pair.content, inputs.content, inputs.states[0])
        thumbnails[source.thumbnail] = ready.contents[-1]
        exif = images.kept_exif(content.exif) if pair.parameters.keep_metadata else b""
        return Prepared(ready, source, sources, inputs.digest, thumbnails, content.dpi, exif)

    def _digest(self, pair: Pair, sha256s: Sequence[str]) -> str:
        """The digest of all inputs, from those of the content and the styles."""
        content, *styles = sha256s
        described = {
            "content": content,
            "styles": [[sha256, entry.weight] for sha256, entry in zip(styles, pair.styles, strict=True)],
            "parameters": _described(pair.parameters),
            "weights": self._weights,
        }
        return _sha256(json.dumps(described, sort_keys=True).encode())

    def _style(self, data: bytes, long_side: int, most: int) -> Style:
        """The style in this size in pixels; the pair needs no size above `most`."""
        sha256 = _sha256(data)

        def decoded() -> Style:
            # A style that is shrunk while it is decoded is not right for pairs that need it larger.
            key = sha256, -most if images.is_shrunk(data, most) else 0
            return self._cached(key, lambda: Style(self._decoded(data, most).rgb))

        return self._cached((sha256, long_side), lambda: decoded().within(long_side))

    def _decoded(self, data: bytes, long_side: int) -> Picture:
        return images.decode(data, long_side, self._most_pixels)

    def _cached(self, key: tuple[str, int], make: Callable[[], Style]) -> Style:
        with self._lock:
            if key in self._styles:
                self._styles.move_to_end(key)
                return self._styles[key]
        style = make()
        if _pixels(style) > _CACHED_PIXELS:
            return style
        with self._lock:
            self._styles[key] = style
            while sum(_pixels(cached) for cached in self._styles.values()) > _CACHED_PIXELS:
                self._styles.popitem(last=False)
        return style


def _described(parameters: Parameters) -> dict[str, Any]:
    """The parameters as they go into a digest.

    A parameter that was added after the first version counts only where it differs from its default, so that
    results of pairs that do not use it stay valid.
    """
    always = parameters.model_dump(include=_FIRST_PARAMETERS)
    return always | parameters.model_dump(exclude_defaults=True)


def _pixels(style: Style) -> int:
    return style.image.width * style.image.height


@contextmanager
def _named(reference: str) -> Iterator[None]:
    """Put the name of the image before the message of an `ImageError`."""
    try:
        yield
    except ImageError as error:
        raise ImageError(f"{reference}: {error}") from error


def _style_side(parameters: Parameters) -> int:
    """The longest side in pixels that a style can be needed in."""
    return max(THUMBNAIL, round(parameters.max_size * parameters.style_scale))


def _references(pair: Pair) -> list[str]:
    return [pair.content, *(style.image for style in pair.styles)]


def _recorded_image(reference: str, data: bytes, state: str | None, weight: float = 1.0) -> RecordedImage:
    digest = _sha256(data)
    return RecordedImage(
        reference=reference,
        sha256=digest,
        thumbnail=thumbnail_name(digest),
        weight=weight,
        state=state,
    )


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()

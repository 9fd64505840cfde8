"""The masks of a pair: decoded, checked, and recorded."""

from dataclasses import replace

from PIL import Image

from nst import images
from nst.errors import ImageError
from nst.masks import has_other_aspect, is_white, mask_of
from nst.pair import Style
from pipeline.engines.files import Files, named
from pipeline.manifest.models import Pair, StyleEntry
from pipeline.outbox.record import RecordedImage, thumbnail_name


class Masks:
    """Decodes the masks of one pair, each once.

    `thumbnails` has the masks to reduce, by the names of their thumbnails. `notes` has a sentence for each
    mask whose aspect ratio is not that of its image.
    """

    def __init__(self, files: Files, most_pixels: int, long_side: int) -> None:
        """`long_side` is the longest side in pixels that a mask of this pair can be needed in."""
        self._files, self._most_pixels, self._long_side = files, most_pixels, long_side
        self._decoded: dict[str, Image.Image] = {}
        self.thumbnails: dict[str, Image.Image] = {}
        self.notes: list[str] = []

    def applied(
        self, entry: StyleEntry, style: Style, source: RecordedImage, content: str, size: tuple[int, int]
    ) -> tuple[Style, RecordedImage]:
        """The style and its entry in the record, with the masks of its entry in the manifest.

        `content` is the reference of the content and `size` its width and height. Raises `ImageError`.
        """
        region = self._mask(entry.region, content, size)
        part = self._mask(entry.image_region, entry.image, style.image.size)
        if region is None and part is None:
            return style, source
        recorded = {
            "region": entry.region and self._files[entry.region].recorded(),
            "image_region": entry.image_region and self._files[entry.image_region].recorded(),
        }
        return replace(style, region=region, image_region=part), source.model_copy(update=recorded)

    def keep(self, pair: Pair, size: tuple[int, int]) -> Image.Image | None:
        """The mask of what stays of the content, of this width and height. Raises `ImageError`."""
        mask = self._mask(pair.keep, pair.content, size)
        if mask and is_white(mask):
            raise ImageError(
                f"{pair.keep}: this mask of 'keep' is all white, so that nothing would change; paint black "
                "what is to be stylized"
            )
        return mask

    def _mask(self, reference: str | None, image: str, size: tuple[int, int]) -> Image.Image | None:
        if reference is None:
            return None
        if reference not in self._decoded:
            file = self._files[reference]
            with named(reference):
                decoded = images.decode(file.data, self._long_side, self._most_pixels)
                self._decoded[reference] = mask_of(decoded)
            self.thumbnails[thumbnail_name(file.sha256)] = self._decoded[reference]
        mask = self._decoded[reference]
        if has_other_aspect(mask.size, size):
            self.notes.append(
                f"{reference}: this mask of {_text(mask.size)} pixels has another aspect ratio than {image}, "
                f"{_text(size)}, and is stretched to fit"
            )
        return mask


def _text(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"

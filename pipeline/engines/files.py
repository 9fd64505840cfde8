"""The image files of a pair, as they were read."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property

from nst.errors import ImageError
from pipeline.outbox.record import RecordedImage, sha256_of, thumbnail_name


@dataclass(frozen=True)
class ImageFile:
    """The bytes and the state of an image, as `Sources.fetch` returns them."""

    reference: str
    data: bytes
    state: str | None = None

    @cached_property
    def sha256(self) -> str:
        """The SHA-256 of the bytes."""
        return sha256_of(self.data)

    def recorded(self, weight: float = 1.0) -> RecordedImage:
        """The entry of this image in a record."""
        return RecordedImage(
            reference=self.reference,
            sha256=self.sha256,
            thumbnail=thumbnail_name(self.sha256),
            weight=weight,
            state=self.state,
        )


Files = Mapping[str, ImageFile]
"""The images of a pair, by their references."""


@contextmanager
def named(reference: str) -> Iterator[None]:
    """Put the name of the image before the message of an `ImageError`."""
    try:
        yield
    except ImageError as error:
        raise ImageError(f"{reference}: {error}") from error

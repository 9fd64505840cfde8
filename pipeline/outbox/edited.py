"""Pictures that somebody has changed after their records were written: found, and kept under another name."""

import itertools
import re
from collections.abc import Callable, Sequence
from pathlib import PurePosixPath

from pipeline.errors import NotFoundError, StoreError, TooLargeError
from pipeline.manifest.names import folded
from pipeline.outbox.record import Record, sha256_of
from pipeline.outbox.result_folder import ResultFolder
from pipeline.stores.base import Entry

EDITED = re.compile(r"\.edited(-[0-9]+)?$")  # the end of the name, without extension, of an edited picture
_LARGEST = 2**30  # bytes of a picture


class EditedPictures:
    """The pictures of one manifest. All methods may raise `UnavailableError`."""

    def __init__(self, folder: ResultFolder, pairs: Sequence[str], warn: Callable[[str], None]) -> None:
        self._folder, self._warn = folder, warn
        self._names = {folded(pair) for pair in pairs}
        self._kept: set[str] = set()  # pairs whose edited picture was kept
        # The answers of `is_edited`: when a result is written again, the new picture may be there already.
        self._answers: dict[str, bool] = {}

    def is_same(self, record: Record, name: str, entry: Entry | None) -> bool | None:
        """Whether a file is the one that the record describes; none if there is no such file.

        `entry` is that of the listing.
        """
        tag = record.tags.get(name)
        if entry is None or tag is None:
            return None
        if entry.tag == tag:
            return True
        if tag.isdecimal():  # earlier versions wrote the size of a file in a folder
            return entry.size == int(tag)
        # The listing of some server may write tags in another way.
        return self._is_same_now(record, name)

    def is_edited(self, record: Record) -> bool:
        """Whether the picture of a record is not the record's when this is asked for the first time."""
        if record.id not in self._answers:
            by_size = record.tags.get(record.picture, "").isdecimal()
            self._answers[record.id] = not by_size and self._is_same_now(record, record.picture) is False
        return self._answers[record.id]

    def keep(self, record: Record) -> None:
        """Copy a picture that is not the record's to a free name, and warn."""
        if record.id in self._kept:
            return  # the place of the edited picture may have the new one already
        try:
            data, _ = self._folder.fetch(record.picture, _LARGEST)
        except NotFoundError:
            return
        except TooLargeError as error:
            raise StoreError(
                f"{error}, so it can't be kept; it was changed after its record was written; move it away"
            ) from None
        stem, extension = record.id, PurePosixPath(record.picture).suffix
        for number in itertools.count(1):
            name = f"{stem}.edited{f'-{number}' if number > 1 else ''}"
            if folded(name) in self._names:
                continue  # another pair will have this name
            if self._folder.put_new(name + extension, data):
                break
            if self._digest(name + extension) == sha256_of(data):
                break  # an earlier try has written it
        self._kept.add(record.id)
        self._warn(
            f"{self._folder.url(record.picture)}: was changed after its record was written; "
            f"it is kept as {name}{extension}, and the pair is computed again"
        )

    def _is_same_now(self, record: Record, name: str) -> bool | None:
        found = self._folder.tag(name)
        if found is None:
            return None
        if found == record.tags.get(name):
            return True
        # After results were copied to another store, the file has another tag.
        return name in record.digests and self._digest(name) == record.digests[name]

    def _digest(self, name: str) -> str | None:
        """The SHA-256 of a file; none if there is no such file, or if it is too large for a picture."""
        try:
            return sha256_of(self._folder.fetch(name, _LARGEST)[0])
        except (NotFoundError, TooLargeError):
            return None

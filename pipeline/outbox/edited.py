"""Pictures that somebody has changed after their records were written: found, and kept under another name."""

import itertools
import re
from collections.abc import Callable, Sequence
from pathlib import PurePosixPath

from pipeline.errors import NotFoundError, StoreError, TooLargeError
from pipeline.manifest.names import folded
from pipeline.outbox.record import Record, sha256_of
from pipeline.outbox.writing import Confirm, Writer, waiting_for_outbox
from pipeline.stores.base import Store

EDITED = re.compile(r"\.edited(-[0-9]+)?$")  # the end of the name, without extension, of an edited picture
_LARGEST = 2**30  # bytes of a picture


class EditedPictures:
    """The pictures of one manifest. All methods may raise `UnavailableError`."""

    def __init__(
        self, store: Store, manifest: str, pairs: Sequence[str], warn: Callable[[str], None]
    ) -> None:
        self._store, self._manifest, self._warn = store, manifest, warn
        self._writer = Writer(store, manifest)
        self._names = {folded(pair) for pair in pairs}
        self._kept: set[str] = set()  # pairs whose edited picture was kept
        # The answers of `is_edited`: when a result is written again, the new picture may be there already.
        self._answers: dict[str, bool] = {}

    def is_same(self, record: Record, name: str) -> bool | None:
        """Whether a file is now the one that the record describes; none if there is no such file.

        After results were copied to another store, it has another tag, and its content is compared.
        """
        found = self._writer.tag(name)
        if found is None:
            return None
        if found == record.tags.get(name):
            return True
        return name in record.digests and self._digest(name) == record.digests[name]

    def is_edited(self, record: Record) -> bool:
        """Whether the picture of a record was changed between the listing and the first call of `put`."""
        if record.id not in self._answers:
            by_size = record.tags.get(record.picture, "").isdecimal()
            self._answers[record.id] = not by_size and self.is_same(record, record.picture) is False
        return self._answers[record.id]

    def keep(self, record: Record, confirm: Confirm) -> None:
        """Copy a picture that is not the record's to a free name, and warn."""
        if record.id in self._kept:
            return  # the place of the edited picture may have the new one already
        try:
            with waiting_for_outbox():
                data = self._store.read(f"{self._manifest}/{record.picture}", _LARGEST)
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
            if self._writer.put_new(name + extension, data, confirm):
                break
            if self._digest(name + extension) == sha256_of(data):
                break  # an earlier try has written it
        self._kept.add(record.id)
        self._warn(
            f"{self._store.url}/{self._manifest}/{record.picture}: was changed after its record was written; "
            f"it is kept as {name}{extension}, and the pair is computed again"
        )

    def _digest(self, name: str) -> str | None:
        """The SHA-256 of a file; none if there is no such file, or if it is too large for a picture."""
        try:
            with waiting_for_outbox():
                return sha256_of(self._store.read(f"{self._manifest}/{name}", _LARGEST))
        except (NotFoundError, TooLargeError):
            return None

"""Results: where they are, and which files of other folders are results."""

import json
import re
from collections.abc import Callable, Iterable, Sequence

from pipeline.errors import NotFoundError
from pipeline.outbox.edited import EDITED
from pipeline.outbox.pages import INDEX
from pipeline.outbox.record import LONGEST, SNAPSHOT, Record, log_name, read_record, record_name
from pipeline.outbox.result_folder import Confirm, ResultFolder, waiting_for_outbox
from pipeline.outbox.results import Results
from pipeline.stores.base import Store
from pipeline.timing import Timing

_ORIGIN = ".origin.json"  # hidden, so that no listing of results has it
_THUMBNAIL = re.compile(r".+/thumbs/[0-9a-f]{16}\.jpg")  # a key that ends with a `thumbnail_name`


class Outbox:
    """The results of manifest NAME, pair ID are `NAME/ID.png`, `NAME/ID.loss.jsonl` and `NAME/ID.json`."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def open(
        self,
        manifest: str,
        pairs: Sequence[str],
        confirm: Confirm,
        timing: Timing,
        warn: Callable[[str], None],
    ) -> Results:
        """The results of a manifest with pairs of these ids, in this order; its folder is listed now.

        `confirm` is called before each change. `warn` gets a sentence about each file that was edited or
        damaged. Raises `UnavailableError`, and `NameRefusedError` if the outbox cannot have a folder of this
        name.
        """
        return Results(ResultFolder(self.store, manifest, confirm), pairs, timing, warn)

    def record(self, manifest: str, pair: str) -> Record | None:
        """The record of a pair; none if there is none that this version understands."""
        try:
            return read_record(self.store.read(f"{manifest}/{record_name(pair)}", LONGEST)).record
        except NotFoundError:
            return None

    def origin(self, manifest: str) -> str | None:
        """Where the manifest lies, or lay, whose results are in the folder of this name.

        None if there are no results, or if an earlier version of this program has written them.
        """
        try:
            found = json.loads(self.store.read(f"{manifest}/{_ORIGIN}", LONGEST))
            return str(found["manifest"])
        except (NotFoundError, ValueError, TypeError, KeyError, RecursionError):
            return None

    def note_origin(self, manifest: str, origin: str, new: bool, confirm: Confirm) -> None:
        """Write down the place of the manifest whose results go to the folder of this name.

        `new` if there are no results yet. Raises `UnavailableError`, `NameRefusedError` if the outbox cannot
        have a folder of this name, and what `confirm` raises.
        """
        with waiting_for_outbox():
            if not new and self.origin(manifest) == origin:
                return
            confirm()
            # Not with a tag: a runner that writes too late had the same manifest, and writes the same text.
            self.store.write(f"{manifest}/{_ORIGIN}", json.dumps({"manifest": origin}).encode())

    def results_among(self, references: Iterable[str]) -> set[str]:
        """The absolute references among these that name pictures, thumbnails or snapshots in this outbox.

        A picture counts as a result if a loss log of the same name is in its folder, and so does a picture
        that was edited.
        """
        keys = {whole: key for whole in references if (key := self.store.key(whole)) and "/" in key}
        # Their names alone tell what these are. No folder of theirs is listed: each pair may have one.
        made = {whole for whole, key in keys.items() if _THUMBNAIL.fullmatch(key) or SNAPSHOT.fullmatch(key)}
        others = {whole: key for whole, key in keys.items() if whole not in made}
        folders = {key.rpartition("/")[0] for key in others.values()}
        files = {f"{folder}/{entry.name}" for folder in folders for entry in self.store.entries(folder)}

        def has_log(key: str) -> bool:
            stem = key.rpartition(".")[0]
            return not files.isdisjoint((log_name(stem), log_name(EDITED.sub("", stem))))

        return made | {whole for whole, key in others.items() if has_log(key)}

    def page_url(self, manifest: str) -> str:
        """The URL of the page, or its path."""
        return f"{self.store.url}/{manifest}/{INDEX}"

"""Suggests what a person may have meant by a path under which there is no file."""

import json
import os
import time
import unicodedata
from collections.abc import Iterator
from urllib.parse import unquote

from pipeline.errors import StoreError
from pipeline.stores.base import Store
from pipeline.timing import Timing

_MOST_NAMES = 10_000  # of one folder, that are compared
_MOST_FOLDERS = 16  # whose names are kept


class NearNames:
    """Finds existing names that differ from a given one only in what people do not see.

    That is letter case, the Unicode form, invisible characters, and spaces at the ends. The names of a folder
    are kept for `Timing.hints` seconds, because many images of one folder may be missing.
    """

    def __init__(self, timing: Timing = Timing()) -> None:
        self._timing = timing
        self._listings: dict[tuple[str, str], tuple[float, dict[str, str]]] = {}

    def file(self, store: Store, key: str) -> str | None:
        """The key of the file that may be meant by a key; the key itself if there is such a file."""
        folder, _, name = key.rpartition("/")
        found = self._names(store, folder)
        if not found:
            nearest = self.folder(store, folder)
            if nearest is None:
                return None
            folder, found = nearest, self._names(store, nearest)
        return _joined(folder, found.get(name) or found.get(alike(name)))

    def folder(self, store: Store, folder: str) -> str | None:
        """The same for a folder."""
        if not folder or self._names(store, folder):
            return folder
        outer, _, name = folder.rpartition("/")
        nearest = self.folder(store, outer)
        if nearest is None:
            return None
        found = self._names(store, nearest)
        match = found.get(f"{name}/") or found.get(f"{alike(name)}/")
        return _joined(nearest, match.rstrip("/") if match else None)

    def _names(self, store: Store, folder: str) -> dict[str, str]:
        """The names in a folder, by themselves and by what is alike; those of folders end with a slash."""
        place, now = (store.url, folder), time.monotonic()
        listed, names = self._listings.get(place, (now, None))
        if names is None or now > listed + self._timing.hints:
            try:
                found = store.names(folder, _MOST_NAMES)
            except StoreError:
                found = []  # a suggestion is not worth another error
            names = {alike(name): name for name in found} | {name: name for name in found}
            self._listings[place] = now, names
            for oldest in list(self._listings)[:-_MOST_FOLDERS]:
                self._listings.pop(oldest, None)
        return names


def _joined(folder: str, name: str | None) -> str | None:
    return name and (f"{folder}/{name}" if folder else name)


def alike(name: str) -> str:
    """A text that is the same for names between which people see no difference, or only that of case."""
    bare, slash = name.rstrip("/"), "/" if name.endswith("/") else ""
    text = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", bare).casefold())
    return "".join(c for c in text if unicodedata.category(c) != "Cf").strip() + slash


def spellings(reference: str) -> Iterator[str]:
    """The reference, and the same path in other notations that people use: with `\\`, `%20`, `~`, `file:`."""
    yield reference
    texts = [os.path.expanduser(reference.strip())]
    if texts[0].lower().startswith("file:"):
        path = texts[0][5:].removeprefix("//localhost/").lstrip("/")
        texts = [f"/{path}", path]
    for text in texts:
        for path in (text, text.replace("\\", "/")):
            yield path
            yield unquote(path)


def advice(reference: str) -> str:
    """What is unusual about a reference, as a remedy; empty if nothing is."""
    text = reference.strip()
    if text.lower().startswith("file:"):
        return "; write a path, and no URL"
    if text.startswith("~"):
        return "; a manifest knows no '~', so write the whole path"
    return "; write '/' between folders" if "\\" in text else ""


def suggested(meant: str, reference: str) -> str:
    """A suggestion, as the end of a sentence."""
    if unicodedata.normalize("NFC", meant) == unicodedata.normalize("NFC", reference):
        return f"; did you mean {json.dumps(meant)}, in another Unicode form?"
    return f"; did you mean '{meant}'?"

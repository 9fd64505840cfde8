"""Suggests what a person may have meant by a path under which there is no file."""

import json
import os
import time
import unicodedata
from collections import deque
from collections.abc import Iterator
from urllib.parse import unquote

from pipeline.errors import StoreError
from pipeline.stores.base import Store
from pipeline.timing import Timing

_MOST_NAMES = 10_000  # of one folder, that are compared
_MOST_FOLDERS = 16  # whose names are kept
_MOST_LEVELS = 12  # of a path whose folder does not exist; fewer than the folders that are kept
_MOST_LISTINGS = 100  # within `Timing.hints` seconds


class NearNames:
    """Finds existing names that differ from a given one only in what people do not see.

    That is letter case, the Unicode form, invisible characters, and spaces at the ends. The names of a folder
    are kept for `Timing.hints` seconds, because many images of one folder may be missing. At most 100 folders
    are listed within this time, because a manifest may name 100,000 missing images of as many folders; what
    is asked beyond that gets no suggestion.
    """

    def __init__(self, timing: Timing = Timing()) -> None:
        self._timing = timing
        # Time and names by place; the place that was used last stands last.
        self._listings: dict[tuple[str, str], tuple[float, dict[str, str]]] = {}
        self._begun: deque[float] = deque(maxlen=_MOST_LISTINGS)  # times of the last listings

    def file(self, store: Store, key: str) -> str | None:
        """The key of the file that may be meant by a key; the key itself if there is such a file."""
        folder, _, name = key.rpartition("/")
        nearest = self.folder(store, folder)
        if nearest is None:
            return None
        found = self._names(store, nearest)
        near = found.get(name) or found.get(alike(name))
        return _joined(nearest, near) if near else None

    def folder(self, store: Store, folder: str) -> str | None:
        """The same for a folder."""
        # In most cases the folder is right, and may be in one that cannot be listed or has too many names.
        if not folder or self._names(store, folder):
            return folder
        parts = folder.split("/")
        if len(parts) > _MOST_LEVELS:
            return None
        nearest = ""
        for part in parts:
            found = self._names(store, nearest)
            near = found.get(f"{part}/") or found.get(f"{alike(part)}/")
            if near is None:
                return None
            nearest = _joined(nearest, near.removesuffix("/"))
        return nearest

    def _names(self, store: Store, folder: str) -> dict[str, str]:
        """The names in a folder, by themselves and by what is alike; those of folders end with a slash."""
        place, now = (store.url, folder), time.monotonic()
        listed, names = self._listings.pop(place, (now, None))
        if names is None or now > listed + self._timing.hints:
            if len(self._begun) == _MOST_LISTINGS and now < self._begun[0] + self._timing.hints:
                return {}
            self._begun.append(now)
            try:
                found = store.names(folder, _MOST_NAMES)
            except StoreError:
                found = []  # a suggestion is not worth another error
            listed = time.monotonic()
            names = {alike(name): name for name in found} | {name: name for name in found}
        self._listings[place] = listed, names
        for oldest in list(self._listings)[:-_MOST_FOLDERS]:
            self._listings.pop(oldest, None)
        return names


def _joined(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name


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

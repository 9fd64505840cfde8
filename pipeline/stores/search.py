"""Searches for files by patterns. All patterns of one manifest share one limit."""

import heapq
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple, TypeVar

from pipeline.errors import StoreError
from pipeline.stores import patterns

# In one manifest. The remedy is the same for all: name the folders more closely, or split the manifest.
_MOST_LISTED = 1_000_000  # files and folders that are listed; a name takes about a hundred bytes
_MOST_COMPARED = 10_000_000  # names that are compared with a pattern; each takes about a microsecond
_MOST_MATCHES = 200_000  # files that match; contents and styles of the largest product are half as many
_MOST_WARNINGS = 20  # about files that are left out
_STEP = 1000  # names between two calls of `step`

T = TypeVar("T")


class _Item(NamedTuple):
    """One name in a folder. What a symbolic link leads to counts as the item."""

    name: str
    file: bool  # an ordinary file
    folder: bool
    link: bool


class _Folder(NamedTuple):
    """What is directly in a folder. `identity` is its device and inode, or its path if these are unknown."""

    identity: tuple[int, int] | str
    items: list[_Item]


class Search:
    """What the patterns of one manifest have listed so far. The same folder or prefix is listed once."""

    def __init__(
        self, step: Callable[[], None] = lambda: None, warn: Callable[[str], None] = lambda message: None
    ) -> None:
        """`step` is called again and again during a search, and may raise an exception to end it.

        `warn` gets a sentence about each file that a pattern matches and that cannot be taken.
        """
        self._step, self._warn = step, warn
        self._prefixes: dict[tuple[str, str], list[str]] = {}  # by store and prefix
        self._folders: dict[str, _Folder] = {}  # by path
        self._warned: set[str] = set()
        self._listed = self._compared = self._matches = 0

    def keys(self, store: str, pattern: str, listing: Callable[[str, int], Iterable[str]]) -> list[str]:
        """The keys that match a pattern, sorted.

        `listing` lists the keys of the store that begin with a text, at most a number of them. Raises
        `StoreError` at a limit.
        """
        start = patterns.literal(pattern)
        known = (
            keys
            for (other, prefix), keys in self._prefixes.items()
            if other == store and start.startswith(prefix)
        )
        if (found := next(known, None)) is None:
            found = list(self.stepping(listing(start, self._left())))
            self._list(len(found), pattern)
            found = [key for key in found if not key.endswith("/")]  # markers of folders
            self._prefixes[store, start] = found
        self.compare(len(found), pattern)
        return patterns.matching(self.stepping(found), pattern)

    def folder(self, path: str, pattern: str) -> _Folder:
        """What is directly in a folder; nothing if it cannot be listed. Raises `StoreError` at a limit."""
        if path not in self._folders:
            identity: tuple[int, int] | str = path
            items: list[_Item] = []
            try:
                info = os.stat(path)
                identity = info.st_dev, info.st_ino
                with os.scandir(path) as listing:
                    items = [_item(entry) for entry in self.stepping(islice(listing, self._left()))]
            except (FileNotFoundError, NotADirectoryError):
                pass
            except OSError as error:
                self.left_out(path, f"cannot be listed ({error.strerror})")
            self._list(len(items), pattern)
            self._folders[path] = _Folder(identity, items)
        self._step()
        self.compare(len(self._folders[path].items) + 1, pattern)
        return self._folders[path]

    def compare(self, count: int, pattern: str) -> None:
        """Count names that are compared with a pattern. Raises `StoreError` at the limit."""
        self._compared += count
        if self._compared > _MOST_COMPARED:
            raise _too_many(pattern, f"compare {_MOST_COMPARED:,} names")

    def match(self, count: int, pattern: str) -> None:
        """Count files that match a pattern. Raises `StoreError` at the limit."""
        self._matches += count
        if self._matches > _MOST_MATCHES:
            raise _too_many(pattern, f"match {_MOST_MATCHES:,} files")

    def left_out(self, path: str, reason: str) -> None:
        """Report a file that matches and cannot be taken; each once, and not too many of them."""
        if path in self._warned or len(self._warned) > _MOST_WARNINGS:
            return
        self._warned.add(path)
        if len(self._warned) > _MOST_WARNINGS:
            self._warn("more files are left out for such reasons")
        else:
            self._warn(f"{path}: {reason}; it is left out")

    def stepping(self, items: Iterable[T]) -> Iterator[T]:
        """The same items, with calls of `step` between them."""
        for number, item in enumerate(items):
            if number % _STEP == 0:
                self._step()
            yield item

    def _left(self) -> int:
        """How many may be listed now: one more than allowed, so that the excess is noticed."""
        return _MOST_LISTED - self._listed + 1

    def _list(self, count: int, pattern: str) -> None:
        self._listed += count
        if self._listed > _MOST_LISTED:
            raise _too_many(pattern, f"list {_MOST_LISTED:,} files and folders")


def _item(entry: os.DirEntry[str]) -> _Item:
    try:
        return _Item(entry.name, entry.is_file(), entry.is_dir(), entry.is_symlink())
    except OSError:
        return _Item(entry.name, False, False, entry.is_symlink())  # a link that leads to itself


def found_below(root: Path, parts: Sequence[str], search: Search) -> set[str]:
    """The paths, relative to `root`, of the files that match a pattern, which is given by its parts.

    Links to folders, also those that a part without wildcards names, are followed where they stay below the
    root and do not lead to a folder that contains them. A folder is searched once by each rest of the
    pattern, also if several links lead to it. Its path without links is preferred. Raises `StoreError` at a
    limit of the search.
    """
    pattern, found = "/".join(parts), set[str]()
    left: list[tuple[str, tuple[str, ...]]] = [("", tuple(parts))]
    links: list[tuple[str, tuple[str, ...]]] = []  # as a heap: they are followed when nothing else is left
    searched: set[tuple[object, tuple[str, ...]]] = set()

    def descend(folder: str, name: str, link: bool, rest: tuple[str, ...]) -> None:
        if not link:
            left.append((f"{folder}{name}/", rest))
        elif _is_followed(root, folder, name, search):
            heapq.heappush(links, (f"{folder}{name}/", rest))

    while left or links:
        folder, (part, *following) = left.pop() if left else heapq.heappop(links)
        rest = tuple(following)
        if rest and not patterns.is_pattern(part):
            search.compare(1, pattern)
            descend(folder, part, os.path.islink(root / folder / part), rest)
            continue
        identity, items = search.folder(os.path.join(root, folder), pattern)
        if (identity, (part, *rest)) in searched:
            continue
        searched.add((identity, (part, *rest)))
        if part == "**" and rest:
            left.append((folder, rest))
        for item in items:
            if not patterns.name_matches(item.name, part, not rest):
                continue
            path = folder + item.name
            if item.folder and (rest or part == "**"):
                descend(folder, item.name, item.link, rest if part != "**" else (part, *rest))
            elif item.file and not rest:
                found.add(path)
            elif not item.folder and not item.file and not rest:
                kind = "a link that does not lead to an ordinary file" if item.link else "no ordinary file"
                search.left_out(str(root / path), f"is {kind}")
    return found


def _is_followed(root: Path, folder: str, name: str, search: Search) -> bool:
    """Whether a link to a folder leads neither outside of the root nor to a folder that contains the link."""
    target = Path(os.path.realpath(root / folder / name))
    if not target.is_relative_to(root):
        search.left_out(str(root / folder / name), f"is a link to a folder outside {root}")
        return False
    return not Path(os.path.realpath(root / folder)).is_relative_to(target)


def _too_many(pattern: str, what: str) -> StoreError:
    return StoreError(
        f"'{pattern}': the patterns of one manifest may {what} at most; "
        "name the folders more closely, or split the manifest"
    )

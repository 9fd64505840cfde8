"""Searches for files by patterns. All patterns of one manifest share one limit."""

import fnmatch
import os
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from pipeline.errors import StoreError
from pipeline.stores import patterns

# In one manifest. The remedy is the same for all: name the folders more closely, or split the manifest.
_MOST_LISTED = 1_000_000  # files and folders that are listed; a name takes about a hundred bytes
_MOST_COMPARED = 10_000_000  # names that are compared with a pattern; each takes about a microsecond
_MOST_MATCHES = 200_000  # files that match; contents and styles of the largest product are half as many


class _Item(NamedTuple):
    """One name in a folder."""

    name: str
    folder: bool  # also through a symbolic link
    link: bool


class Search:
    """What the patterns of one manifest have looked at so far. The same folder or prefix is listed once."""

    def __init__(self) -> None:
        self._prefixes: dict[tuple[str, str], list[str]] = {}  # by store and prefix
        self._folders: dict[str, list[_Item]] = {}  # by path
        self._listed = self._compared = self._matches = 0

    def keys(self, store: str, pattern: str, listing: Callable[[str, int], Sequence[str]]) -> list[str]:
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
            found = list(listing(start, self._left()))
            self._list(len(found), pattern)
            self._prefixes[store, start] = found
        self.compare(len(found), pattern)
        return patterns.matching(found, pattern)

    def folder(self, path: str, pattern: str) -> list[_Item]:
        """What is directly in a folder; nothing if it cannot be listed. Raises `StoreError` at a limit."""
        if path not in self._folders:
            try:
                with os.scandir(path) as listing:
                    items = [
                        _Item(item.name, _is_folder(item), item.is_symlink())
                        for item in islice(listing, self._left())
                    ]
            except OSError:
                items = []  # it is no folder, or may not be read
            self._list(len(items), pattern)
            self._folders[path] = items
        self.compare(len(self._folders[path]) + 1, pattern)
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

    def _left(self) -> int:
        """How many may be listed now: one more than allowed, so that the excess is noticed."""
        return _MOST_LISTED - self._listed + 1

    def _list(self, count: int, pattern: str) -> None:
        self._listed += count
        if self._listed > _MOST_LISTED:
            raise _too_many(pattern, f"list {_MOST_LISTED:,} files and folders")


def _is_folder(item: os.DirEntry[str]) -> bool:
    try:
        return item.is_dir()
    except OSError:
        return False  # a link that goes round in circles


def found_below(root: Path, parts: Sequence[str], search: Search) -> set[str]:
    """The paths, relative to `root`, of what matches a pattern, which is given by its parts.

    Links to folders are followed where they stay below the root and do not lead to a folder that contains
    them. Raises `StoreError` at a limit of the search.
    """
    pattern, found = "/".join(parts), set[str]()
    left: list[tuple[str, tuple[str, ...]]] = [("", tuple(parts))]
    while left:
        folder, (part, *following) = left.pop()
        rest = tuple(following)
        if part != "**" and patterns.literal(part) == part:
            search.compare(1, pattern)
            found.update([folder + part] if not rest else [])
            left += [(f"{folder}{part}/", rest)] if rest else []
            continue
        if part == "**" and rest:
            left.append((folder, rest))
        for name, is_folder, link in search.folder(os.path.join(root, folder), pattern):
            if not _matches(name, part):
                continue
            if not rest:
                found.add(folder + name)
            if is_folder and (rest or part == "**") and not (link and _leaves(root, folder, name)):
                left.append((f"{folder}{name}/", rest if part != "**" else (part, *rest)))
    return found


def _matches(name: str, part: str) -> bool:
    hidden = name.startswith(".") and not part.startswith(".")
    return not hidden and (part == "**" or fnmatch.fnmatchcase(name, part))


def _leaves(root: Path, folder: str, name: str) -> bool:
    """Whether a link to a folder leads outside of the root, or to a folder that contains the link."""
    target = Path(os.path.realpath(root / folder / name))
    return not target.is_relative_to(root) or Path(os.path.realpath(root / folder)).is_relative_to(target)


def _too_many(pattern: str, what: str) -> StoreError:
    return StoreError(
        f"'{pattern}': the patterns of one manifest may {what} at most; "
        "name the folders more closely, or split the manifest"
    )

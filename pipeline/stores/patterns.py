"""Patterns for keys: `*`, `?` and `[...]` within a name, `**` for any number of folders."""

import fnmatch
import re
from collections.abc import Iterable, Sequence

_WILDCARDS = re.compile(r"[*?\[]")
# Folders that storage systems and archivers make beside the files of people: previews, deleted files, older
# versions. In lower case.
_SYSTEM_FOLDERS = {
    *("@eadir", "@tmp", "@recycle", "@recently-snapshot", "#recycle", "#snapshot", "~snapshot"),
    *("$recycle.bin", "recycler", "system volume information", "found.000", "lost+found", ".stversions"),
    "__macosx",
}


def is_pattern(text: str) -> bool:
    """Whether a text has a wildcard."""
    return _WILDCARDS.search(text) is not None


def matching(keys: Iterable[str], pattern: str) -> list[str]:
    """The keys that match a pattern, or are equal to it, sorted."""
    parts = pattern.split("/")
    return sorted(key for key in keys if key == pattern or _matches(key.split("/"), parts))


def literal(pattern: str) -> str:
    """What every key that matches a pattern begins with."""
    start = _WILDCARDS.split(pattern, maxsplit=1)[0]
    if "/" in pattern[len(start) :]:
        return start
    stem, dot, extension = start.rpartition(".")
    # The extension may have another letter case.
    return stem + dot if dot and "/" not in extension else start


def escaped(name: str) -> str:
    """A pattern that matches this name only."""
    return _WILDCARDS.sub(lambda wildcard: f"[{wildcard[0]}]", name)


def name_matches(name: str, part: str, last: bool) -> bool:
    """Whether a name matches a part of a pattern; `**` matches each name.

    In the last part, the letter case of the extension does not count. A part that begins with a wildcard
    matches neither hidden names nor the folders of storage systems, such as `@eaDir`.
    """
    if name.startswith(".") and not part.startswith("."):
        return False
    if name.lower() in _SYSTEM_FOLDERS and not name.startswith(_WILDCARDS.split(part, maxsplit=1)[0] or "/"):
        return False
    if part == "**" or fnmatch.fnmatchcase(name, part):
        return True
    return last and fnmatch.fnmatchcase(_lower_extension(name), _lower_extension(part))


def _lower_extension(text: str) -> str:
    """The text with what follows its last dot, or in a pattern without a dot its last `*`, in lower case."""
    start, mark, extension = text.rpartition("." if "." in text else "*")
    return f"{start}{mark}{extension.lower()}" if mark else text


def _matches(key: Sequence[str], pattern: Sequence[str]) -> bool:
    if not pattern or not key:
        return not pattern and not key
    part, last = pattern[0], len(pattern) == 1
    if part == "**" and last:
        return all(name_matches(name, part, last) for name in key)
    if part == "**":
        inside = name_matches(key[0], part, False) and _matches(key[1:], pattern)
        return inside or _matches(key, pattern[1:])
    return name_matches(key[0], part, last) and _matches(key[1:], pattern[1:])

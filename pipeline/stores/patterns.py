"""Patterns for keys: `*`, `?` and `[...]` within a name, `**` for any number of folders."""

import fnmatch
import re
from collections.abc import Iterable, Sequence
from functools import lru_cache

_WILDCARDS = re.compile(r"[*?\[]")
_SET = re.compile(r"\[!?.[^\]]*\]")  # characters between brackets
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
    # Most names do not match, so that this is checked first.
    if part != "**" and not _compiled(part, last).match(name):
        return False
    if name.startswith(".") and not part.startswith("."):
        return False
    return name.lower() not in _SYSTEM_FOLDERS or name.startswith(
        _WILDCARDS.split(part, maxsplit=1)[0] or "/"
    )


@lru_cache(1024)
def _compiled(part: str, last: bool) -> re.Pattern[str]:
    """A part of a pattern; in the last one, case does not count in what follows its last dot or `*`."""
    start, mark, extension = part.rpartition("." if "." in part else "*")
    divided = "[" in _SET.sub("", start) and "]" in extension  # the dot is between brackets
    if not last or not mark or divided:
        return re.compile(fnmatch.translate(part))
    return re.compile(f"{_translated(start + mark)}(?i:{_translated(extension)})\\Z", re.DOTALL)


def _translated(part: str) -> str:
    """A regular expression for a part, without what `fnmatch` puts around it."""
    return fnmatch.translate(part).removeprefix("(?s:")[:-3]


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

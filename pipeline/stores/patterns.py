"""Patterns for keys: `*`, `?` and `[...]` within a name, `**` for any number of folders."""

import fnmatch
import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import takewhile

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
    """The keys that match a pattern, sorted; only the one that is equal to it if there is such a key."""
    parts = pattern.split("/")
    found = sorted(key for key in keys if key == pattern or _matches(key.split("/"), parts))
    return [pattern] if pattern in found else found


def literal(pattern: str) -> str:
    """What every key that matches a pattern begins with."""
    start = _WILDCARDS.split(pattern, maxsplit=1)[0]
    stem, dot, extension = pattern.rpartition(".")
    if not dot or "/" in extension or len(stem) >= len(start):
        return start
    # The pattern may match files whose extension begins here and has another letter case.
    rest = start[len(stem) + 1 :]
    return stem + dot + "".join(takewhile(lambda character: character.lower() == character.upper(), rest))


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
    """A part of a pattern; in the last one, case does not count in the extension of the name.

    The extension begins at the last dot of the part, if the name has no dot after it, or within its last `*`.
    """
    ways = [_translated(part)]
    start, dot, extension = part.rpartition(".")
    if last and dot and not _divides_set(start, extension):
        ways.append(f"{_translated(start + dot)}(?i:(?=[^.]*\\Z){_translated(extension)})")
    start, star, end = part.rpartition("*")
    if last and star and "." not in end and not _divides_set(start, end):
        ways.append(f"(?=.*\\.){_translated(start + star)}(?i:{_translated(end)})")
    return re.compile(f"(?:{'|'.join(ways)})\\Z", re.DOTALL)


def _divides_set(start: str, end: str) -> bool:
    """Whether what stands between two texts is between brackets."""
    return "[" in _SET.sub("", start) and "]" in end


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

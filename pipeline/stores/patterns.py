"""Patterns for keys: `*`, `?` and `[...]` within a name, `**` for any number of folders."""

import fnmatch
import re
from collections.abc import Iterable, Sequence


def matching(keys: Iterable[str], pattern: str) -> list[str]:
    """The keys that match a pattern, or are equal to it, sorted. Wildcards match no hidden names."""
    parts = pattern.split("/")
    return sorted(key for key in keys if key == pattern or _matches(key.split("/"), parts))


def literal(pattern: str) -> str:
    """What every key that matches a pattern begins with."""
    return re.split(r"[*?\[]", pattern, maxsplit=1)[0]


def _matches(key: Sequence[str], pattern: Sequence[str]) -> bool:
    if not pattern or not key:
        return not pattern and not key
    if pattern[0] == "**" and len(pattern) == 1:
        return not any(name.startswith(".") for name in key)
    if pattern[0] == "**":
        return _matches(key, pattern[1:]) or (not key[0].startswith(".") and _matches(key[1:], pattern))
    hidden = key[0].startswith(".") and not pattern[0].startswith(".")
    return not hidden and fnmatch.fnmatchcase(key[0], pattern[0]) and _matches(key[1:], pattern[1:])

"""Names of pairs and manifests. They are used as file names."""

import hashlib
import json
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import PurePosixPath

_DEVICE = r"([cC][oO][nN]|[pP][rR][nN]|[aA][uU][xX]|[nN][uU][lL]|([cC][oO][mM]|[lL][pP][tT])[0-9¹²³]) *"
# For the JSON Schema, in what the regular expressions of JavaScript and Python have in common: in Python, `$`
# also matches before a line break at the end.
PLAIN_NAME = rf'^(?![. ])(?!{_DEVICE}(\.|$))[^/\\<>:"|?*\x00-\x1f\x7f]*[^. /\\<>:"|?*\x00-\x1f\x7f]$(?!\n)'
_NOT_IN_NAMES = r'[/\\<>:"|?*\x00-\x1f\x7f]'
# Windows reserves these names for devices, also with any extension.
_DEVICES = re.compile(rf"{_DEVICE}(\.|$)")
LONGEST_NAME = 180  # bytes; with the suffixes that are added it must not exceed 255
# Hexadecimal digits of a digest. With fewer, two of the 100,000 pairs of a manifest might get the same one.
_DIGITS = 12
_LONGEST_END = 120  # bytes of what a name ends in, so that some of the images' names is left before it


def plain_file_name(name: str, *, what: str = "an id") -> str:
    """Return the name unchanged. Raises `ValueError` if some file system does not allow it.

    `what` is the subject of the message.
    """
    if not name:
        raise ValueError(f"{what} must not be empty")
    if re.search(_NOT_IN_NAMES, name):
        raise ValueError(f'{what} is a plain file name, without / \\ < > : " | ? * or control characters')
    if unseen := next((c for c in name if not c.isprintable()), ""):
        raise ValueError(
            f"{what} must not have invisible or unassigned characters, such as U+{ord(unseen):04X}"
        )
    if name.startswith((".", " ")) or name.endswith((".", " ")):
        raise ValueError(f"{what} must not begin or end with a dot or a space")
    if _DEVICES.match(name):
        raise ValueError(f"{what} must not be a device name of Windows, such as 'con' or 'nul'")
    if len(name.encode()) > LONGEST_NAME:
        raise ValueError(f"{what} must not be longer than {LONGEST_NAME} bytes")
    return name


def folded(name: str) -> str:
    """The name without letter case and with decomposed accents.

    Two names for which these are equal can be the same file on some file systems.
    """
    return unicodedata.normalize("NFD", unicodedata.normalize("NFD", name).casefold())


def shortened(name: str, most: int) -> str:
    """The name, cut to `most` bytes if it is longer; a cut name ends with a digest of the whole name."""
    data = name.encode(errors="surrogateescape")
    if len(data) <= most:
        return name
    digest = hashlib.sha256(data).hexdigest()[:8]
    return f"{data[: most - 9].decode(errors='ignore')}-{digest}"


def complete_names(
    given: Sequence[str | None],
    images: Sequence[Sequence[str]],
    ends: Sequence[str],
    details: Callable[[int], str],
) -> list[str]:
    """The given names; a pair without one is named after the stems of its images, and its end if it has one.

    A name that is made here and is the same as another one gets a digest of the paths of the images. If the
    paths are the same, too, the digest also covers `details`: it describes the pair at an index, apart from
    its images. Only names that are given can be the same.
    """
    stems = [name or _joined(paths, end) for name, paths, end in zip(given, images, ends, strict=True)]
    names = list(stems)
    for described in (lambda index: "", details):
        count = Counter(map(folded, names))
        for index in [i for i, name in enumerate(names) if not given[i] and count[folded(name)] > 1]:
            names[index] = _with_digest(stems[index], [*images[index], described(index)])
    return names


def _joined(paths: Sequence[str], end: str) -> str:
    name = "-".join(map(_stem, paths)).strip(". ") or "pair"
    name = f"_{name}" if _DEVICES.match(name) else name
    last = f"-{shortened(end, _LONGEST_END)}" if end else ""
    return shortened(name, LONGEST_NAME - len(last.encode())) + last


def _with_digest(name: str, texts: Sequence[str]) -> str:
    """The name with a digest of the texts, cut to the longest name."""
    digest = hashlib.sha256(json.dumps(texts).encode()).hexdigest()[:_DIGITS]
    start = name.encode()[: LONGEST_NAME - 1 - _DIGITS].decode(errors="ignore")
    return f"{start}-{digest}"


# An image of a product is in many pairs, and its path may have thousands of characters.
@lru_cache(1024)
def _stem(path: str) -> str:
    return _allowed(PurePosixPath(path).stem)


def _allowed(text: str) -> str:
    """The text, with characters that are not allowed in a name replaced."""
    return "".join(c if c.isprintable() else "_" for c in re.sub(_NOT_IN_NAMES, "_", text))

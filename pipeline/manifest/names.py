"""Names of pairs and manifests. They are used as file names."""

import hashlib
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


def plain_file_name(name: str) -> str:
    """Return the name unchanged. Raises `ValueError` if some file system does not allow it."""
    if re.search(_NOT_IN_NAMES, name) or not name.isprintable():
        raise ValueError('an id is a plain file name, without / \\ < > : " | ? * or control characters')
    if name.startswith((".", " ")) or name.endswith((".", " ")):
        raise ValueError("an id must not begin or end with a dot or a space")
    if _DEVICES.match(name):
        raise ValueError("an id must not be a device name of Windows, such as 'con' or 'nul'")
    if len(name.encode()) > LONGEST_NAME:
        raise ValueError(f"an id must not be longer than {LONGEST_NAME} bytes")
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


def complete_names(given: Sequence[str | None], images: Sequence[Sequence[str]]) -> list[str]:
    """The given names; a pair without one is named after its images.

    The name consists of the stems of the images, or of their whole paths if another name would be the same.
    """
    short = [name or _joined(paths, _stem) for name, paths in zip(given, images, strict=True)]
    count = Counter(folded(name) for name in short)
    return [
        name or (brief if count[folded(brief)] == 1 else _joined(paths, _whole_path))
        for name, brief, paths in zip(given, short, images, strict=True)
    ]


def _joined(paths: Sequence[str], part: Callable[[str], str]) -> str:
    name = "-".join(part(path) for path in paths).strip(". ") or "pair"
    return shortened(f"_{name}" if _DEVICES.match(name) else name, LONGEST_NAME)


# An image of a product is in many pairs, and its path may have thousands of characters.
@lru_cache(1024)
def _stem(path: str) -> str:
    return _allowed(PurePosixPath(path).stem)


@lru_cache(1024)
def _whole_path(path: str) -> str:
    return _allowed("_".join(part for part in PurePosixPath(path).parts if part != "/"))


def _allowed(text: str) -> str:
    """The text, with characters that are not allowed in a name replaced."""
    return "".join(c if c.isprintable() else "_" for c in re.sub(_NOT_IN_NAMES, "_", text))

"""Reads the JSON object in a manifest's bytes, in time and memory that its bytes alone limit."""

import json
from collections import Counter
from typing import Any

from pipeline.errors import ManifestError, Problem
from pipeline.manifest.wording import shown

MAX_BYTES = 32 * 2**20
# How messages begin about a document of which only the beginning is there.
_EMPTY, _NOT_UTF_8, _NOT_JSON = "the file is empty", "not UTF-8 text", "not valid JSON"
# A manifest of a hundred thousand pairs has fewer if each pair has at most eighteen keys.
_MOST_VALUES = 2_000_000  # commas and opening brackets: a value takes up to a hundred times its bytes
# In one object, so that one object causes few errors. The kinds of objects in a manifest all have fewer keys.
_MOST_KEYS = 100


def load_object(data: bytes) -> dict[str, Any]:
    """The JSON object in a manifest's bytes. Raises `ManifestError` with line and column."""
    if len(data) > MAX_BYTES:
        raise _broken(f"larger than {MAX_BYTES >> 20} MiB; split it into several manifests")
    if not data.strip():
        raise _broken(_EMPTY)
    if sum(data.count(mark) for mark in (b",", b"[", b"{")) > _MOST_VALUES:
        raise _broken(
            f"more than {_MOST_VALUES:,} commas and opening brackets; split it into several manifests"
        )
    try:
        document = json.loads(data.decode("utf-8-sig"), object_pairs_hook=_checked)
    except UnicodeDecodeError as error:
        raise _broken(f"{_NOT_UTF_8} (byte {error.start}); save it as UTF-8") from None
    except json.JSONDecodeError as error:
        at = f"line {error.lineno}, column {error.colno}"
        raise _broken(f"{_NOT_JSON} at {at}: {error.msg}") from None
    except RecursionError:
        raise _broken("nested too deeply to be a manifest") from None
    except ValueError:
        raise _broken("a number in it has thousands of digits; shorten it") from None
    if not isinstance(document, dict):
        raise _broken(f"a manifest is a JSON object; found {shown(document)}")
    return document


def is_of_unfinished(message: str) -> bool:
    """Whether `load_object` may give this message because the document is not written to its end."""
    return message.startswith((_EMPTY, _NOT_UTF_8, _NOT_JSON))


def _broken(message: str) -> ManifestError:
    return ManifestError([Problem("", message)])


def _checked(items: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object without two values of one key, and with at most as many keys as one may have."""
    if len(items) > _MOST_KEYS:
        raise _broken(
            f"an object in it has {len(items):,} keys, the first of which is {shown(items[0][0])}; "
            f"no object of a manifest has more than {_MOST_KEYS}"
        )
    found = dict(items)
    if len(found) < len(items):
        key = Counter(key for key, _ in items).most_common(1)[0][0]
        raise _broken(f"the key {shown(key)} stands twice in one object")
    return found

"""The bytes of a manifest to a JSON object, with what is wrong told in a person's words."""

import json
from collections import Counter
from typing import Any

from pipeline.errors import ManifestError, Problem, printable

MAX_BYTES = 32 * 2**20


def load_object(data: bytes) -> dict[str, Any]:
    """The JSON object in a manifest's bytes. Raises `ManifestError` with line and column."""
    if len(data) > MAX_BYTES:
        raise _broken(f"larger than {MAX_BYTES >> 20} MiB; split it into several manifests")
    if not data.strip():
        raise _broken("the file is empty")
    try:
        document = json.loads(data.decode("utf-8-sig"), object_pairs_hook=_unique_keys)
    except UnicodeDecodeError as error:
        raise _broken(f"not UTF-8 text (byte {error.start}); save it as UTF-8") from None
    except json.JSONDecodeError as error:
        at = f"line {error.lineno}, column {error.colno}"
        raise _broken(f"not valid JSON at {at}: {error.msg}") from None
    except RecursionError:
        raise _broken("nested too deeply to be a manifest") from None
    except ValueError:
        raise _broken("a number in it has thousands of digits; shorten it") from None
    if not isinstance(document, dict):
        raise _broken(f"a manifest is a JSON object; found {shown(document)}")
    return document


def _broken(message: str) -> ManifestError:
    return ManifestError([Problem("", message)])


def _unique_keys(items: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(items)
    if len(found) < len(items):
        key = Counter(key for key, _ in items).most_common(1)[0][0]
        raise _broken(f"the key {shown(key)} stands twice in one object")
    return found


def shown(value: Any) -> str:
    """A JSON value as a message can quote it, on one line and cut short."""
    try:
        return cut(printable(json.dumps(value, ensure_ascii=False, default=str)), 60)
    except RecursionError:
        return "something nested very deeply"


def cut(text: str, length: int) -> str:
    """At most so many characters, and an ellipsis where there were more."""
    return text if len(text) <= length else f"{text[:length]}…"

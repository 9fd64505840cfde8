"""Reads a `Manifest` from bytes, or lists every problem in it as a sentence for a person."""

import difflib
import json
import re
from collections import Counter
from typing import Any

from pydantic import TypeAdapter, ValidationError

from nst.parameters import Parameters
from pipeline.errors import ManifestError, Problem, printable
from pipeline.manifest.models import Manifest, PairEntry, Priority, Product, StyleEntry

_SINGLE_KEYS = ("content", "style", "styles")
# In a manifest of one pair, these keys belong to the manifest, all others to the pair.
_OUTER_KEYS = ("version", "$schema", "priority", "defaults")
MAX_BYTES = 32 * 2**20


def parse(data: bytes) -> Manifest:
    """Read a manifest from its bytes. Raises `ManifestError` with every problem and its place."""
    document = load_object(data)
    single = any(key in document for key in _SINGLE_KEYS) and "pairs" not in document
    if single:
        outer: dict[str, Any] = {key: document.pop(key) for key in _OUTER_KEYS if key in document}
        document = {**outer, "pairs": [document]}
    try:
        manifest = Manifest.model_validate(document)
    except ValidationError as error:
        problems = [_problem_of_details(dict(details), single) for details in error.errors()]
        raise ManifestError(problems) from None
    manifest._single = single
    return manifest


def priority_of(data: bytes) -> int:
    """The priority of a manifest; 0 if it has none, or if it or the manifest is not valid."""
    try:
        return TypeAdapter(Priority).validate_python(load_object(data).get("priority", 0), strict=True)
    except (ManifestError, ValidationError):
        return 0


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
    """A JSON value as text for a message: one line, at most 60 characters and an ellipsis."""
    try:
        return cut(printable(json.dumps(value, ensure_ascii=False, default=str)), 60)
    except RecursionError:
        return "a deeply nested value"


def cut(text: str, length: int) -> str:
    """The first `length` characters of the text, with an ellipsis if it has more."""
    return text if len(text) <= length else f"{text[:length]}…"


_CLEARER_MESSAGES = {
    "model_type": "should be an object",
    "dict_type": "should be an object",
    "too_short": "should not be empty",
    "string_too_short": "should not be empty",
    "string_unicode": "should be text without unpaired surrogates",
}


def _problem_of_details(details: dict[str, Any], single: bool) -> Problem:
    path, kind, message = details["loc"], details["type"], str(details["msg"])
    if single and path[:2] == ("pairs", 0):
        path = path[2:]
    # For an error in a key of a mapping, pydantic appends "[key]" to the place.
    place = _place(tuple(part for part in path if part != "[key]"))
    if kind == "extra_forbidden":
        known = _known_keys(details["loc"])
        if single and len(details["loc"]) == 3:
            known += [key for key in _known_keys(("",)) if key not in ("pairs", "product")]
        near = difflib.get_close_matches(str(path[-1]), known, 1)
        hint = f"did you mean '{near[0]}'?" if near else f"known are {', '.join(known)}"
        return Problem(place, f"unknown key; {hint}")
    if kind == "missing":
        return Problem(place, "is missing")
    message = _CLEARER_MESSAGES.get(kind, reworded(message))
    if kind == "value_error" and isinstance(details["input"], dict):
        return Problem(place, message)
    return Problem(place, f"{message}; found {shown(details['input'])}")


def reworded(text: str) -> str:
    """A message of pydantic, without its prefix and its internal details."""
    return re.sub("^(Value error, |(Input|String|List) (?=should))| after validation, not [0-9]+$", "", text)


def _place(path: tuple[int | str, ...]) -> str:
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return cut(printable(text.removeprefix(".")), 200)


def _known_keys(path: tuple[int | str, ...]) -> list[str]:
    if path[0] == "defaults":
        return list(Parameters.model_fields)
    if path[0] == "product":
        return list(Product.model_fields)
    if path[0] == "pairs" and len(path) > 1:
        return list((StyleEntry if "styles" in path else PairEntry).model_fields)
    return [field.alias or name for name, field in Manifest.model_fields.items()]

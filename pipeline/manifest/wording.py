"""Errors of pydantic and JSON values as sentences for a person, short however large the value is."""

import difflib
import json
import re
from typing import Any

from nst.parameters import Parameters
from pipeline.errors import Problem, printable
from pipeline.manifest.models import Manifest, PairEntry, Product, StyleEntry

_LONGEST_VALUE, _LONGEST_PLACE = 60, 200  # characters of a value and of a place in a message
# Keys of entries of `styles` that may be looked for elsewhere, and how to write them.
_MASKS = {
    name: f'"styles": [{{"image": "art.png", "{name}": "mask.png"}}]' for name in ("region", "image_region")
}
# What to write in place of several paths.
_SEVERAL = {
    "content": "for a picture of each, use 'product'",
    "style": "for a mixture use 'styles', and for a picture of each 'product'",
}
_MANIFEST_KEYS = [field.alias or name for name, field in Manifest.model_fields.items()]
_JSON = json.JSONEncoder(ensure_ascii=False, default=str)
_CLEARER_MESSAGES = {
    "model_type": "should be an object",
    "dict_type": "should be an object",
    "too_short": "should not be empty",
    "string_too_short": "should not be empty",
    "string_unicode": "should be text without unpaired surrogates",
}


def shown(value: Any) -> str:
    """A JSON value as text for a message: one line, at most 60 characters and an ellipsis."""
    text = ""
    # In pieces, because the value may be as large as the manifest, or deeply nested.
    for piece in _JSON.iterencode(value[: _LONGEST_VALUE + 1] if isinstance(value, str) else value):
        text += piece
        if len(text) > _LONGEST_VALUE:
            break
    return cut(text, _LONGEST_VALUE)


def cut(text: str, length: int) -> str:
    """The first `length` characters of the text, printable, with an ellipsis if it has more."""
    text = printable(text[: length + 1])
    return text if len(text) <= length else f"{text[:length]}…"


def reworded(text: str) -> str:
    """A message of pydantic, without its prefix and its internal details."""
    return re.sub("^(Value error, |(Input|String|List) (?=should))| after validation, not [0-9]+$", "", text)


def problem_of(details: dict[str, Any], single: bool) -> Problem:
    """One error of pydantic; `single` if the keys of the only pair were at the top level of the document."""
    path, kind, message = details["loc"], details["type"], str(details["msg"])
    if single and path[:2] == ("pairs", 0):
        path = path[2:]
    # For an error in a key of a mapping, pydantic appends "[key]" to the place.
    place = place_of(tuple(part for part in path if part != "[key]"))
    if kind == "extra_forbidden" and (remedy := _remedy_of_place(path, single)):
        return Problem(place, remedy)
    if kind == "extra_forbidden":
        known = _known_keys(details["loc"])
        if single and len(details["loc"]) == 3:
            known = [*known, *(key for key in _MANIFEST_KEYS if key not in ("pairs", "product"))]
        near = difflib.get_close_matches(str(path[-1])[:_LONGEST_PLACE], known, 1)
        hint = f"did you mean '{near[0]}'?" if near else f"known are {', '.join(known)}"
        return Problem(place, f"unknown key; {hint}")
    if kind == "missing":
        return Problem(place, "is missing")
    if isinstance(details["input"], list) and (remedy := _remedy_of_list(path, details["input"])):
        return Problem(place, f"{remedy}; found {shown(details['input'])}")
    message = _CLEARER_MESSAGES.get(kind, reworded(message))
    if kind == "greater_than_equal" and 0 < details["ctx"]["ge"] < 1e-3:
        message = f"should be greater than or equal to {details['ctx']['ge']:g}"  # and not 20 zeros
    if kind == "value_error" and isinstance(details["input"], dict):
        return Problem(place, message)
    return Problem(place, f"{message}; found {shown(details['input'])}")


def _remedy_of_place(path: tuple[int | str, ...], single: bool) -> str:
    """Where a key belongs that is known, but not here; empty if there is nothing to say about it."""
    key = str(path[-1])
    if key in _MASKS and path[0] == "product":
        return "a product has no regions; write its pairs into 'pairs', each with 'styles'"
    if key in _MASKS:
        return f"belongs to an entry of 'styles', as in {_MASKS[key]}"
    if len(path) > 1:
        return ""
    if single and key == "product":
        return "does not go with the pair beside it; move the pair into 'pairs'"
    if key in Parameters.model_fields:
        return "belongs in 'defaults', for all pairs, or in a pair"
    if key == "id":
        return "belongs in an entry of 'pairs'; the pairs of a product are named after their images"
    return "belongs in an entry of 'pairs'" if key in PairEntry.model_fields else ""


def _remedy_of_list(path: tuple[int | str, ...], found: list[Any]) -> str:
    """What to do about a list where none belongs; empty if there is nothing to say about it."""
    if path == ("product",):
        return "should be one object; put other products into other manifests"
    if path[-1] in _SEVERAL and path[0] != "product":
        return f"should be one path; {_SEVERAL[str(path[-1])]}"
    if str(path[-1]).endswith("_layers") and not any(isinstance(item, dict) for item in found):
        return 'should be an object of layers and weights, such as {"relu4_1": 1}'
    if path[-1] in Parameters.model_fields and path[0] != "product":
        return "should be one value; a list of values is a sweep, which belongs in 'product'"
    return ""


def place_of(path: tuple[int | str, ...]) -> str:
    """A place in a document as text, such as `pairs[3].epochs`."""
    parts = (f"[{part}]" if isinstance(part, int) else f".{part[: _LONGEST_PLACE + 1]}" for part in path)
    return cut("".join(parts).removeprefix("."), _LONGEST_PLACE)


def _known_keys(path: tuple[int | str, ...]) -> list[str]:
    if path[0] == "defaults":
        return list(Parameters.model_fields)
    if path[0] == "product":
        return [*Product.model_fields, *Parameters.model_fields]
    if path[0] == "pairs" and len(path) > 1:
        return list((StyleEntry if "styles" in path else PairEntry).model_fields)
    return _MANIFEST_KEYS

"""Documents made from the JSON Schema: most values are near what it allows, on both sides of each limit."""

import math
from typing import Any

from hypothesis import strategies as st

from pipeline.manifest.models import json_schema

SCHEMA = json_schema()
_JUNK = [None, True, False, 0, 1, 1.0, -1, 0.5, 10.0, 1e-50, 1e300, "", "1", "a", [], [None], {}, {"a": 1}]
_GOOD_TEXTS = [
    *("a", "a.png", "é", "n" * 180, "console", "nul x", "*.png", "**/**/*", "a b", "com", "CON1"),
]
_BAD_NAMES = [
    *("", "a\n", ".a", "a.", "a ", " a", "a/b", "a:b", "a\x00", "a\x7f", "n" * 181, "é" * 91, "\u202e"),
    *("con", "CON.txt", "nul ", "com1", "com\u00b9", "Lpt0.a", "COM1 .x"),
]
_LAYERS = ["relu1_1", "conv1_1", "relu2_1", "conv2_2", "relu3_4", "relu4_1", "conv5_4"]
_NO_LAYERS = ["relu1_3", "relu6_1", "convrelu1_1", "conv4_1\n", "Relu1_1", ""]
_NUMBERS = [0, 0.0, 1, 1.0, 2.5, 1e-50, 1e-30, 1e-12, 1e-9, 1e15, math.nextafter(1e15, 1e16), math.inf]


@st.composite
def documents(draw: st.DrawFn) -> Any:
    """A manifest of which a few values have another type, or are beyond a limit."""
    return _any(draw, SCHEMA)


def _any(draw: st.DrawFn, schema: dict[str, Any]) -> Any:
    if draw(st.integers(0, 80)) == 80:
        return draw(st.sampled_from(_JUNK))
    if "$ref" in schema:
        return _any(draw, SCHEMA["$defs"][schema["$ref"].rpartition("/")[2]])
    if "anyOf" in schema and "properties" not in schema:
        return _any(draw, draw(st.sampled_from(schema["anyOf"])))
    if "const" in schema:
        return draw(st.sampled_from([*[schema["const"], float(schema["const"])] * 5, schema["const"] + 1]))
    if "enum" in schema:
        return draw(st.sampled_from([*schema["enum"] * 5, schema["enum"][0].upper()]))
    return _of_type(draw, schema)


def _of_type(draw: st.DrawFn, schema: dict[str, Any]) -> Any:
    match schema["type"]:
        case "object" if "properties" in schema:
            return {key: _any(draw, schema["properties"][key]) for key in _keys(draw, schema)}
        case "object":
            names = draw(st.lists(st.sampled_from(_LAYERS * 10 + _NO_LAYERS), min_size=1, max_size=3))
            return {name: _any(draw, schema["additionalProperties"]) for name in names}
        case "array":
            return [_any(draw, schema["items"]) for _ in range(draw(st.sampled_from([1, 2, 1, 2, 0])))]
        case "string":
            return draw(st.sampled_from(_GOOD_TEXTS * 8 + _BAD_NAMES))
        case "boolean":
            return draw(st.booleans())
        case "null":
            return None
    limits = [value for key, value in schema.items() if key.lower().endswith("imum")]
    near = [value + step for value in limits for step in (-1, 0, 1)]
    values = [*near, *map(float, near), *_NUMBERS]
    low, high = schema.get("minimum", 0), schema.get("maximum", 1)
    good = [value for value in values if low <= value <= high and value not in (1e-50, 1e-30)]
    if schema["type"] == "integer":
        good = [value for value in good if value == int(value)]
    return draw(st.sampled_from(good * 4 + values))


def _keys(draw: st.DrawFn, schema: dict[str, Any]) -> list[str]:
    """All keys that are required, and a few more: with many, one of the values would always be wrong."""
    some = draw(st.lists(st.sampled_from(sorted(schema["properties"])), max_size=2))
    usual = [key for key in ("style", "pairs") if key in schema["properties"]]
    keys = list(dict.fromkeys([*schema.get("required", []), *usual, *some]))
    if "styles" in keys and "style" in keys and draw(st.integers(0, 9)) != 9:
        keys.remove("style")
    return keys[1:] if draw(st.integers(0, 19)) == 19 else keys

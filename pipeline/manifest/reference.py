"""Writes the keys of a manifest as Markdown tables, from the JSON Schema of the models.

    python -m pipeline.manifest.reference docs/manifest.md

This command rewrites the part of the file between the two markers and leaves the rest as it is.
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.manifest.models import json_schema, one_or_several

BEGIN = "<!-- begin: written by python -m pipeline.manifest.reference -->"
END = "<!-- end: written by python -m pipeline.manifest.reference -->"

_HEADINGS = {
    "Manifest": "Manifest",
    "PairEntry": "Pair",
    "StyleEntry": "Style entry",
    "Product": "Product",
    "Parameters": "Parameters",
    "SinglePair": "Manifest of one pair",
}
_ORDER = list(_HEADINGS)
_TYPES = {"integer": "integer", "number": "number", "string": "text", "boolean": "`true` or `false`"}
# Keywords of JSON Schema for the minimum and the maximum, and the unit of their values.
_BOUNDS = {
    ("minimum", "maximum"): "",
    ("minItems", "maxItems"): " in the list",
    ("minLength", "maxLength"): " characters",
}

Schema = Mapping[str, Any]


def reference() -> str:
    """One Markdown section with a table for each kind of object that a manifest may contain."""
    found: dict[str, Schema] = json_schema()["$defs"]
    objects = {name: _resolved(schema, found) for name, schema in found.items() if "properties" in schema}
    names = sorted(objects, key=lambda name: (_ORDER.index(name) if name in _ORDER else len(_ORDER), name))
    return "\n".join(_section(name, objects) for name in names)


def updated(text: str) -> str:
    """The text with new tables between its two markers. Raises `ValueError` if a marker is missing."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the lines '{BEGIN}' and '{END}' are missing; put them where the tables belong")
    return f"{before}{BEGIN}\n\n{reference()}\n{END}{after}"


def _resolved(schema: Schema, found: Mapping[str, Schema]) -> Schema:
    """An object whose keys refer to other objects only: the types of other values are written out.

    Keys that may have a list of values of a parameter are left out. The description of the object names them.
    """
    keys, parameters = {}, found["Parameters"]["properties"]
    for key, value in schema["properties"].items():
        if key in parameters and value == one_or_several(parameters[key]):
            continue
        target = found[_referenced_name(value)] if "$ref" in value else {"properties": {}}
        keys[key] = (
            value if "properties" in target else {**target, **{k: v for k, v in value.items() if k != "$ref"}}
        )
    return {**schema, "properties": keys}


def _section(name: str, objects: Mapping[str, Schema]) -> str:
    found = objects[name]
    keys, required = found["properties"], found.get("required", [])
    included = _included(name, objects)
    inherited = {key for other in included for key in objects[other]["properties"]}
    rows = [_row(key, schema, key in required) for key, schema in keys.items() if key not in inherited]
    table = ["| key | type | default | range | meaning |", "|---|---|---|---|---|", *rows, ""]
    also = [f"All keys of {_link(other)} are allowed here too." for other in included]
    return "\n".join([f"### {_heading(name)}", "", found.get("description", ""), *also, "", *table])


def _included(name: str, objects: Mapping[str, Schema]) -> list[str]:
    """The other kinds of objects whose keys are all allowed in this one.

    A kind that another one in the list includes is left out.
    """
    keys = objects[name]["properties"]
    inner = [
        other
        for other, found in objects.items()
        if other != name and all(keys.get(key) == schema for key, schema in found["properties"].items())
    ]
    repeated = {deeper for other in inner for deeper in _included(other, objects)}
    return [other for other in inner if other not in repeated]


def _row(key: str, schema: Schema, required: bool) -> str:
    default = "required" if required else _default(schema)
    cells = [f"`{key}`", _type(schema), default, _range(schema), schema.get("description", "")]
    return "| " + " | ".join(cells) + " |"


def _type(schema: Schema) -> str:
    if "anyOf" in schema:
        return " or ".join(_type(option) for option in _alternatives(schema))
    if "$ref" in schema:
        return _link(_referenced_name(schema))
    if "const" in schema:
        return f"`{_json_value(schema['const'])}`"
    if "enum" in schema:
        return " or ".join(f"`{_json_value(value)}`" for value in schema["enum"])
    if schema["type"] == "array":
        return f"list of {_type(schema['items'])}"
    if schema["type"] == "object":
        return f"object: name to {_type(schema['additionalProperties'])}"
    return _TYPES[schema["type"]]


def _default(schema: Schema) -> str:
    value = schema.get("default")
    if value is None:
        return "none"
    return f"see {_link(_referenced_name(schema))}" if "$ref" in schema else f"`{_json_value(value)}`"


def _range(schema: Schema) -> str:
    """The bounds of a number, or of the length of a list or a text; empty if there are none."""
    if "anyOf" in schema:
        return ", ".join(bounds for option in _alternatives(schema) if (bounds := _range(option)))
    found: list[str] = []
    for (low, high), unit in _BOUNDS.items():
        if low in schema and high in schema:
            found.append(f"{_json_value(schema[low])} to {_json_value(schema[high])}{unit}")
        elif low in schema:
            found.append(f"{_json_value(schema[low])} or more{unit}")
        elif high in schema:
            found.append(f"up to {_json_value(schema[high])}{unit}")
    for key, word in (("exclusiveMinimum", "above"), ("exclusiveMaximum", "below")):
        if key in schema:
            found.append(f"{word} {_json_value(schema[key])}")
    inner = schema.get("additionalProperties")
    return ", ".join(found) or (_range(inner) if inner else "")


def _alternatives(schema: Schema) -> list[Schema]:
    """The alternatives of a schema, without `null`."""
    return [option for option in schema["anyOf"] if option.get("type") != "null"]


def _json_value(value: Any) -> str:
    """A value as JSON, with numbers in their shortest form."""
    if isinstance(value, dict):
        items = (f"{json.dumps(key)}: {_json_value(inner)}" for key, inner in value.items())
        return f"{{{', '.join(items)}}}"
    if isinstance(value, float) and float(f"{value:g}") == value:
        return f"{value:g}".replace("e+0", "e").replace("e+", "e")
    return json.dumps(value)


def _referenced_name(schema: Schema) -> str:
    return str(schema["$ref"].rpartition("/")[2])


def _heading(name: str) -> str:
    return _HEADINGS.get(name, name)


def _link(name: str) -> str:
    heading = _heading(name)
    return f"[{heading}](#{heading.lower().replace(' ', '-')})"


def _main(path: Path) -> None:
    try:
        text = updated(path.read_text(encoding="utf-8"))
    except ValueError as error:
        sys.exit(f"{path}: {error}")
    path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    _main(Path(sys.argv[1]))

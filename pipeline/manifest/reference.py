"""Writes the keys of a manifest as Markdown tables, from the JSON Schema of the models.

    python -m pipeline.manifest.reference docs/manifest.md

This command rewrites the part of the file between the two markers and leaves the rest as it is.
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.manifest.models import json_schema

BEGIN = "<!-- begin: written by python -m pipeline.manifest.reference -->"
END = "<!-- end: written by python -m pipeline.manifest.reference -->"

# The kinds of objects in the order of their sections.
_HEADINGS = {
    "Manifest": "Manifest",
    "PairEntry": "Pair",
    "StyleEntry": "Style entry",
    "Product": "Product",
    "Parameters": "Parameters",
    "SinglePair": "Manifest of one pair",
}
# The kind whose keys are allowed in a kind, too; the table of that kind does not repeat them.
_ALSO = {"PairEntry": "Parameters", "SinglePair": "PairEntry", "Product": "Parameters"}
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
    kinds: dict[str, Schema] = json_schema()["$defs"]
    objects = [name for name, schema in kinds.items() if "properties" in schema]
    return "\n".join(_section(name, kinds) for name in sorted(objects, key=list(_HEADINGS).index))


def updated(text: str) -> str:
    """The text with new tables between its two markers. Raises `ValueError` if a marker is missing."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the lines '{BEGIN}' and '{END}' are missing; put them where the tables belong")
    return f"{before}{BEGIN}\n\n{reference()}\n{END}{after}"


def _section(name: str, kinds: Mapping[str, Schema]) -> str:
    found, also = kinds[name], _ALSO.get(name)
    keys, required = found["properties"], found.get("required", [])
    own = [key for key in keys if also is None or key not in kinds[also]["properties"]]
    rows = [_row(key, _written_out(keys[key], kinds), key in required) for key in own]
    table = ["| key | type | default | range | meaning |", "|---|---|---|---|---|", *rows, ""]
    text = [found["description"]]
    if also and name != "Product":  # the description of a product says so itself
        text.append(f"All keys of {_link(also)} are allowed here too.")
    return "\n".join([f"### {_HEADINGS[name]}", "", *text, "", *table])


def _written_out(schema: Schema, kinds: Mapping[str, Schema]) -> Schema:
    """The schema of a key that refers to another kind only if that is an object with a table."""
    target = kinds[_referenced_name(schema)] if "$ref" in schema else None
    if target is None or "properties" in target:
        return schema
    return {**target, **{keyword: value for keyword, value in schema.items() if keyword != "$ref"}}


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
    if "exclusiveMaximum" in schema:
        found.append(f"below {_json_value(schema['exclusiveMaximum'])}")
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


def _link(name: str) -> str:
    heading = _HEADINGS[name]
    return f"[{heading}](#{heading.lower().replace(' ', '-')})"


def _main(path: Path) -> None:
    try:
        text = updated(path.read_text(encoding="utf-8"))
    except ValueError as error:
        sys.exit(f"{path}: {error}")
    path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    _main(Path(sys.argv[1]))

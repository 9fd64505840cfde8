"""The JSON Schema accepts and refuses what the parser does."""

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from pipeline.errors import ManifestError
from pipeline.manifest.models import json_schema
from pipeline.manifest.reading import parse
from tests.pipeline.manifest.documents import EXAMPLE, PAIR, PRODUCT, encoded

SCHEMA = Path(__file__).parents[3] / "manifests" / "schema.json"
SINGLE: dict[str, Any] = {**PAIR, "version": 1, "id": "a", "epochs": 3}
VALID = [
    EXAMPLE,
    SINGLE,
    {**SINGLE, "$schema": "https://example.org/schema.json", "defaults": {"epochs": 2}},
    {"content": "a", "styles": [{"image": "b"}, {"image": "c", "weight": 2}]},
    {"product": {"content": ["*.png"], "style": ["b"]}},
]
WRONG: list[dict[str, Any]] = json.loads("""
    [{"zzzz": 1}, {"style_weight": -1}, {"style_weight": "1"}, {"epochs": 0}, {"epochs": 2.5},
     {"max_size": 15}, {"init": "blank"}, {"id": ""}, {"id": "a/b"}, {"id": ".."}, {"content": ""},
     {"styles": [{"image": "c"}]}, {"content_layers": {"relu1_1": -1}}]
""")
INVALID = [
    *({"pairs": [{**PAIR, **wrong}]} for wrong in WRONG),
    *({**SINGLE, **wrong} for wrong in (*WRONG, {"version": 2})),
    *json.loads('[{"pairs": [{"content": "a"}]}, {"content": "a"}, {"pairs": []}, {}, []]'),
    {"product": {**PRODUCT, "style": []}},
]


def test_the_committed_schema_is_up_to_date() -> None:
    assert json.loads(SCHEMA.read_text(encoding="utf-8")) == json_schema()
    Draft202012Validator.check_schema(json_schema())


@pytest.mark.parametrize("document", VALID)
def test_schema_and_parser_accept(document: object) -> None:
    parse(encoded(document))
    Draft202012Validator(json_schema()).validate(document)


@pytest.mark.parametrize("document", INVALID)
def test_schema_and_parser_refuse(document: object) -> None:
    with pytest.raises(ManifestError):
        parse(encoded(document))
    assert not Draft202012Validator(json_schema()).is_valid(document)

"""The JSON Schema accepts and refuses what the parser does.

A JSON Schema cannot say the following. The parser, or `expand`, checks it:

* about the text: its size, that no key stands twice in an object, and that it has no unpaired surrogates;
* of an `id`: that it has no unprintable characters outside of ASCII, and at most 180 bytes;
* of a sweep: that two of its values are the same layers, of which names or weights of 0 differ;
* what several keys say together: the products of the weights of terms and layers, in `defaults` and, with the
  defaults, in each pair; that a pair has a weight above 0; that no id is given twice; the number of pairs;
* what a pattern matches, and that it has `**` at most twice; the caps of an operator.
"""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from jsonschema import Draft202012Validator

from nst.parameters import Parameters
from pipeline.errors import ManifestError
from pipeline.manifest.models import json_schema
from pipeline.manifest.reading import parse
from tests.pipeline.manifest.documents import EXAMPLE, PAIR, PRODUCT, encoded
from tests.pipeline.manifest.from_schema import documents

SCHEMA = Path(__file__).parents[3] / "manifests" / "schema.json"
SINGLE: dict[str, Any] = {**PAIR, "version": 1, "id": "a", "epochs": 3}
VALID = [
    EXAMPLE,
    SINGLE,
    {**SINGLE, "$schema": "https://example.org/schema.json", "defaults": {"epochs": 2}},
    {"content": "a", "styles": [{"image": "b"}, {"image": "c", "weight": 2}]},
    {"product": {"content": ["*.png"], "style": ["b"]}},
    {**SINGLE, "version": 1.0, "priority": 10.0, "epochs": 10.0, "max_size": 512.0, "seed": 1e18},
    {"pairs": [{**PAIR, "epochs": 10.0}], "defaults": {"max_size": 5.12e2}},
    {**SINGLE, "styles": None, "id": None, "$schema": None},
    {"content": "a", "style": None, "styles": [{"image": "b"}]},
    {"pairs": [PAIR], "product": None},
    {**SINGLE, "style_layers": {"conv1_1": 1, "relu2_1": 0}},
    {**SINGLE, "id": "console"},
    {"product": {**PRODUCT, "style_weight": [1, 2.5], "seed": 3, "init": ["random"], "max_size": [99.0]}},
    {**SINGLE, "format": "tiff", "enlarge": True, "dpi": 300},
    {"defaults": {"dpi": 72.5}, "pairs": [{**PAIR, "dpi": None}]},
    {"defaults": {"strength": 1}, "pairs": [{**PAIR, "strength": None}, {**PAIR, "style_weight": 5}]},
    {**SINGLE, "strength": None, "style_weight": 5},
    {"product": {**PRODUCT, "strength": [0.01, 100]}},
    {"product": {**PRODUCT, "format": ["png", "tiff"], "enlarge": [False, True], "dpi": [None, 300]}},
    {"product": {**PRODUCT, "style_layers": [{"conv1_1": 1}, {"relu1_1": 2}], "preserve_color": [True]}},
]
WRONG: list[dict[str, Any]] = json.loads("""
    [{"zzzz": 1}, {"style_weight": -1}, {"style_weight": "1"}, {"epochs": 0}, {"epochs": 2.5},
     {"max_size": 15}, {"init": "blank"}, {"id": ""}, {"id": "a/b"}, {"id": ".."}, {"content": ""},
     {"styles": [{"image": "c"}]}, {"content_layers": {"relu1_1": -1}},
     {"style": null}, {"style": null, "styles": null}, {"epochs": true}, {"epochs": "10"}, {"epochs": null},
     {"seed": 1e19}, {"content_layers": {}}, {"content_layers": {"relu1_1": 0, "relu2_1": 0.0}},
     {"style_layers": {"relu6_1": 1}}, {"style_layers": {"conv1_1": 1, "relu1_1": 1}},
     {"strength": 0}, {"strength": 101}, {"strength": [1]}, {"strength": 1, "style_weight": 1000000.0},
     {"dpi": 0.5}, {"dpi": 10001}, {"dpi": "300"}, {"dpi": true}, {"enlarge": null}, {"format": "tif"},
     {"style_weight": 1e-50}, {"id": "a\\n"}, {"id": "con"}, {"id": "Nul .x"}, {"id": "a."}, {"style": ""}]
""")
WRONG_PRODUCTS: list[dict[str, Any]] = json.loads("""
    [{"style_weight": []}, {"style_weight": [1, 1.0]}, {"style_weight": [1, "2"]}, {"style_weight": [[1]]},
     {"strength": [1, 0]},
     {"dpi": [0, 300]}, {"dpi": [300, 300.0]}, {"enlarge": [1]}, {"format": ["tiff", "tif"]},
     {"style_weight": null}, {"epochs": [0]}, {"epochs": 0}, {"init": ["blank"]}, {"seeds": [1]},
     {"id": "a"}, {"styles": [{"image": "b"}]}, {"content_layers": [{"relu4_1": 1}, {}]}]
""")
INVALID = [
    *({"pairs": [{**PAIR, **wrong}]} for wrong in WRONG),
    *({**SINGLE, **wrong} for wrong in (*WRONG, {"version": 2})),
    *json.loads('[{"pairs": [{"content": "a"}]}, {"content": "a"}, {"pairs": []}, {}, []]'),
    {"product": {**PRODUCT, "style": []}},
    *({"product": {**PRODUCT, **wrong}} for wrong in WRONG_PRODUCTS),
    {"product": [PRODUCT, PRODUCT]},
    {"defaults": {"seed": [1, 2]}, "product": PRODUCT},
    {**SINGLE, "seed": [1, 2]},
    {"pairs": [{**PAIR, "seed": [1, 2]}]},
    {**SINGLE, "version": True},
    {**SINGLE, "pairs": [PAIR]},
    {**SINGLE, "defaults": {"content_weight": 0, "style_weight": 0.0}},
    {**SINGLE, "defaults": None},
]
VALIDATOR = Draft202012Validator(json_schema())


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


def is_parsed(document: object) -> bool:
    try:
        parse(encoded(document))
    except ManifestError:
        return False
    return True


def is_beyond_a_schema(document: Any) -> bool:
    """Whether a document that the schema accepts breaks a rule that a JSON Schema cannot say."""
    ids = [pair.get("id") or "a" for pair in document.get("pairs", [document])]
    if not all(name.isprintable() and len(name.encode()) <= 180 for name in ids):
        return True
    product = document.get("product") or {}
    for layers in (product.get("content_layers"), product.get("style_layers")):
        if isinstance(layers, list) and len({_same_layers(each) for each in layers}) < len(layers):
            return True
    found = {**Parameters().model_dump(), **document.get("defaults", {})}
    products = [
        (found[f"{term}_weight"], found[f"{term}_weight"] * factor)
        for term in ("content", "style")
        for factor in found[f"{term}_layers"].values()
        if factor
    ]
    apart = any(weight and not 1e-30 <= product <= 1e16 for weight, product in products)
    return apart or max(found["tv_weight"], *(product for _, product in products)) < 1e-10


def _same_layers(layers: dict[str, float]) -> frozenset[tuple[str, float]]:
    return frozenset((name.replace("conv", "relu"), weight) for name, weight in layers.items() if weight)


def test_schema_and_parser_agree_about_any_document() -> None:
    kinds = Counter[str]()

    @given(documents())
    @settings(max_examples=400, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    def check(document: Any) -> None:
        accepted = VALIDATOR.is_valid(document)
        if accepted and is_beyond_a_schema(document):
            kinds["beyond"] += 1
            return
        kinds["accepted" if accepted else "refused"] += 1
        assert is_parsed(document) == accepted, [error.message for error in VALIDATOR.iter_errors(document)]

    check()
    assert min(kinds["accepted"], kinds["refused"]) > 50, kinds  # the test compares both

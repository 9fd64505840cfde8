"""What is wrong with a document is reported with its place and the remedy."""

import sys

import pytest

from tests.pipeline.manifest.documents import (
    EXAMPLE,
    PAIR,
    PRODUCT,
    encoded,
    expanded,
    of_pair,
    problem,
    problems,
)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "the file is empty"),
        (b'{"pairs": [\n  {"content" "a"}]}', "line 2, column 14"),
        (b'{"content": "a", "style": "b",}', "line 1, column 3"),
        (encoded(PAIR)[:-1], "line 1, column 3"),
        (b'{"content": "\xff"}', "not UTF-8 text (byte 13)"),
        ("{}".encode("utf-16"), "not UTF-8 text (byte 0)"),
        (b" " * (33 << 20), "larger than 32 MiB; split it"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"a":' * 100_000, "nested too deeply"),
        (b'{"content": "a", "style": "b", "seed": ' + b"9" * 5000 + b"}", "thousands of digits"),
        (b'{"version": 1, "version": 1}', 'the key "version" stands twice'),
        (b'{"pairs": [{"content": "a", "content": "b"}]}', 'the key "content" stands twice'),
        (b"[]", "a manifest is a JSON object; found []"),
        (b'"\\u001b[31m"', 'found "\\u001b[31m"'),
    ],
)
def test_a_document_that_is_not_a_json_object_is_refused_with_the_place(data: bytes, message: str) -> None:
    assert message in problem(data)


def test_nesting_near_the_recursion_limit_is_reported_as_a_problem() -> None:
    for depth in range(sys.getrecursionlimit() - 200, sys.getrecursionlimit()):
        text = problem(b'{"version":' + b"[" * depth + b"]" * depth + b"}")
        assert text.startswith(("version: should be 1; found", "nested too deeply"))


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"pair": [PAIR]}, "pair: unknown key; did you mean 'pairs'?"),
        ({**PAIR, "versoin": 1}, "versoin: unknown key; did you mean 'version'?"),
        ({**PAIR, "stile_weight": 1}, "stile_weight: unknown key; did you mean 'style_weight'?"),
        ({**EXAMPLE, "defaults": {"epoch": 1}}, "defaults.epoch: unknown key; did you mean 'epochs'?"),
        (of_pair(style_wieght=1), "pairs[3].style_wieght: unknown key; did you mean 'style_weight'?"),
        (
            {"content": "a", "styles": [{"image": "b", "wight": 1}]},
            "styles[0].wight: unknown key; did you mean 'w",
        ),
        ({"product": {**PRODUCT, "stiles": []}}, "product.stiles: unknown key; did you mean 'style'?"),
        (of_pair(zzzz=1), "pairs[3].zzzz: unknown key; known are epochs, tolerance, "),
    ],
)
def test_an_unknown_key_is_reported_with_the_most_similar_known_key(document: object, message: str) -> None:
    assert problem(document).startswith(message)


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({**EXAMPLE, "max_size": 512}, "max_size: belongs in 'defaults', for all pairs, or in a pair"),
        (
            {**PAIR, "product": PRODUCT},
            "product: does not go with the pair beside it; move the pair into 'pairs'",
        ),
        ({**PAIR, "pairs": [PAIR]}, "content: belongs in an entry of 'pairs'"),
        (
            {"product": {**PRODUCT, "region": "m.png"}},
            "product.region: a product has no regions; write its p",
        ),
        ({**PAIR, "region": "m.png"}, "region: belongs to an entry of 'styles', as in "),
        (
            {**PAIR, "style": ["b", "c"]},
            "style: should be one path; for a mixture use 'styles', and for a pi",
        ),
        ({**PAIR, "content": ["b"]}, "content: should be one path; for a picture of each, use 'product'"),
        (
            {**PAIR, "content_layers": ["relu4_1"]},
            "content_layers: should be an object of layers and weights",
        ),
        ({"product": {**PRODUCT, "keep": [1]}}, "product.keep: should be a valid string; found [1]"),
    ],
)
def test_what_is_written_at_a_wrong_place_is_reported_with_the_right_one(
    document: object, message: str
) -> None:
    assert str(problems(document)[0]).startswith(message)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ('"style_weight": "1"', 'pairs[0].style_weight: should be a valid number; found "1"'),
        ('"style_weight": true', "pairs[0].style_weight: should be a valid number; found true"),
        ('"style_weight": NaN', "pairs[0].style_weight: should be a finite number; found NaN"),
        ('"tv_weight": Infinity', "pairs[0].tv_weight: should be a finite number; found Infinity"),
        ('"style_weight": 1e999', "pairs[0].style_weight: should be a finite number; found Infinity"),
        ('"style_weight": -1', "pairs[0].style_weight: should be greater than or equal to 0; found -1"),
        ('"style_weight": 1e16', "should be less than or equal to 1000000000000000; found 1e+16"),
        ('"style_weight": 1e-50', "pairs[0].style_weight: should be 0, or 1e-30 or more; found 1e-50"),
        ('"style_layers": {"relu1_1": 1e-50}', "pairs[0].style_layers.relu1_1: should be 0, or 1e-30 or m"),
        ('"style_layers": {"relu1_1": 1e11}', "pairs[0]: style_weight 1e+06, times the weight 1e+11 of rel"),
        (
            '"content_weight": 1e-20, "content_layers": {"relu2_1": 1e-20}',
            "pairs[0]: content_weight 1e-20, times the weight 1e-20 of relu2_1 in content_layers, is below "
            "1e-30; raise one of them, or give 0",
        ),
        (
            '"strength": 1, "content_weight": 1e15, "content_layers": {"relu2_1": 100}',
            "pairs[0]: content_weight 1e+15, times the weight 100 of relu2_1 in content_layers, is above 1e",
        ),
        (
            '"content_weight": 1e-20, "style_weight": 1e-20',
            "pairs[0]: content_weight, style_weight and tv_weight, times the weights of their layers, are",
        ),
        ('"content_weight": 0, "style_weight": 0', "pairs[0]: one of content_weight, style_weight and tv_w"),
        ('"epochs": 2.5', "pairs[0].epochs: should be a valid integer; found 2.5"),
        (
            '"snapshots": 1',
            "pairs[0].snapshots: should be 0 for none, or 2 or more: the start, the result and those between "
            "them; found 1",
        ),
        ('"snapshots": 61', "pairs[0].snapshots: should be less than or equal to 60; found 61"),
        ('"epochs": 0', "pairs[0].epochs: should be greater than or equal to 1; found 0"),
        ('"max_size": 15', "pairs[0].max_size: should be greater than or equal to 16; found 15"),
        ('"seed": -1', "pairs[0].seed: should be greater than or equal to 0; found -1"),
        ('"init": "blank"', "pairs[0].init: should be 'content' or 'random'; found \"blank\""),
        ('"format": "gif"', "pairs[0].format: should be 'png', 'jpg', 'webp' or 'tiff'; found \"gif\""),
        ('"format": "tif"', "pairs[0].format: should be 'png', 'jpg', 'webp' or 'tiff'; found \"tif\""),
        ('"strength": 0', "pairs[0].strength: should be greater than or equal to 0.01; found 0"),
        ('"strength": 101', "pairs[0].strength: should be less than or equal to 100; found 101"),
        ('"strength": 1, "style_weight": 1e6', "pairs[0]: give strength or style_weight, not both"),
        ('"dpi": 0', "pairs[0].dpi: should be greater than or equal to 1; found 0"),
        ('"dpi": 10001', "pairs[0].dpi: should be less than or equal to 10000; found 10001"),
        ('"dpi": "300"', 'pairs[0].dpi: should be a valid number; found "300"'),
        ('"dpi": true', "pairs[0].dpi: should be a valid number; found true"),
        ('"dpi": [150, 300]', "pairs[0].dpi: should be one value; a list of values is a sweep, which"),
        ('"enlarge": 1', "pairs[0].enlarge: should be a valid boolean; found 1"),
        ('"preserve_color": 1', "pairs[0].preserve_color: should be a valid boolean; found 1"),
        ('"content_layers": {"relu6_1": 1}', "pairs[0].content_layers: no layer 'relu6_1'; the layers are"),
        ('"content_layers": {}', "pairs[0].content_layers: at least one layer needs a weight above 0"),
        ('"style_layers": {"relu1_1": -1}', "pairs[0].style_layers.relu1_1: should be greater than or equal"),
        ('"styles": [{"image": "c"}]', "pairs[0]: exactly one of 'style' and 'styles' is needed"),
    ],
)
def test_a_bad_value_is_reported_with_its_place_and_the_allowed_values(keys: str, message: str) -> None:
    assert message in problem(f'{{"pairs": [{{"content": "a", "style": "b", {keys}}}]}}'.encode())


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"version": 2, **PAIR}, "version: should be 1; found 2"),
        ({"defaults": {"epochs": "x"}, **PAIR}, 'defaults.epochs: should be a valid integer; found "x"'),
        ({}, "there is no pair; give 'pairs', 'product', or 'content' and 'style'"),
        ({"pairs": []}, "there is no pair; give 'pairs', 'product', or 'content' and 'style'"),
        ({"pairs": [5]}, "pairs[0]: should be an object; found 5"),
        ({"pairs": PAIR}, "pairs: should be a valid list; found {"),
        ({"pairs": [{"content": "a"}]}, "pairs[0]: exactly one of 'style' and 'styles' is needed"),
        ({"style": "a"}, "content: is missing"),
        ({"pairs": [{"content": 3, "style": "b"}]}, "pairs[0].content: should be a valid string; found 3"),
        ({"pairs": [{"content": "", "style": "b"}]}, 'pairs[0].content: should not be empty; found ""'),
        ({"pairs": [{"content": "a", "styles": []}]}, "pairs[0].styles: should not be empty; found []"),
        (
            {"content": "a", "styles": [{"image": "b", "weight": 0}]},
            "styles[0].weight: should be greater than",
        ),
        ({"product": {**PRODUCT, "style": []}}, "product.style: should not be empty; found []"),
    ],
)
def test_a_value_of_the_wrong_type_or_length_is_reported_with_its_place(
    document: object, message: str
) -> None:
    assert problem(document).startswith(message)


def test_style_weights_that_are_0_in_fp32_are_refused_with_the_place() -> None:
    document = {"content": "a", "styles": [{"image": "b"}, {"image": "c", "weight": 1e-50}]}
    expected = "styles[1].weight: should be greater than or equal to 1e-20; found 1e-50"
    assert problem(document) == expected


def test_weights_of_a_pair_are_checked_together_with_the_defaults() -> None:
    layers = {"style_layers": {"relu1_1": 1e12}}
    assert problem({"defaults": layers, **PAIR}).startswith("defaults: style_weight 1e+06, times the weight")
    assert expanded({"defaults": {"style_weight": 1e-3}, "pairs": [{**PAIR, **layers}]})
    zero = {"content_weight": 0, "style_weight": 0}
    assert expanded({"defaults": {"tv_weight": 1}, "pairs": [{**PAIR, **zero}]})
    assert problem({"defaults": {"content_weight": 0}, "pairs": [{**PAIR, "style_weight": 0}]}).startswith(
        "pairs[0]: one of content_weight, style_weight and tv_weight must be above 0"
    )


def test_all_pairs_whose_weights_do_not_go_together_are_listed() -> None:
    wrong = [{**PAIR, "style_weight": 0, "content_weight": weight} for weight in (0, 1e-20)]
    listed = problems({"pairs": [wrong[0], {**PAIR, "id": "good"}, wrong[1], wrong[0]]})
    assert [found.place for found in listed] == ["pairs[0]", "pairs[2]", "pairs[3]"]


def test_an_id_is_a_plain_file_name() -> None:
    assert problem(of_pair(id="a/b")).startswith("pairs[3].id: an id is a plain file name, without / ")
    joined = problem(of_pair(id="a\u200db"))
    assert joined.startswith(
        "pairs[3].id: an id must not have invisible or unassigned characters, such as U+200D"
    )


def test_all_problems_are_reported_together() -> None:
    document = {"defaults": {"epochs": 0}, "pairs": [PAIR, {**PAIR, "seed": -1, "zzzz": 1}], "zzzz": 1}
    places = {found.place for found in problems(document)}
    assert places == {"defaults.epochs", "pairs[1].seed", "pairs[1].zzzz", "zzzz"}


@pytest.mark.parametrize("odd", ["\x1b[31m", "\ud800", "\u202e", "a\nb", "x" * 10_000])
def test_unprintable_characters_anywhere_in_a_manifest_are_escaped_in_messages(odd: str) -> None:
    for document in (
        {**PAIR, odd: 1},
        {odd: [PAIR]},
        of_pair(**{odd: 1}),
        of_pair(init=odd),
        of_pair(content_layers={odd: 1}),
        of_pair(content_layers={"relu4_1": odd}),
        {"product": {"content": [f"{odd}*"], "style": ["b"]}},
    ):
        assert problems(document, lambda pattern: [])

import json
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from pipeline.errors import ManifestError, Problem, UnavailableError
from pipeline.manifest.expand import expand
from pipeline.manifest.models import Pair, json_schema
from pipeline.manifest.reading import parse
from pipeline.stores.folder import FolderStore
from pipeline.stores.sources import Sources

SCHEMA = Path(__file__).parents[3] / "manifests" / "schema.json"
PAIR = {"content": "a.png", "style": "b.png"}
PRODUCT = {"content": ["a.png"], "style": ["b.png"]}
EXAMPLE: dict[str, Any] = json.loads("""
    {"version": 1,
     "defaults": {"epochs": 10, "content_weight": 1.0, "style_weight": 1000000.0, "max_size": 512},
     "pairs": [
       {"content": "photos/cat.jpg", "style": "art/waves.png"},
       {"id": "cat-bold", "content": "photos/cat.jpg", "style": "art/waves.png", "style_weight": 5000000.0},
       {"content": "photos/cat.jpg", "styles": [{"image": "art/waves.png", "weight": 0.7},
                                                {"image": "art/mosaic.png", "weight": 0.3}]}],
     "product": {"content": ["photos/*.jpg"], "style": ["art/*.png"]}}
""")
FOLDERS = {
    "photos/*.jpg": ["photos/cat.jpg", "photos/dog.jpg"],
    "art/*.png": ["art/mosaic.png", "art/waves.png"],
}
Glob = Callable[[str], list[str]]


def encoded(document: object) -> bytes:
    return document if isinstance(document, bytes) else json.dumps(document).encode()


def expanded(document: object, glob: Glob = FOLDERS.__getitem__) -> list[Pair]:
    return expand(parse(encoded(document)), glob)


def problems(document: object, glob: Glob = FOLDERS.__getitem__) -> list[Problem]:
    with pytest.raises(ManifestError) as caught:
        expanded(document, glob)
    for problem in caught.value.problems:
        assert str(problem).isprintable()
        assert len(str(problem)) < 500
        assert not re.search(r"Input|instance|dictionary|List |String |sys\.|pydantic", str(problem))
    return caught.value.problems


def problem(document: object, glob: Glob = FOLDERS.__getitem__) -> str:
    (only,) = problems(document, glob)
    return str(only)


def of_pair(**keys: object) -> dict[str, Any]:
    """A manifest of four pairs, the last of which has these keys besides its images."""
    return {"pairs": [{**PAIR, "id": f"{n}"} for n in range(3)] + [{**PAIR, **keys}]}


def test_the_documented_example_expands_to_six_pairs() -> None:
    pairs = expanded(EXAMPLE)
    listed = [(pair.id, pair.place) for pair in pairs[:3]]
    assert listed == [("cat-waves", "pairs[0]"), ("cat-bold", "pairs[1]"), ("cat-waves-mosaic", "pairs[2]")]
    # The product has four pairs; `pairs` lists cat with waves already.
    assert [pair.id for pair in pairs[3:]] == ["cat-mosaic", "dog-mosaic", "dog-waves"]
    assert {pair.parameters.max_size for pair in pairs} == {512}
    assert [pair.parameters.style_weight for pair in pairs] == [1e6, 5e6, 1e6, 1e6, 1e6, 1e6]
    assert [(s.image, s.weight) for s in pairs[2].styles] == [("art/waves.png", 0.7), ("art/mosaic.png", 0.3)]
    assert all(pair.styles[0].weight == 1.0 for pair in (*pairs[:2], *pairs[3:]))


def test_a_single_pair_may_have_its_keys_at_the_top_level() -> None:
    keys = {**PAIR, "version": 1, "id": "only", "epochs": 3, "defaults": {"epochs": 7, "max_size": 99}}
    (pair,) = expanded(keys)
    assert (pair.id, pair.content, pair.styles[0].image) == ("only", "a.png", "b.png")
    assert (pair.parameters.epochs, pair.parameters.max_size) == (3, 99)
    assert pair.place == ""


def test_a_pair_overrides_the_defaults_even_with_the_default_value_of_the_program() -> None:
    document = {"defaults": {"epochs": 3, "tv_weight": 2}, "pairs": [{**PAIR, "epochs": 10}]}
    (pair,) = expanded(document)
    assert (pair.parameters.epochs, pair.parameters.tv_weight) == (10, 2)


def test_a_product_pairs_every_content_with_every_style_once() -> None:
    product = {"content": ["photos/*.jpg", "photos/cat.jpg", "./x.png"], "style": ["s.png", "art/*.png"]}
    pairs = expanded({"defaults": {"seed": 5}, "product": product})
    contents = ["photos/cat.jpg", "photos/dog.jpg", "./x.png"]
    styles = ["s.png", "art/mosaic.png", "art/waves.png"]
    assert [(p.content, p.styles[0].image) for p in pairs] == [(c, s) for c in contents for s in styles]
    assert {pair.parameters.seed for pair in pairs} == {5}


def test_patterns_match_files_in_the_folder_and_literal_names_with_brackets(tmp_path: Path) -> None:
    (tmp_path / "sub" / "deep.png").mkdir(parents=True)
    for name in ("b.png", "a.png", "a.jpg", "photo[1].png", "sub/c.png"):
        (tmp_path / name).touch()
    glob = Sources(FolderStore(tmp_path)).glob

    def contents(pattern: str) -> list[str]:
        return [p.content for p in expanded({"product": {"content": [pattern], "style": ["s"]}}, glob)]

    assert contents("[ab].png") == ["a.png", "b.png"]
    assert contents("**/*.png") == ["a.png", "b.png", "photo[1].png", "sub/c.png"]
    assert contents("photo[1].png") == ["photo[1].png"]


def test_a_byte_order_mark_is_ignored() -> None:
    assert parse(b"\xef\xbb\xbf" + encoded(PAIR)) == parse(encoded(PAIR))


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
    ("keys", "message"),
    [
        ('"style_weight": "1"', 'pairs[0].style_weight: should be a valid number; found "1"'),
        ('"style_weight": true', "pairs[0].style_weight: should be a valid number; found true"),
        ('"style_weight": NaN', "pairs[0].style_weight: should be a finite number; found NaN"),
        ('"tv_weight": Infinity', "pairs[0].tv_weight: should be a finite number; found Infinity"),
        ('"style_weight": 1e999', "pairs[0].style_weight: should be a finite number; found Infinity"),
        ('"style_weight": -1', "pairs[0].style_weight: should be greater than or equal to 0; found -1"),
        ('"style_weight": 1e16', "should be less than or equal to 1000000000000000; found 1e+16"),
        ('"epochs": 2.5', "pairs[0].epochs: should be a valid integer; found 2.5"),
        ('"epochs": 0', "pairs[0].epochs: should be greater than or equal to 1; found 0"),
        ('"max_size": 15', "pairs[0].max_size: should be greater than or equal to 16; found 15"),
        ('"seed": -1', "pairs[0].seed: should be greater than or equal to 0; found -1"),
        ('"init": "blank"', "pairs[0].init: should be 'content' or 'random'; found \"blank\""),
        ('"format": "gif"', "pairs[0].format: should be 'png', 'jpg' or 'webp'; found \"gif\""),
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


def test_an_id_is_a_plain_file_name() -> None:
    assert problem(of_pair(id="a/b")).startswith("pairs[3].id: an id is a plain file name, without / ")


@pytest.mark.parametrize(("first", "second"), [("one", "one"), ("one", "ONE"), ("caf\xe9", "cafe\u0301")])
def test_two_pairs_are_refused_if_their_ids_are_the_same_on_some_file_system(first: str, second: str) -> None:
    document = {"pairs": [{**PAIR, "id": first}, {**PAIR, "id": "two"}, {**PAIR, "id": second}]}
    assert problem(document).startswith(f"pairs[2].id: '{second}' is named twice, here and in pairs[0]")


def test_a_pair_with_the_id_of_a_product_pair_is_reported_at_the_listed_pair() -> None:
    document = {"pairs": [{**PAIR, "epochs": 3}], "product": PRODUCT}
    assert problem(document).startswith("pairs[0].id: ")


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


def test_a_manifest_above_a_limit_is_refused() -> None:
    document = {"product": {"content": [f"c{n}" for n in range(400)], "style": [f"s{n}" for n in range(400)]}}
    assert problem(document).startswith("product: gives 160000 pairs; a manifest may have at most 100000")
    many = {"pairs": [{"content": "a", "styles": [{"image": "b"}] * 17}]}
    assert problem(many).startswith("pairs[0].styles: should have at most 16 items; found [")
    assert problem({"pairs": [PAIR] * 100_001}).startswith("pairs: should have at most 100000 items; found")
    deep = {"product": {"content": ["**/" * 3 + "x*"], "style": ["s"]}}
    assert (
        problem(deep)
        == "product.content[0]: a pattern may contain '**' at most 2 times; found \"**/**/**/x*\""
    )


@pytest.mark.parametrize(
    ("pattern", "message"),
    [("none/*.jpg", "no image matches"), ("../*.png", "lies outside"), ("\0*", "not a usable path")],
)
def test_a_pattern_that_finds_nothing_is_reported_with_its_place(
    pattern: str, message: str, tmp_path: Path
) -> None:
    document = {"product": {"content": ["a.png"], "style": ["b.png", pattern]}}
    text = problem(document, Sources(FolderStore(tmp_path)).glob)
    assert text.startswith("product.style[1]: ")
    assert message in text


def test_a_matching_file_name_that_is_not_utf_8_is_reported(tmp_path: Path) -> None:
    try:
        (tmp_path / os.fsdecode(b"\xff.png")).touch()
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    document = {"product": {"content": ["*.png"], "style": ["b.png"]}}
    assert "\\udcff.png" in problem(document, Sources(FolderStore(tmp_path)).glob)


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


def test_an_unavailable_bucket_is_not_reported_as_a_problem_of_the_manifest() -> None:
    def glob(pattern: str) -> list[str]:
        raise UnavailableError("s3://bucket: the server answers 503 SlowDown")

    document = parse(b'{"product": {"content": ["*.png"], "style": ["a.png"]}}')
    with pytest.raises(UnavailableError):
        expand(document, glob)

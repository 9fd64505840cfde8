"""A valid manifest is expanded to its pairs; patterns and names that do not fit are reported."""

import os
from pathlib import Path

import pytest

from pipeline.errors import UnavailableError
from pipeline.manifest.expand import expand
from pipeline.manifest.reading import parse
from pipeline.stores.folder import FolderStore
from pipeline.stores.sources import Sources
from tests.pipeline.manifest.documents import EXAMPLE, PAIR, PRODUCT, encoded, expanded, problem


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


@pytest.mark.parametrize(("first", "second"), [("one", "one"), ("one", "ONE"), ("caf\xe9", "cafe\u0301")])
def test_two_pairs_are_refused_if_their_ids_are_the_same_on_some_file_system(first: str, second: str) -> None:
    document = {"pairs": [{**PAIR, "id": first}, {**PAIR, "id": "two"}, {**PAIR, "id": second}]}
    assert problem(document).startswith(f"pairs[2].id: '{second}' is named twice, here and in pairs[0]")


def test_a_pair_with_the_id_of_a_product_pair_is_reported_at_the_listed_pair() -> None:
    document = {"pairs": [{**PAIR, "epochs": 3}], "product": PRODUCT}
    assert problem(document).startswith("pairs[0].id: ")


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


def test_an_unavailable_bucket_is_not_reported_as_a_problem_of_the_manifest() -> None:
    def glob(pattern: str) -> list[str]:
        raise UnavailableError("s3://bucket: the server answers 503 SlowDown")

    document = parse(b'{"product": {"content": ["*.png"], "style": ["a.png"]}}')
    with pytest.raises(UnavailableError):
        expand(document, glob)

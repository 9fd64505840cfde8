"""A valid manifest is expanded to its pairs; patterns and names that do not fit are reported."""

import os
from pathlib import Path

import pytest

from nst.parameters import Parameters
from pipeline.errors import UnavailableError
from pipeline.manifest.expand import expand
from pipeline.manifest.reading import parse
from pipeline.stores.folder import FolderStore
from pipeline.stores.sources import Sources
from tests.pipeline.manifest.documents import EXAMPLE, PAIR, encoded, expanded, problem


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
    assert f": '{second}' is named twice, here and in pairs[0]" in problem(document)


def test_pairs_that_have_no_ids_never_clash(tmp_path: Path) -> None:
    for name in ("2023/01/x.jpg", "2023_01/x.jpg", "a.jpg", "A.jpg", "e\u0301.jpg", "\xe9.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    listed = [{**PAIR, "content": "a.jpg", "epochs": epochs} for epochs in (3, 4)]
    document = {"pairs": listed, "product": {"content": ["**/*.jpg"], "style": ["b.png"]}}
    pairs = expanded(document, Sources(FolderStore(tmp_path)).glob)
    assert len({pair.id.casefold() for pair in pairs}) == len(pairs) == 2 + len(list(tmp_path.rglob("*.jpg")))
    assert all("." not in pair.id for pair in pairs)


def test_a_name_that_is_made_gives_way_to_an_id() -> None:
    first, second = expanded({"pairs": [{**PAIR, "content": "c.png", "id": "a-b"}, PAIR]})
    assert first.id == "a-b"
    assert second.id.startswith("a-b-")


def test_pairs_that_are_equal_and_have_no_ids_are_made_once() -> None:
    (pair,) = expanded({"defaults": {"epochs": 3}, "pairs": [PAIR, {**PAIR, "epochs": 3}, PAIR]})
    assert (pair.id, pair.place) == ("a-b", "pairs[0]")
    assert len(expanded({"pairs": [PAIR, {**PAIR, "id": "other"}]})) == 2


@pytest.mark.parametrize(
    ("default", "own"),
    [
        ({"snapshots": 3}, {"snapshots": 0}),
        ({"enlarge": True}, {"enlarge": False}),
        ({"dpi": 9}, {"dpi": None}),
        ({"strength": 2}, {"strength": None}),
    ],
)
def test_a_pair_that_gives_a_usual_default_in_place_of_another_one_has_its_own_name(
    default: dict[str, object], own: dict[str, object]
) -> None:
    first, second = expanded({"defaults": default, "pairs": [PAIR, {**PAIR, **own}]})
    assert first.id != second.id
    found = first.parameters.model_copy(update=own)
    assert second.parameters == found != first.parameters


def test_of_strength_and_style_weight_the_one_of_the_pair_counts() -> None:
    pairs = expanded({"defaults": {"strength": 2}, "pairs": [PAIR, {**PAIR, "style_weight": 5}]})
    assert [pair.parameters for pair in pairs] == [Parameters(strength=2), Parameters(style_weight=5)]
    pairs = expanded({"defaults": {"style_weight": 5}, "pairs": [PAIR, {**PAIR, "strength": 2}]})
    assert [pair.parameters for pair in pairs] == [Parameters(style_weight=5), Parameters(strength=2)]
    (pair,) = expanded({"defaults": {"style_weight": 5}, "pairs": [{**PAIR, "strength": None}]})
    assert pair.parameters == Parameters(style_weight=5)


def test_the_name_of_a_pair_does_not_change_with_the_defaults() -> None:
    pairs: list[dict[str, object]] = [{**PAIR, "tv_weight": weight} for weight in (1, 2)]
    pairs += [{"content": "a.png", "styles": [{"image": "b.png", "weight": 2}]}]
    names = [
        [pair.id for pair in expanded({"defaults": {"epochs": epochs}, "pairs": pairs})] for epochs in (3, 4)
    ]
    assert names[0] == names[1]
    assert len(set(names[0])) == 3


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

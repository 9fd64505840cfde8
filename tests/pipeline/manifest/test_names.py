import re
from collections.abc import Sequence

import pytest

from pipeline.manifest.names import complete_names, folded, plain_file_name


@pytest.mark.parametrize(
    "name",
    [
        *(".", "..", ".hidden", "a.", " a", "a/b", "a\\b", "../a", "C:a", "a*", "x" * 181, "é" * 91),
        *("con", "NUL.txt", "Com1", "lpt9 .x", "aux.tar.gz"),
        *("a\n", "\x1b[31m", "a\x9b", "\ud800", "a\u202egnp"),
    ],
)
def test_a_name_that_some_file_system_does_not_allow_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="an id "):
        plain_file_name(name)


@pytest.mark.parametrize("name", ["a", "x" * 180, "console", "com", "lpt10", "Köln ☂ 1.5", "cat-waves_2"])
def test_a_plain_name_is_returned_unchanged(name: str) -> None:
    assert plain_file_name(name) == name


def made(*images: tuple[str, ...], details: Sequence[str] = ()) -> list[str]:
    """The names of pairs that have no id."""
    ends = [""] * len(images)
    return complete_names(
        [None for _ in images], images, ends, lambda index: details[index] if details else ""
    )


@pytest.mark.parametrize(
    ("images", "expected"),
    [
        (("p/x.png", "s.jpg"), "x-s"),
        (("photos/cat.jpg", "art/waves.png"), "cat-waves"),
        (("a:b?\n.png", "s.jpg"), "a_b__-s"),
        (("s3://bucket/x.png", "s.jpg"), "x-s"),
        (("a.png", "b.png", "c.png"), "a-b-c"),
        (("..", ".."), "-"),
        (("nul.x.png", "s.jpg"), "_nul.x-s"),
    ],
)
def test_a_pair_without_an_id_is_named_after_its_images(images: tuple[str, ...], expected: str) -> None:
    assert made(images) == [expected]


@pytest.mark.parametrize(
    "contents",
    [
        ("p/x.png", "q/x.png"),
        ("x.png", "x.jpg"),
        ("x.jpg", "x.JPG"),
        ("p/X.png", "p/x.png"),
        ("X.png", "x.png"),
        ("\xe9.png", "e\u0301.png"),
        ("2023/01/x.png", "2023_01/x.png"),
        ("a*b.png", "a?b.png"),
        ("straße.png", "STRASSE.png"),
    ],
)
def test_names_that_would_be_the_same_on_some_file_system_get_a_digest_of_the_paths(
    contents: tuple[str, ...],
) -> None:
    images = [(content, "s.jpg") for content in contents]
    names = made(*images, ("other.png", "s.jpg"))
    *twins, other = names
    assert other == "other-s"
    assert len({folded(name) for name in twins}) == len(twins)
    assert made(*reversed(images)) == twins[::-1]
    for name in twins:
        assert re.fullmatch(r"[^.]+-s-[0-9a-f]{12}", name)
        assert plain_file_name(name) == name


def test_names_of_pairs_with_the_same_images_get_a_digest_of_what_differs() -> None:
    images = [("x.png", "s.png")] * 3
    names = made(*images, details=["1", "2", "3"])
    assert len(set(names)) == 3
    assert made(*images, details=["3", "1", "2"]) == [names[2], names[0], names[1]]


def test_a_digest_depends_on_nothing_but_the_paths() -> None:
    images = [("p/x.png", "s.png"), ("q/x.png", "s.png"), ("q/X.png", "s.png"), ("y.png", "s.png")]
    first, second = made(*images[:2])
    assert made(*images)[:2] == [first, second] != made(*images[1:])
    assert first.startswith("x-s-")


def test_a_name_that_is_made_is_changed_if_a_given_one_is_the_same() -> None:
    images = [("p/x.png", "s.png"), ("a.png", "b.png")]
    first, second = complete_names([None, "X-s"], images, ["", ""], lambda index: "")
    assert first.startswith("x-s-")
    assert second == "X-s"


def test_very_long_names_are_cut_and_stay_different() -> None:
    images = [("\xe9" * 500 + end, "s.png") for end in ("a.png", "b.png")]
    same = [(f"{folder}/{'x' * 500}.png", "s.png") for folder in "pq"]
    names = made(*images, *same)
    assert len(set(names)) == 4
    assert max(len(name.encode()) for name in names) <= 180

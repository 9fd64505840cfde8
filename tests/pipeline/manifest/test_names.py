import pytest

from pipeline.manifest.names import complete_names, plain_file_name


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


@pytest.mark.parametrize(
    ("images", "expected"),
    [
        ([("p/x.png", "s.jpg")], ["x-s"]),
        ([("p/x.png", "s.jpg"), ("q/x.png", "s.jpg")], ["p_x.png-s.jpg", "q_x.png-s.jpg"]),
        ([("x.png", "s.jpg"), ("x.jpg", "s.jpg")], ["x.png-s.jpg", "x.jpg-s.jpg"]),
        ([("p/X.png", "s.jpg"), ("q/x.png", "s.jpg")], ["p_X.png-s.jpg", "q_x.png-s.jpg"]),
        ([("a:b?\n.png", "s.jpg")], ["a_b__-s"]),
        ([("s3://bucket/x.png", "s.jpg")], ["x-s"]),
        ([("a.png", "b.png", "c.png")], ["a-b-c"]),
        ([("..", "..")], ["-"]),
        ([("nul.x.png", "s.jpg")], ["_nul.x-s"]),
        ([("é.png", "s.jpg"), ("e\u0301.png", "s.jpg")], ["é.png-s.jpg", "e\u0301.png-s.jpg"]),
    ],
)
def test_a_pair_without_an_id_is_named_after_its_images(
    images: list[tuple[str, ...]], expected: list[str]
) -> None:
    assert complete_names([None for _ in images], images) == expected


def test_a_derived_name_is_changed_if_a_given_one_is_the_same() -> None:
    images = [("p/x.png", "s.png"), ("a.png", "b.png")]
    assert complete_names([None, "x-s"], images) == ["p_x.png-s.png", "x-s"]


def test_very_long_derived_names_are_cut_and_stay_different() -> None:
    images = [("é" * 500 + end, "s.png") for end in ("a.png", "b.png")]
    first, second = complete_names([None, None], images)
    assert first != second
    assert max(len(first.encode()), len(second.encode())) <= 180

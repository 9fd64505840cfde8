"""A manifest of any shape costs little, and none is refused that asks for little."""

import json
import tracemalloc
from collections.abc import Iterator

import pytest

from pipeline.errors import ManifestError
from pipeline.manifest.expand import expand
from pipeline.manifest.reading import parse
from pipeline.settings import Caps
from tests.pipeline.manifest.documents import PAIR, PRODUCT, encoded, expanded, problem, problems

MIB = 2**20


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


def listed(item: bytes, count: int) -> bytes:
    """A manifest whose `pairs` is a list of so many equal items."""
    return b'{"pairs": [' + b",".join([item] * count) + b"]}"


def keys(count: int) -> bytes:
    """An object of so many keys."""
    return b"{" + b",".join(b'"k%d":"x"' % n for n in range(count)) + b"}"


@pytest.mark.parametrize(
    ("document", "more"),
    [
        (listed(b'{"content":1,"style":2,"epochs":0,"zzz":1}', 3000), 11_900),
        (encoded({"product": {"content": [1] * 3000, "style": ["a", 2]}}), 2_901),
        (encoded({"pairs": [{**PAIR, "id": "a"}] * 3000}), 2_899),
        (listed(b'{"content":"a","style":"b","style_layers":{"a":"","b":"","c":"","d":""}}', 99), 296),
        (encoded({"pairs": [{}] * 50, "zzz": 1, "product": {"content": [1] * 50, "style": [2]}}), 2),
    ],
    ids=["pairs", "product", "ids", "layers", "all together"],
)
def test_a_hundred_problems_are_reported_and_the_others_are_counted(document: bytes, more: int) -> None:
    found = problems(document)
    assert len(found) == 101
    assert all(each.place for each in found[:100])
    assert str(found[100]) == f"and {more:,} more"


def test_a_hundred_problems_are_all_reported() -> None:
    assert len(problems({"pairs": [5] * 100})) == 100


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (
            keys(101),
            'an object in it has 101 keys, the first of which is "k0"; no object of a manifest has more',
        ),
        (b'{"pairs": [' + keys(5000) + b"]}", "an object in it has 5,000 keys"),
        (b'{"content": "a", "style": "b", "style_layers": ' + keys(400_000) + b"}", "has 400,000 keys"),
        (listed(b"{}", 2_000_000), "more than 2,000,000 commas and opening brackets; split it into several"),
        (listed(b"[[]]", 900_000), "more than 2,000,000 commas and opening brackets"),
        (b'{"' + b"x" * 30 * MIB + b'": 1}', "xxx…: unknown key; known are"),
        (b'{"content": "' + b"x" * 30 * MIB + b'", "style": "b"}', "content: should have at most 4096 char"),
        (b'{"pairs": ' + b"[" * 900 + b"]" * 900 + b"}", "pairs[0]: should be an object; found [[[["),
        (listed(b"1", 200_000), "pairs: should have at most 100000 items; found 200000"),
        (encoded({"product": {**PRODUCT, "style": ["a"] * 100_001}}), "product.style: should have at most"),
    ],
    ids=lambda value: None if isinstance(value, bytes) else value[:30],
)
def test_a_document_without_use_is_refused_with_one_problem(document: bytes, message: str) -> None:
    assert message in problem(document)


@pytest.fixture
def traced() -> Iterator[None]:
    tracemalloc.start()
    yield
    tracemalloc.stop()


@pytest.mark.parametrize(
    "document",
    [
        keys(50_000),
        listed(b"{}", 30_000),
        listed(b'{"content":1,"style":2,"epochs":0,"zzz":1}', 10_000),
        listed(keys(100), 500),
        encoded({"product": {"content": [1] * 100_000, "style": [1] * 100_000}}),
    ],
    ids=["keys", "empty pairs", "pairs with errors", "pairs of unknown keys", "product with errors"],
)
def test_the_memory_for_a_bad_document_is_a_small_multiple_of_its_size(traced: None, document: bytes) -> None:
    problems(document)
    _, peak = tracemalloc.get_traced_memory()
    assert peak < 16 * MIB + 60 * len(document)  # other threads of the tests count, too


def test_a_hundred_thousand_pairs_are_expanded() -> None:
    product = {"content": [f"c{n}" for n in range(1000)], "style": [f"s{n}" for n in range(100)]}
    pairs = expanded({"product": product})
    assert len({pair.id for pair in pairs}) == 100_000
    assert len({id(pair.parameters) for pair in pairs}) == 1


def test_the_pairs_of_list_and_product_together_are_limited() -> None:
    product = {"content": [f"c{n}" for n in range(1000)], "style": [f"s{n}" for n in range(100)]}
    text = problem({"pairs": [PAIR], "product": product})
    assert text.startswith("product: gives 100001 pairs; a manifest may have at most 100000")


def test_the_same_pattern_is_searched_once() -> None:
    searched = []

    def glob(pattern: str) -> list[str]:
        searched.append(pattern)
        return ["a.png"]

    (pair,) = expanded({"product": {"content": ["*.png"] * 1000, "style": ["*.png", "*.p*"] * 1000}}, glob)
    assert (pair.content, pair.styles[0].image) == ("a.png", "a.png")
    assert searched == ["*.png", "*.p*"]


def test_the_number_of_different_patterns_is_limited() -> None:
    searched = []

    def glob(pattern: str) -> list[str]:
        searched.append(pattern)
        return ["a.png"]

    text = problem({"product": {"content": ["a"], "style": [f"{n}*" for n in range(5000)]}}, glob)
    assert (
        text
        == "product.style[1000]: a manifest may have at most 1000 different patterns; use fewer, or split it"
    )
    assert len(searched) == 1000


CAPS = Caps(pairs=3, max_size=512, epochs=20)


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        (
            {"pairs": [{**PAIR, "max_size": 4096}, {**PAIR, "id": "a", "max_size": 512}]},
            ["pairs[0]: max_size 4096 is above what this operator allows, 512 (NST_MOST_SIZE)"],
        ),
        (
            {**PAIR, "max_size": 513, "epochs": 21},
            [
                "max_size 513 is above what this operator allows, 512 (NST_MOST_SIZE)",
                "epochs 21 is above what this operator allows, 20 (NST_MOST_EPOCHS)",
            ],
        ),
        (
            {"product": {"content": ["a", "b", "c"], "style": ["s"]}},
            ["defaults: max_size 1024 is above what this operator allows, 512 (NST_MOST_SIZE)"],
        ),
        (
            {"defaults": {"max_size": 512}, "product": {"content": ["a", "b", "c", "d"], "style": ["s"]}},
            ["product: 4 pairs are above what this operator allows, 3 (NST_MOST_PAIRS)"],
        ),
        (
            {"defaults": {"max_size": 512}, "pairs": [{**PAIR, "seed": n} for n in range(4)]},
            ["pairs: 4 pairs are above what this operator allows, 3 (NST_MOST_PAIRS)"],
        ),
        (
            {"product": {"content": ["a*"], "style": ["s"], "seed": [1, 2], "tv_weight": [1, 2]}},
            ["product: 4 pairs are above what this operator allows, 3 (NST_MOST_PAIRS)"],
        ),
        (
            {"product": {**PRODUCT, "max_size": [512, 513, 514], "epochs": 21}},
            [
                "product.epochs: epochs 21 is above what this operator allows, 20 (NST_MOST_EPOCHS)",
                "product.max_size[1]: max_size 513 is above what this operator allows, 512 (NST_MOST_SIZE)",
                "product.max_size[2]: max_size 514 is above what this operator allows, 512 (NST_MOST_SIZE)",
            ],
        ),
    ],
)
def test_what_exceeds_a_cap_of_the_operator_is_reported_with_its_place(
    document: object, expected: list[str]
) -> None:
    manifest = parse(encoded(document))
    with pytest.raises(ManifestError) as caught:
        expand(manifest, lambda pattern: [], CAPS)
    assert sorted(str(found) for found in caught.value.problems) == sorted(expected)


def test_a_manifest_at_the_caps_is_expanded() -> None:
    document = {"defaults": {"max_size": 512, "epochs": 20}, "pairs": [{**PAIR, "id": n} for n in "abc"]}
    assert len(expand(parse(json.dumps(document).encode()), lambda pattern: [], CAPS)) == 3

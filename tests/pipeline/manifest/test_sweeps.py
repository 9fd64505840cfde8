"""A parameter of a product may have a list of values: which pairs that gives, their names, and bad lists."""

import tracemalloc
from itertools import product
from typing import Any

import pytest

from nst.parameters import Parameters
from pipeline.manifest.names import folded, plain_file_name
from tests.pipeline.manifest.documents import PAIR, PRODUCT, Glob, expanded, problem, problems

MIB = 2**20

# Two values of each parameter.
TWO: dict[str, list[Any]] = {
    "epochs": [3, 4],
    "tolerance": [0, 0.5],
    "content_weight": [1, 2],
    "style_weight": [1e5, 1e6],
    "strength": [None, 2],
    "tv_weight": [0, 1e-3],
    "max_size": [256, 512],
    "enlarge": [False, True],
    "style_scale": [0.5, 2],
    "init": ["content", "random"],
    "seed": [0, 2**62],
    "pooling": ["max", "avg"],
    "content_layers": [{"relu4_1": 1}, {"conv4_2": 0.5, "relu1_1": 1}],
    "style_layers": [{"relu1_1": 1}, {"relu1_1": 2}],
    "preserve_color": [True, False],
    "format": ["png", "tiff"],
    "dpi": [None, 300],
    "keep_metadata": [False, True],
    "snapshots": [0, 12],
}


def swept(**given: Any) -> dict[str, Any]:
    """A manifest whose product has one content, one style, and these parameters."""
    return {"product": {**PRODUCT, **given}}


def ids(document: object) -> list[str]:
    return [pair.id for pair in expanded(document)]


def test_there_is_a_pair_for_each_combination_of_contents_styles_and_values() -> None:
    images = {"content": ["a", "b"], "style": ["s", "t"]}
    pairs = expanded({"product": {**images, "style_weight": [1, 2, 3], "max_size": [64, 32]}})
    found = [(p.content, p.styles[0].image, p.parameters.style_weight, p.parameters.max_size) for p in pairs]
    assert found == list(product("ab", "st", [1, 2, 3], [64, 32]))
    assert {pair.place for pair in pairs} == {"product"}


@pytest.mark.parametrize("name", Parameters.model_fields)
def test_each_parameter_may_have_a_list_of_values(name: str) -> None:
    pairs = expanded(swept(**{name: TWO[name]}))
    expected = [getattr(Parameters.model_validate({name: value}), name) for value in TWO[name]]
    assert [getattr(pair.parameters, name) for pair in pairs] == expected
    assert all(pair.id.startswith(f"a-b-{name}=") for pair in pairs)


def test_one_value_holds_for_all_pairs_of_the_product_and_for_no_other() -> None:
    document = {"defaults": {"epochs": 3, "seed": 4}, "pairs": [{**PAIR, "id": "x"}], **swept(epochs=5)}
    assert [(p.id, p.parameters.epochs, p.parameters.seed) for p in expanded(document)] == [
        ("x", 3, 4),
        ("a-b", 5, 4),
    ]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"style_weight": [1e5]}, ["style_weight=1e5"]),
        ({"style_weight": [0, 0.001, 1000, 120000, 1234567.5, 1e15]}, None),
        ({"style_weight": [1e4, 1e-30, 0.25]}, [f"style_weight={w}" for w in ("1e4", "1e-30", "0.25")]),
        ({"max_size": [512, 100000 // 10]}, ["max_size=512", "max_size=10000"]),
        ({"init": ["random"], "preserve_color": [True]}, ["init=random-preserve_color=true"]),
        ({"style_layers": [{"conv2_1": 1, "relu1_1": 0.5}]}, ["style_layers=relu1_1x0.5,relu2_1"]),
        ({"seed": [7], "epochs": 3}, ["seed=7"]),
        ({"strength": [0.5, 1, 10.0]}, ["strength=0.5", "strength=1", "strength=10"]),
        ({"dpi": [None, 300, 72.5]}, ["dpi=none", "dpi=300", "dpi=72.5"]),
        ({"enlarge": [True], "format": ["tiff"], "dpi": [300]}, ["enlarge=true-format=tiff-dpi=300"]),
    ],
)
def test_a_name_has_the_parameters_and_their_values(given: Any, expected: list[str] | None) -> None:
    expected = expected or [
        f"style_weight={w}" for w in ("0", "0.001", "1000", "120000", "1234567.5", "1e15")
    ]
    found = ids(swept(**given))
    assert found == [f"a-b-{end}" for end in expected]
    assert all(plain_file_name(name) == name for name in found)


def test_a_name_does_not_change_with_other_values_or_the_order_of_keys_or_the_defaults() -> None:
    first = ids(swept(style_weight=[1], seed=[5]))
    assert first == ["a-b-style_weight=1-seed=5"]
    second = {"defaults": {"epochs": 3}, **swept(seed=[4, 5, 6], style_weight=[2, 1])}
    assert set(first) < set(ids(second))


def test_names_of_a_large_sweep_differ_and_are_file_names() -> None:
    left_out = ("tolerance", "keep_metadata", "snapshots", "enlarge", "dpi")
    two = {name: values for name, values in TWO.items() if name != "strength"}  # there is `style_weight`
    given = {name: values for name, values in two.items() if name not in left_out}
    images = {"content": ["p/x.png", "q/x.png", "é" * 200], "style": ["s" * 200]}
    single = {"epochs": 1, "seed": 1, "tv_weight": 1, "snapshots": 2, "enlarge": True, "dpi": 300}
    for document in (swept(**given), {"product": {**images, **two, **single}}):
        names = ids(document)
        assert len({folded(name) for name in names}) == len(names)
        assert all(plain_file_name(name) == name for name in names)


def test_a_name_whose_images_have_long_names_still_shows_the_value() -> None:
    document = {"product": {"content": ["c" * 300], "style": ["s"], "style_weight": [1e5]}}
    (name,) = ids(document)
    assert name.startswith("ccc")
    assert name.endswith("-style_weight=1e5")


def test_the_strength_of_a_product_comes_before_the_style_weight_of_the_defaults_and_the_reverse() -> None:
    strong = {"defaults": {"style_weight": 5}, **swept(strength=[0.5, 2])}
    assert [pair.parameters for pair in expanded(strong)] == [Parameters(strength=s) for s in (0.5, 2)]
    weighted = {"defaults": {"strength": 5}, **swept(style_weight=[1, 2])}
    assert [pair.parameters for pair in expanded(weighted)] == [Parameters(style_weight=w) for w in (1, 2)]


def test_a_pair_that_is_listed_already_is_made_once_and_has_its_name_of_the_sweep() -> None:
    document = {"pairs": [{**PAIR, "style_weight": 2}], **swept(style_weight=[1, 2])}
    assert ids(document) == ["a-b-style_weight=2", "a-b-style_weight=1"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"style_weight": []}, "product.style_weight: should not be empty; found []"),
        (
            {"style_weight": [1, 2, 1.0]},
            "product.style_weight[2]: is the same value as product.style_weight[0]; delete one of the two; "
            "found 1.0",
        ),
        (
            {"content_layers": [{"relu4_1": 1}, {"conv4_1": 1, "relu1_1": 0}]},
            "product.content_layers[1]: is the same value as product.content_layers[0]; delete one",
        ),
        ({"tv_weight": [0, -0.0]}, "product.tv_weight[1]: is the same value as product.tv_weight[0]"),
        (
            {"style_weight": [1, 2, "3"]},
            'product.style_weight[2]: should be a valid number; found "3"',
        ),
        (
            {"style_weight": [1, -1]},
            "product.style_weight[1]: should be greater than or equal to 0; found -1",
        ),
        ({"style_weight": [1, [2]]}, "product.style_weight[1]: should be a valid number; found [2]"),
        (
            {"style_weight": [1, float("nan")]},
            "product.style_weight[1]: should be a finite number; found NaN",
        ),
        (
            {"strength": [1, 0.001]},
            "product.strength[1]: should be greater than or equal to 0.01; found 0.001",
        ),
        ({"strength": [1], "style_weight": 5}, "product: give strength or style_weight, not both"),
        ({"style_weight": "1"}, 'product.style_weight: should be a valid number; found "1"'),
        ({"style_weight": None}, "product.style_weight: should be a valid number; found null"),
        ({"init": ["blank"]}, "product.init[0]: should be 'content' or 'random'; found \"blank\""),
        ({"style_layers": [{"relu1_1": -1}]}, "product.style_layers[0].relu1_1: should be greater than or"),
        ({"style_layers": ["relu1_1"]}, 'product.style_layers[0]: should be an object; found "relu1_1"'),
        ({"snapshots": 1}, "product.snapshots: should be 0 for none, or 2 or more: the start, the result"),
        ({"snapshots": [0, 61]}, "product.snapshots[1]: should be less than or equal to 60; found 61"),
        ({"dpi": [300, 0]}, "product.dpi[1]: should be greater than or equal to 1; found 0"),
        ({"dpi": [300, 300.0]}, "product.dpi[1]: is the same value as product.dpi[0]; delete one"),
        ({"dpi": []}, "product.dpi: should not be empty; found []"),
        ({"enlarge": [True, "yes"]}, 'product.enlarge[1]: should be a valid boolean; found "yes"'),
        ({"style_wight": [1]}, "product.style_wight: unknown key; did you mean 'style_weight'?"),
        ({"styles": [{"image": "b"}]}, "product.styles: unknown key; did you mean 'style'?"),
        (
            {"style_weight": [0, 1], "content_weight": [0, 1], "seed": [1, 2, 3]},
            "product: one of content_weight, style_weight and tv_weight must be above 0",
        ),
        (
            {"style_weight": [1, 1e15], "style_layers": {"relu1_1": 100}},
            "product: style_weight 1e+15, times the weight 100 of relu1_1 in style_layers, is above 1e+16",
        ),
    ],
)
def test_a_bad_list_is_reported_with_its_place(given: dict[str, Any], message: str) -> None:
    assert problem(swept(**given)).startswith(message)


@pytest.mark.parametrize(
    ("document", "place"),
    [
        ({"defaults": {"style_weight": [1, 2]}, **swept()}, "defaults.style_weight"),
        ({"pairs": [{**PAIR, "init": ["random"]}]}, "pairs[0].init"),
        ({**PAIR, "style_layers": [{"relu1_1": 1}]}, "style_layers"),
    ],
)
def test_a_list_elsewhere_is_refused_with_the_remedy(document: object, place: str) -> None:
    message = (
        f"{place}: should be one value; a list of values is a sweep, which belongs in 'product'; found ["
    )
    assert problem(document).startswith(message)


def test_two_products_are_refused_with_the_remedy() -> None:
    message = "product: should be one object; put other products into other manifests; found [{"
    assert problem({"product": [PRODUCT, PRODUCT]}).startswith(message)
    twice = b'{"product": {"content": ["a"], "style": ["b"]}, "product": {}}'
    assert problem(twice) == 'the key "product" stands twice in one object'


def test_all_bad_values_are_reported_together() -> None:
    found = problems(swept(style_weight=[-1, 2, -3], seed=[], epochs="x"))
    places = ["product.style_weight[0]", "product.style_weight[2]", "product.seed", "product.epochs"]
    assert [each.place for each in found] == places


def peak_of(document: object, glob: Glob) -> tuple[str, int]:
    """The problem of a document, and the most bytes that were in use while it was found."""
    tracemalloc.start()
    try:
        return problem(document, glob), tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("parameters", [2, 4])
def test_too_many_combinations_are_refused_before_any_is_made_or_an_image_is_listed(parameters: int) -> None:
    def glob(pattern: str) -> list[str]:
        raise AssertionError("a pattern was searched")

    names = ["style_weight", "seed", "content_weight", "tv_weight"][:parameters]
    given = {name: list(range(1000)) for name in names}
    text, peak = peak_of({"product": {"content": ["*"], "style": ["*"], **given}}, glob)
    count = 1000**parameters
    assert text == f"product: gives {count} pairs; a manifest may have at most 100000, so split it"
    assert peak < 16 * MIB


def test_the_images_count_with_the_combinations() -> None:
    def glob(pattern: str) -> list[str]:
        return [f"{n}.png" for n in range(100)]

    product = {"content": ["*"], "style": ["*"], "seed": list(range(100))}
    text, peak = peak_of({"product": product}, glob)
    assert text == "product: gives 1000000 pairs; a manifest may have at most 100000, so split it"
    assert peak < 16 * MIB


def test_a_list_that_is_too_long_is_refused() -> None:
    text = problem(swept(seed=list(range(100_001))))
    assert text == "product.seed: should have at most 100000 items; found 100001; split it"

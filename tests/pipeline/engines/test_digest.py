"""The digest of a pair's inputs decides whether its picture is computed again."""

import pytest
from pydantic import Field

from nst import Parameters
from pipeline.engines.prepare import Preparer
from pipeline.manifest.models import Pair, StyleEntry
from pipeline.stores.memory import MemoryStore
from pipeline.stores.sources import Sources


class LaterParameters(Parameters):
    """The parameters of a later version, which has one more."""

    grain: float = Field(0.0, description="A parameter that the first version does not have.")


@pytest.fixture
def sources() -> Sources:
    store = MemoryStore("digests")
    for name in ("content", "style"):
        store.write(name, name.encode())
    return Sources(store)


def digest(sources: Sources, parameters: Parameters) -> str:
    styles = (StyleEntry(image="style", weight=0.5),)
    pair = Pair(id="p", place="", content="content", styles=styles, parameters=parameters)
    return Preparer("weights").read(pair, sources).digest


@pytest.mark.parametrize(
    ("values", "known"),
    [
        ({}, "ab0b2934ede1a9082e2720fef0e7b6d5ff55b2d39d8191ac9b0d2c128141f40a"),
        (
            {"epochs": 3, "seed": 7, "style_layers": {"relu1_1": 2}},
            "c079bf46e880acc007f28aab7d14c55b981ee2046a40f43f23c2551da765779a",
        ),
    ],
)
def test_digests_are_those_of_the_first_version(
    sources: Sources, values: dict[str, object], known: str
) -> None:
    assert digest(sources, Parameters.model_validate(values)) == known
    assert digest(sources, LaterParameters.model_validate(values)) == known


def test_a_parameter_of_a_later_version_counts_where_it_differs_from_its_default(sources: Sources) -> None:
    assert digest(sources, LaterParameters(grain=0.0)) == digest(sources, Parameters())
    assert digest(sources, LaterParameters(grain=0.5)) != digest(sources, Parameters())


def test_snapshots_count_only_for_pairs_that_have_some(sources: Sources) -> None:
    assert digest(sources, Parameters(snapshots=0)) == digest(sources, Parameters())
    digests = {digest(sources, Parameters(snapshots=count)) for count in (0, 2, 3)}
    assert len(digests) == 3


def test_the_strength_counts_where_it_is_given(sources: Sources) -> None:
    digests = {digest(sources, Parameters(strength=strength)) for strength in (None, 1.0, 2.0)}
    assert digest(sources, Parameters()) in digests
    assert len(digests) == 3


def test_parameters_for_printing_count_only_for_pairs_that_use_them(sources: Sources) -> None:
    usual = digest(sources, Parameters())
    assert digest(sources, Parameters(enlarge=False, dpi=None)) == usual
    used: list[dict[str, object]] = [{"enlarge": True}, {"dpi": 300}, {"dpi": 150}, {"format": "tiff"}]
    digests = {digest(sources, Parameters.model_validate(values)) for values in used}
    assert len({*digests, usual}) == 5

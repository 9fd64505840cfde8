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
        ({}, ""),
        ({"epochs": 3, "seed": 7, "style_layers": {"relu1_1": 2}}, ""),
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

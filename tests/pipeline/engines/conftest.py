"""A Ray cluster that the tests of one process share, and engines on it."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

from pipeline.events.previews import Previews
from pipeline.events.recording import RecordingListener
from pipeline.settings import Settings
from pipeline.stores.opening import Stores
from pipeline.timing import Timing

if TYPE_CHECKING:
    from pipeline.engines.ray import RayEngine
    from pipeline.engines.ray_actor import Make

CPUS = 2


@pytest.fixture(scope="session")
def cluster() -> Iterator[str]:
    """The address of a cluster of one node without GPUs."""
    # Only here: Ray takes long to import, and other tests of this folder don't need it.
    from tests.ray_cluster import cluster

    with cluster(CPUS) as address:
        yield address


@pytest.fixture
def listener() -> RecordingListener:
    return RecordingListener()


@pytest.fixture
def on_ray(cluster: str, listener: RecordingListener) -> Iterator[Callable[..., "RayEngine"]]:
    """A function that makes engines on the cluster. They are closed at the end of the test."""
    from pipeline.engines.ray import RayEngine

    made: list[RayEngine] = []

    def make(
        make: "Make",
        timing: Timing = Timing(),
        stores: Stores | None = None,
        start: bool = True,
        **settings: object,
    ) -> RayEngine:
        given = {"device": "cpu", "dtype": "fp32", "ray_address": cluster, **settings}
        engine = RayEngine(Settings.model_validate(given), stores or Stores(), timing, make)
        made.append(engine)
        if start:
            engine.start(listener, lambda: None, Previews())
        return engine

    yield make
    for engine in made:
        engine.close()

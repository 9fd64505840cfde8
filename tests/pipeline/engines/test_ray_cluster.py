"""Joining a Ray cluster, and starting one."""

import sys
from pathlib import Path

import pytest

from pipeline.engines.base import Engine
from pipeline.engines.fake import FakeEngine
from pipeline.settings import Settings
from pipeline.stores.opening import Stores
from pipeline.timing import Timing
from tests.pipeline.engines.test_ray import OnRay, fake

ray = pytest.importorskip("ray")
# Actors can't import this module.
ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])


def test_actors_use_the_device_for_which_they_have_a_place(on_ray: OnRay, tmp_path: Path) -> None:
    """The cluster has no GPU, but the machine of an actor may have one."""

    def make(settings: Settings, stores: Stores, timing: Timing) -> Engine:
        (tmp_path / settings.device).touch()
        return FakeEngine(stores)

    on_ray(make, device="auto")
    assert [path.name for path in tmp_path.iterdir()] == ["cpu"]


@pytest.mark.long
def test_a_ray_that_is_started_here_has_the_cpus_that_the_control_group_allows(
    on_ray: OnRay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nst.cgroup.cpus", lambda: 1)
    on_ray(fake(), ray_address=None)
    assert ray.cluster_resources()["CPU"] == 1

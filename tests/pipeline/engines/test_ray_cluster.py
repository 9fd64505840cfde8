"""Joining a Ray cluster, and starting one."""

import sys
from pathlib import Path

import pytest

from pipeline.engines.base import Engine
from pipeline.engines.fake import FakeEngine
from pipeline.errors import EngineLostError, UsageError
from pipeline.settings import Settings
from pipeline.stores.opening import Stores
from pipeline.timing import Timing
from tests.pipeline.engines.test_ray import OnRay, fake

ray = pytest.importorskip("ray")
RayError = pytest.importorskip("ray.exceptions").RayError
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


def test_a_wrong_variable_is_named(on_ray: OnRay, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    with pytest.raises(UsageError, match=r"^RAY_ADDRESS=127.0.0.1:1: there is no Ray cluster \(.*refused"):
        on_ray(fake(), ray_address=None)


def test_an_error_after_joining_leaves_neither_the_connection_nor_a_folder(
    on_ray: OnRay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise RayError("the head node is gone")

    monkeypatch.setattr(ray, "nodes", fail)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(EngineLostError, match="the Ray cluster can't be used: the head node is gone"):
        on_ray(fake())
    assert not ray.is_initialized()
    assert list(tmp_path.iterdir()) == []

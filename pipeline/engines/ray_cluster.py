"""The Ray cluster that an engine works on: one that is joined, or one that is started on this machine."""

import logging
import os
import platform
import shutil
import socket
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import AuthenticationError, RayError

from nst import cgroup
from pipeline.engines.ray_actor import Actor
from pipeline.errors import EngineLostError, UsageError
from pipeline.events.listener import Listener, Note
from pipeline.settings import Settings

_CONNECT = 10.0  # seconds for a connection to the address that is given
_LOOK = 1.0  # seconds between two questions to the head node which nodes there are
# Two processes of one thread make more small pictures than one of two threads. Threads of OpenMP that wait
# actively take the processor from the threads of other actors. Ray starts threads before `nst` can let all of
# them use one heap.
_THREADS = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive", "MALLOC_ARENA_MAX": "1"}


class Cluster:
    """The connection to a cluster, and actors on it."""

    def __init__(self, settings: Settings, listener: Listener) -> None:
        """Join or start a cluster, and say so. Raises `UsageError`."""
        if settings.device.startswith("cuda:"):
            raise UsageError(
                f"--device {settings.device} does not go with --engine ray, which gives each actor its own "
                "GPU; give --device cuda"
            )
        self._folder = Path(tempfile.mkdtemp(prefix="nst-ray-"))
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # Ray would ask for permission to report usage
        # Messages of Ray's other processes are printed by a thread that no option turns off. They are in the
        # log files of Ray, too.
        ray._private.worker._worker_logs_enabled = False
        self._log = logging.FileHandler(self._folder / "driver.log", delay=True)
        _log_to(self._log, "ray._private")
        self._nodes: dict[str, Mapping[str, float]] = {}  # the resources of each node that is alive
        self._next_look = 0.0
        try:
            if address := settings.ray_cluster:
                self._join(address, "--ray-address " if settings.ray_address else "RAY_ADDRESS=", listener)
            else:
                self._start(listener)
            _log_to(self._log, "ray")  # `ray.init` has removed the handlers of this one
            self.look()
        except BaseException as error:
            self.close()
            if isinstance(error, RayError):
                raise EngineLostError(f"the Ray cluster can't be used: {_sentence(error)}") from None
            raise
        gpus = settings.device == "cuda" or (settings.device == "auto" and self._total("GPU") >= 1)
        self._kind, self._each = ("GPU", {"num_gpus": 1}) if gpus else ("CPU", {"num_cpus": 1})

    def look(self) -> None:
        """Ask the head node which nodes there are, at most once a second. It may not answer for a while."""
        if time.monotonic() < self._next_look:
            return
        nodes = ray.nodes()  # type: ignore[no-untyped-call]
        self._nodes = {node["NodeID"]: node["Resources"] for node in nodes if node["Alive"]}
        self._next_look = time.monotonic() + _LOOK

    @property
    def places(self) -> int:
        """How many actors the cluster could have at the last look."""
        return int(self._total(self._kind))

    @property
    def device(self) -> str:
        """The device of every actor, as `Settings.device` has it."""
        return "cuda" if self._kind == "GPU" else "cpu"

    def lack(self) -> str:
        """What is missing while no actor can be started."""
        have = f"the Ray cluster has {self.places} {self._kind}s"
        return f"no {self._kind} is free: {have}, and another program may use them; waiting for one"

    def actor(self) -> Any:
        """A new actor, which waits for its place. Ray never restarts it, and never repeats a call."""
        options: dict[str, Any] = {
            **self._each,
            "max_restarts": 0,
            "max_task_retries": 0,
            "concurrency_groups": {"report": 1, "control": 1},
        }
        return ray.remote(**options)(Actor).remote()

    def lost(self, node: str) -> bool:
        """Whether a node was not part of the cluster any more at the last look."""
        return node not in self._nodes

    def close(self) -> None:
        """Leave the cluster. One that was started here ends."""
        ray.shutdown()
        for name in ("ray", "ray._private"):
            _log_to(logging.NullHandler(), name)
        self._log.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _start(self, listener: Listener) -> None:
        _init(address="local", num_cpus=_cpus(), include_dashboard=False, _temp_dir=str(self._folder))
        listener.hear(Note("started Ray on this machine", details={"logs": str(self._folder)}))

    def _join(self, address: str, given_by: str, listener: Listener) -> None:
        _check_address(address, f"{given_by}{address}")
        _init(address=address)
        listener.hear(Note("joined a Ray cluster", details={"address": address}))

    def _total(self, kind: str) -> float:
        return sum(resources.get(kind, 0.0) for resources in self._nodes.values())


def _cpus() -> int | None:
    """The CPUs that this process may use; none where the system does not tell, and Ray counts all."""
    try:
        return min(len(os.sched_getaffinity(0)), cgroup.cpus())
    except AttributeError:  # not on macOS
        return None


def _init(address: str, **options: Any) -> None:
    try:
        # For the whole job: processes that Ray starts in advance can then be used.
        variables = {"env_vars": _THREADS}
        ray.init(address, runtime_env=variables, log_to_driver=False, configure_logging=False, **options)
    except AuthenticationError:
        raise UsageError(
            f"{address}: this Ray cluster asks for a token; set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN_PATH"
        ) from None
    except (OSError, RayError, RuntimeError, ValueError) as error:
        raise UsageError(f"Ray can't be used at {address}: {_sentence(error)}") from None


def _sentence(error: Exception) -> str:
    text = " ".join(str(error).split())
    if "Version mismatch" in text:
        here = f"Ray {ray.__version__} and Python {platform.python_version()}"
        return f"the cluster has other versions than this machine, which has {here}; install the same"
    return text.partition(". ")[0]


def _check_address(address: str, given: str) -> None:
    """Raises `UsageError` unless somebody listens there. `given` is how the address was given."""
    if address == "auto":
        return
    host, _, port = address.rpartition(":")
    if "://" in address or not host or not port.isdecimal():
        raise UsageError(f"{given}: should be HOST:PORT of the head node, as in head:6379")
    try:
        with suppress(TimeoutError), socket.create_connection((host.strip("[]"), int(port)), _CONNECT):
            return
        raise OSError("no answer")
    except OSError as error:
        reason = error.strerror or str(error)
        raise UsageError(f"{given}: there is no Ray cluster ({reason}); check it") from None


def _log_to(handler: logging.Handler, name: str) -> None:
    """Let the lines of a logger go to a file, so that they do not mix with our log."""
    logger = logging.getLogger(name)
    logger.handlers, logger.propagate = [handler], False

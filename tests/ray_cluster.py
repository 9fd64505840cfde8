"""Ray clusters and further nodes of them, each in a separate process.

`cluster` runs `python -m tests.ray_cluster CPUS`, which prints the address of its cluster. At the end of its
input it ends the cluster.
"""

import os
import secrets
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self

# Ray reads its token when it is imported.
os.environ.setdefault("RAY_AUTH_MODE", "token")
os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))

import ray


@contextmanager
def cluster(cpus: int) -> Iterator[str]:
    """The address of a cluster of one node that has so many places for actors, and no GPU."""
    command = [sys.executable, "-m", "tests.ray_cluster", str(cpus)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout
        yield process.stdout.readline().strip()
        process.communicate()


class Node:
    """One more node of a cluster, with one place for an actor. The end of its `with` block kills it."""

    def __init__(self, address: str) -> None:
        # Ray gives up the start of a node after 30 s, which are too few on a busy machine now and then.
        for _ in range(5):
            self._process = _node(address)
            assert self._process.stdout
            said = list[str]()
            for line in self._process.stdout:
                said.append(line)
                if "Ray runtime started" in line:
                    return
            self._wait()
        raise RuntimeError(f"no node started:\n{''.join(said)}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        if self._process.poll() is None:
            self.kill()

    def stop(self) -> None:
        """Shut it down in order, as an autoscaler does."""
        self._process.terminate()
        self._wait()

    def kill(self) -> None:
        """Take it away with all its processes, as a spot instance is taken away."""
        os.killpg(self._process.pid, signal.SIGKILL)
        self._wait()

    def _wait(self) -> None:
        with self._process:  # closes the pipe, too
            self._process.wait()


def _node(address: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--address", address]
    return subprocess.Popen(
        [*command, "--num-cpus=1", "--block"],
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def main() -> None:
    """Start a cluster of one node with so many CPUs."""
    # A node that is killed is noticed within seconds, not after 20. With shorter intervals, a node on a busy
    # machine counts as dead.
    os.environ |= {"RAY_health_check_initial_delay_ms": "5000", "RAY_health_check_period_ms": "1000"}
    with tempfile.TemporaryDirectory(prefix="nst-ray-") as folder:
        ray.init(
            "local",
            num_cpus=int(sys.argv[1]),
            num_gpus=0,
            include_dashboard=False,
            log_to_driver=False,
            object_store_memory=2**27,
            _temp_dir=folder,
        )
        print(ray.get_runtime_context().gcs_address, flush=True)
        sys.stdin.read()
        ray.shutdown()


if __name__ == "__main__":
    main()

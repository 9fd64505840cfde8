"""A Ray cluster in a process of its own; `tests.pipeline.engines.conftest` starts it.

python -m tests.ray_cluster CPUS

It prints the address of the cluster, and ends it at the end of its input.
"""

import sys
import tempfile

import ray


def main() -> None:
    """Start a cluster of one node with so many CPUs."""
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

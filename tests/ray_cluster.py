"""A Ray cluster in a process of its own; `tests.pipeline.engines.conftest` starts it.

python -m tests.ray_cluster CPUS

It prints the address of the cluster, and ends it at the end of its input.
"""

import os
import sys
import tempfile

import ray


def main() -> None:
    """Start a cluster of one node with so many CPUs."""
    # A node that is killed is noticed within seconds, not after 20.
    os.environ |= {"RAY_health_check_initial_delay_ms": "500", "RAY_health_check_period_ms": "500"}
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

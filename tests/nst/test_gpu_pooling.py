"""The kernels are compiled without a GPU. What they compute is tested in `test_gpu.py`."""

import pytest

from nst import gpu_pooling

pytest.importorskip("cuda.bindings", reason="needs the package cuda-bindings, which PyTorch has on Linux")


@pytest.mark.parametrize("architecture", ["sm_80", "sm_90", "sm_120"])
def test_kernels_compile_for_an_architecture(architecture: str) -> None:
    code = gpu_pooling.compiled(architecture)
    assert code.startswith(b"\x7fELF")
    assert b"unpool" in code


def test_an_architecture_that_does_not_exist_is_an_error() -> None:
    with pytest.raises(RuntimeError, match="CUDA answered"):
        gpu_pooling.compiled("sm_1")

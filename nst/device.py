"""The device to compute on, its precision, and its errors."""

import os
import platform
import warnings
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nst import cgroup
from nst.errors import NSTError


def pick_device(name: str = "auto") -> torch.device:
    """The device of this name: `auto` (a GPU if there is one, else the CPU), `cpu`, `cuda` or `cuda:N`.

    Raises `NSTError` if the name is unknown or there is no such GPU.
    """
    available = torch.cuda.is_available()
    if name == "auto":
        name = "cuda" if available else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise NSTError(f"device '{name}' is unknown; use auto, cpu, cuda or cuda:N") from None
    if device.type not in ("cpu", "cuda"):
        raise NSTError(f"device '{name}' is not supported; use auto, cpu, cuda or cuda:N")
    if device.type == "cuda" and (not available or (device.index or 0) >= torch.cuda.device_count()):
        raise NSTError(f"there is no device '{name}'; use --device cpu, or check the GPU with nvidia-smi")
    return device


def pick_dtype(name: str, device: torch.device) -> torch.dtype:
    """The type of this name: `fp32`, `bf16` or `auto` (bf16 if the hardware has bf16 products, else fp32).

    Raises `NSTError` if the name is unknown.
    """
    if name == "auto":
        return torch.bfloat16 if _has_native_bf16(device) else torch.float32
    try:
        return {"fp32": torch.float32, "bf16": torch.bfloat16}[name]
    except KeyError:
        raise NSTError(f"dtype '{name}' is unknown; use auto, fp32 or bf16") from None


def _has_native_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    # Emulated bf16 is slower than fp32: three times on AVX-512 without the BF16 extension. Early versions of
    # PyTorch do not have this function.
    capabilities: Mapping[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


def set_up(device: torch.device) -> None:
    """Disable TF32 on a GPU, for the whole process, so that fp32 is computed as fp32.

    On a CPU, let PyTorch use no more threads than the control group of this process has CPUs, unless
    `OMP_NUM_THREADS` says how many. Call it before the first convolution.
    """
    if device.type != "cuda":
        # If more threads than CPUs run, the kernel stops all of them for a part of each period.
        if not os.environ.get("OMP_NUM_THREADS") and (most := cgroup.cpus()) < torch.get_num_threads():
            torch.set_num_threads(most)
        return
    with warnings.catch_warnings():
        # PyTorch 2.9 to 2.11 recommend a newer setting, which must not be combined with this one.
        warnings.simplefilter("ignore")
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    # cuDNN's plans are cached for each shape and thread and take about 200 kB of host memory each. PyTorch's
    # limit of 10,000 plans is too high for pictures of many sizes.
    os.environ.setdefault("TORCH_CUDNN_V8_API_LRU_CACHE_LIMIT", "1000")


def upload(tensor: Tensor, device: torch.device) -> Tensor:
    """Copy a tensor from the host to the device, without waiting for the copy where possible."""
    if device.type == "cuda":
        with suppress(RuntimeError):  # page-locked memory is scarce; without it, the copy is waited for
            tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=True)


def is_out_of_memory(error: Exception) -> bool:
    """Whether the error says that the memory of the host or of a GPU is exhausted."""
    if isinstance(error, NSTError):
        return False  # its message may contain the name of a file
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or any(
        words in str(error)
        # Messages of the host's allocator, of page-locked memory, of the driver, of cuBLAS and cuDNN, and of
        # cuDNN without its workspace.
        for words in (
            *("allocate memory", "out of memory", "OUT_OF_MEMORY", "ALLOC_FAILED"),
            "unable to find an engine",
        )
    )


def device_name(device: torch.device) -> str:
    """The GPU's name, or `cpu`."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def processor_name() -> str:
    """The name of the CPU as its maker writes it, where the system tells it."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def dtype_name(dtype: torch.dtype) -> str:
    """The name that PyTorch uses, `float32` or `bfloat16`."""
    return str(dtype).removeprefix("torch.")

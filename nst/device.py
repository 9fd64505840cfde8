"""Where to compute, and in what precision."""

import os
import warnings
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import torch
from torch import Tensor

from nst.errors import NSTError


def pick_device(name: str = "auto") -> torch.device:
    """`auto` (the GPU where there is one), `cpu`, `cuda` or `cuda:N`. Raises `NSTError`."""
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
        raise NSTError(f"device '{name}' is not there; use --device cpu, or look at nvidia-smi")
    return device


def pick_dtype(name: str, device: torch.device) -> torch.dtype:
    """`fp32`, `bf16`, or `auto`: bf16 where the hardware multiplies it natively, fp32 elsewhere."""
    if name == "auto":
        return torch.bfloat16 if _has_native_bf16(device) else torch.float32
    try:
        return {"fp32": torch.float32, "bf16": torch.bfloat16}[name]
    except KeyError:
        raise NSTError(f"dtype '{name}' is unknown; use auto, fp32 or bf16") from None


def _has_native_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    # Emulated bf16 is slower than fp32: three times on AVX-512 without the BF16 extension.
    # Early versions of torch cannot tell.
    capabilities: Mapping[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


def set_up(device: torch.device) -> None:
    """Make a GPU take fp32 for what it says, for the whole process; call it before anything is convolved."""
    if device.type != "cuda":
        return
    with warnings.catch_warnings():
        # Versions 2.9 to 2.11 recommend another way, which must not be mixed with this one.
        warnings.simplefilter("ignore")
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    # Plans are kept for each shape and thread, about 200 kB of the host's memory each; torch's own limit
    # of 10,000 is too many where pictures have all sorts of sizes.
    os.environ.setdefault("TORCH_CUDNN_V8_API_LRU_CACHE_LIMIT", "1000")


def upload(tensor: Tensor, device: torch.device) -> Tensor:
    """Copy a tensor from the host to the device, without waiting for the copy where possible."""
    if device.type == "cuda":
        with suppress(RuntimeError):  # page-locked memory is scarce; without it, the copy is waited for
            tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=True)


def is_out_of_memory(error: Exception) -> bool:
    """Whether there was too little memory, of the host or of a GPU, in whichever words."""
    if isinstance(error, NSTError):
        return False  # its words may be the name of a file
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or any(
        words in str(error)
        # The host's allocator; page-locked memory; cuBLAS and cuDNN; cuDNN without its workspace.
        for words in ("allocate memory", "out of memory", "ALLOC_FAILED", "unable to find an engine")
    )


def device_name(device: torch.device) -> str:
    """The GPU's name, or `cpu`."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def dtype_name(dtype: torch.dtype) -> str:
    """As torch has it, `float32` or `bfloat16`."""
    return str(dtype).removeprefix("torch.")

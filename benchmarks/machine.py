"""Describes the machine on which a figure was measured."""

import platform
from pathlib import Path

import torch

from nst.device import device_name, dtype_name, pick_device, pick_dtype


def describe() -> str:
    """One line: processor or GPU, threads, the dtype that `auto` chooses, versions."""
    device = pick_device()
    dtype = dtype_name(pick_dtype("auto", device))
    name = device_name(device) if device.type == "cuda" else _processor()
    return (
        f"{name}, {torch.get_num_threads()} threads, {dtype} features, "
        f"torch {torch.__version__}, Python {platform.python_version()}"
    )


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    flags = next((line for line in lines if line.startswith("flags")), "")
    native = "with" if "avx512_bf16" in flags or "amx_bf16" in flags else "without"
    return f"{models[0] if models else platform.machine()} ({native} bf16 instructions)"

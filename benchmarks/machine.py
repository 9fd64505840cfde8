"""Describes the machine on which a figure was measured."""

import platform

import torch

from nst.device import device_name, dtype_name, pick_device, pick_dtype, processor_name


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
    native = pick_dtype("auto", pick_device("cpu")) == torch.bfloat16
    return f"{processor_name()} ({'with' if native else 'without'} bf16 instructions)"

"""Max pooling of bf16 features on an NVIDIA GPU that keeps two bits for each maximum until the backward pass.

PyTorch keeps the place of each maximum in eight bytes, which are nearly half of the bytes that its pooling
reads and writes. The kernels here are compiled by NVRTC when features are first pooled. PyTorch installs it,
and from version 2.10 on also the package `cuda-bindings`, through which it is called.
"""

import warnings
from collections.abc import Sequence
from ctypes import c_int, c_void_p
from functools import cache
from typing import Any

import torch
from torch import Tensor

from nst.device import is_out_of_memory

_REST = ([2, 2], [2, 2], [0, 0], [1, 1], False)  # kernel, stride, padding, dilation, ceil mode
_LANES, _THREADS = 8, 256
_NAMES = ("pool", "unpool")
_SOURCE = r"""
struct alignas(16) Lanes { unsigned short of[8]; };  // the bf16 numbers of 8 channels of a pixel

__device__ float number(unsigned short bits) { return __uint_as_float((unsigned int)bits << 16); }

// A block has a part of a row of windows. A thread has 8 channels of a window of 2 x 2 pixels.
extern "C" __global__ void pool(const Lanes* x, Lanes* maxima, unsigned short* places,
                                int height, int width, int lanes) {
    int rows = height / 2, columns = width / 2, row = blockIdx.y, picture = blockIdx.z;
    int along = blockIdx.x * blockDim.x + threadIdx.x, column = along / lanes, lane = along % lanes;
    if (column >= columns) return;

    const Lanes* corner = x + ((picture * height + 2 * row) * width + 2 * column) * lanes + lane;
    Lanes pixels[4] = {corner[0], corner[lanes], corner[width * lanes], corner[(width + 1) * lanes]};
    Lanes most = pixels[0];
    unsigned int found = 0;
    for (int k = 0; k < 8; ++k) {
        unsigned int place = 0;
        for (unsigned int pixel = 1; pixel < 4; ++pixel) {
            float next = number(pixels[pixel].of[k]);
            if (next > number(most.of[k]) || isnan(next)) {
                most.of[k] = pixels[pixel].of[k];
                place = pixel;
            }
        }
        found |= place << (2 * k);
    }
    int window = ((picture * rows + row) * columns + column) * lanes + lane;
    maxima[window] = most;
    places[window] = found;
}

// With the windows that a border cuts off. They have no maximum, and their pixels no gradient.
extern "C" __global__ void unpool(const Lanes* grad, const unsigned short* places, Lanes* result,
                                  int height, int width, int lanes) {
    int rows = height / 2, columns = width / 2, row = blockIdx.y, picture = blockIdx.z;
    int along = blockIdx.x * blockDim.x + threadIdx.x, column = along / lanes, lane = along % lanes;
    if (2 * column >= width) return;

    Lanes pixels[4] = {};
    if (row < rows && column < columns) {
        int window = ((picture * rows + row) * columns + column) * lanes + lane;
        Lanes of_maxima = grad[window];
        unsigned int found = places[window];
        for (int k = 0; k < 8; ++k)
            for (unsigned int pixel = 0; pixel < 4; ++pixel)
                pixels[pixel].of[k] = (found >> (2 * k) & 3) == pixel ? of_maxima.of[k] : 0;
    }
    Lanes* corner = result + ((picture * height + 2 * row) * width + 2 * column) * lanes + lane;
    bool has_right = 2 * column + 1 < width, has_below = 2 * row + 1 < height;
    corner[0] = pixels[0];
    if (has_right) corner[lanes] = pixels[1];
    if (has_below) corner[width * lanes] = pixels[2];
    if (has_right && has_below) corner[(width + 1) * lanes] = pixels[3];
}
"""


def pooled(x: Tensor) -> tuple[Tensor, Tensor]:
    """The maxima of windows of 2×2 numbers, `(B, C, H, W)` -> `(B, C, H // 2, W // 2)`, and their places.

    C must be a multiple of 8, B·C·H·W less than 2³¹, and H less than 2¹⁷.
    """
    if not _kernels(x.device):
        maxima, places = torch.ops.aten.max_pool2d_with_indices(x, *_REST)
        return maxima, places
    b, c, height, width = x.shape
    x = x.contiguous(memory_format=torch.channels_last)
    maxima = _features(x, b, c, height // 2, width // 2)
    places = torch.empty(maxima.numel() // _LANES, dtype=torch.int16, device=x.device)
    _run("pool", [x, maxima, places], x, height // 2, width // 2)
    return maxima, places


def unpooled(grad: Tensor, places: Tensor, height: int, width: int) -> Tensor:
    """The gradient of the input, `(B, C, H, W)`, from that of the maxima and their places."""
    grad = grad.contiguous(memory_format=torch.channels_last)
    found = _features(grad, *grad.shape[:2], height, width)
    if places.dtype == torch.int64:  # PyTorch's
        # Only the shape and the memory format of the input are read.
        found = torch.ops.aten.max_pool2d_with_indices_backward(grad, found, *_REST, places)
    else:
        _run("unpool", [grad, places, found], found, -(height // -2), -(width // -2))
    return found


def compiled(architecture: str) -> bytes:
    """The kernels as machine code for GPUs of an architecture, such as `sm_90`. This needs no GPU.

    Raises `RuntimeError` if they cannot be compiled for it, and `ImportError` without `cuda-bindings`.
    """
    from cuda.bindings import nvrtc

    options = [f"--gpu-architecture={architecture}".encode()]
    program = _checked(nvrtc.nvrtcCreateProgram(_SOURCE.encode(), b"pooling.cu", 0, [], []))
    _checked(nvrtc.nvrtcCompileProgram(program, len(options), options))
    code = bytes(_checked(nvrtc.nvrtcGetCUBINSize(program)))
    _checked(nvrtc.nvrtcGetCUBIN(program, code))  # writes into the bytes
    return code


def _features(like: Tensor, *shape: int) -> Tensor:
    """Memory for features of this shape, of the type of others and on their GPU."""
    return torch.empty(shape, dtype=like.dtype, device=like.device, memory_format=torch.channels_last)


def _run(name: str, tensors: Sequence[Tensor], features: Tensor, rows: int, columns: int) -> None:
    """Run a kernel with these tensors for the windows of features, `(B, C, H, W)`."""
    from cuda.bindings import driver

    b, c, height, width = features.shape
    lanes = c // _LANES
    values = *(each.data_ptr() for each in tensors), height, width, lanes
    types = *(c_void_p for _ in tensors), c_int, c_int, c_int
    grid = -(columns * lanes // -_THREADS), rows, b
    # The context of the GPU is there in each thread, because PyTorch has run a kernel in it before.
    with torch.cuda.device(features.device):
        stream = torch.cuda.current_stream().cuda_stream
        kernel = _kernels(features.device)[name]
        _checked(driver.cuLaunchKernel(kernel, *grid, _THREADS, 1, 1, 0, stream, (values, types), 0))


@cache
def _kernels(device: torch.device) -> dict[str, Any]:
    """The kernels for a GPU, by their names; none if they cannot be compiled."""
    try:
        return _loaded(device)
    except (ImportError, OSError, RuntimeError) as error:
        if is_out_of_memory(error):
            raise
        warnings.warn(f"max poolings are PyTorch's, which are slower: {error}", stacklevel=2)
        return {}


def _loaded(device: torch.device) -> dict[str, Any]:
    from cuda.bindings import driver

    major, minor = torch.cuda.get_device_capability(device)
    code = compiled(f"sm_{major}{minor}")
    with torch.cuda.device(device):
        module = _checked(driver.cuModuleLoadData(code))
        return {name: _checked(driver.cuModuleGetFunction(module, name.encode())) for name in _NAMES}


def _checked(answer: tuple[Any, ...]) -> Any:
    """What a function of CUDA returned after its error. An error is raised as a `RuntimeError`."""
    error, *found = answer
    if int(error):
        raise RuntimeError(f"CUDA answered {error!r}")
    return found[0] if found else None

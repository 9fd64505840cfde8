"""Counts of what a run computes: additional work fails a test, whatever the speed of the machine."""

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from nst import Parameters, PreparedPair, PreviewCallbacks, Style, Stylizer, images
from nst.vgg import VGG19
from tests.conftest import make_picture

TO_RELU4_1, TO_RELU5_1 = 9, 13  # convolutions
STEPS = 20


class Operations(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts operators by name, and gradients of weights under `weight gradient`."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.count: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.name().partition(".")[0].removeprefix("aten::")
        self.count[name] += 1
        if name == "convolution_backward":
            self.count["weight gradient"] += any(args[-1][1:])
        return func(*args, **(kwargs or {}))


def pair(seed: int, style_seed: int = 9) -> PreparedPair:
    style = Style(make_picture(32, 32, seed=style_seed))
    return PreparedPair.prepare(
        images.Picture(make_picture(32, 32, seed)), [(style, 1.0)], Parameters(epochs=1, max_size=32)
    )


def smooth(seed: int) -> PreparedPair:
    found = pair(seed)
    return replace(found, parameters=found.parameters.model_copy(update={"tv_weight": 1.0}))


def counted(
    stylizer: Stylizer, *pairs: PreparedPair, previews: PreviewCallbacks | None = None
) -> Counter[str]:
    operations = Operations()
    with operations:
        results = stylizer.run(pairs, previews=previews)
    assert all(len(result.evaluations) == STEPS for result in results)
    return operations.count


def test_a_run_has_no_more_convolutions_than_it_needs(stylizer: Stylizer) -> None:
    style = 1001  # which no other test has: its targets are not cached
    first, second = (counted(stylizer, pair(content, style)) for content in (1, 2))
    # Content's targets, two starts, the evaluations, one pass down to relu5_1, and the delivered loss.
    needed = TO_RELU4_1 + 2 * TO_RELU5_1 + TO_RELU5_1 + STEPS * TO_RELU4_1 + TO_RELU5_1
    assert second["convolution"] == needed
    assert first["convolution"] == needed + TO_RELU5_1  # the style's targets, which are cached
    # One backward pass for each evaluation, and one from relu5_1 for its extrapolation.
    assert second["convolution_backward"] == STEPS * TO_RELU4_1 + TO_RELU5_1
    assert second["weight gradient"] == 0
    # No number is read from the device by itself.
    assert second["_local_scalar_dense"] == 0


def test_a_batch_takes_as_many_network_operations_as_one_pair(stylizer: Stylizer) -> None:
    stylizer.run([pair(1)])
    alone, together = counted(stylizer, pair(1)), counted(stylizer, pair(1), pair(2), pair(3))
    for name in ("convolution", "convolution_backward", "bmm", "baddbmm_"):
        assert together[name] == alone[name]


def test_nothing_is_computed_or_copied_for_previews_that_nobody_wants(stylizer: Stylizer) -> None:
    stylizer.run([pair(1)])
    asked = []

    def wanted() -> list[int]:
        asked.append(True)
        return []

    plain = counted(stylizer, pair(2))
    unwanted = counted(stylizer, pair(2), previews=PreviewCallbacks(wanted, lambda index, image: None))
    wanted_always = counted(
        stylizer, pair(2), previews=PreviewCallbacks(lambda: [0], lambda index, image: None)
    )
    assert len(asked) == STEPS
    assert unwanted == plain
    assert wanted_always != plain
    assert wanted_always["convolution"] == plain["convolution"]


def test_poolings_keep_neither_their_input_nor_large_indices(
    vgg: VGG19, monkeypatch: pytest.MonkeyPatch
) -> None:
    def bytes_and_gradient() -> tuple[int, Tensor]:
        """How much autograd keeps for backward, and what backward returns."""
        image = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0)).requires_grad_()
        constant = {buffer.data_ptr() for buffer in vgg.buffers()}
        storages = {}

        def keep(tensor: Tensor) -> Tensor:
            if tensor.data_ptr() not in constant:
                storages[tensor.data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            # All features stay alive, so that no storage is freed and its address used again.
            features = [tap.features for tap in vgg(image, Parameters().style_layers)]
        (gradient,) = torch.autograd.grad(sum(found.sum() for found in features), image)
        return sum(storages.values()), gradient

    less, found = bytes_and_gradient()
    monkeypatch.setattr("nst.vgg.max_pool", lambda x: F.max_pool2d(x, 2))
    usual, expected = bytes_and_gradient()
    assert less < 0.8 * usual
    assert torch.equal(found, expected)


def test_the_total_variation_has_a_gradient_only_with_a_weight(stylizer: Stylizer) -> None:
    # Of differences, down and across.
    assert counted(stylizer, pair(1))["slice_backward"] == 0
    assert counted(stylizer, smooth(1))["slice_backward"] >= 2 * STEPS
    assert counted(stylizer, pair(1), smooth(2))["slice_backward"] >= 2 * STEPS

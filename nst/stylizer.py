"""The public face of the library: pairs of pictures in, stylized pictures and their losses out."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace

import torch
from PIL import Image

from nst import heap, images
from nst.available import usable_of_gpu
from nst.device import pick_device, pick_dtype, set_up
from nst.errors import NSTError
from nst.estimate import expected_seconds
from nst.masks import mask_of
from nst.memory import Demand, Plan, pairs_at_once
from nst.pair import PreparedPair, Style
from nst.parameters import Parameters
from nst.previews import PreviewCallbacks
from nst.result import Evaluation, OnEvaluation, Result
from nst.scales import BatchRun
from nst.side_by_side import SideBySide
from nst.targets import Targets
from nst.weights import load_weights

_LARGEST_BATCH = 16


class Stylizer:
    """Transfers styles. It keeps the network and the styles' targets, so the next picture starts at once.

    `weights`, `device`, `dtype` and `targets` are what it works with. On a CPU, each pair of a batch of at
    most `side_by_side` pairs has a thread and an equal share of the cores, see `nst.side_by_side`. A larger
    batch is computed as one, as on a GPU. A stylizer must not be used by two threads at once.
    """

    def __init__(
        self,
        weights: str = "embedded",
        device: str = "auto",
        dtype: str = "auto",
        memory: float | None = None,
    ) -> None:
        """See `load_weights`, `pick_device` and `pick_dtype` for the arguments and the errors raised.

        `memory` is what this process may take, in GB, on a GPU of its memory; by default most of what is free
        now. The program itself takes 1 GB of it, or 0.6 GB of a GPU. Pictures that need more than the rest
        are computed in tiles.

        On a GPU this disables TF32 for the whole process, so that fp32 is computed as fp32. On a CPU it may
        lower the number of PyTorch's threads; see `set_up`.
        """
        self.weights = load_weights(weights)
        self.device = pick_device(device)
        self.dtype = pick_dtype(dtype, self.device)
        set_up(self.device)
        self.targets = Targets(self.weights, self.device, self.dtype, memory)
        self.side_by_side = 1

    def stylize(
        self,
        content: Image.Image,
        style: Image.Image | Style | Sequence[tuple[Image.Image | Style, float]],
        on_evaluation: Callable[[Evaluation], None] = lambda evaluation: None,
        keep: Image.Image | None = None,
        **parameters: object,
    ) -> Result:
        """Transfer one style, or several with their weights, to one picture.

        A `Style` may have masks: where it applies, and which part of it is meant. `keep` is a mask of what
        stays of the content. Masks are grey images of any size; white means yes. The other keywords are those
        of `Parameters`; pydantic's `ValidationError` is raised for invalid ones. Raises `ImageError` for a
        damaged picture, and what `PreparedPair.prepare`, `mask_of` and `run` raise.
        """
        styles = [(style, 1.0)] if isinstance(style, Image.Image | Style) else style
        pair = PreparedPair.prepare(
            images.normalise(content),
            [(_normalised(each), weight) for each, weight in styles],
            Parameters.model_validate(parameters),
            keep and mask_of(images.normalise(keep)),
        )
        return self.run([pair], lambda _, evaluation: on_evaluation(evaluation))[0]

    def run(
        self,
        pairs: Sequence[PreparedPair],
        on_evaluation: OnEvaluation = lambda index, evaluation: None,
        previews: PreviewCallbacks | None = None,
    ) -> list[Result]:
        """Stylize pairs of equal `group` as one batch; one result for each.

        Each comes out as if it were alone, apart from rounding, and from how often the deepest style layer is
        evaluated, which is decided for the whole batch (see `nst.guide`).

        `on_evaluation` gets a pair's index and each of its evaluations, on a GPU some evaluations late. An
        exception that it raises ends the run. `previews` asks for pictures during the run; the results are
        the same with and without them. Raises `NSTError` if groups differ, or if the loss of one pair is not
        finite: run its pairs in smaller batches to find out which.
        """
        if not pairs:
            return []
        if len({pair.group for pair in pairs}) > 1:
            raise NSTError(
                "pairs of different sizes, epochs, layers, pooling, init or numbers of regions can't share a "
                "batch"
            )
        on_cpu = self.device.type == "cpu"
        try:
            with heap.freed_memory_kept() if on_cpu else nullcontext():
                if on_cpu and 1 < len(pairs) <= self.side_by_side:
                    return SideBySide(on_evaluation, previews).run(
                        pairs,
                        lambda pair, report, shown: BatchRun(
                            self.targets, [pair], report, shown, beside=len(pairs)
                        ).results()[0],
                    )
                return BatchRun(self.targets, pairs, on_evaluation, previews).results()
        except RuntimeError:
            self.targets.release()  # smaller batches may be tried next, and need all memory
            if self.device.type == "cuda":
                # cuBLAS and cuDNN report a lost GPU as an error of their own; this raises the real one.
                torch.cuda.synchronize(self.device)
            raise

    def plan(self, pair: PreparedPair) -> Plan:
        """How the pair is computed at its finest scale. Raises `NSTError` if there is too little memory."""
        return self.targets.plan([pair], -1)

    def expected_seconds(self, pair: PreparedPair) -> float:
        """About how long the pair takes alone, at most. This evaluates it twice at a small scale."""
        return expected_seconds(self.targets, pair)

    def capacity(self, pair: PreparedPair) -> int:
        """How many pairs like this one fit into one batch; 1 in tiles, on a CPU at most `side_by_side`.

        Raises `NSTError` if there is too little memory for one.
        """
        most = self.side_by_side if self.device.type == "cpu" else _LARGEST_BATCH
        return min(most, self.fitting(pair))

    def fitting(self, pair: PreparedPair) -> int:
        """How many pairs like this one fit into the memory together; 1 in tiles. Raises as `plan` does."""
        demand, plan, memory = Demand.of(pair), self.plan(pair), self.targets.memory
        if self.device.type == "cuda":
            free = usable_of_gpu(self.device)
        else:
            free = memory.now()
            # One pair may compute its style while the others compute their pictures.
            demand = replace(demand, pixels=max(demand.pixels, demand.style_pixels))
        return pairs_at_once(demand, plan, min(free, memory.bytes), self.device, self.dtype)


def _normalised(style: Image.Image | Style) -> Style:
    """The style and its masks, in the modes that the search needs."""
    if not isinstance(style, Style):
        return Style(images.normalise(style).rgb)
    region, part = (mask and mask_of(images.normalise(mask)) for mask in (style.region, style.image_region))
    return Style(images.normalise(style.image).rgb, region, part)

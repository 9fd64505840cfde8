"""One batch of pairs on its way from the coarsest scale to the finest.

Departure from Gatys et al.: the search starts from the content picture, or from the content in the style's
colours if that has the lower loss, and not from white noise, which `init="random"` selects. The style's
colours save a tenth of the evaluations.

Departure from Gatys et al.: pictures whose long side is at least 192 px are optimised from coarse to fine,
each scale twice as large as the one before. The finer scale starts from the coarser result r and the content
c at both scales, c_fine + enlarge(r - c_coarse), so that the content's detail is there from the start.
Compared with the fine scale alone this saves a twelfth of the time.

Departure from Gatys et al.: a scale ends early if 20 iterations lower its loss by less than the share
`tolerance`. The default of 1 % changes nothing in ten epochs at 256 px; 3 % saves a fifth of the time for a
loss higher by 3.5 %.
"""

import math
import time
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from nst import color, heap, images
from nst.canvas import Canvas
from nst.device import upload
from nst.errors import NSTError
from nst.lbfgs import LBFGS
from nst.objective import Objective, Terms
from nst.pair import PreparedPair
from nst.parameters import ITERATIONS_PER_EPOCH
from nst.previews import PreviewCallbacks
from nst.result import Evaluation, Losses, OnEvaluation, Result, Snapshot
from nst.search import Repeat, Search
from nst.snapshots import Snapshots
from nst.tape import Row, Tape
from nst.targets import Targets

_FINE_SHARE = 0.8  # of the iterations of a scale and all coarser ones, the share of that scale
_SMALL = 2**18  # pixels; the memory that smaller pictures free is not worth the time to give it back


def split(iterations: int, levels: int) -> list[int]:
    """The number of iterations of each scale, coarse to fine; each scale has at least one.

    `iterations` must be at least `levels`.
    """
    shares: list[int] = []
    for coarser in range(levels - 1, 0, -1):
        left = iterations - sum(shares)
        shares.insert(0, max(1, min(left - coarser, round(_FINE_SHARE * left))))
    return [iterations - sum(shares), *shares]


def evaluations_by_scale(pair: PreparedPair) -> list[int]:
    """The most evaluations of each scale of a pair, coarse to fine."""
    return split(pair.parameters.epochs * ITERATIONS_PER_EPOCH, len(pair.contents))


class BatchRun:
    """Transfers the styles of one batch of pairs of equal `group`. Use it once."""

    def __init__(
        self,
        targets: Targets,
        pairs: Sequence[PreparedPair],
        on_evaluation: OnEvaluation,
        previews: PreviewCallbacks | None = None,
        beside: int = 1,
    ) -> None:
        """`on_evaluation` gets a pair's index and each of its evaluations.

        `beside` is how many such batches run at the same time, this one included. A pair's seconds are its
        share of the time of all.
        """
        self._targets, self._pairs, self._on_evaluation = targets, pairs, on_evaluation
        self._previews, self._together = previews, beside * len(pairs)
        self._began = time.perf_counter()
        self._schedule = evaluations_by_scale(pairs[0])
        parameters = [pair.parameters for pair in pairs]
        weights = torch.tensor([[p.content_weight, p.tv_weight] for p in parameters])
        content, tv = upload(weights.T, targets.device)
        style = torch.stack([balance.style_weight for balance in targets.balances(pairs)])
        self._weights = Terms(content, style, tv)
        self._tolerance = upload(torch.tensor([p.tolerance for p in parameters]), targets.device)
        self._logs: list[list[Evaluation]] = [[] for _ in pairs]
        size = pairs[0].contents[-1].size
        self._snapshots = Snapshots([p.snapshots for p in parameters], sum(self._schedule), size)

    def results(self) -> list[Result]:
        """Run all scales; one result for each pair.

        Raises `NSTError` if the loss of a pair was not finite at any evaluation of a scale, or if that of
        its delivered picture is not. Single evaluations may be: the search rejects such a step.
        """
        # First, because it lets graphs of the batch before give memory back that the targets need.
        repeat = self._targets.repeat(self._pairs, 0)
        objective = self._targets.objective(self._pairs, 0)
        image = self._minimise(objective, self._best_start(objective), 0, repeat)
        for level in range(1, len(self._schedule)):
            del objective  # the targets of this scale need its memory
            self._give_back()
            repeat = self._targets.repeat(self._pairs, level)
            objective = self._targets.objective(self._pairs, level)
            image = self._minimise(objective, self._refined(image, level), level, repeat)
        self._give_back()
        return self._deliver(objective, image)

    def _give_back(self) -> None:
        """Give freed memory of a large picture back, as the buffers that follow have other sizes."""
        if self._targets.device.type == "cpu" and math.prod(self._pairs[0].contents[-1].size) > _SMALL:
            heap.give_back()

    def _best_start(self, objective: Objective) -> Tensor:
        """Of the pictures that each pair may start from, the one with the lowest loss, `(B, 3, H, W)`."""
        starts = upload(torch.stack([pair.starts for pair in self._pairs], dim=1), self._targets.device)
        keep = self._targets.keep(self._pairs, 0)
        with torch.no_grad():
            losses = torch.stack([objective(keep(picture)).total(self._weights) for picture in starts])
            best = losses.nan_to_num(torch.inf, torch.inf).argmin(0)
        return starts[best, torch.arange(len(self._pairs), device=best.device)]

    def _refined(self, image: Tensor, level: int) -> Tensor:
        """The start of scale `level`: the coarser result, enlarged, with the detail of the content added.

        Its values may lie somewhat outside of 0..1, because of the filter; `Canvas.encode` clamps them.
        """
        fine = self._targets.contents(self._pairs, level)
        if self._pairs[0].parameters.init == "random":
            return _enlarged(image, fine)
        coarse = self._targets.contents(self._pairs, level - 1)
        return fine + _enlarged(image - coarse, fine)

    def _minimise(self, objective: Objective, image: Tensor, level: int, repeat: Repeat) -> Tensor:
        """Optimise scale `level` from `image`, `(B, 3, H, W)`, and return the best picture of each pair."""
        canvas = Canvas(image.shape[2], image.shape[3], image.device, self._targets.keep(self._pairs, level))
        scale, plan = max(image.shape[2:]), self._targets.plan(self._pairs, level)
        optimiser = LBFGS(canvas.encode(image), self._tolerance, plan.steps, canvas.bands)
        del image  # a large one takes much memory
        with_tv = any(pair.parameters.tv_weight for pair in self._pairs)
        search = Search(objective, canvas, optimiser, self._weights, repeat, with_tv)
        tape, before = Tape(in_tiles=plan.tile is not None), [len(log) for log in self._logs]
        active, shares = list(range(len(self._pairs))), list[float]()
        for step in range(self._schedule[level]):
            tape.write(search.step(shares))
            shares = []
            for rows in tape.read():
                shares += [rows[index].deepest_share for index in active]
                active = self._report(rows, active, scale)
            self._show_previews(canvas, optimiser.best)
            if due := self._snapshots.due({index: before[index] + step + 1 for index in active}):
                self._snapshots.add(due, _decoded(canvas, optimiser.best, list(due)))
            if not active:
                break
        for rows in tape.read(everything=True):
            active = self._report(rows, active, scale)
        self._snapshots.drop_after([len(log) for log in self._logs])
        _check_finite(optimiser.best_loss.tolist())
        with torch.no_grad():
            return canvas.decode(optimiser.best)

    def _report(self, rows: Sequence[Row[float]], active: Sequence[int], scale: int) -> list[int]:
        """Log one evaluation of the pairs in `active`; return those that have not converged with it."""
        seconds = self._seconds()
        for index in active:
            row = rows[index]
            evaluation = Evaluation(
                step=len(self._logs[index]) + 1,
                steps=sum(self._schedule),
                scale=scale,
                losses=Losses(row.content, row.style, row.tv, row.total),
                seconds=seconds,
            )
            self._logs[index].append(evaluation)
            self._on_evaluation(index, evaluation)
        return [index for index in active if not rows[index].converged]

    def _show_previews(self, canvas: Canvas, best: Tensor) -> None:
        """Hand over the pictures of the variables `best`, `(B, N)`, of those pairs that the caller wants."""
        indices = self._previews.wanted() if self._previews else ()
        if not (self._previews and indices):
            return
        pictures = _decoded(canvas, best, indices)
        height, width = pictures.shape[2:]
        small = images.resized(pictures, images.limited((width, height), self._previews.long_side))
        for index, pixels in zip(indices, small, strict=True):
            self._previews.show(index, _picture(pixels, self._pairs[index]))

    def _deliver(self, objective: Objective, image: Tensor) -> list[Result]:
        """Round to 8 bits, and compute the losses of the pixels that a reader of the saved file will get.

        Transparency does not count: the losses are those of the whole picture on white.
        """
        pictures = [
            _with_kept(_picture(pixels, pair), pair) for pixels, pair in zip(image, self._pairs, strict=True)
        ]
        saved = [
            images.to_tensor(images.as_saved(picture, pair.parameters.format))
            for picture, pair in zip(pictures, self._pairs, strict=True)
        ]
        with torch.no_grad():
            terms = self._exact_terms(objective, upload(torch.stack(saved), self._targets.device))
            rows = torch.stack([*terms, terms.total(self._weights)])
        losses = [Losses(*values) for values in rows.T.tolist()]
        _check_finite([loss.total for loss in losses])
        style_weights, seconds = self._style_weights(), self._seconds()
        return [
            Result(*found, seconds, self._snapshots_of(index, found[0]))
            for index, found in enumerate(zip(pictures, losses, style_weights, self._logs, strict=True))
        ]

    def _style_weights(self) -> list[float]:
        """The style weight of each pair: the one that was given, to the last digit, or that of `strength`."""
        found = self._weights.style.tolist()
        parameters = [pair.parameters for pair in self._pairs]
        return [p.style_weight if p.strength is None else w for p, w in zip(parameters, found, strict=True)]

    def _exact_terms(self, objective: Objective, saved: Tensor) -> Terms:
        """The terms in fp32 of the pictures, `(B, 3, H, W)`; `objective` is that of the finest scale."""
        if self._targets.dtype == torch.float32:
            return objective(saved)
        # One after the other, because features in fp32 take more memory, and cuDNN takes up to 40 GB for them
        # in some batches.
        found = [
            self._targets.objective([pair], -1, exact=True)(picture[None])
            for pair, picture in zip(self._pairs, saved, strict=True)
        ]
        return Terms(*map(torch.cat, zip(*found, strict=True)))

    def _snapshots_of(self, index: int, result: Image.Image) -> list[Snapshot]:
        """The snapshots of a pair if it wants some; the last one is its result, reduced."""
        pair, size, last = self._pairs[index], self._snapshots.size, len(self._logs[index])
        if not pair.parameters.snapshots:
            return []
        chroma = _chroma(pair, size)
        found = [Snapshot(step, _colored(image, chroma)) for step, image in self._snapshots.of(index, last)]
        return [*found, Snapshot(last, images.resize(result, size))]

    def _seconds(self) -> float:
        """The time since the start, divided by the number of pairs that are computed together."""
        return (time.perf_counter() - self._began) / self._together


def _check_finite(losses: Sequence[float]) -> None:
    # One term that is not finite makes the total so, also if the weight of the term is 0.
    if not all(map(math.isfinite, losses)):
        raise NSTError("the loss is not a finite number; use less extreme weights, or check the weight file")


def _decoded(canvas: Canvas, variables: Tensor, indices: Sequence[int]) -> Tensor:
    """The pictures, `(K, 3, H, W)`, of the K pairs with these indices; `variables` are those of all pairs."""
    with torch.no_grad():
        # All are decoded, because the canvas keeps a part of the content of each pair.
        pictures = canvas.decode(variables)
    return torch.stack([pictures[index] for index in indices])


def _picture(pixels: Tensor, pair: PreparedPair) -> Image.Image:
    """`(3, H, W)` -> the pair's picture in 8 bits, with the content's colours if they are to be preserved."""
    picture = images.to_image(pixels)
    return _colored(picture, _chroma(pair, picture.size))


def _colored(picture: Image.Image, chroma: Image.Image | None) -> Image.Image:
    return color.keep_chroma(picture, chroma) if chroma else picture


def _chroma(pair: PreparedPair, size: tuple[int, int]) -> Image.Image | None:
    """The content in this width and height if its colours are to be preserved."""
    if not pair.parameters.preserve_color:
        return None
    # For a small picture, the smallest content that is large enough takes the least time to resize.
    content = next((c for c in pair.contents if c.width >= size[0]), pair.contents[-1])
    return images.resize(content, size)


def _with_kept(picture: Image.Image, pair: PreparedPair) -> Image.Image:
    """The picture with the content, to the last bit, where the mask of what is kept is white.

    Where it is grey, the picture has its share of the content already.
    """
    if pair.regions is None:
        return picture
    white = pair.regions.keeps[-1].point(lambda level: 255 if level == 255 else 0)
    return Image.composite(pair.contents[-1], picture, white)


def _enlarged(image: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(image, like.shape[2:], mode="bicubic")

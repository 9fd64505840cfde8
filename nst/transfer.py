"""A batch of pairs to pictures, coarse to fine."""

import math
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import suppress

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from nst import color, images
from nst.canvas import Canvas
from nst.device import pick_device, pick_dtype, set_up
from nst.errors import NSTError
from nst.guide import Guide
from nst.lbfgs import LBFGS
from nst.objective import Layers, Objective, Terms, mix_grams, style_grams
from nst.pair import PreparedPair, Style
from nst.parameters import ITERATIONS_PER_EPOCH, Parameters
from nst.result import Evaluation, Losses, Result
from nst.tape import Tape
from nst.vgg import LARGE_PICTURE, VGG19
from nst.weights import load_weights

_FINE_SHARE = 0.8  # of the iterations left, spent on each scale that has coarser ones below it
_FIRST_CHANGE = 0.02  # the mean change of a pixel that the very first step is to make
_CACHED_TARGETS = 128  # each of a style at one scale in one precision, 2.4 MB
_BYTES_PER_PIXEL = 3000  # of device memory at the finest scale, with features of two bytes
_LARGEST_BATCH = 16

OnEvaluation = Callable[[int, Evaluation], None]


class Stylizer:
    """Turns pairs into pictures; keeps the network and the styles' targets from one batch to the next."""

    def __init__(self, weights: str = "embedded", device: str = "auto", dtype: str = "auto") -> None:
        """See `load_weights`, `pick_device` and `pick_dtype` for what the arguments may be.

        On a GPU this turns TF32 off for the whole process, so that fp32 means fp32.
        """
        self.weights = load_weights(weights)
        self.device = pick_device(device)
        self.dtype = pick_dtype(dtype, self.device)
        set_up(self.device)
        self._exact = VGG19(self.weights).to(self.device)
        self._fast = self._exact
        if self.dtype != torch.float32:
            self._fast = VGG19(self.weights, self.dtype).to(self.device)
        self._grams: OrderedDict[object, dict[str, Tensor]] = OrderedDict()

    def stylize(
        self,
        content: Image.Image,
        style: Image.Image | Sequence[tuple[Image.Image, float]],
        on_evaluation: Callable[[Evaluation], None] = lambda evaluation: None,
        **parameters: object,
    ) -> Result:
        """Stylise one picture after one style, or several with weights; keywords are `Parameters`."""
        styles = [(style, 1.0)] if isinstance(style, Image.Image) else style
        pair = PreparedPair.prepare(
            images.normalise(content),
            [(Style(images.normalise(image).rgb), weight) for image, weight in styles],
            Parameters.model_validate(parameters),
        )
        return self.run([pair], lambda _, evaluation: on_evaluation(evaluation))[0]

    def run(
        self, pairs: Sequence[PreparedPair], on_evaluation: OnEvaluation = lambda index, evaluation: None
    ) -> list[Result]:
        """Stylise pairs of equal `group` together, each as if it were alone.

        `on_evaluation` gets a pair's index and its evaluations, on a GPU a few of them late; what it
        raises ends the run. Raises `NSTError` where groups differ.
        """
        if len({pair.group for pair in pairs}) > 1:
            raise NSTError("pairs of different sizes, epochs, layers or pooling can't share a batch")
        try:
            return _Run(self, pairs, on_evaluation).results()
        except RuntimeError:
            if self.device.type == "cuda":
                # If the GPU is lost, this says so, where cuBLAS and cuDNN speak of a fault of their own.
                torch.cuda.synchronize(self.device)
            raise

    def capacity(self, pair: PreparedPair) -> int:
        """How many pairs like this one fit into one batch; 1 on a CPU, which one pair keeps busy."""
        if self.device.type == "cpu":
            return 1
        free, _ = torch.cuda.mem_get_info(self.device)
        reserved = torch.cuda.memory_reserved(self.device)
        unused = free + reserved - torch.cuda.memory_allocated(self.device)
        width, height = pair.contents[-1].size
        needed = width * height * _BYTES_PER_PIXEL * self.dtype.itemsize // 2
        return max(1, min(_LARGEST_BATCH, int(0.8 * unused) // needed))

    def objective(self, pairs: Sequence[PreparedPair], level: int, exact: bool = False) -> Objective:
        """The objective of a batch at one of its scales, all in fp32 if `exact`."""
        p = pairs[0].parameters
        layers = Layers(p.content_layers, p.style_layers, p.pooling)
        network = self._exact if exact else self._fast
        mixed = [self._style_targets(pair, level, layers, network) for pair in pairs]
        grams = {name: torch.cat([targets[name] for targets in mixed]) for name in layers.style}
        return Objective(network, self.contents(pairs, level), grams, layers)

    def contents(self, pairs: Sequence[PreparedPair], level: int) -> Tensor:
        """The content pictures of a batch at one of its scales, `(B, 3, H, W)`."""
        return self.upload(torch.stack([images.to_tensor(pair.contents[level]) for pair in pairs]))

    def upload(self, tensor: Tensor) -> Tensor:
        """Copy a tensor to the device, if possible without waiting for it."""
        if self.device.type == "cuda":
            with suppress(RuntimeError):  # page-locked memory is scarce; without it, the copy is waited for
                tensor = tensor.pin_memory()
        return tensor.to(self.device, non_blocking=True)

    def _style_targets(
        self, pair: PreparedPair, level: int, layers: Layers, network: VGG19
    ) -> dict[str, Tensor]:
        side = round(max(pair.contents[level].size) * pair.parameters.style_scale)
        found = []
        for style, _ in pair.styles:
            key = style.digest, side, tuple(layers.style), layers.pooling, network.dtype
            if key not in self._grams:
                picture = self.upload(style.at(side)[None])
                self._grams[key] = style_grams(network, picture, layers)
                if len(self._grams) > _CACHED_TARGETS:
                    self._grams.popitem(last=False)
            self._grams.move_to_end(key)
            found.append(self._grams[key])
        return mix_grams(found, [weight for _, weight in pair.styles])


class _Run:
    """One batch on its way through the scales."""

    def __init__(
        self, stylizer: Stylizer, pairs: Sequence[PreparedPair], on_evaluation: OnEvaluation
    ) -> None:
        self.stylizer, self.pairs, self.on_evaluation = stylizer, pairs, on_evaluation
        self.began = time.perf_counter()
        iterations = pairs[0].parameters.epochs * ITERATIONS_PER_EPOCH
        self.schedule = split(iterations, len(pairs[0].contents))
        names = ("content_weight", "style_weight", "tv_weight")
        weights = [[getattr(pair.parameters, name) for name in names] for pair in pairs]
        self.weights = stylizer.upload(torch.tensor(weights).T)
        self.tolerance = stylizer.upload(torch.tensor([pair.parameters.tolerance for pair in pairs]))
        self.logs: list[list[Evaluation]] = [[] for _ in pairs]

    def results(self) -> list[Result]:
        objective = self.stylizer.objective(self.pairs, 0)
        image = self._minimise(objective, self._best_start(objective), self.schedule[0])
        for level, steps in enumerate(self.schedule[1:], start=1):
            objective = self.stylizer.objective(self.pairs, level)
            image = self._minimise(objective, self._refine(image, level), steps)
        if self.stylizer.dtype != torch.float32:
            objective = self.stylizer.objective(self.pairs, -1, exact=True)
        return self._deliver(objective, image)

    def _best_start(self, objective: Objective) -> Tensor:
        starts = self.stylizer.upload(torch.stack([pair.starts for pair in self.pairs], dim=1))
        with torch.no_grad():
            best = torch.stack([self._total(objective(picture)) for picture in starts]).argmin(0)
        return starts[best, torch.arange(len(self.pairs), device=best.device)]

    def _refine(self, image: Tensor, level: int) -> Tensor:
        """Enlarge a coarser result; what a picture of that size could not show comes from the content."""
        fine = self.stylizer.contents(self.pairs, level)
        if self.pairs[0].parameters.init == "random":
            return _enlarged(image, fine).clamp(0, 1)
        coarse = self.stylizer.contents(self.pairs, level - 1)
        return (fine + _enlarged(image - coarse, fine)).clamp(0, 1)

    def _minimise(self, objective: Objective, image: Tensor, steps: int) -> Tensor:
        """Run one scale from `image`, `(B, 3, H, W)`, and return the best point of each pair."""
        canvas = Canvas(image.shape[2], image.shape[3], image.device)
        variables = canvas.encode(image)
        optimiser = LBFGS(variables, self.tolerance, history(image[0, 0].numel()))
        guide = Guide(objective)
        tape, finished, shares = Tape(), [False for _ in self.pairs], list[float]()
        for step in range(steps):
            variables.requires_grad_(True)
            terms, correction, share = guide.step(canvas.decode(variables), optimiser.best_loss, shares)
            total = self._total(terms)
            (gradient,) = torch.autograd.grad(total.sum(), variables)
            with torch.no_grad():
                if step == 0:
                    optimiser.first_step = _first_step(canvas, variables, gradient)
                variables = optimiser.step(total.detach(), gradient, self.weights[1] * correction)
                done = optimiser.converged.to(total.dtype)
                tape.write(torch.stack([terms.content, terms.style, terms.tv, total, done, share]).detach())
            shares = []
            for row in tape.read():
                self._report(row, image, finished)
                shares += row[-1].tolist()
            if all(finished):
                break
        for row in tape.read(everything=True):
            self._report(row, image, finished)
        with torch.no_grad():
            return canvas.decode(optimiser.best)

    def _total(self, terms: Terms) -> Tensor:
        content, style, tv = self.weights.unbind()
        return content * terms.content + style * terms.style + tv * terms.tv

    def _report(self, row: Tensor, image: Tensor, finished: list[bool]) -> None:
        seconds = (time.perf_counter() - self.began) / len(self.pairs)
        for index, (*losses, done, _) in enumerate(row.T.tolist()):
            if finished[index]:
                continue
            finished[index] = bool(done)
            evaluation = Evaluation(
                step=len(self.logs[index]) + 1,
                steps=sum(self.schedule),
                scale=max(image.shape[2:]),
                losses=Losses(*losses),
                seconds=seconds,
            )
            self.logs[index].append(evaluation)
            self.on_evaluation(index, evaluation)

    def _deliver(self, exact: Objective, image: Tensor) -> list[Result]:
        """Round to 8 bits, and measure what a reader of the file will get, be it transparent or not."""
        pictures = [images.to_image(pixels) for pixels in image]
        for index, pair in enumerate(self.pairs):
            if pair.parameters.preserve_color:
                pictures[index] = color.keep_chroma(pictures[index], pair.contents[-1])
        saved = [
            images.to_tensor(images.as_saved(picture, pair.parameters.format))
            for picture, pair in zip(pictures, self.pairs, strict=True)
        ]
        with torch.no_grad():
            terms = exact(self.stylizer.upload(torch.stack(saved)))
            rows = torch.stack([terms.content, terms.style, terms.tv, self._total(terms)])
        losses = [Losses(*values) for values in rows.T.tolist()]
        if not all(math.isfinite(loss.total) for loss in losses):
            raise NSTError("the loss is not a finite number; lower the weights, or check the weight file")
        seconds = (time.perf_counter() - self.began) / len(self.pairs)
        return [
            Result(picture, loss, log, seconds)
            for picture, loss, log in zip(pictures, losses, self.logs, strict=True)
        ]


def split(iterations: int, levels: int) -> list[int]:
    """How many iterations each scale gets, coarse to fine; every scale gets one at least."""
    shares: list[int] = []
    for coarser in range(levels - 1, 0, -1):
        left = iterations - sum(shares)
        shares.insert(0, max(1, min(left - coarser, round(_FINE_SHARE * left))))
    return [iterations - sum(shares), *shares]


def history(pixels: int) -> int:
    """How many steps the search for a picture of that many pixels remembers, at 24 bytes a pixel each."""
    return 10 if pixels > LARGE_PICTURE else 20


def _enlarged(image: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(image, like.shape[2:], mode="bicubic")


def _first_step(canvas: Canvas, variables: Tensor, gradient: Tensor) -> Tensor:
    """How far to go down the gradient, `(B,)`, so that pixels change by `_FIRST_CHANGE` in the mean."""
    probe = 1e-3 * F.normalize(gradient)
    change = (canvas.decode(variables - probe) - canvas.decode(variables)).abs().mean((1, 2, 3))
    return 1e-3 * _FIRST_CHANGE / change.clamp_min(1e-30)

"""The networks, and the objectives that they give for pairs; styles' targets are kept from batch to batch."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence

import torch
from torch import Tensor

from nst import images
from nst.available import AvailableMemory
from nst.balance import Balance, balanced, given
from nst.device import upload
from nst.graphs import LARGEST, Graphs
from nst.memory import Demand, Plan, feature_bytes, least, of_whole, plan, style_tile
from nst.objective import Layers, Objective, mix_grams, style_grams
from nst.pair import PreparedPair, Style
from nst.search import Numbers, Repeat
from nst.vgg import VGG19
from nst.weights import Weights

_CACHED_STYLES = 128  # Gram matrices of a style at one scale and in one precision take 2.4 MB


class Targets:
    """Makes the objective of a batch of pairs at each of its scales.

    It has one network in fp32 and one in `dtype`, on `device`. The Gram matrices of the most recently used
    styles are cached. On a CPU, several threads may use it at the same time.

    `on_tile` is called after each tile of each pass over a picture or a style that is computed in tiles, and
    ends the computation if it raises an exception. Replace it between two runs only.
    """

    def __init__(
        self, weights: Weights, device: torch.device, dtype: torch.dtype, memory: float | None = None
    ) -> None:
        """`memory` is what the process may take on the device, in GB; by default most of what is free."""
        self.device, self.dtype = device, dtype
        self._exact = VGG19(weights).to(device)
        self._fast = self._exact if dtype == torch.float32 else VGG19(weights, dtype).to(device)
        self.memory = AvailableMemory(device, memory)
        self.on_tile: Callable[[], None] = lambda: None
        # Graphs were not tried with the GPUs of AMD, which are also called 'cuda'.
        self._graphs = Graphs(self.memory) if device.type == "cuda" and torch.version.cuda else None
        self._grams: OrderedDict[object, dict[str, Tensor]] = OrderedDict()
        # Guards them. Other styles wait meanwhile, which costs little: they take a hundredth of the time.
        self._lock = threading.Lock()

    def objective(self, pairs: Sequence[PreparedPair], level: int, exact: bool = False) -> Objective:
        """The objective of pairs of equal `group` at scale `level`, an index into each pair's `contents`.

        Features are computed in `dtype`, or in fp32 if `exact`. Do not use what `repeat` has returned after
        that: its graphs may have been deleted, because fp32 needs their memory. Targets come from the network
        that the picture is evaluated with: with targets in fp32 and features in bf16, losses after ten epochs
        are 3 to 7 % higher.
        """
        p = pairs[0].parameters
        network = self._exact if exact else self._fast
        tile = self.plan(pairs, level).tile
        if exact:
            self._make_room(len(pairs) * Demand.of(pairs[0], level).pixels, network)
        balances, mixed = self.balances(pairs), list[dict[str, Tensor]]()
        for pair, balance in zip(pairs, balances, strict=True):
            found = self._style_grams(pair, level, network)
            mixed += [mix_grams(*each) for each in zip(found, balance.styles, strict=True)]
        grams = {name: torch.cat([targets[name] for targets in mixed]) for name in p.style_layers}
        contents = self.contents(pairs, level)
        guides = self._guides(pairs, level)
        factors = None if guides is None else torch.cat([balance.regions for balance in balances])
        return Objective(network, contents, grams, Layers.of(p), guides, factors, tile, self.on_tile)

    def balances(self, pairs: Sequence[PreparedPair]) -> list[Balance]:
        """How much the styles of each pair count, at all scales."""
        found = []
        for pair in pairs:
            strength = pair.parameters.strength
            if strength is None:
                found.append(given(pair, self.device))
            else:
                found.append(balanced(pair, strength, self._style_grams(pair, -1, self._fast)))
        return found

    def plan(self, pairs: Sequence[PreparedPair], level: int) -> Plan:
        """How the pictures are computed at scale `level`. Raises `NSTError` if there is too little memory."""
        demand, memory = Demand.of(pairs[0], level), self.memory
        if least(demand, self.device, self.dtype) > memory.bytes:
            # Another process may have ended since. Nobody computes a pair again that was refused.
            memory.measure()
        return plan(demand, memory.bytes, self.device, self.dtype, memory.given)

    def repeat(self, pairs: Sequence[PreparedPair], level: int) -> Repeat:
        """What runs the steps of a search at scale `level`: CUDA graphs where they save time."""
        if not self._graphs:
            return _directly
        found, demand = self.plan(pairs, level), Demand.of(pairs[0], level)
        pixels = len(pairs) * demand.pixels
        if pixels > LARGEST or found.tile:
            self.release()
            return _directly
        of_batch = len(pairs) * of_whole(demand, found.steps, self.device, self.dtype)
        self._graphs.begin(pixels * feature_bytes(self.device, self.dtype), of_batch)
        return self._graphs.run

    def release(self) -> None:
        """Give memory back that is kept from batch to batch."""
        if self._graphs:
            self._graphs.release()

    def contents(self, pairs: Sequence[PreparedPair], level: int) -> Tensor:
        """The content pictures of a batch at scale `level`, `(B, 3, H, W)` in 0..1, on the device."""
        return upload(torch.stack([images.to_tensor(pair.contents[level]) for pair in pairs]), self.device)

    def keep(self, pairs: Sequence[PreparedPair], level: int) -> Callable[[Tensor], Tensor]:
        """What puts the kept parts of the contents into pictures at scale `level`, `(B, 3, H, W)` each."""
        kept = [images.to_tensor(pair.regions.keeps[level]) for pair in pairs if pair.regions]
        if not kept:
            return lambda pictures: pictures
        mask, contents = upload(torch.stack(kept), self.device), self.contents(pairs, level)
        return lambda pictures: torch.lerp(pictures, contents, mask)  # grey blends

    def _guides(self, pairs: Sequence[PreparedPair], level: int) -> Tensor | None:
        """The guides of all regions at scale `level`, `(B, R, H, W)`; none without regions."""
        guides = [pair.regions.guides[level] for pair in pairs if pair.regions]
        return upload(torch.stack(guides), self.device).float() / 255 if guides else None

    def _style_grams(self, pair: PreparedPair, level: int, network: VGG19) -> list[list[dict[str, Tensor]]]:
        """The Gram matrices of each style of each region at scale `level`, `(1, C, C)` for each layer."""
        side = pair.style_side(level)
        layers = Layers.of(pair.parameters)
        return [
            [self._grams_of(style, side, layers, network) for style, _ in styles]
            for styles in pair.styles_by_region
        ]

    def _grams_of(self, style: Style, side: int, layers: Layers, network: VGG19) -> dict[str, Tensor]:
        """The Gram matrices of a style whose long side has so many pixels."""
        key = style.digest, side, tuple(layers.style), layers.pooling, network.dtype
        with self._lock:
            if key not in self._grams:
                self._grams[key] = self._computed_grams(style, side, layers, network)
                if len(self._grams) > _CACHED_STYLES:
                    self._grams.popitem(last=False)
            self._grams.move_to_end(key)
            return self._grams[key]

    def _computed_grams(self, style: Style, side: int, layers: Layers, network: VGG19) -> dict[str, Tensor]:
        picture = upload(style.at(side)[None], self.device)
        part = style.part_at(side)
        part = part if part is None else upload(part[None], self.device)
        pixels = picture[0, 0].numel()
        self._make_room(pixels, network)
        most = style_tile(pixels, part is not None, self.memory.bytes, self.device, network.dtype)
        return style_grams(network, picture, layers, part, most, self.on_tile)

    def _make_room(self, pixels: int, network: VGG19) -> None:
        """Let CUDA graphs give their memory back if the features of so many pixels need it."""
        if self._graphs:
            self._graphs.make_room(pixels * feature_bytes(self.device, network.dtype))


def _directly(key: Hashable, step: Callable[[], Numbers]) -> Numbers:
    return step()

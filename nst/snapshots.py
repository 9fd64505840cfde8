"""Snapshots: small pictures of the pairs of a batch on their way from the start to the result.

A picture changes most at the beginning. So the numbers of the evaluations grow by a constant factor from one
snapshot to the next, and each snapshot differs from the one before by a similar amount: on two pairs at 192
px, the standard deviation of these differences is half of their mean, and four fifths with equal steps. A
pair that converges early still has most of its snapshots, because they depend little on how many evaluations
there may be.
"""

from collections import deque
from collections.abc import Mapping, Sequence

from PIL import Image
from torch import Tensor

from nst import images

LONG_SIDE = 384  # pixels at most, of a snapshot


def moments(count: int, evaluations: int) -> list[int]:
    """The numbers of the evaluations after which a pair has a snapshot, from 1, in ascending order.

    `count` is the number of its snapshots, and `evaluations` of the evaluations that it may take. The last
    snapshot is the result, and is not among the moments. There are fewer moments where there are too few
    evaluations for them.
    """
    found: list[int] = []
    for number in range(count - 1):
        step = round(evaluations ** (number / (count - 1)))
        found.append(max(step, found[-1] + 1) if found else step)
    return [step for step in found if step < evaluations]


class Snapshots:
    """The snapshots of one batch of pairs of one size. The device does not wait while they are copied.

    `size` is their width and height in pixels, at each scale.
    """

    def __init__(self, counts: Sequence[int], evaluations: int, size: tuple[int, int]) -> None:
        """`counts` says how many snapshots each pair wants; `size` is the width and height of the results."""
        self.size = images.limited(size, LONG_SIDE)
        self._moments = [moments(count, evaluations) for count in counts]
        self._due = [deque(each) for each in self._moments]
        self._taken: list[list[tuple[int, Tensor]]] = [[] for _ in counts]

    def due(self, steps: Mapping[int, int]) -> dict[int, int]:
        """The pairs that need a snapshot now: their indices, each with the number of its evaluation.

        `steps` has these numbers for all pairs that have not converged.
        """
        return {
            index: step for index, step in steps.items() if self._due[index] and self._due[index][0] <= step
        }

    def add(self, steps: Mapping[int, int], pictures: Tensor) -> None:
        """Copy the pictures, `(K, 3, H, W)` in 0..1, of the K pairs in `steps`, which `due` has returned."""
        levels = images.to_levels(images.resized(pictures, self.size)).to("cpu", non_blocking=True)
        for (index, step), picture in zip(steps.items(), levels, strict=True):
            self._taken[index].append((step, picture))
            while self._due[index] and self._due[index][0] <= step:
                self._due[index].popleft()

    def drop_after(self, steps: Sequence[int]) -> None:
        """Forget the snapshots of each pair after the last evaluation that it has had so far.

        The numbers of a GPU are read some evaluations late, so that a pair may have converged before one. The
        next scale counts on from the last evaluation, so that these snapshots are due again.
        """
        self._taken = [
            [(step, picture) for step, picture in taken if step <= last]
            for taken, last in zip(self._taken, steps, strict=True)
        ]
        # A snapshot is of the moment of its number, or of earlier ones that were missed.
        done = [taken[-1][0] if taken else 0 for taken in self._taken]
        self._due = [
            deque(moment for moment in each if moment > last)
            for each, last in zip(self._moments, done, strict=True)
        ]

    def of(self, index: int, last: int) -> list[tuple[int, Image.Image]]:
        """The snapshots of a pair before evaluation number `last`, as RGB images.

        Call it after the host has waited for the device, because copies may be on their way until then.
        """
        return [(step, images.from_levels(levels)) for step, levels in self._taken[index] if step < last]

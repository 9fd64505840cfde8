"""A shard: every N-th pair of a manifest, which one process works on while others work on the rest."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from pipeline.errors import UsageError
from pipeline.manifest.models import MOST_PAIRS

T = TypeVar("T")


@dataclass(frozen=True)
class Shard:
    """The shard `number` of `count`; both are at least 1, and `number` is at most `count`."""

    number: int
    count: int

    def __post_init__(self) -> None:
        if not 1 <= self.number <= self.count:
            raise UsageError(f"shard {self}: the first of {self.count} shards is 1, the last is {self.count}")
        if self.count > MOST_PAIRS:
            raise UsageError(f"shard {self}: a manifest has at most {MOST_PAIRS:,} shards")

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"

    def of(self, items: Sequence[T]) -> Sequence[T]:
        """The items of this shard; an empty list if there are fewer items than `number`."""
        return items[self.number - 1 :: self.count]

    @classmethod
    def parse(cls, text: str) -> "Shard":
        """The shard that a text such as `3/16` names. Raises `UsageError`."""
        found = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text, re.ASCII)
        if not found:
            raise UsageError(f"--shard {text}: give I/N, as in 1/4 for the first of four shards, or auto")
        number, count = int(found[1]), int(found[2])
        if count < 1:
            raise UsageError(f"--shard {text}: the number of shards is at least 1")
        return cls(number, count)

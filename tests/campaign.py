"""What campaigns have in common: their arguments, the keys of the server on this machine, and their table."""

import os
import random
import sys
from collections.abc import Sequence
from typing import NoReturn

from manifests.demo_s3 import KEYS


def begin(default: int, heads: Sequence[str]) -> tuple[int, int]:
    """Print the seed and the head of a table.

    Returns the size of the campaign and the seed, which are the two arguments of the command; without them,
    `default` and any seed.
    """
    size = int(sys.argv[1]) if len(sys.argv) > 1 else default
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else random.randrange(10**6)
    os.environ |= {"AWS_ACCESS_KEY_ID": KEYS["accessKey"], "AWS_SECRET_ACCESS_KEY": KEYS["secretKey"]}
    os.environ["AWS_DEFAULT_REGION"] = "us-east-1"
    print(f"seed {seed}\n")
    print_row(heads)
    print(f"|{'---|' * len(heads)}", flush=True)
    return size, seed


def print_row(cells: Sequence[object]) -> None:
    """Print a row of the table."""
    print(f"| {' | '.join(map(str, cells))} |", flush=True)


def end(violations: Sequence[str]) -> NoReturn:
    """Print the violations, and end with 1 if there are any."""
    print("\n".join(violations))
    sys.exit(bool(violations))

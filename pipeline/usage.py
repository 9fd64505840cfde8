"""Which flags go together, beyond what each of them allows by itself."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.errors import UsageError
from pipeline.manifest.names import folded, plain_file_name
from pipeline.settings import Settings

if TYPE_CHECKING:
    from pipeline.inbox.triggers import Schedule


def schedule_of(schedule: str | None, settings: Settings) -> "Schedule | None":
    """The times of `--schedule`. Raises `UsageError`."""
    from pipeline.inbox.triggers import Schedule

    if settings.queue and schedule is not None:
        raise UsageError("--queue does not go with --schedule; leave one of them out")
    return None if schedule is None else Schedule(schedule)


def check_idle(idle: float | None, once: bool, times: "Schedule | None") -> None:
    """Raises `UsageError` unless `--idle` is a number of seconds, and goes with the other flags."""
    if idle is None:
        return
    if not 0 <= idle < math.inf:
        raise UsageError(f"--idle {idle:g}: give a number of seconds, 0 or more")
    if once or times:
        raise UsageError(
            f"--idle does not go with {'--once' if once else '--schedule'}; leave one of them out"
        )


def check_engine(ray_address: str | None, settings: Settings) -> None:
    """Raises `UsageError` if `--ray-address` would be ignored."""
    if ray_address is not None and settings.engine != "ray":
        raise UsageError(f"--ray-address {ray_address}: give --engine ray as well, or leave this out")


def check_names(manifests: Sequence[Path], name: str | None, shard: str | None) -> None:
    """Raises `UsageError` unless each manifest has a folder of the outbox to itself."""
    if name is not None and len(manifests) > 1:
        raise UsageError("--name names the folder of one manifest; call this command once for each manifest")
    if shard is not None and len(manifests) > 1:
        raise UsageError("--shard divides one manifest; call this command once for each manifest")
    first: dict[str, Path] = {}
    for path in manifests:
        if (other := first.setdefault(folded(path.stem), path)) is not path:
            where = "" if other.stem == path.stem else ", where letter case does not count"
            raise UsageError(
                f"{other} and {path} would write into one folder, {path.stem}{where}; rename one, or call "
                "this command once for each with --name"
            )
    try:
        if name is not None:
            plain_file_name(name, what="a name")
    except ValueError as error:
        raise UsageError(f"--name {name}: {error}") from None

"""What `status` prints: a table on a terminal, one JSON object elsewhere."""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict

from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from nst.errors import NSTError
from pipeline.errors import printable
from pipeline.inbox.inbox import Status
from pipeline.outbox.progress import Progress

_SHOWN = 10  # names, or numbers of shards


def print_status(found: Status | None, sharded: dict[str, Progress | NSTError] | None) -> None:
    """Print the state of an inbox, and how far the shards in an outbox are; none of what is not asked for."""
    if not sys.stdout.isatty():
        fields = asdict(found) if found else {}
        if sharded is not None:
            fields["sharded"] = {
                name: {"error": printable(str(each))} if isinstance(each, NSTError) else asdict(each)
                for name, each in sharded.items()
            }
        print(json.dumps(fields))
        return
    if found:
        Console().print(_inbox_table(found))
    if sharded is not None:
        Console().print(_shards_table(sharded))
        for error in sharded.values():
            if isinstance(error, NSTError):
                Console().print(Text(printable(str(error))))


def _inbox_table(found: Status) -> Table:
    table = Table("state", "manifests", Column("names", overflow="fold"))
    for state in ("waiting", "processing", "done"):
        names = getattr(found, state)
        table.add_row(state, f"{len(names):,}", Text(printable(_first(names)), overflow="fold"))
    errors = [printable(f"{name}: {error}") for name, error in found.failed.items()]
    table.add_row("failed", f"{len(errors):,}", Text("\n".join(errors), overflow="fold"))
    return table


def _shards_table(sharded: dict[str, Progress | NSTError]) -> Table:
    table = Table(
        Column("manifest", overflow="fold"), "pairs", "done", "failed", "shards", "missing shards", "page"
    )
    for name, each in sharded.items():
        if isinstance(each, NSTError):
            continue
        counts = (each.pairs, each.done, each.failed, each.shards)
        page = "yes" if each.page else "no"
        texts = (*(f"{count:,}" for count in counts), _first(each.missing), page)
        table.add_row(Text(printable(name), overflow="fold"), *texts)
    return table


def _first(items: Sequence[object]) -> str:
    """The first items, and how many there are besides."""
    more = f" and {len(items) - _SHOWN:,} more" if len(items) > _SHOWN else ""
    return ", ".join(map(str, items[:_SHOWN])) + more

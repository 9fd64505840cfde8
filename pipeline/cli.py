"""The commands of `nst-pipeline`."""

import json
import os
import sys
import warnings
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from nst.errors import NSTError
from pipeline import manifest
from pipeline.errors import UsageError, printable
from pipeline.inbox import Inbox
from pipeline.outbox import Outbox
from pipeline.progress import Bars, JsonLines, Listener
from pipeline.settings import Settings, load_settings
from pipeline.stores.folder import FolderStore

_NAMES_SHOWN = 10

app = typer.Typer(
    help="Neural style transfer in batches: manifests in, pictures and loss logs out.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Manifests = Annotated[list[Path], typer.Argument(metavar="MANIFEST...", help="Manifest files.")]
InboxOption = Annotated[
    str | None, typer.Option("--inbox", help="Folder that manifests come into. [NST_INBOX]")
]
OutboxOption = Annotated[str | None, typer.Option("--outbox", help="Folder that results go to. [NST_OUTBOX]")]
AllowOption = Annotated[
    list[Path] | None,
    typer.Option("--allow", help="One more folder that images may come from. [NST_ALLOW]"),
]
WeightsOption = Annotated[str | None, typer.Option(help="embedded, imagenet or a path. [NST_WEIGHTS]")]
DeviceOption = Annotated[str | None, typer.Option(help="auto, cpu, cuda or cuda:N. [NST_DEVICE]")]
DtypeOption = Annotated[str | None, typer.Option(help="Of features: auto, fp32 or bf16. [NST_DTYPE]")]


@app.command()
def run(
    manifests: Manifests,
    outbox: OutboxOption = None,
    allow: AllowOption = None,
    weights: WeightsOption = None,
    device: DeviceOption = None,
    dtype: DtypeOption = None,
) -> None:
    """Work on manifest files; their images are relative to each file's folder."""
    settings = load_settings(outbox=outbox, allow=allow, weights=weights, device=device, dtype=dtype)
    names = [path.stem for path in manifests]
    if len(set(names)) < len(names):
        raise UsageError("two manifests of the same name would write into one folder; rename one")
    store = _outbox(settings)
    # Only now, because torch takes seconds to import, and wrong usage should be told at once.
    from pipeline.engines.local import LocalEngine

    listener = _listener()
    try:
        code = LocalEngine(settings, Outbox(store), listener).run(manifests)
    finally:
        listener.close()
    raise typer.Exit(code)


@app.command()
def watch(
    inbox: InboxOption = None,
    outbox: OutboxOption = None,
    allow: AllowOption = None,
    once: Annotated[bool, typer.Option("--once", help="Stop when nothing is left.")] = False,
    schedule: Annotated[str | None, typer.Option(help="Look only at these times, as in '0 2 * * *'.")] = None,
    poll: Annotated[
        bool, typer.Option("--poll", help="No file events: NFS, SMB, Docker volumes. [NST_POLL]")
    ] = False,
    weights: WeightsOption = None,
    device: DeviceOption = None,
    dtype: DtypeOption = None,
) -> None:
    """Work on manifests as they come into a folder; images come from there, too."""
    from pipeline.triggers import Schedule

    settings = load_settings(
        inbox=inbox,
        outbox=outbox,
        allow=allow,
        poll=poll,
        weights=weights,
        device=device,
        dtype=dtype,
    )
    times = Schedule(schedule) if schedule else None
    source = _inbox(settings)
    target = _outbox(settings, apart_from=source)
    from pipeline.engines.local import LocalEngine

    listener = _listener()
    try:
        code = LocalEngine(settings, Outbox(target), listener).watch(source, once, times)
    finally:
        listener.close()
    raise typer.Exit(code)


@app.command()
def validate(manifests: Manifests, allow: AllowOption = None) -> None:
    """Check manifests and every image they name, without working on them."""
    from pipeline.check import check

    allowed = [FolderStore(path) for path in load_settings(allow=allow).allow]
    failed = False
    for path in manifests:
        problems = check(path, allowed)
        for text in [str(problem) for problem in problems] or ["valid"]:
            print(f"{path}: {text}")
        failed |= bool(problems)
    raise typer.Exit(int(failed))


@app.command()
def schema() -> None:
    """Print the JSON Schema of manifests, for editors."""
    print(json.dumps(manifest.json_schema(), indent=2))


@app.command()
def status(inbox: InboxOption = None) -> None:
    """Tell what waits, is worked on, is done, and has failed."""
    found = Inbox(_inbox(load_settings(inbox=inbox))).status()
    if not sys.stdout.isatty():
        print(json.dumps(asdict(found), ensure_ascii=False))
        return
    table = Table("state", "manifests", "names")
    for state in ("waiting", "processing", "done"):
        names = getattr(found, state)
        table.add_row(state, str(len(names)), Text(printable(", ".join(names[:_NAMES_SHOWN]))))
    errors = [printable(f"{name}: {error}") for name, error in found.failed.items()]
    table.add_row("failed", str(len(errors)), Text("\n".join(errors)))
    Console().print(table)


@app.command()
def retry(
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="Failed manifests.")],
    inbox: InboxOption = None,
) -> None:
    """Put failed manifests back into the inbox; only their failed pairs are done again."""
    box = Inbox(_inbox(load_settings(inbox=inbox)))
    for name in names:
        box.retry(name)
        print(f"{name}: waiting again")


def main() -> None:
    """Entry point; exit codes: 0 all done, 1 something failed, 2 wrong usage, 128 + N on signal N."""
    # What Pillow finds odd in a picture it decodes all the same is not for the log.
    warnings.filterwarnings("ignore", module="PIL")
    try:
        app()
    except UsageError as error:
        print(f"nst-pipeline: {error}", file=sys.stderr)
        sys.exit(2)
    except NSTError as error:
        print(f"nst-pipeline: {error}", file=sys.stderr)
        sys.exit(1)


def _inbox(settings: Settings) -> FolderStore:
    if not settings.inbox:
        raise UsageError("which inbox? give --inbox FOLDER or set NST_INBOX")
    store = FolderStore(settings.inbox)
    if not os.path.isdir(store.root):
        raise UsageError(f"inbox {settings.inbox}: no such folder; make it first")
    return store


def _outbox(settings: Settings, apart_from: FolderStore | None = None) -> FolderStore:
    if not settings.outbox:
        raise UsageError("which outbox? give --outbox FOLDER or set NST_OUTBOX")
    if "://" in settings.outbox:
        raise UsageError(f"outbox {settings.outbox}: only folders can be written to; name one")
    root = FolderStore(settings.outbox).root
    if apart_from and (root.is_relative_to(apart_from.root) or apart_from.root.is_relative_to(root)):
        raise UsageError(
            f"inbox {apart_from.url} and outbox {settings.outbox} lie in one another; "
            "choose two folders apart"
        )
    return FolderStore.make(settings.outbox)


def _listener() -> Listener:
    return Bars(Console()) if sys.stdout.isatty() else JsonLines()

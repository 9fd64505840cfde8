"""The commands of `nst-pipeline`."""

import json
import os
import sys
import warnings
from dataclasses import asdict
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

import nst
from nst.errors import NSTError
from pipeline.errors import UsageError, printable
from pipeline.events.bars import Bars
from pipeline.events.listener import Listener
from pipeline.events.log import JsonLines
from pipeline.inbox.inbox import Inbox
from pipeline.manifest.models import json_schema
from pipeline.outbox.outbox import Outbox
from pipeline.settings import Settings, load_settings
from pipeline.stores.base import Store
from pipeline.stores.opening import Stores

_NAMES_SHOWN = 10

app = typer.Typer(
    help="Neural style transfer in batches: manifests in, pictures and loss logs out.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Manifests = Annotated[list[Path], typer.Argument(metavar="MANIFEST...", help="Manifest files.")]
InboxOption = Annotated[
    str | None,
    typer.Option("--inbox", help="Folder or s3://BUCKET/PREFIX that manifests come into. [NST_INBOX]"),
]
OutboxOption = Annotated[
    str | None,
    typer.Option("--outbox", help="Folder or s3://BUCKET/PREFIX that results go to. [NST_OUTBOX]"),
]
AllowOption = Annotated[
    list[str] | None,
    typer.Option("--allow", help="One more folder or s3:// URL that images may come from. [NST_ALLOW]"),
]
EndpointOption = Annotated[
    str | None, typer.Option(help="Of an S3 server that is not AWS. [NST_ENDPOINT_URL]")
]
WeightsOption = Annotated[str | None, typer.Option(help="embedded, imagenet or a path. [NST_WEIGHTS]")]
DeviceOption = Annotated[str | None, typer.Option(help="auto, cpu, cuda or cuda:N. [NST_DEVICE]")]
DtypeOption = Annotated[str | None, typer.Option(help="Of features: auto, fp32 or bf16. [NST_DTYPE]")]


def _show_version(shown: bool) -> None:
    if shown:
        print(f"nst-pipeline {nst.__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit."),
    ] = False,
) -> None:
    pass


@app.command()
def run(
    manifests: Manifests,
    outbox: OutboxOption = None,
    allow: AllowOption = None,
    endpoint_url: EndpointOption = None,
    weights: WeightsOption = None,
    device: DeviceOption = None,
    dtype: DtypeOption = None,
) -> None:
    """Work on manifest files; their images are relative to each file's folder."""
    settings = load_settings(
        outbox=outbox,
        allow=allow,
        endpoint_url=endpoint_url,
        weights=weights,
        device=device,
        dtype=dtype,
    )
    names = [path.stem for path in manifests]
    if len(set(names)) < len(names):
        raise UsageError("two manifests of the same name would write into one folder; rename one")
    stores = Stores(settings.endpoint_url)
    store = _outbox(settings, stores)
    # Only now, because torch takes seconds to import, and wrong usage should be told at once.
    from pipeline.engines.local import LocalEngine

    listener = _listener()
    try:
        code = LocalEngine(settings, stores, Outbox(store), listener).run(manifests)
    finally:
        listener.close()
    raise typer.Exit(code)


@app.command()
def watch(
    inbox: InboxOption = None,
    outbox: OutboxOption = None,
    allow: AllowOption = None,
    endpoint_url: EndpointOption = None,
    once: Annotated[
        bool, typer.Option("--once", help="Stop when nothing is left; with --schedule, after its next time.")
    ] = False,
    schedule: Annotated[str | None, typer.Option(help="Look only at these times, as in '0 2 * * *'.")] = None,
    queue: Annotated[
        str | None, typer.Option(help="URL of the SQS queue with the bucket's notifications. [NST_QUEUE]")
    ] = None,
    poll: Annotated[
        bool, typer.Option("--poll", help="No file events: NFS, SMB, Docker volumes. [NST_POLL]")
    ] = False,
    alone: Annotated[
        bool, typer.Option("--alone", help="No other runner is at this inbox. [NST_ALONE]")
    ] = False,
    weights: WeightsOption = None,
    device: DeviceOption = None,
    dtype: DtypeOption = None,
) -> None:
    """Work on manifests as they come into a folder or bucket; images come from there, too."""
    from pipeline.inbox.triggers import Schedule

    settings = load_settings(
        inbox=inbox,
        outbox=outbox,
        allow=allow,
        endpoint_url=endpoint_url,
        queue=queue,
        poll=poll,
        alone=alone,
        weights=weights,
        device=device,
        dtype=dtype,
    )
    if settings.queue and (schedule or not str(settings.inbox).startswith("s3://")):
        raise UsageError("--queue goes with an s3:// inbox, and not with --schedule")
    times = Schedule(schedule) if schedule else None
    stores = Stores(settings.endpoint_url)
    source = _inbox(settings, stores)
    if not settings.alone and not source.exclusive():
        raise UsageError(
            f"inbox {source.url}: the server ignores conditional writes, so that two runners could take one "
            "manifest; start just one, with --alone"
        )
    target = _outbox(settings, stores, apart_from=source)
    from pipeline.engines.local import LocalEngine

    listener = _listener()
    try:
        code = LocalEngine(settings, stores, Outbox(target), listener).watch(source, once, times)
    finally:
        listener.close()
    raise typer.Exit(code)


@app.command()
def validate(
    manifests: Manifests,
    outbox: OutboxOption = None,
    allow: AllowOption = None,
    endpoint_url: EndpointOption = None,
) -> None:
    """Check manifests and every image they name, without working on them."""
    from pipeline.check import check

    settings = load_settings(outbox=outbox, allow=allow, endpoint_url=endpoint_url)
    stores = Stores(settings.endpoint_url)
    allowed = [stores.open(url) for url in settings.allow]
    results = Outbox(stores.open(settings.outbox)) if settings.outbox else None
    failed = False
    for path in manifests:
        pairs, problems = check(path, allowed, results)
        valid = f"valid, {pairs} pair{'s' * (pairs > 1)}"
        for text in [str(problem) for problem in problems] or [valid]:
            print(f"{printable(str(path))}: {text}")
        failed |= bool(problems)
    raise typer.Exit(int(failed))


@app.command()
def schema() -> None:
    """Print the JSON Schema of manifests, for editors."""
    print(json.dumps(json_schema(), indent=2))


@app.command()
def status(inbox: InboxOption = None, endpoint_url: EndpointOption = None) -> None:
    """Tell what waits, is worked on, is done, and has failed."""
    found = _opened(inbox, endpoint_url).status()
    if not sys.stdout.isatty():
        print(json.dumps(asdict(found)))
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
    endpoint_url: EndpointOption = None,
) -> None:
    """Put failed manifests back into the inbox; only their failed pairs are done again."""
    box, refused = _opened(inbox, endpoint_url), list[NSTError]()
    for name in names:
        try:
            box.retry(name)
        except NSTError as error:
            refused.append(error)
        else:
            print(f"{printable(name)}: waiting again")
    if refused:
        raise type(refused[0])("\n".join(map(str, refused)))


@app.command()
def bench(weights: WeightsOption = None, device: DeviceOption = None, dtype: DtypeOption = None) -> None:
    """Find out, in a minute or two, how many pictures an hour this machine will make."""
    settings = load_settings(weights=weights, device=device, dtype=dtype)
    from nst.device import device_name, dtype_name
    from pipeline.bench import speeds
    from pipeline.engines.stylizer import make_stylizer

    stylizer = make_stylizer(settings)
    shown = sys.stdout.isatty()
    if shown:
        precision = dtype_name(stylizer.dtype)
        print(f"On {device_name(stylizer.device)} with {precision} features, square pictures, 10 epochs:")
    for speed in speeds(stylizer):
        if shown:
            print(
                f"{speed.size:5} px: about {speed.hourly:,.0f} pictures an hour, {speed.gigabytes:.1f} GB, "
                f"{speed.batch} at a time"
            )
        else:
            print(json.dumps(asdict(speed)), flush=True)


def main() -> None:
    """Entry point; exit codes: 0 all done, 1 something failed, 2 wrong usage, 128 + N on signal N."""
    # What Pillow finds odd in a picture it decodes all the same is not for the log.
    warnings.filterwarnings("ignore", module="PIL")
    # Whoever has closed them does not want to hear anything; that is no reason not to work.
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: SIM115
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # names of files may have what a terminal has not
            stream.reconfigure(errors="backslashreplace")
    try:
        app()
    except UsageError as error:
        print(f"nst-pipeline: {error}", file=sys.stderr)
        sys.exit(2)
    except NSTError as error:
        print(f"nst-pipeline: {error}", file=sys.stderr)
        sys.exit(1)


def _inbox(settings: Settings, stores: Stores) -> Store:
    if not settings.inbox:
        raise UsageError("which inbox? give --inbox FOLDER or set NST_INBOX")
    return stores.inbox(settings.inbox)


def _opened(inbox: str | None, endpoint_url: str | None) -> Inbox:
    settings = load_settings(inbox=inbox, endpoint_url=endpoint_url)
    return Inbox(_inbox(settings, Stores(settings.endpoint_url)))


def _outbox(settings: Settings, stores: Stores, apart_from: Store | None = None) -> Store:
    if not settings.outbox:
        raise UsageError("which outbox? give --outbox FOLDER or set NST_OUTBOX")
    return stores.outbox(settings.outbox, apart_from)


def _listener() -> Listener:
    return Bars(sys.stdout) if sys.stdout.isatty() else JsonLines(sys.stdout)

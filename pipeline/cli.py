"""The commands of `nst-pipeline`."""

import json
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

import nst
from nst.errors import NSTError
from pipeline import options
from pipeline.environment import Environment
from pipeline.errors import UsageError, printable
from pipeline.inbox.inbox import Inbox
from pipeline.manifest.models import json_schema
from pipeline.manifest.names import plain_file_name
from pipeline.outbox.outbox import Outbox
from pipeline.settings import Settings, load_settings, needed

if TYPE_CHECKING:
    from pipeline.inbox.triggers import Schedule

_NAMES_SHOWN = 10

app = typer.Typer(
    help="Neural style transfer in batches: manifests in, pictures and loss logs out.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


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
    context: typer.Context,
    manifests: options.Manifests,
    outbox: options.Outbox = None,
    name: options.Name = None,
    replace: options.Replace = False,
    shard: options.Shard = None,
    allow: options.Allow = None,
    endpoint_url: options.Endpoint = None,
    weights: options.Weights = None,
    device: options.Device = None,
    dtype: options.Dtype = None,
    metrics_file: options.MetricsFile = None,
    metrics_port: options.MetricsPort = None,
) -> None:
    """Work on manifest files; their images are relative to each file's folder."""
    from pipeline.work import watch
    from pipeline.work.array_jobs import chosen_shard
    from pipeline.work.session import Session

    environment: Environment = context.obj
    settings = load_settings(**_flags(context))
    _check_names(manifests, name)
    if shard is not None and len(manifests) > 1:
        raise UsageError("--shard divides one manifest; call this command once for each manifest")
    part = None if shard is None else chosen_shard(shard, os.environ)
    stores = environment.stores(settings)
    target = Outbox(stores.outbox(needed("outbox", settings.outbox)))
    engine = environment.engine(settings, stores, environment.timing)
    listener = environment.listener(settings)
    try:
        session = Session(listener, environment.timing, settings.caps)
        code = watch.run(manifests, engine, target, stores, settings.allow, session, name, replace, part)
    finally:
        listener.close()
    raise typer.Exit(code)


@app.command()
def watch(
    context: typer.Context,
    inbox: options.Inbox = None,
    outbox: options.Outbox = None,
    allow: options.Allow = None,
    endpoint_url: options.Endpoint = None,
    once: options.Once = False,
    schedule: options.Schedule = None,
    queue: options.Queue = None,
    poll: options.Poll = False,
    alone: options.Alone = False,
    weights: options.Weights = None,
    device: options.Device = None,
    dtype: options.Dtype = None,
    metrics_file: options.MetricsFile = None,
    metrics_port: options.MetricsPort = None,
) -> None:
    """Work on manifests as they come into a folder or bucket; images come from there, too."""
    from pipeline.runner import make_runner, open_places
    from pipeline.work.session import Session

    environment: Environment = context.obj
    settings = load_settings(**_flags(context))
    times = _times(schedule, settings)
    places = open_places(environment, settings)
    listener = environment.listener(settings)
    try:
        session = Session(listener, environment.timing, settings.caps)
        code = make_runner(environment, settings, places, session).run(once, times)
    finally:
        listener.close()
    raise typer.Exit(code)


@app.command()
def serve(
    context: typer.Context,
    inbox: options.Inbox = None,
    outbox: options.Outbox = None,
    host: options.Host = None,
    port: options.Port = None,
    token_file: options.TokenFile = None,
    trust_network: options.TrustNetwork = False,
    max_upload: options.MaxUpload = None,
    no_work: options.NoWork = False,
    allow: options.Allow = None,
    endpoint_url: options.Endpoint = None,
    schedule: options.Schedule = None,
    queue: options.Queue = None,
    poll: options.Poll = False,
    alone: options.Alone = False,
    weights: options.Weights = None,
    device: options.Device = None,
    dtype: options.Dtype = None,
) -> None:
    """Work as `watch` does, and take requests over HTTP; they become manifests in the inbox."""
    try:
        from pipeline.serve import serve
    except ImportError as error:
        raise UsageError(
            f"`serve` needs packages that are not installed ({error.name}): pip install 'nst-pipeline[serve]'"
        ) from None

    environment: Environment = context.obj
    settings = load_settings(**_flags(context))
    times = _times(schedule, settings)
    listener = environment.listener(settings)
    try:
        code = serve(environment, settings, times, listener)
    finally:
        listener.close()
    raise typer.Exit(code)


@app.command()
def validate(
    context: typer.Context,
    manifests: options.Manifests,
    outbox: options.Outbox = None,
    allow: options.Allow = None,
    endpoint_url: options.Endpoint = None,
) -> None:
    """Check manifests and every image they name, without working on them."""
    from pipeline.check import check

    settings = load_settings(outbox=outbox, allow=allow, endpoint_url=endpoint_url)
    stores = context.obj.stores(settings)
    results = Outbox(stores.open(settings.outbox)) if settings.outbox else None
    failed = False
    for path in manifests:
        place = printable(str(path))
        warn = partial(print, f"{place}: warning:")
        pairs, problems = check(path, stores, settings.allow, results, settings.caps, warn)
        valid = f"valid, {pairs} pair{'s' * (pairs > 1)}"
        for text in [str(problem) for problem in problems] or [valid]:
            print(f"{place}: {text.removeprefix(f'{printable(path.name)}: ')}")
        failed |= bool(problems)
    raise typer.Exit(int(failed))


@app.command()
def schema() -> None:
    """Print the JSON Schema of manifests, for editors."""
    print(json.dumps(json_schema(), indent=2))


@app.command()
def status(
    context: typer.Context, inbox: options.Inbox = None, endpoint_url: options.Endpoint = None
) -> None:
    """List what waits, is worked on, is done, and has failed."""
    found = _opened(context, inbox, endpoint_url).status()
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
    context: typer.Context,
    names: options.Names,
    inbox: options.Inbox = None,
    endpoint_url: options.Endpoint = None,
) -> None:
    """Put failed manifests back into the inbox; only their failed pairs are done again."""
    _for_each(names, partial(_opened(context, inbox, endpoint_url).retry, listed={}), "waiting again")


@app.command()
def cancel(
    context: typer.Context,
    names: options.Names,
    inbox: options.Inbox = None,
    endpoint_url: options.Endpoint = None,
) -> None:
    """Stop work on manifests and move them to failed/; pairs that are done stay."""
    _for_each(names, partial(_opened(context, inbox, endpoint_url).cancel, listed={}), "cancelled")


@app.command()
def bench(
    weights: options.Weights = None, device: options.Device = None, dtype: options.Dtype = None
) -> None:
    """Find out, in a minute or two, how many pictures an hour this machine will make."""
    settings = load_settings(weights=weights, device=device, dtype=dtype)
    from pipeline.bench import print_speeds
    from pipeline.engines.stylizer import make_stylizer

    print_speeds(make_stylizer(settings))


def main(environment: Environment = Environment()) -> None:
    """Entry point. Exit codes: 0 all done, 1 something failed, 2 wrong usage, 128 + N ended by signal N."""
    # What Pillow finds odd in a picture that it decodes all the same does not belong into the log.
    warnings.filterwarnings("ignore", module="PIL")
    # A stream that was closed from the start is no reason not to work.
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: SIM115
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # file names may have characters that the encoding has not
            stream.reconfigure(errors="backslashreplace")
    try:
        app(obj=environment)
    except NSTError as error:
        print(f"nst-pipeline: {error}", file=sys.stderr)
        sys.exit(error.exit_code)


def _flags(context: typer.Context) -> dict[str, Any]:
    """The options of a command that are settings."""
    return {name: value for name, value in context.params.items() if name in Settings.model_fields}


def _times(schedule: str | None, settings: Settings) -> "Schedule | None":
    from pipeline.inbox.triggers import Schedule

    if settings.queue and schedule:
        raise UsageError("--queue does not go with --schedule; leave one of them out")
    return Schedule(schedule) if schedule else None


def _check_names(manifests: Sequence[Path], name: str | None) -> None:
    """Raises `UsageError` unless each manifest has a folder of the outbox to itself."""
    stems = {path.stem for path in manifests}
    if name is not None and len(manifests) > 1:
        raise UsageError("--name names the folder of one manifest; call this command once for each manifest")
    if len(stems) < len(manifests):
        raise UsageError("two manifests of the same name would write into one folder; rename one")
    try:
        plain_file_name(name or "name")
    except ValueError as error:
        raise UsageError(f"--name {name}: {str(error).replace('an id', 'a name')}") from None


def _opened(context: typer.Context, inbox: str | None, endpoint_url: str | None) -> Inbox:
    environment: Environment = context.obj
    settings = load_settings(inbox=inbox, endpoint_url=endpoint_url)
    store = environment.stores(settings).inbox(needed("inbox", settings.inbox))
    return Inbox(store, environment.timing)


def _for_each(names: Sequence[str], action: Callable[[str], None], done: str) -> None:
    """Do the same with all names; report errors at the end, so that a wrong name does not stop the others."""
    refused: list[NSTError] = []
    for name in names:
        try:
            action(name)
        except NSTError as error:
            refused.append(error)
        else:
            print(f"{printable(name)}: {done}")
    if refused:
        raise type(refused[0])("\n".join(map(str, refused)))

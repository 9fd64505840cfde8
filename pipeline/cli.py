"""The commands of `nst-pipeline`."""

import json
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from contextlib import closing
from functools import partial
from io import TextIOWrapper
from typing import Annotated

import typer

import nst
from nst.errors import NSTError
from pipeline import options
from pipeline.environment import Environment
from pipeline.errors import UsageError, needing, printable
from pipeline.inbox.inbox import Inbox
from pipeline.manifest.models import json_schema
from pipeline.outbox.outbox import Outbox
from pipeline.settings import Settings, load_settings, needed
from pipeline.usage import check_engine, check_idle, check_names, schedule_of

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
    memory: options.Memory = None,
    engine: options.Engine = None,
    ray_address: options.RayAddress = None,
    metrics_file: options.MetricsFile = None,
    metrics_port: options.MetricsPort = None,
) -> None:
    """Work on manifest files; their images are relative to each file's folder."""
    from pipeline.work import watch
    from pipeline.work.array_jobs import chosen_shard
    from pipeline.work.session import Session

    environment: Environment = context.obj
    settings = _settings(context)
    check_names(manifests, name, shard)
    part = None if shard is None else chosen_shard(shard, os.environ)
    stores = environment.stores(settings)
    target = Outbox(stores.outbox(needed("outbox", settings.outbox)))
    computing = environment.engine(settings, stores, environment.timing)
    with closing(environment.listener(settings)) as listener:
        session = Session(listener, environment.timing, settings.caps)
        code = watch.run(manifests, computing, target, stores, settings.allow, session, name, replace, part)
    raise typer.Exit(code)


@app.command()
def watch(
    context: typer.Context,
    inbox: options.Inbox = None,
    outbox: options.Outbox = None,
    allow: options.Allow = None,
    endpoint_url: options.Endpoint = None,
    once: options.Once = False,
    idle: options.Idle = None,
    schedule: options.Schedule = None,
    queue: options.Queue = None,
    poll: options.Poll = False,
    alone: options.Alone = False,
    weights: options.Weights = None,
    device: options.Device = None,
    dtype: options.Dtype = None,
    memory: options.Memory = None,
    engine: options.Engine = None,
    ray_address: options.RayAddress = None,
    metrics_file: options.MetricsFile = None,
    metrics_port: options.MetricsPort = None,
) -> None:
    """Work on manifests as they come into a folder or bucket; images come from there, too."""
    from pipeline.runner import make_runner, open_places
    from pipeline.work.session import Session

    environment: Environment = context.obj
    settings = _settings(context)
    times = schedule_of(schedule, settings)
    check_idle(idle, once, times)
    places = open_places(environment, settings)
    with closing(environment.listener(settings)) as listener:
        session = Session(listener, environment.timing, settings.caps)
        code = make_runner(environment, settings, places, session).run(once, times, idle)
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
    memory: options.Memory = None,
    engine: options.Engine = None,
    ray_address: options.RayAddress = None,
) -> None:
    """Work as `watch` does, and take requests over HTTP; they become manifests in the inbox."""
    packages = ("fastapi", "prometheus_client", "starlette", "uvicorn")
    with needing("serve", packages, "`serve` needs packages that are not installed ({})"):
        from pipeline.serve import serve

    environment: Environment = context.obj
    settings = _settings(context)
    times = schedule_of(schedule, settings)
    with closing(environment.listener(settings)) as listener:
        code = serve(environment, settings, times, listener)
    raise typer.Exit(code)


@app.command()
def validate(
    context: typer.Context,
    manifests: options.Manifests,
    outbox: options.Outbox = None,
    allow: options.Allow = None,
    endpoint_url: options.Endpoint = None,
    device: options.Device = None,
    dtype: options.Dtype = None,
    memory: options.Memory = None,
) -> None:
    """Check manifests and every image they name, without working on them."""
    from pipeline.check import check, listed, memory_of

    settings = _settings(context)
    stores = context.obj.stores(settings)
    results = Outbox(stores.open(settings.outbox)) if settings.outbox else None
    failed, fits = False, memory_of(settings, partial(print, "warning:"))
    for path in manifests:
        place = printable(str(path))
        warn = partial(print, f"{place}: warning:")
        pairs, problems = check(path, stores, settings.allow, results, settings.caps, warn, fits)
        valid = f"valid, {pairs} pair{'s' * (pairs > 1)}"
        for text in listed(problems) or [valid]:
            print(f"{place}: {text.removeprefix(f'{printable(path.name)}: ')}")
        failed |= bool(problems)
    raise typer.Exit(int(failed))


@app.command()
def schema() -> None:
    """Print the JSON Schema of manifests, for editors."""
    print(json.dumps(json_schema(), indent=2))


@app.command()
def status(
    context: typer.Context,
    inbox: options.Inbox = None,
    outbox: options.Outbox = None,
    endpoint_url: options.Endpoint = None,
) -> None:
    """List what waits, is worked on, is done, and has failed; with --outbox, how far sharded runs are."""
    from pipeline.outbox.progress import progress
    from pipeline.status import print_status

    settings = _settings(context)
    sharded = None
    # The variable alone does not count beside an inbox: in most outboxes there are no shards to search for.
    if settings.outbox and (outbox or not settings.inbox):
        store = context.obj.stores(settings).open(settings.outbox)
        if not store.exists():
            raise UsageError(f"outbox {settings.outbox}: no such folder")
        sharded = progress(store)
    asked = settings.inbox or sharded is None
    print_status(_opened(context.obj, settings).status() if asked else None, sharded)


@app.command()
def retry(
    context: typer.Context,
    names: options.Names,
    inbox: options.Inbox = None,
    endpoint_url: options.Endpoint = None,
) -> None:
    """Put failed manifests back into the inbox; only their failed pairs are done again."""
    _for_each(names, partial(_opened(context.obj, _settings(context)).retry, listed={}), "waiting again")


@app.command()
def cancel(
    context: typer.Context,
    names: options.Names,
    inbox: options.Inbox = None,
    endpoint_url: options.Endpoint = None,
) -> None:
    """Stop work on manifests and move them to failed/; pairs that are done stay."""
    _for_each(names, partial(_opened(context.obj, _settings(context)).cancel, listed={}), "cancelled")


@app.command()
def bench(
    context: typer.Context,
    weights: options.Weights = None,
    device: options.Device = None,
    dtype: options.Dtype = None,
) -> None:
    """Find out, in a minute or two, how many pictures an hour this machine will make."""
    settings = _settings(context)
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


def _settings(context: typer.Context) -> Settings:
    """The settings of a command: its options, or else variables. Raises `UsageError`."""
    flags = {name: value for name, value in context.params.items() if name in Settings.model_fields}
    settings = load_settings(**flags)
    check_engine(flags.get("ray_address"), settings)
    return settings


def _opened(environment: Environment, settings: Settings) -> Inbox:
    store = environment.stores(settings).inbox(needed("inbox", settings.inbox))
    return Inbox(store, environment.timing, warn=lambda text: print(f"warning: {text}", file=sys.stderr))


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
        together = NSTError("\n".join(map(str, refused)))
        together.exit_code = max(error.exit_code for error in refused)
        raise together

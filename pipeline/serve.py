"""What `serve` does: a runner with an HTTP door, or the door alone."""

from collections.abc import Callable

from nst.errors import NSTError
from pipeline.environment import Environment
from pipeline.events.listener import FanOut, Listener, Note
from pipeline.events.metrics import Metrics
from pipeline.inbox.triggers import Schedule
from pipeline.runner import make_runner, open_places
from pipeline.server.access import access_of
from pipeline.server.app import make_app
from pipeline.server.door import Door
from pipeline.server.hub import Hub
from pipeline.server.serving import Serving, bound
from pipeline.settings import Settings, shown_address
from pipeline.work.session import Session
from pipeline.work.signals import supervise


def serve(environment: Environment, settings: Settings, schedule: Schedule | None, listener: Listener) -> int:
    """Serve until a signal comes; returns the exit code. Raises `UsageError`, `StoreError`."""
    access, hub, metrics = access_of(settings), Hub(), Metrics()
    session = Session(FanOut([metrics, listener, hub]), environment.timing, settings.caps)
    work = _work(environment, settings, schedule, session)
    listening = bound(settings.host, settings.port)
    door = _door(environment, settings, session, hub, metrics)
    serving = Serving(make_app(door, access), listening, hub, session)
    serving.start()
    host, port = listening.getsockname()[:2]
    session.listener.hear(Note("serving", details={"url": f"http://{shown_address(host, port)}"}))
    try:
        code = work()
    finally:
        session.end_soon()
        serving.join()
    if serving.failure:
        raise NSTError(f"the HTTP server has failed: {serving.failure!r}")
    return code


def _work(
    environment: Environment, settings: Settings, schedule: Schedule | None, session: Session
) -> Callable[[], int]:
    """Works until a signal comes; with `--no-work`, only waits for it."""
    places = open_places(environment, settings)
    if settings.no_work:
        return lambda: supervise(session, session.stop.wait, [], [])
    runner = make_runner(environment, settings, places, session)
    return lambda: runner.run(once=False, schedule=schedule)


def _door(environment: Environment, settings: Settings, session: Session, hub: Hub, metrics: Metrics) -> Door:
    # Imports torch, which takes seconds, by the decoder.
    from pipeline.engines.intake import small_picture, suffix_of_image

    # Opened once more: a store remembers what the runner has listed last.
    places = open_places(environment, settings)

    return Door(
        inbox=places.inbox,
        outbox=places.outbox,
        sources=places.stores.sources(places.inbox.url, settings.allow, places.outbox.results_among),
        settings=settings,
        session=session,
        hub=hub,
        metrics=metrics,
        suffix_of=lambda data: suffix_of_image(data, settings.caps.pixels),
        small=small_picture,
        works=not settings.no_work,
    )

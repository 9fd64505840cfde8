"""What has become of a request for one picture, and waiting for it."""

import asyncio
from collections.abc import Awaitable, Callable

from pipeline.errors import StoreError
from pipeline.server.door import Door
from pipeline.server.hub import Followed, Outcome
from pipeline.server.states import why_failed
from pipeline.server.taking import PAIR

_SLOWER = 1.5  # the factor by which the wait between two looks at the stores grows
_WITH_FAILURES = 3  # one look in so many is also for a failure, which takes up to two requests


async def outcome_of(
    door: Door, name: str, followed: Followed, seconds: float, gone: Callable[[], Awaitable[None]]
) -> Outcome | None:
    """Wait until a request ends; none after so many seconds, when the door stops, or when `gone` returns.

    A runner of this process wakes the wait. The stores are looked at as well, because another runner may
    have taken the manifest.
    """
    leaving = asyncio.ensure_future(gone())
    leaving.add_done_callback(lambda _: followed.alarm.ring())
    pause, longest = _pauses(door)
    loop, looks = asyncio.get_running_loop(), 0
    until = loop.time() + seconds
    try:
        while not (door.session.stop.is_set() or leaving.done()):
            left = until - loop.time()
            rung = left > 0 and await followed.alarm.wait(min(pause, left))
            if followed.outcome:
                return followed.outcome
            if rung:
                continue
            looks, pause = looks + 1, min(_SLOWER * pause, longest)
            if found := await _look(door, name, failures=left <= 0 or looks % _WITH_FAILURES == 0):
                return found
            if left <= 0:
                return None
        return None
    finally:
        leaving.cancel()


async def _look(door: Door, name: str, failures: bool) -> Outcome | None:
    """What the stores say of a request; none if it has not ended, or if they cannot be used now.

    Without `failures`, only whether it is done: that takes one request where a store is a bucket.
    """

    def found() -> Outcome | None:
        if record := door.outbox.record(name, PAIR):
            return Outcome(record)
        problems = why_failed(door.inbox, name) if failures else []
        return Outcome(problems=problems) if problems else None

    try:
        return await door.read(found)
    except StoreError:
        return None


def _pauses(door: Door) -> tuple[float, float]:
    """Seconds before the first look, and between two of them at most."""
    timing = door.session.timing
    if not door.outbox.store.atomic:
        return (timing.look_last if door.works else timing.look), timing.look_last
    return (timing.look_bucket_last if door.works else timing.look_bucket), timing.look_bucket_last

"""Events of a door without a runner: what changes in the inbox while somebody listens."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager

from pipeline.errors import UNEXPECTED, StoreError
from pipeline.server.hub import Hub
from pipeline.server.states import State

Listed = Mapping[State, Iterable[str]]

# A manifest that comes again is in two states. The last one counts, as in `state_of`.
_BY_WEIGHT: tuple[State, ...] = ("done", "failed", "waiting", "processing")


class Watching:
    """Compares listings of the inbox, and reports each manifest that is in another state than before.

    There is one task for all who listen. It ends with the last of them, so that nothing is listed then.
    """

    def __init__(
        self,
        listed: Callable[[], Awaitable[Listed]],
        hub: Hub,
        seconds: float,
        warn: Callable[[str], None],
    ) -> None:
        """`listed` gives the names of all manifests by state; it is called every so many seconds.

        `warn` reports an error that is not about a store.
        """
        self._listed, self._hub, self._seconds, self._warn = listed, hub, seconds, warn
        self._listeners = 0
        self._task: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def active(self) -> AsyncIterator[None]:
        """Report changes while the block runs."""
        self._listeners += 1
        if self._task is None:
            self._task = asyncio.create_task(self._watch())
        try:
            yield
        finally:
            self._listeners -= 1
            if not self._listeners and self._task:
                self._task.cancel()
                self._task = None

    async def _watch(self) -> None:
        earlier: dict[str, State] | None = None
        while True:
            try:
                found = await self._listed()
                now = {name: state for state in _BY_WEIGHT for name in found[state]}
                if earlier is not None:
                    self._report(earlier, now)
                earlier = now
            except StoreError:
                pass  # a later listing shows what has changed
            except Exception as error:
                self._warn(f"the list of manifests: {UNEXPECTED}: {error!r}")
            await asyncio.sleep(self._seconds)

    def _report(self, earlier: dict[str, State], now: dict[str, State]) -> None:
        for name, state in now.items():
            if earlier.get(name) != state:
                self._hub.say(name, f"manifest {state}", {"level": "info", "manifest": name})
        for name in earlier.keys() - now.keys():
            self._hub.say(name, "manifest removed", {"level": "info", "manifest": name})

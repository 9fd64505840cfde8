"""A runner that ends by itself while manifests go on coming."""

from collections.abc import Callable

from pipeline.engines.fake import FakeEngine
from pipeline.inbox.inbox import Inbox
from pipeline.inbox.triggers import Trigger
from pipeline.outbox.outbox import Outbox
from pipeline.work.watch import Watch
from tests.pipeline.work.conftest import Shop

UPLOADS = 5


class Uploads(Trigger):
    """With each call of `collect`, one more manifest is there. `open` counts those that are not done then."""

    def __init__(self, shop: Shop) -> None:
        self._shop, self._names, self.open = shop, [f"m{number}" for number in range(UPLOADS)], list[int]()

    @property
    def pending(self) -> bool:
        return True

    def collect(self) -> bool:
        self.open.append(len(self._shop.manifests("")) + len(self._shop.manifests("processing")))
        if not self._names:
            return False
        self._shop.drop(self._names.pop(0))
        return True


def test_uploads_that_do_not_cease_are_worked_on(shop: Callable[..., Shop]) -> None:
    runner = shop()
    trigger = Uploads(runner)
    engine = FakeEngine(runner.stores)
    watch = Watch(
        Inbox(runner.inbox), engine, Outbox(runner.outbox), runner.stores, [], trigger, runner.session
    )
    assert watch.run(once=False, schedule=None, idle=0.0) == 0
    assert len(runner.manifests("done")) == UPLOADS
    assert trigger.open == [0] * (UPLOADS + 1)

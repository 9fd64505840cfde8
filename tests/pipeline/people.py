"""What people do with an inbox at random moments: they upload, cancel and retry manifests of a few names."""

import json
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable

from nst.errors import NSTError
from pipeline.errors import StoreError
from pipeline.inbox.inbox import Inbox
from pipeline.stores.aws import connect
from pipeline.stores.opening import Stores
from tests.pipeline.box import Box
from tests.pipeline.signed import LIMIT

NAMES, PAIRS = ("a", "b", "c"), ("p0", "p1", "p2")
_ACTIVE = 0.4  # probability of each action, whenever there is an opportunity
_SOON = 0.1  # seconds after which a command is killed, at most; half of them are not


class People:
    """Uses one box. `version` has the seed of the document that was uploaded last under each name."""

    def __init__(self, box: Box, chance: random.Random, counts: Counter[str]) -> None:
        self._box, self._chance, self._counts = box, chance, counts
        self.version = dict.fromkeys(NAMES, 1)

    def fill(self) -> None:
        """Upload the images, and the first documents."""
        self._box.fill([], [])
        for name in NAMES:
            self._upload(name)

    def act(self) -> None:
        """Perhaps do something with one of the manifests."""
        if self._chance.random() < _ACTIVE:
            name = self._chance.choice(NAMES)
            upload = self._chance.choice([self._upload, self._upload_other])
            self._chance.choice([upload, self._cancel, self._retry])(name)

    def retry_all(self) -> dict[str, str]:
        """Retry all that has failed, while no runner is there; the error of each.

        What was cancelled may be an earlier document, of which a later one is done. The later one is then
        uploaded again.
        """
        failed = Inbox(self._box.inbox).status().failed
        for name in failed:
            Inbox(self._box.inbox).retry(name)
            if self._box.inbox.read(f"{name}.json", LIMIT) != self.document(name):
                self._upload(name)
        return failed

    def document(self, name: str) -> bytes:
        """What was uploaded last under a name."""
        images = {"content": "a.png", "style": "b.png", "max_size": 32, "seed": self.version[name]}
        return json.dumps({"pairs": [{"id": pair, **images} for pair in PAIRS]}).encode()

    def _upload(self, name: str) -> None:
        self._counts["uploads"] += 1
        self._box.inbox.write(f"{name}.json", self.document(name))

    def _upload_other(self, name: str) -> None:
        self.version[name] += 1
        self._upload(name)

    def _cancel(self, name: str) -> None:
        self._counts["cancelled"] += self._command(lambda inbox: inbox.cancel(name))

    def _retry(self, name: str) -> None:
        """Retry the document that was uploaded last; nobody wants an earlier one back."""
        try:
            failed = self._box.inbox.read(f"failed/{name}.json", LIMIT)
        except StoreError:
            return
        if failed == self.document(name):
            self._counts["retried"] += self._command(lambda inbox: inbox.retry(name))

    def _command(self, action: Callable[[Inbox], None]) -> bool:
        """Run a command in a process that is killed soon, or not; whether it has ended as it should."""
        begun, report_begun = os.pipe()
        child = os.fork()
        if not child:
            try:
                box = self._box
                client = connect("s3", box.endpoint_url) if box.endpoint_url else None
                inbox = Inbox(Stores(box.endpoint_url, client=client).inbox(box.inbox.url), box.timing)
                os.write(report_begun, b".")
                action(inbox)
            except NSTError:
                os._exit(1)  # for example, there is no such manifest any more
            finally:
                os._exit(0)
        os.close(report_begun)
        os.read(begun, 1)
        os.close(begun)
        if self._chance.random() < 0.5:
            time.sleep(self._chance.uniform(0, _SOON))
            os.kill(child, signal.SIGKILL)
        return os.waitpid(child, 0)[1] == 0

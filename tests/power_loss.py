"""Replays a power loss after every step of a runner at a folder, and counts broken promises.

It records which names and contents a runner changes and when it synchronises them. From each beginning of
this record follow the states in which the disk may be after a power loss; see `tests.disk`. In each state, no
manifest may be lost, and no file may be torn or described wrongly. From each state a runner must be able to
do all that is left.

python -m tests.power_loss [EVERY]

EVERY is how many states come to one from which a runner does the rest; by default that is every state.
"""

import hashlib
import io
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from unittest import mock

from PIL import Image

from pipeline.engines.base import Finished, Outcome
from pipeline.engines.fake import FakeEngine
from pipeline.events.recording import RecordingListener
from pipeline.inbox.inbox import Inbox
from pipeline.inbox.triggers import Trigger
from pipeline.outbox.outbox import Outbox
from pipeline.stores.folder import FolderStore
from pipeline.stores.memory import MemoryStore
from pipeline.stores.opening import Stores
from pipeline.timing import Timing
from pipeline.work.session import Session
from pipeline.work.watch import Watch
from tests.disk import Disk, State, Step
from tests.pipeline.outcome import assert_whole
from tests.recorder import recorded

MANIFESTS = ("m", "n")
PAIRS = {"p0": "a.png", "p1": "c.png"}  # content images
RECORDS = {f"out/{name}/{pair}.json" for name in MANIFESTS for pair in PAIRS}
QUICK = Timing(settled=0.0, scan=0.0, scan_rest=0.0, lock_renewal=0.01)
MOST = 3  # runners that may be needed to do all that is left


class Painter(FakeEngine):
    """Gives back a picture and a loss log that depend on the inputs."""

    def take(self) -> Outcome | None:
        outcome = super().take()
        if not isinstance(outcome, Finished):
            return outcome
        digest, file = outcome.record.input_digest, io.BytesIO()
        Image.new("RGB", (32, 32), f"#{digest[:6]}").save(file, "PNG")
        log = json.dumps({"step": 1, "total": digest}).encode() + b"\n"
        return replace(outcome, picture=file.getvalue(), loss_log=log)


Open = Callable[[Path, Timing], FolderStore]


def work(root: Path, open_outbox: Open = FolderStore) -> int:
    """Run a runner until nothing is left in the inbox; its exit code."""
    stores, session = Stores(timing=QUICK), Session(RecordingListener(), QUICK)
    inbox = Inbox(FolderStore(root / "in", QUICK), QUICK)
    outbox = Outbox(open_outbox(root / "out", QUICK))
    return Watch(inbox, Painter(stores), outbox, stores, [], Trigger(), session).run(once=True, schedule=None)


def fill(root: Path) -> None:
    """Make an inbox with two manifests and their images, and an empty outbox."""
    inbox = FolderStore(root / "in")
    for store in (inbox, FolderStore(root / "out")):
        store.make()
    for image in ("a.png", "b.png", "c.png"):
        inbox.write(image, image.encode())
    pairs = [{"id": pair, "content": image, "style": "b.png"} for pair, image in PAIRS.items()]
    for seed, name in enumerate(MANIFESTS):
        inbox.write(f"{name}.json", json.dumps({"defaults": {"seed": seed}, "pairs": pairs}).encode())


def fill_again(root: Path) -> None:
    """The same, after all was done. One image has changed since, and the manifests are there again."""
    fill(root)
    work(root)
    inbox = FolderStore(root / "in")
    inbox.write("c.png", b"changed")
    for name in MANIFESTS:
        inbox.move(f"done/{name}.json", f"{name}.json")


def fill_incompletely(root: Path) -> None:
    """The same as `fill`, but one image is missing."""
    fill(root)
    (root / "in" / "c.png").unlink()


def correct(root: Path) -> None:
    """Write the missing image, and put all manifests that have failed back."""
    FolderStore(root / "in").write("c.png", b"c.png")
    inbox = Inbox(FolderStore(root / "in", QUICK))
    for name in inbox.status().failed:
        inbox.retry(name)


def work_by_hand(root: Path, open_outbox: Open) -> int:
    """Claim and hand back, cancel, let manifests fail, correct them, and let a runner do the rest."""
    inbox = Inbox(FolderStore(root / "in", QUICK))
    if claimed := inbox.claim("m"):
        claimed.release()
    inbox.cancel("m")
    inbox.retry("m")
    work(root, open_outbox)
    correct(root)
    return work(root, open_outbox)


@dataclass(frozen=True)
class Scenario:
    """What is recorded: `act`, in the folder that `prepare` has filled."""

    name: str
    prepare: Callable[[Path], None]
    act: Callable[[Path, Open], int]


SCENARIOS = (
    Scenario("two manifests are done", fill, work),
    Scenario("two manifests are done again, with another image", fill_again, work),
    Scenario(
        "a claim is handed back; manifests fail, are corrected and done", fill_incompletely, work_by_hand
    ),
)


@dataclass
class Replay:
    """A recorded scenario and the judgement of what a power loss leaves."""

    disk: Disk
    steps: list[Step]
    end: dict[str, bytes]  # files by path
    states: int = 0
    restarts: int = 0  # runners that did the rest after a power loss
    violations: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._versions = self.disk.versions(self.steps)
        self._digests = {path: _record(data) for path, data in self.end.items() if path in RECORDS}

    def run(self, steps: list[Step] | None = None, every: int = 1, enough: int = sys.maxsize) -> None:
        """Judge all states, until there are `enough` violations. In one of `every`, runners do the rest."""
        for state in self.disk.states(self.steps if steps is None else steps):
            self.states += 1
            found = [*self._wrong(dict(state.files))]
            if not found and self.states % every == 0:
                self.restarts += 1
                found = [*self._wrong_in_the_end(state)]
            self.violations += found
            if len(self.violations) >= enough:
                return

    def _wrong(self, files: dict[str, bytes]) -> Iterable[str]:
        """What is wrong in one state of the disk."""
        for path, data in files.items():
            if not _is_hidden(path) and data not in self._versions[path]:
                yield f"{path} is torn: {data[:40]!r}"
        for name in MANIFESTS:
            yield from self._wrong_of(name, files)
        for path, data in files.items():
            key = path.removesuffix(".json")
            if path in RECORDS and not _is_whole(
                data, files.get(f"{key}.png"), files.get(f"{key}.loss.jsonl")
            ):
                yield f"{path} does not describe the files beside it"

    def _wrong_of(self, name: str, files: dict[str, bytes]) -> Iterable[str]:
        places = {place: f"in/{place}{name}.json" for place in ("", "processing/", "done/", "failed/")}
        if not any(path in files for path in places.values()):
            yield f"{name}.json is lost"
        if places["failed/"] in files and f"in/failed/{name}.error.json" not in files:
            yield f"{name}.json has failed without an error file"
        if places["done/"] in files:
            for pair in PAIRS:
                path = f"out/{name}/{pair}.json"
                if path not in files or _record(files[path]) != self._digests[path]:
                    yield f"{name}.json is done without the record {path}"

    def _wrong_in_the_end(self, state: State) -> Iterable[str]:
        """What is wrong after runners have done the rest."""
        with tempfile.TemporaryDirectory() as folder, mock.patch.object(os, "fsync", lambda file: None):
            root = Path(folder)
            state.write(root)
            for _ in range(MOST):
                if work(root) and (root / "in" / "c.png").exists():
                    yield "a runner ends with an error after a restart"
                status = Inbox(FolderStore(root / "in")).status()
                if set(status.done) == set(MANIFESTS) and not (status.waiting or status.processing):
                    break
                correct(root)
            files = _files(root)
        yield from self._wrong(files)
        for path in self.end:
            if not _is_hidden(path) and path not in files:
                yield f"{path} is missing after a restart"
        for path in files:
            if not _is_hidden(path) and path not in self.end:
                yield f"{path} is left over after a restart"


def record(scenario: Scenario, open_outbox: Open = FolderStore) -> Replay:
    """Run a scenario in a temporary folder."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        scenario.prepare(root)
        with recorded(root) as (disk, steps):
            code = scenario.act(root, open_outbox)
        assert code == 0, scenario.name
        return Replay(disk, steps, _files(root))


def _files(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def _is_hidden(path: str) -> bool:
    """Whether it is a lock or a temporary file, which nobody reads but the next holder of the lock."""
    return path.rpartition("/")[2].startswith(".")


def _record(data: bytes) -> str:
    """The digest of the inputs in a record; empty if the record is torn."""
    try:
        return str(json.loads(data)["input_digest"])
    except (ValueError, LookupError):
        return ""


@cache
def _is_whole(record: bytes, picture: bytes | None, log: bytes | None) -> bool:
    """Whether these are the files that the record describes."""
    if not picture or not log or not _record(record):
        return False
    outbox = MemoryStore("power-loss")
    for end, data in ((".json", record), (".png", picture), (".loss.jsonl", log)):
        outbox.write(f"m/p{end}", data)
    assert_whole(outbox, "m/p")
    tags = json.loads(record)["tags"].values()
    return {f"sha256:{hashlib.sha256(data).hexdigest()}" for data in (picture, log)} == set(tags)


def main() -> None:
    """Print what was tried."""
    every, bad = int(sys.argv[1]) if len(sys.argv) > 1 else 1, list[str]()
    print("| scenario | steps | states | restarts | violations |")
    print("|---|---|---|---|---|")
    for scenario in SCENARIOS:
        replay = record(scenario)
        replay.run(every=every)
        cells = [len(replay.steps), replay.states, replay.restarts, len(replay.violations)]
        print(f"| {scenario.name} | {' | '.join(map(str, cells))} |", flush=True)
        bad += [f"{scenario.name}: {text}" for text in replay.violations]
    print("\n".join(bad))
    sys.exit(bool(bad))


if __name__ == "__main__":
    main()

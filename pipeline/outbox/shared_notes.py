"""What the shards of one manifest note in its folder of the outbox, for each other and for `status`.

    NAME/.shards/plan.json                     what is divided, and into how many shards; by the first one
    NAME/.shards/ids-DIGEST.json               the ids of all pairs, in the order of the manifest
    NAME/.shards/failed-DIGEST-3-of-16.json    the pairs of this shard that failed, mostly none; by its end

The last file marks the end of a shard, also if the list in it is empty. DIGEST is the beginning of the digest
of all pairs. A file with another one, or one that is older than the plan, is of a plan that was replaced.
Which pairs are done, the records say. A record that is older than the plan may be of other parameters: it
counts once its shard has ended.
"""

import hashlib
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from pipeline.errors import (
    ConflictError,
    NotFoundError,
    Problem,
    StoreError,
    UsageError,
    printable,
    read_problems,
)
from pipeline.manifest.models import MOST_PAIRS, Pair
from pipeline.manifest.shard import Shard
from pipeline.outbox.record import record_name
from pipeline.outbox.result_folder import ResultFolder, waiting_for_outbox
from pipeline.stores.base import PARTS, Entry, Store

_FORMAT = 1
_PLAN = "plan.json"
_IDS = TypeAdapter(list[str])
_LONGEST = 2**28  # bytes of each of these files
_DIGITS = 12  # of `Plan.short_digest`


class Plan(BaseModel):
    """What is divided: the pairs of one expansion. `digest` is that of `digest_of`."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    format: int = _FORMAT
    digest: str
    pairs: int
    shards: int = Field(ge=1, le=MOST_PAIRS)
    manifest: str  # the place of the document, as in `Outbox.origin`

    def __str__(self) -> str:
        return (
            f"{self.pairs:,} pairs of {self.manifest} in {self.shards:,} shards (digest {self.short_digest})"
        )

    @property
    def short_digest(self) -> str:
        """The first digits of `digest`, for the names of files and for messages."""
        return self.digest[:_DIGITS]


@dataclass(frozen=True)
class Ends:
    """What the shards of one plan have noted at their ends, and the results that there are."""

    failed: dict[str, Problem]
    """The pairs that have failed, by id."""
    files: Sequence[Entry]
    """The notes of the shards that have ended since the plan was noted."""
    results: Mapping[str, Entry]
    begun: float
    """When the plan was noted, in seconds since the epoch."""
    ended: Sequence[bool]
    """For each shard whether it has such a note."""

    def done(self, ids: Sequence[str]) -> list[str]:
        """The pairs that are done; `ids` are all of them, in the order of the manifest."""
        return [pair for index, pair in enumerate(ids) if self._is_done(pair, index % len(self.ended))]

    def _is_done(self, pair: str, shard: int) -> bool:
        record = self.results.get(record_name(pair))
        if record is None or pair in self.failed:
            return False
        return self.ended[shard] or record.modified >= self.begun


def digest_of(pairs: Iterable[Pair]) -> str:
    """The SHA-256 of everything that says what is computed, and in which order."""
    digest = hashlib.sha256()
    for pair in pairs:
        digest.update(pair.model_dump_json(exclude={"place"}).encode() + b"\n")
    return digest.hexdigest()


class SharedNotes:
    """Reads and writes these files. All methods may raise `StoreError`."""

    def __init__(self, store: Store, manifest: str) -> None:
        self._store, self._manifest = store, manifest

    def plan(self) -> Plan | None:
        """The plan that was noted; none if there is none. Raises `UsageError` for one of another version."""
        key = f"{self._manifest}/{PARTS}/{_PLAN}"
        try:
            plan = Plan.model_validate_json(self._store.read(key, _LONGEST))
        except NotFoundError:
            return None
        except ValidationError:
            plan = None
        if plan is None or plan.format != _FORMAT:
            raise UsageError(
                f"{self._store.url}/{key}: is damaged, or of a newer version of this program; delete it if "
                "no shard works any more"
            )
        return plan

    def ids(self, plan: Plan) -> list[str]:
        """The ids of all pairs. Raises `UsageError` if the file with them is missing or damaged."""
        key = self._ids_key(plan)
        try:
            return _IDS.validate_json(self._store.read(key, _LONGEST))
        except (NotFoundError, ValidationError):
            raise UsageError(
                f"{self._store.url}/{key}: is missing or damaged; delete {_PLAN} beside it if no shard works "
                "any more, and repeat any shard, which writes both again"
            ) from None

    def join(self, plan: Plan, ids: Sequence[str], replace: bool) -> None:
        """Note what is divided, unless another shard has done so.

        Raises `UsageError` if that one divides something else, unless `replace` is true.
        """
        found = self.plan() or self._create(plan, ids)
        if plan == found:
            return
        if not replace:
            raise UsageError(
                printable(
                    f"{self._store.url}/{self._manifest}: shards of something else have begun there, "
                    f"{found}, and this one is of {plan}; give all of them the same manifest, images and "
                    "number of shards, or another folder with --name NAME, or --replace if none of the "
                    "others works any more"
                )
            )
        self._put_ids(plan, ids)
        self._store.write(f"{self._manifest}/{PARTS}/{_PLAN}", plan.model_dump_json().encode())

    def note_end(self, plan: Plan, shard: Shard, problems: Sequence[Problem], folder: ResultFolder) -> None:
        """Note that a shard has ended, and which of its pairs have failed.

        `folder` is that of the same manifest.
        """
        name = f"failed-{plan.short_digest}-{shard.number}-of-{shard.count}.json"
        text = json.dumps([problem.to_json() for problem in problems]).encode()
        with waiting_for_outbox():
            files, _ = self._files(plan)
            earlier = files.get(shard.number)
            # A note of no failures stays as it is: a newer one would let the page be written again.
            if problems or earlier is None or earlier.size != len(text):
                seen = folder.tag(f"{PARTS}/{name}")
                folder.put(f"{PARTS}/{name}", text, seen)

    def ends(self, plan: Plan, results: Mapping[str, Entry]) -> Ends:
        """What the shards of this plan have noted at their ends.

        `results` are the entries of the manifest's folder, by name. A pair that was noted as failed, and
        whose record is newer than the note, has been done since. Raises `StoreError` if a file is damaged.
        """
        with waiting_for_outbox():
            files, begun = self._files(plan)
        failed = dict[str, Problem]()
        for number, file in files.items():
            if file.size == len("[]"):
                continue  # it is not read: there may be thousands of such files
            for each in self._failed(file.name, f"{number}/{plan.shards}"):
                record = results.get(record_name(str(each.id)))
                if record is None or record.modified <= file.modified:
                    failed[str(each.id)] = each
        ended = [number in files for number in range(1, plan.shards + 1)]
        return Ends(failed, list(files.values()), results, begun, ended)

    def _failed(self, name: str, shard: str) -> list[Problem]:
        """What the note of a shard says about its failed pairs; nothing if it is not there any more."""
        key = f"{self._manifest}/{PARTS}/{name}"
        with waiting_for_outbox():
            try:
                data = self._store.read(key, _LONGEST)
            except NotFoundError:
                return []
        try:
            return read_problems(json.loads(data))
        except (ValueError, RecursionError):
            raise StoreError(
                f"{self._store.url}/{key}: damaged; delete it, and repeat shard {shard}"
            ) from None

    def _files(self, plan: Plan) -> tuple[dict[int, Entry], float]:
        """The notes of shards that have ended since the plan, by number of shard; the time of the plan."""
        listed = list(self._store.entries(f"{self._manifest}/{PARTS}"))
        begun = min((entry.modified for entry in listed if entry.name == _PLAN), default=math.inf)
        name = re.compile(rf"failed-{re.escape(plan.short_digest)}-(\d+)-of-{plan.shards}\.json")
        files = [(name.fullmatch(entry.name), entry) for entry in listed if entry.modified >= begun]
        return {int(match[1]): entry for match, entry in files if match}, begun

    def _create(self, plan: Plan, ids: Sequence[str]) -> Plan:
        """Note the plan; the one that is there now, which another shard may have noted before."""
        self._put_ids(plan, ids)
        with suppress(ConflictError):  # another shard has noted one
            key = f"{self._manifest}/{PARTS}/{_PLAN}"
            self._store.replace(key, plan.model_dump_json().encode(), None)
        return self.plan() or plan

    def _put_ids(self, plan: Plan, ids: Sequence[str]) -> None:
        self._store.write(self._ids_key(plan), json.dumps(list(ids)).encode())

    def _ids_key(self, plan: Plan) -> str:
        return f"{self._manifest}/{PARTS}/ids-{plan.short_digest}.json"

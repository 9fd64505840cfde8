"""The log: one JSON object a line, for log collectors."""

import json
import threading
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TextIO

from pipeline.errors import Problem
from pipeline.events.streams import Forgiving
from pipeline.outbox.outbox import Record

if TYPE_CHECKING:
    from nst.result import Evaluation


class JsonLines:
    """One JSON object a line, for log collectors."""

    def __init__(self, out: TextIO) -> None:
        self._out, self._lock = Forgiving(out), threading.Lock()

    def manifest_started(self, manifest: str, pairs: int) -> None:
        self._log("manifest started", manifest=manifest, pairs=pairs)

    def evaluated(self, manifest: str, pair: str, evaluation: "Evaluation") -> None:
        if evaluation.step == 1:
            self._log("pair started", manifest=manifest, pair=pair)

    def pair_done(self, manifest: str, record: Record, computed: bool) -> None:
        event = "pair done" if computed else "pair done already"
        total, seconds = round(record.losses.total, 3), round(record.seconds, 3)
        self._log(event, manifest=manifest, pair=record.id, total=total, seconds=seconds)

    def failed(self, manifest: str, problem: Problem) -> None:
        event = "pair failed" if problem.id else "manifest refused"
        self._log(event, level="error", manifest=manifest, **problem.to_json())

    def manifest_ended(self, manifest: str, problems: int, page: str | None = None) -> None:
        event, level = ("manifest failed", "error") if problems else ("manifest done", "info")
        where = {"page": page} if page else {}
        self._log(event, level=level, manifest=manifest, problems=problems, **where)

    def note(self, message: str, **details: Any) -> None:
        self._log(message, **details)

    def close(self) -> None:
        pass

    def _log(self, event: str, level: str = "info", **details: Any) -> None:
        time = datetime.now(UTC).isoformat(timespec="milliseconds")
        line = json.dumps({"time": time, "level": level, "event": event, **details})
        with self._lock:
            print(line, file=self._out, flush=True)

"""The log: one JSON object a line, for log collectors."""

import json
import math
import threading
from datetime import UTC, datetime
from typing import Any, TextIO

from pipeline.events.listener import (
    BatchBegan,
    BatchEnded,
    Evaluated,
    Event,
    Failed,
    Level,
    ManifestEnded,
    ManifestLeft,
    ManifestStarted,
    Note,
    PairDone,
    Scanned,
    StoreUnavailable,
    TileComputed,
    WatchBegan,
)
from pipeline.events.streams import Forgiving

Line = tuple[str, Level, dict[str, Any]]


class JsonLines:
    """Writes events to a stream. `docs/operations.md` lists the lines."""

    def __init__(self, out: TextIO) -> None:
        self._out, self._lock = Forgiving(out), threading.Lock()

    def hear(self, event: Event) -> None:
        line = line_of(event)
        if line is None:
            return
        name, level, details = line
        time = datetime.now(UTC).isoformat(timespec="milliseconds")
        text = json.dumps({"time": time, "level": level, "event": name, **details})
        with self._lock:
            # As one text, so that an unbuffered stream gets whole lines even if others write to it as well.
            self._out.write(f"{text}\n")
            self._out.flush()

    def close(self) -> None:
        pass


def line_of(event: Event) -> Line | None:
    """Name, level and details of an event; none for one that is not logged."""
    match event:
        case ManifestStarted(manifest, pairs):
            return "manifest started", "info", {"manifest": manifest, "pairs": pairs}
        case Evaluated(manifest, pair, evaluation):
            if evaluation.step > 1:
                return None
            return "pair started", "info", {"manifest": manifest, "pair": pair}
        case PairDone(manifest, record, computed):
            total, seconds = _rounded(record.losses.total), round(record.seconds, 3)
            details = {"manifest": manifest, "pair": record.id, "total": total, "seconds": seconds}
            if record.node:
                details["node"] = record.node
            return "pair done" if computed else "pair done already", "info", details
        case Failed(manifest, problem):
            name = "pair failed" if problem.id else "manifest refused"
            said = problem.to_json()
            named = {"pair": said["id"]} if problem.id else {}
            return name, "error", {"manifest": manifest, **named, **said}
        case ManifestEnded(manifest, problems, page):
            where = {"page": page} if page else {}
            details = {"manifest": manifest, "problems": problems, **where}
            return ("manifest failed", "error", details) if problems else ("manifest done", "info", details)
        case ManifestLeft(manifest, reason, level):
            return reason, level, {"manifest": manifest}
        case StoreUnavailable(message, again):
            return None if again else (f"{message}; trying again", "warning", {})
        case WatchBegan(inbox, outbox):
            return "watching", "info", {"inbox": inbox, "outbox": outbox}
        case TileComputed() | BatchBegan() | BatchEnded() | Scanned():
            return None
        case Note(message, level, details):
            return message, level, dict(details)


def _rounded(loss: float) -> float | None:
    """To three digits after the point; none for a loss that is not finite: JSON has no number for it."""
    return round(loss, 3) if math.isfinite(loss) else None

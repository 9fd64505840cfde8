"""The log has one valid JSON object a line."""

import io
import json
import math

import pytest

from pipeline.errors import Problem
from pipeline.events.listener import Failed, PairDone
from pipeline.events.log import JsonLines
from pipeline.outbox.record import DeliveredLosses
from tests.pipeline.outbox.made import make_record


@pytest.mark.parametrize("total", [math.nan, math.inf])
def test_a_loss_of_an_earlier_result_that_is_not_finite_is_null(total: float) -> None:
    losses = DeliveredLosses(content=1, style=total, tv=0, total=total)
    out = io.StringIO()
    JsonLines(out).hear(PairDone("m", make_record().model_copy(update={"losses": losses}), computed=False))
    assert "NaN" not in out.getvalue()
    assert "Infinity" not in out.getvalue()
    assert json.loads(out.getvalue())["total"] is None


def test_the_machine_that_made_a_picture_is_named_where_the_record_names_it() -> None:
    out = io.StringIO()
    log = JsonLines(out)
    log.hear(PairDone("m", make_record().model_copy(update={"node": "gpu-1"}), computed=True))
    log.hear(PairDone("m", make_record(), computed=False))  # of an earlier version of this program
    named, unnamed = map(json.loads, out.getvalue().splitlines())
    assert named["node"] == "gpu-1"
    assert "node" not in unnamed


class Packets(io.StringIO):
    """Keeps each text that is written to it."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[str] = []

    def write(self, text: str) -> int:
        self.written.append(text)
        return len(text)


def test_a_line_is_written_at_once_and_names_a_failed_pair_as_other_lines_do() -> None:
    out = Packets()
    JsonLines(out).hear(Failed("m", Problem("pairs[0]", "broken", "p0")))
    (line,) = out.written
    assert line.endswith("}\n")
    assert json.loads(line)["pair"] == json.loads(line)["id"] == "p0"

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice
from typing import Any

from nst.result import Evaluation, Losses
from pipeline.events.listener import Evaluated, ManifestStarted, Note
from tests.pipeline.server.conftest import QUICK, Serve, Served

Told = dict[str, Any]


@contextmanager
def stream(served: Served, path: str = "/events", last: str | None = None) -> Iterator[Iterator[Told]]:
    """The events of a stream, each with its id."""
    headers = {"Last-Event-ID": last} if last else {}
    with served.client.stream("GET", path, headers=headers) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        lines = answer.iter_lines()
        assert next(lines).startswith(": events since")

        def events() -> Iterator[Told]:
            fields: dict[str, str] = {}
            for line in lines:
                name, _, value = line.partition(": ")
                if name:
                    fields[name] = value
                elif "data" in fields:
                    yield {"id": fields.get("id"), **json.loads(fields["data"])}
                    fields = {}

        yield events()


def until(events: Iterator[Told], name: str) -> list[Told]:
    """The events up to the first one of this name."""
    found: list[Told] = []
    for event in events:
        found.append(event)
        if event["event"] == name:
            return found
    raise AssertionError(f"the stream has ended without {name}: {found}")


def test_a_client_hears_what_listeners_hear(served: Served) -> None:
    with stream(served) as events:
        name = served.stylize().headers["location"].removeprefix("/jobs/")
        found = until(events, "manifest done")
    assert [event["event"] for event in found] == [
        "manifest started",
        "pair started",
        "pair done",
        "manifest done",
    ]
    assert {event["manifest"] for event in found} == {name}


def test_a_line_of_the_log_with_any_character_is_an_event(served: Served) -> None:
    with stream(served) as events:
        served.hub.hear(Note("caf\udce9.json\n: is a link", level="warning"))
        served.hub.hear(Note("watching"))
        assert len(until(events, "watching")) == 2


def test_a_stream_goes_on_after_the_event_that_the_client_has(served: Served) -> None:
    with stream(served) as events:
        served.stylize()
        found = until(events, "manifest done")
    with stream(served, last=found[1]["id"]) as events:
        assert until(events, "manifest done") == found[2:]


def test_a_stream_begins_at_the_first_event_for_a_client_of_an_earlier_process(served: Served) -> None:
    served.session.warn("first")
    with stream(served, last="00000000-999") as events:
        missed, *_ = until(events, "first")
    assert (missed["event"], missed["id"]) == ("events missed", f"{served.hub.begin}-0")


def test_the_events_of_one_manifest_are_only_its_own(served: Served) -> None:
    job = served.stylize().headers["location"].removeprefix("/jobs/")
    served.stylize()
    with stream(served, f"/manifests/{job}/events", last=f"{served.hub.begin}-0") as events:
        assert {event["manifest"] for event in until(events, "manifest done")} == {job}


def test_a_client_that_was_away_for_too_long_is_told_so(serve: Serve) -> None:
    served = serve(works=False)
    for number in range(5000):
        served.listener.hear(Note(str(number)))
        served.hub.hear(Note(str(number)))
    with stream(served, last=f"{served.hub.begin}-1") as events:
        assert next(events)["event"] == "events missed"
        assert next(events)["event"] == str(5000 - 4096)


def test_much_progress_pushes_no_other_event_out(serve: Serve) -> None:
    served = serve(works=False)
    served.hub.hear(Note("kept"))
    for number in range(5000):
        losses = Losses(content=1.0, style=1.0, tv=1.0, total=3.0)
        served.hub.hear(Evaluated("m", str(number), Evaluation(2, 100, 64, losses, 1.0)))
    with stream(served, last=f"{served.hub.begin}-0") as events:
        found = [next(events)["event"] for _ in range(1 + 1024)]
    assert found == ["kept", *["pair progress"] * 1024]


def test_a_stream_of_one_manifest_shows_that_it_lives_while_others_are_worked_on(serve: Serve) -> None:
    served = serve(works=False, timing=replace(QUICK, heartbeat=0.5))
    ended = threading.Event()

    def talk() -> None:
        while not ended.wait(0.01):
            served.hub.hear(ManifestStarted("other", 1))

    talker = threading.Thread(target=talk)
    talker.start()
    try:
        with served.client.stream("GET", "/manifests/m/events") as answer:
            assert ": nothing new" in islice(answer.iter_lines(), 4)
    finally:
        ended.set()
        talker.join()


def test_numbers_that_are_not_finite_are_null(serve: Serve) -> None:
    served = serve(works=False)
    with stream(served) as events:
        served.session.listener.hear(Note("odd", details={"value": float("nan")}))
        assert until(events, "odd")[0]["value"] is None


def test_a_stream_ends_when_the_server_stops(serve: Serve) -> None:
    served = serve(works=False)
    with stream(served) as events:
        served.session.end_soon()
        assert list(events) == []


def test_a_door_without_a_runner_reports_what_changes_in_the_inbox(serve: Serve) -> None:
    served = serve(works=False, timing=replace(QUICK, scan_bucket=0.01))
    listed = threading.Event()
    served.inbox.before = lambda verb, key: listed.set() if (verb, key) == ("entries", "failed") else None
    with stream(served) as events:
        assert listed.wait(60)
        served.inbox.write("m.json", b"{}")
        assert until(events, "manifest waiting")[-1]["manifest"] == "m"
        served.client.delete("/manifests/m")
        assert until(events, "manifest failed")[-1]["manifest"] == "m"
        served.inbox.write("m.json", b"{}")  # it comes again
        assert until(events, "manifest waiting")[-1]["manifest"] == "m"
        served.inbox.remove("m.json")
        assert until(events, "manifest failed")[-1]["manifest"] == "m"
        served.inbox.remove("failed/m.json")
        assert until(events, "manifest removed")[-1]["manifest"] == "m"


def test_an_unexpected_error_is_reported_and_does_not_end_the_reports_of_a_door(serve: Serve) -> None:
    served = serve(works=False, timing=replace(QUICK, scan_bucket=0.01))
    errors, listed = [KeyError("broken")], threading.Event()

    def before(verb: str, key: str) -> None:
        if (verb, key) == ("entries", "failed"):
            if errors:
                raise errors.pop()
            listed.set()

    served.inbox.before = before
    with stream(served) as events:
        served.listener.wait_for(Note, lambda note: "broken" in note.message)
        assert listed.wait(60)
        served.inbox.write("m.json", b"{}")
        assert until(events, "manifest waiting")[-1]["manifest"] == "m"


def test_a_door_that_reports_changes_uses_the_listing_of_other_requests(serve: Serve) -> None:
    served = serve(works=False, timing=replace(QUICK, scan_bucket=0.01, listed_bucket=3600.0))
    served.client.get("/manifests")
    served.inbox.calls.clear()
    with stream(served) as events:
        served.client.put("/manifests/m", json={"content": "a.png", "style": "b.png"})
        until(events, "manifest waiting")
    assert served.inbox.calls.count(("entries", "failed")) == 1

"""`run --shard`: several processes work on one manifest and one folder; the last one writes the page."""

import json
import re
import sys
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from pipeline.engines.fake import FakeEngine
from pipeline.environment import Environment
from pipeline.errors import ClaimLostError, Problem
from pipeline.manifest.shard import Shard
from pipeline.outbox.outbox import Outbox
from pipeline.outbox.results import Found
from pipeline.outbox.shards import Plan, SharedNotes
from pipeline.outbox.whole import SharedEnd, State
from pipeline.stores.aws import connect
from pipeline.stores.base import Store
from pipeline.stores.folder import FolderStore
from pipeline.stores.memory import MemoryStore
from pipeline.stores.opening import Stores
from pipeline.stores.s3 import S3Store
from pipeline.timing import Timing
from tests.conftest import make_png
from tests.pipeline.calling import Call
from tests.pipeline.conftest import caller
from tests.pipeline.outbox.made import make_record


def project(root: Path, pairs: int = 7, broken: tuple[int, ...] = ()) -> Path:
    """A manifest of the pairs p0, p1, ...; the images of broken ones are missing."""
    root.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(("a.png", "b.png")):
        (root / name).write_bytes(make_png(32, 32, number))
    listed = [
        {"id": f"p{n}", "content": "gone.png" if n in broken else "a.png", "style": "b.png", "seed": n}
        for n in range(pairs)
    ]
    (root / "m.json").write_text(json.dumps({"pairs": listed}))
    return root / "m.json"


def events(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


def computed(text: str) -> list[str]:
    return [event["pair"] for event in events(text) if event["event"] == "pair done"]


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    return project(tmp_path / "in")


@pytest.fixture(params=["folder", "bucket"])
def out(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an outbox."""
    if request.param == "folder":
        return str(tmp_path / "out")
    return f"s3://bucket/{tmp_path.name}/shards"


@pytest.fixture
def run(call_fake: Call, out: str, request: pytest.FixtureRequest) -> Call:
    """Calls `run` with a manifest, this outbox, and more arguments."""

    def run(manifest: Path, *arguments: object) -> tuple[int, str]:
        return call_fake("run", manifest, "--outbox", out, *endpoint(out, request), *arguments)

    return run


def endpoint(out: str, request: pytest.FixtureRequest) -> tuple[str, ...]:
    return ("--endpoint-url", request.getfixturevalue("seaweed")) if out.startswith("s3://") else ()


@pytest.fixture
def results(out: str, request: pytest.FixtureRequest) -> Any:
    """The store with the results."""
    if not out.startswith("s3://"):
        return FolderStore(out)
    return Stores(client=connect("s3", request.getfixturevalue("seaweed"))).open(out)


def names(store: Any, folder: str = "m") -> set[str]:
    return {entry.name for entry in store.entries(folder)}


def test_each_shard_computes_its_pairs_and_the_last_one_writes_the_page(
    run: Call, manifest: Path, results: Any
) -> None:
    for number, pairs in ((2, ["p1", "p4"]), (1, ["p0", "p3", "p6"])):
        code, text = run(manifest, "--shard", f"{number}/3")
        assert (code, computed(text)) == (0, pairs)
        assert "index.html" not in names(results)
        assert "page" not in text
    assert "shard 1/3 has ended; 2 pairs of other shards are left" in text
    code, text = run(manifest, "--shard", "3/3")
    assert (code, computed(text)) == (0, ["p2", "p5"])
    (ended,) = [event for event in events(text) if event["event"] == "manifest done"]
    assert ended["page"] == f"{results.url}/m/index.html"
    page = results.read("m/index.html", 10**7).decode()
    places = [page.index(f'"p{n}.png"') for n in range(7)]
    assert places == sorted(places)


def test_a_repeated_shard_computes_nothing_and_leaves_the_page_alone(
    run: Call, manifest: Path, results: Any
) -> None:
    for number in (1, 2, 1, 2):
        code, text = run(manifest, "--shard", f"{number}/2")
        assert code == 0
    assert computed(text) == []
    page = results.tag("m/index.html")
    assert run(manifest, "--shard", "1/2")[0] == 0
    assert results.tag("m/index.html") == page


def test_a_shard_that_died_before_it_wrote_the_page_writes_it_when_it_is_repeated(
    run: Call, manifest: Path, results: Any
) -> None:
    for number in (1, 2):
        assert run(manifest, "--shard", f"{number}/2")[0] == 0
    page = results.read("m/index.html", 10**7)
    results.remove("m/index.html")
    code, text = run(manifest, "--shard", "1/2")
    assert (code, computed(text)) == (0, [])
    assert results.read("m/index.html", 10**7) == page


def test_a_page_that_is_older_than_a_record_is_written_again(run: Call, manifest: Path, results: Any) -> None:
    for number in (1, 2):
        assert run(manifest, "--shard", f"{number}/2")[0] == 0
    results.write("m/index.html", b"old")
    results.write("m/p0.json", results.read("m/p0.json", 10**6))
    assert run(manifest, "--shard", "2/2")[0] == 0
    assert results.read("m/index.html", 10**7) != b"old"


def test_a_failed_pair_is_on_the_page_and_does_not_keep_it_from_being_written(
    run: Call, tmp_path: Path, results: Any
) -> None:
    manifest = project(tmp_path / "in", broken=(1, 2))
    assert run(manifest, "--shard", "2/3")[0] == 1
    assert run(manifest, "--shard", "3/3")[0] == 1
    code, text = run(manifest, "--shard", "1/3")
    assert code == 0  # nothing of this shard has failed
    assert [event["problems"] for event in events(text) if "page" in event] == [2]
    page = results.read("m/index.html", 10**7).decode()
    assert page.count("gone.png") >= 2
    (manifest.parent / "gone.png").write_bytes(make_png(32, 32))
    code, text = run(manifest, "--shard", "2/3")
    assert (code, computed(text)) == (0, ["p1"])
    assert run(manifest, "--shard", "3/3")[0] == 0
    assert "gone.png: no such" not in results.read("m/index.html", 10**7).decode()
    assert names(results, "m/.shards") == {"plan.json", *ids(results)}


def ids(store: Any) -> set[str]:
    return {name for name in names(store, "m/.shards") if re.fullmatch("ids-[0-9a-f]{12}.json", name)}


def test_a_shard_without_pairs_ends_with_0(run: Call, tmp_path: Path, results: Any) -> None:
    manifest = project(tmp_path / "in", pairs=2)
    code, text = run(manifest, "--shard", "3/3")
    assert (code, computed(text)) == (0, [])
    assert "shard 3/3 has no pairs" in text
    for number in (1, 2):
        assert run(manifest, "--shard", f"{number}/3")[0] == 0
    assert "index.html" in names(results)


def test_the_pages_of_a_long_manifest_are_complete(run: Call, tmp_path: Path, results: Any) -> None:
    manifest = project(tmp_path / "in", pairs=253)
    for number in (1, 2):
        assert run(manifest, "--shard", f"{number}/2")[0] == 0
    pages = [results.read(f"m/page-{n:04}.html", 10**7).decode() for n in (1, 2)]
    found = [Counter(re.findall(r'"(p\d+)\.png"', page)) for page in pages]
    assert [sorted(each, key=lambda name: int(name[1:])) for each in found] == [
        [f"p{n}" for n in range(250)],
        [f"p{n}" for n in range(250, 253)],
    ]
    assert "page-0002.html" in results.read("m/index.html", 10**7).decode()
    # The next run of the whole manifest finds everything done.
    code, text = run(manifest)
    assert (code, computed(text)) == (0, [])


def test_shards_of_another_expansion_are_refused_and_both_are_named(
    run: Call, manifest: Path, results: Any
) -> None:
    assert run(manifest, "--shard", "1/4")[0] == 0
    before = names(results)
    project(manifest.parent, pairs=8)
    code, text = run(manifest, "--shard", "2/4")
    assert code == 2
    assert text.startswith(f"nst-pipeline: {results.url}/m: shards of something else have begun there, ")
    digests = re.findall(r"digest ([0-9a-f]{12})", text)
    assert len(set(digests)) == 2
    assert f"7 pairs of {manifest} in 4 shards" in text
    assert f"8 pairs of {manifest} in 4 shards" in text
    assert "--name NAME" in text
    assert "--replace" in text
    assert text.count("\n") == 1
    assert names(results) == before
    assert run(manifest, "--shard", "2/4", "--replace")[0] == 0
    assert run(manifest, "--shard", "3/4")[0] == 0


def test_a_failure_before_replace_does_not_count_for_a_shard_that_has_not_run_since(
    call_fake: Call, run: Call, tmp_path: Path, results: Any, out: str, request: pytest.FixtureRequest
) -> None:
    manifest = project(tmp_path / "in", pairs=2, broken=(1,))
    assert run(manifest, "--shard", "2/2")[0] == 1
    project(tmp_path / "in", pairs=2)
    code, text = run(manifest, "--shard", "1/2", "--replace")
    assert (code, computed(text)) == (0, ["p0"])
    assert "1 pairs of other shards are left" in text
    assert "index.html" not in names(results)
    code, text = call_fake("status", "--outbox", out, *endpoint(out, request))
    assert json.loads(text)["sharded"]["m"]["missing"] == [2]
    assert computed(run(manifest, "--shard", "2/2")[1]) == ["p1"]
    assert "index.html" in names(results)


def test_another_number_of_shards_is_refused(run: Call, manifest: Path) -> None:
    assert run(manifest, "--shard", "1/4")[0] == 0
    code, text = run(manifest, "--shard", "1/1")
    assert code == 2
    assert "in 4 shards" in text
    assert "in 1 shards" in text
    code, text = run(manifest, "--shard", "1/1", "--replace")
    assert (code, len(computed(text))) == (0, 5)


def test_an_equal_manifest_from_another_place_is_refused(run: Call, manifest: Path, tmp_path: Path) -> None:
    other = project(tmp_path / "other")
    assert run(manifest, "--shard", "1/2")[0] == 0
    code, text = run(other, "--shard", "2/2")
    assert code == 2
    assert str(manifest) in text
    assert run(other, "--shard", "2/2", "--name", "o")[0] == 0
    assert run(other, "--shard", "2/2", "--replace")[0] == 0
    assert run(other, "--shard", "1/2")[0] == 0  # --replace has noted the new place
    assert run(manifest, "--shard", "1/2")[0] == 2


def test_auto_takes_the_shard_from_the_scheduler(
    run: Call, manifest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLOUD_RUN_TASK_INDEX", "1")
    monkeypatch.setenv("CLOUD_RUN_TASK_COUNT", "3")
    code, text = run(manifest, "--shard", "auto")
    assert (code, computed(text)) == (0, ["p1", "p4"])


def test_status_says_how_far_the_shards_are(
    call_fake: Call, run: Call, tmp_path: Path, out: str, request: pytest.FixtureRequest
) -> None:
    def status(*arguments: object) -> Any:
        code, text = call_fake("status", *arguments, *endpoint(out, request))
        assert code == 0
        return json.loads(text)

    manifest = project(tmp_path / "in", pairs=7, broken=(1,))
    run(manifest, "--shard", "2/4")
    run(manifest, "--shard", "3/4")
    run(manifest, "--name", "whole")  # a run without shards
    found = {"pairs": 7, "done": 3, "failed": 1, "shards": 4, "missing": [1, 4], "page": False}
    assert status("--outbox", out) == {"sharded": {"m": found}}
    for number in (1, 4):
        run(manifest, "--shard", f"{number}/4")
    found |= {"done": 6, "missing": [], "page": True}
    both = status("--outbox", out, "--inbox", manifest.parent)
    assert both["sharded"] == {"m": found}
    assert both["waiting"] == ["m"]
    (manifest.parent / "gone.png").write_bytes(make_png(32, 32))
    run(manifest, "--shard", "2/4")
    assert status("--outbox", out)["sharded"]["m"] == found | {"done": 7, "failed": 0}


def test_status_uses_the_variable_of_the_outbox_only_where_there_is_no_inbox(
    call_fake: Call, manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    assert call_fake("run", manifest, "--outbox", out, "--shard", "1/2")[0] == 0
    monkeypatch.setenv("NST_OUTBOX", str(out))
    assert list(json.loads(call_fake("status")[1])) == ["sharded"]
    monkeypatch.setenv("NST_INBOX", str(manifest.parent))
    assert "sharded" not in json.loads(call_fake("status")[1])
    assert call_fake("status", "--outbox", tmp_path / "no") == (
        2,
        f"nst-pipeline: outbox {tmp_path / 'no'}: no such folder\n",
    )


def test_status_on_a_terminal_is_a_table(
    call_fake: Call, manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert call_fake("run", manifest, "--outbox", tmp_path / "out", "--shard", "1/12")[0] == 0
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "200")
    code, text = call_fake("status", "--outbox", tmp_path / "out")
    assert code == 0
    assert re.search(r"m +│ 7 +│ 1 +│ 0 +│ 12 +│ 2, 3, 4, 5, 6, 7 +│ no", text)


@pytest.mark.parametrize(
    ("name", "damage", "message"),
    [
        ("plan.json", b"{", "plan.json: is damaged, or of a newer version of this program"),
        ("ids", b'["p0", ', ".json: is missing or damaged; delete plan.json beside it"),
        ("ids", b"7", ".json: is missing or damaged; delete plan.json beside it"),
        ("ids", None, ".json: is missing or damaged; delete plan.json beside it"),
    ],
)
def test_status_reports_a_damaged_folder_and_lists_the_others(
    call_fake: Call,
    manifest: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    damage: bytes | None,
    message: str,
) -> None:
    store = FolderStore(tmp_path / "out")
    for folder in ("m", "other"):
        command = ("run", manifest, "--outbox", tmp_path / "out", "--name", folder, "--shard", "1/2")
        assert call_fake(*command)[0] == 0
    (key,) = [f"m/.shards/{each}" for each in names(store, "m/.shards") if each.startswith(name)]
    if damage is None:
        store.remove(key)
    else:
        store.write(key, damage)
    code, text = call_fake("status", "--outbox", tmp_path / "out")
    found = json.loads(text)["sharded"]
    assert (code, found["other"]["missing"]) == (0, [2])
    assert found["m"]["error"].startswith(f"{store.url}/{key}")
    assert message in found["m"]["error"]
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "300")
    _, table = call_fake("status", "--outbox", tmp_path / "out")
    assert found["m"]["error"] in table
    assert re.search(r"other +│ 7 +│ 4 ", table)


BRIEF = Timing(lease=1.0, lease_renewal=0.05)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Calls the program with leases that lapse soon."""
    environment = Environment(BRIEF, lambda settings, stores, timing: FakeEngine(stores))
    return caller(monkeypatch, capsys, environment)


def brisk(store: Any) -> Store:
    """The same store, which renews its leases often."""
    return S3Store(store.url, store.objects.client, BRIEF) if isinstance(store, S3Store) else store


def test_two_processes_do_not_work_on_one_shard_and_others_may_work_on_other_ones(
    impatient: Call, manifest: Path, results: Any, out: str, request: pytest.FixtureRequest
) -> None:
    command = ("run", manifest, "--outbox", out, *endpoint(out, request), "--shard")
    results.make()
    held = brisk(results).reserve("m", "1-of-2")
    assert held
    assert impatient(*command, "2/2")[0] == 0
    code, text = impatient(*command, "1/2")
    assert code == 1
    waiting, failed = events(text)[:2]
    assert "another process has shard 1/2; waiting for its end" in waiting["event"]
    assert "another process works on shard 1/2, or on the whole manifest; start this one" in failed["message"]
    held.close()
    assert impatient(*command, "1/2")[0] == 0


def test_the_shard_of_a_process_that_died_is_taken_over(
    impatient: Call, manifest: Path, results: Any, out: str, request: pytest.FixtureRequest
) -> None:
    command = ("run", manifest, "--outbox", out, *endpoint(out, request), "--shard")
    if not out.startswith("s3://"):
        pytest.skip("a lock of a folder ends with its process; the chaos of shards kills processes")
    assert results.reserve("m", "1-of-2")  # nobody renews it
    code, text = impatient(*command, "1/2")
    assert (code, len(computed(text))) == (0, 4)


def test_a_run_of_the_whole_manifest_and_a_shard_exclude_each_other_in_a_folder(
    impatient: Call, manifest: Path, tmp_path: Path
) -> None:
    store, command = FolderStore(tmp_path / "out"), ("run", manifest, "--outbox", tmp_path / "out")
    store.make()
    for part, arguments in (("1-of-2", ()), ("", ("--shard", "1/2"))):
        held = store.reserve("m", part)
        assert held
        code, text = impatient(*command, *arguments)
        assert code == 1
        assert "another process" in text
        held.close()
    assert impatient(*command)[0] == 0


def test_of_two_shards_that_end_at_the_same_moment_one_writes_the_page() -> None:
    store, ids = MemoryStore("same-moment"), ["p0", "p1", "p2"]
    plan = Plan(digest="d" * 64, pairs=3, shards=2, manifest="m.json")
    SharedNotes(store, "m").join(plan, ids, replace=False)
    for pair in ids[:2]:
        record = make_record(pair=pair, picture=f"{pair}.png")
        Outbox(store).open("m", ids).put(record, b"picture", b"log", {}, Found(), lambda: None)
    together, listing = threading.Barrier(2), set[int]()

    def before(verb: str, key: str) -> None:
        if verb == "entries" and threading.get_ident() not in listing:
            listing.add(threading.get_ident())
            together.wait(30)  # neither sees what is there before both have written everything

    def end(number: int, problems: list[Problem]) -> State:
        shared = SharedEnd(store, "m", plan, ids, Shard(number, 2))
        return shared.end(problems, True, lambda: None)

    store.before = before
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(end, 1, [Problem("pairs[2]", "gone.png: no such file", "p2")])
        second = pool.submit(end, 2, [])
    assert State(0, 1) in (first.result(), second.result())
    page = store.read("m/index.html", 10**7).decode()
    assert all(text in page for text in ("p0.png", "p1.png", "gone.png: no such file"))


def test_a_shard_of_a_plan_that_was_replaced_writes_no_page() -> None:
    store, ids = MemoryStore("replaced"), ["p0"]
    plans = [Plan(digest=digest * 64, pairs=1, shards=1, manifest="m.json") for digest in "ab"]
    record = make_record(pair="p0", picture="p0.png")
    Outbox(store).open("m", ids).put(record, b"picture", b"log", {}, Found(), lambda: None)
    for plan in plans:
        SharedNotes(store, "m").join(plan, ids, replace=True)
    with pytest.raises(ClaimLostError, match="shards of something else have begun there"):
        SharedEnd(store, "m", plans[0], ids, Shard(1, 1)).end([], True, lambda: None)
    assert store.tag("m/index.html") is None
    SharedEnd(store, "m", plans[1], ids, Shard(1, 1)).end([], True, lambda: None)
    assert store.tag("m/index.html")


@pytest.mark.parametrize(
    "text", [b"", b"[]", b'{"format": 2, "digest": "", "pairs": 1, "shards": 1, "manifest": ""}']
)
def test_a_damaged_plan_is_reported(run: Call, manifest: Path, results: Any, text: bytes) -> None:
    results.make()
    results.write("m/.shards/plan.json", text)
    code, said = run(manifest, "--shard", "1/2")
    assert code == 2
    assert said.startswith(
        f"nst-pipeline: {results.url}/m/.shards/plan.json: is damaged, or of a newer version"
    )

"""`run --shard`: several processes work on one manifest and one folder; the last one writes the page."""

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from pipeline.outbox.progress import Progress, progress
from pipeline.stores.folder import FolderStore
from tests.conftest import make_png
from tests.pipeline.calling import Call
from tests.pipeline.shards.sharded import computed, events, names, project

# Of tests in which the kind of the outbox makes no difference.
in_folder = pytest.mark.parametrize("out", ["folder"], indirect=True)


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
    page, tag = results.entry("m/index.html"), results.tag("m/index.html")
    assert run(manifest, "--shard", "1/2")[0] == 0
    assert results.tag("m/index.html") == tag
    if isinstance(results, FolderStore):  # in a bucket, times are whole seconds
        assert results.entry("m/index.html") == page


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


@pytest.mark.parametrize("text", [b"{", b"x" * 2**21])
def test_a_damaged_record_is_named_with_the_shard_that_computes_it_again(
    run: Call, manifest: Path, results: Any, text: bytes
) -> None:
    for number in (1, 2):
        assert run(manifest, "--shard", f"{number}/2")[0] == 0
    results.write("m/p3.json", text)
    code, log = run(manifest, "--shard", "1/2")
    assert code == 1
    assert f"{results.url}/m/p3.json: damaged; repeat shard 2/2, which computes the pair again" in log
    code, log = run(manifest, "--shard", "2/2")
    assert (code, computed(log)) == (0, ["p3"])
    assert events(log)[-1]["event"] == "manifest done"


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
    assert counted(results).failed == 0


@in_folder
def test_a_damaged_note_of_failures_is_named_with_what_writes_it_again(
    run: Call, tmp_path: Path, results: Any
) -> None:
    manifest = project(tmp_path / "in", broken=(1,))
    assert run(manifest, "--shard", "2/2")[0] == 1
    (note,) = [e.name for e in results.entries("m/.shards") if e.name.startswith("failed-")]
    results.write(f"m/.shards/{note}", b'[{"id"')
    code, text = run(manifest, "--shard", "1/2")
    assert code == 1
    assert f"m/.shards/{note}: damaged; delete it, and repeat shard 2/2" in text
    assert run(manifest, "--shard", "2/2")[0] == 1
    assert "gone.png" in results.read("m/index.html", 10**7).decode()


def test_a_pair_that_was_done_and_fails_now_counts_as_failed(run: Call, tmp_path: Path, results: Any) -> None:
    manifest = project(tmp_path / "in", broken=(1,))
    image = manifest.parent / "gone.png"
    image.write_bytes(make_png(32, 32))
    for number in (1, 2):
        assert run(manifest, "--shard", f"{number}/2")[0] == 0
    image.unlink()
    code, text = run(manifest, "--shard", "2/2")
    assert code == 1
    assert [event["problems"] for event in events(text) if "page" in event] == [1]
    assert "gone.png: no such" in results.read("m/index.html", 10**7).decode()
    found = counted(results)
    assert (found.done, found.failed, found.missing) == (6, 1, [])

    image.write_bytes(make_png(32, 32))
    code, text = run(manifest, "--shard", "2/2")
    assert (code, computed(text)) == (0, [])
    assert "gone.png: no such" not in results.read("m/index.html", 10**7).decode()
    if isinstance(results, FolderStore):  # in a bucket, times are whole seconds
        page = results.entry("m/index.html")
        assert run(manifest, "--shard", "2/2")[0] == 0
        assert results.entry("m/index.html") == page


def counted(store: Any) -> Progress:
    found = progress(store)["m"]
    assert isinstance(found, Progress)
    return found


def ids(store: Any) -> set[str]:
    return {name for name in names(store, "m/.shards") if re.fullmatch("ids-[0-9a-f]{12}.json", name)}


@in_folder
def test_a_shard_without_pairs_ends_with_0(run: Call, tmp_path: Path, results: Any) -> None:
    manifest = project(tmp_path / "in", pairs=2)
    code, text = run(manifest, "--shard", "3/3")
    assert (code, computed(text)) == (0, [])
    assert "shard 3/3 has no pairs" in text
    for number in (1, 2):
        assert run(manifest, "--shard", f"{number}/3")[0] == 0
    assert "index.html" in names(results)


@in_folder
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
    call_fake: Call, run: Call, tmp_path: Path, results: Any, out: str, endpoint: tuple[str, ...]
) -> None:
    manifest = project(tmp_path / "in", pairs=2, broken=(1,))
    assert run(manifest, "--shard", "2/2")[0] == 1
    project(tmp_path / "in", pairs=2)
    code, text = run(manifest, "--shard", "1/2", "--replace")
    assert (code, computed(text)) == (0, ["p0"])
    assert "1 pairs of other shards are left" in text
    assert "index.html" not in names(results)
    code, text = call_fake("status", "--outbox", out, *endpoint)
    assert json.loads(text)["sharded"]["m"]["missing"] == [2]
    assert computed(run(manifest, "--shard", "2/2")[1]) == ["p1"]
    assert "index.html" in names(results)


@in_folder
def test_another_number_of_shards_is_refused(run: Call, manifest: Path) -> None:
    assert run(manifest, "--shard", "1/4")[0] == 0
    code, text = run(manifest, "--shard", "1/1")
    assert code == 2
    assert "in 4 shards" in text
    assert "in 1 shards" in text
    code, text = run(manifest, "--shard", "1/1", "--replace")
    assert (code, len(computed(text))) == (0, 5)


@in_folder
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


@in_folder
def test_auto_takes_the_shard_from_the_scheduler(
    run: Call, manifest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLOUD_RUN_TASK_INDEX", "1")
    monkeypatch.setenv("CLOUD_RUN_TASK_COUNT", "3")
    code, text = run(manifest, "--shard", "auto")
    assert (code, computed(text)) == (0, ["p1", "p4"])


@in_folder
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

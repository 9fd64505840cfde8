"""`status --outbox`: how far the shards of each manifest are."""

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from pipeline.inbox.inbox import Status
from pipeline.outbox.progress import Progress
from pipeline.status import print_status
from pipeline.stores.folder import FolderStore
from tests.conftest import make_png
from tests.pipeline.calling import Call
from tests.pipeline.shards.sharded import names, project


def test_status_says_how_far_the_shards_are(
    call_fake: Call, run: Call, tmp_path: Path, out: str, endpoint: tuple[str, ...]
) -> None:
    def status(*arguments: object) -> Any:
        code, text = call_fake("status", *arguments, *endpoint)
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


def test_names_are_whole_on_a_narrow_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    names = [f"order-2026-11-28-{number:03}" for number in range(12)]
    missing = "photos/customers/2026/november/wedding-in-the-mountains/originals/IMG_0001.jpg: no such file"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLUMNS", "80")
        patch.setattr(sys.stdout, "isatty", lambda: True)
        progress = Progress(pairs=7, done=1, failed=0, shards=12, missing=[2], page=False)
        print_status(Status(names, [], [], {"m": missing}), {"ä" * 60: progress})
    text = re.sub(r"[\s│]", "", capsys.readouterr().out)
    assert missing.replace(" ", "") in text
    assert "and2more" in text
    assert text.count("ä") == 60


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

"""`run` does not replace the results of a manifest from another place unless it is asked to."""

import json
import shutil
from pathlib import Path

import pytest

from pipeline.outbox.outbox import Outbox
from pipeline.stores.folder import FolderStore
from tests.conftest import make_png
from tests.pipeline.calling import Call

PAIR = {"content": "a.png", "style": "b.png"}


def project(root: Path, seed: int) -> Path:
    """The manifest of a new project; those of two projects have the same name, and so have their images."""
    root.mkdir(parents=True)
    for number, name in enumerate(("a.png", "b.png")):
        (root / name).write_bytes(make_png(32, 32, seed + number))
    (root / "manifest.json").write_text(json.dumps(PAIR))
    return root / "manifest.json"


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


@pytest.fixture
def first(tmp_path: Path) -> Path:
    return project(tmp_path / "one", 1)


@pytest.fixture
def second(tmp_path: Path) -> Path:
    return project(tmp_path / "two", 3)


def test_the_results_of_a_manifest_from_another_place_are_not_replaced(
    call_fake: Call, first: Path, second: Path, out: Path
) -> None:
    assert call_fake("run", first, "--outbox", out)[0] == 0
    before = files(out)
    code, text = call_fake("run", second, "--outbox", out)
    assert code == 2
    assert text.startswith(f"nst-pipeline: {out}/manifest: has the results of another manifest, {first}; ")
    assert text.count("\n") == 1
    assert "--name NAME" in text
    assert "--replace" in text
    assert files(out) == before


def test_a_refused_run_of_several_manifests_computes_nothing(
    call_fake: Call, first: Path, second: Path, out: Path
) -> None:
    assert call_fake("run", first, "--outbox", out)[0] == 0
    before = files(out)
    other = first.with_name("other.json")
    other.write_text(json.dumps(PAIR))
    assert call_fake("run", other, second, "--outbox", out)[0] == 2
    assert files(out) == before
    assert call_fake("run", other, "--outbox", out)[0] == 0  # its folder is free again


def test_results_can_go_to_a_folder_of_another_name(
    call_fake: Call, first: Path, second: Path, out: Path
) -> None:
    assert call_fake("run", first, "--outbox", out)[0] == 0
    before = files(out / "manifest")
    for event in ("pair done", "pair done already"):
        code, text = call_fake("run", second, "--outbox", out, "--name", "two")
        assert code == 0
        assert event in [json.loads(line)["event"] for line in text.splitlines()]
    assert files(out / "manifest") == before
    assert (out / "two" / "a-b.png").exists()
    assert call_fake("run", first, "--outbox", out, "--name", "two")[0] == 2


def test_results_are_replaced_if_the_user_says_so_and_belong_to_the_new_place_then(
    call_fake: Call, first: Path, second: Path, out: Path
) -> None:
    assert call_fake("run", first, "--outbox", out)[0] == 0
    before = (out / "manifest" / "a-b.json").read_bytes()
    assert call_fake("run", second, "--outbox", out, "--replace")[0] == 0
    assert (out / "manifest" / "a-b.json").read_bytes() != before
    assert call_fake("run", second, "--outbox", out)[0] == 0
    assert call_fake("run", first, "--outbox", out)[0] == 2


def test_the_same_manifest_goes_on_however_its_path_is_written(
    call_fake: Call, first: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(first.parent)
    link = first.parent.parent / "link"
    link.symlink_to(first.parent)
    assert call_fake("run", first, "--outbox", out)[0] == 0
    for path in ("manifest.json", "../one/manifest.json", link / "manifest.json"):
        code, text = call_fake("run", path, "--outbox", out)
        assert code == 0
        assert "pair done already" in text


def test_a_moved_project_goes_on_with_replace_and_computes_nothing_again(
    call_fake: Call, first: Path, out: Path
) -> None:
    assert call_fake("run", first, "--outbox", out)[0] == 0
    moved = first.parent.rename(first.parent.with_name("moved")) / "manifest.json"
    assert call_fake("run", moved, "--outbox", out)[0] == 2
    for more in (["--replace"], []):
        code, text = call_fake("run", moved, "--outbox", out, *more)
        assert code == 0
        assert "pair done already" in text


@pytest.mark.parametrize("damage", [None, b"", b"[]", b'{"manifest": '])
def test_results_of_an_earlier_version_are_taken_over_and_get_an_origin(
    call_fake: Call, first: Path, second: Path, out: Path, damage: bytes | None
) -> None:
    assert call_fake("run", first, "--outbox", out)[0] == 0
    for hidden in (out / "manifest").glob(".*"):  # an earlier version wrote no such file
        hidden.unlink() if damage is None else hidden.write_bytes(damage)
    code, text = call_fake("run", first, "--outbox", out)
    assert code == 0
    assert "pair done already" in text
    assert call_fake("run", second, "--outbox", out)[0] == 2


def test_a_folder_without_results_is_free_for_another_manifest(
    call_fake: Call, first: Path, second: Path, out: Path
) -> None:
    assert call_fake("run", first, "--outbox", out)[0] == 0
    for path in (out / "manifest").glob("[!.]*"):  # as `rm *` does
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert call_fake("run", second, "--outbox", out)[0] == 0
    assert call_fake("run", first, "--outbox", out)[0] == 2


def test_a_run_does_not_replace_the_results_of_an_inbox(
    call_fake: Call, first: Path, second: Path, out: Path
) -> None:
    inbox = first.parent
    for event in ("pair done", "pair done already"):
        code, text = call_fake("watch", "--once", "--inbox", inbox, "--outbox", out)
        assert code == 0
        assert event in [json.loads(line)["event"] for line in text.splitlines()]
        (inbox / "done" / "manifest.json").rename(first)
    assert call_fake("run", second, "--outbox", out)[0] == 2
    assert Outbox(FolderStore(out)).origin("manifest") == str(first)


def test_an_inbox_replaces_the_results_of_a_run_as_before(
    call_fake: Call, first: Path, second: Path, out: Path
) -> None:
    assert call_fake("run", first, "--outbox", out)[0] == 0
    assert call_fake("watch", "--once", "--inbox", second.parent, "--outbox", out)[0] == 0
    assert (second.parent / "done" / "manifest.json").exists()


def test_commands_that_compute_nothing_are_not_refused(
    call_fake: Call, first: Path, second: Path, out: Path
) -> None:
    assert call_fake("run", first, "--outbox", out)[0] == 0
    assert call_fake("validate", second, "--outbox", out)[0] == 0


def test_in_a_bucket_results_of_another_place_are_not_replaced_either(
    call_fake: Call, first: Path, second: Path, seaweed: str, tmp_path: Path
) -> None:
    outbox = f"s3://bucket/{tmp_path.name}/origins"
    arguments = ("--outbox", outbox, "--endpoint-url", seaweed)
    assert call_fake("run", first, *arguments)[0] == 0
    code, text = call_fake("run", second, *arguments)
    assert code == 2
    assert f"{outbox}/manifest: has the results of another manifest, {first}; " in text
    assert call_fake("run", first, *arguments)[0] == 0
    assert call_fake("run", second, *arguments, "--replace")[0] == 0

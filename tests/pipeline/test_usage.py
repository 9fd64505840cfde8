"""Wrong usage is reported in one sentence, with exit code 2."""

from pathlib import Path

import pytest

import nst
from tests.conftest import make_picture
from tests.pipeline.calling import Call, fill


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder `in` with a manifest and an image."""
    root = tmp_path_factory.mktemp("usage")
    (root / "in").mkdir()
    make_picture().save(root / "in" / "x.png")
    (root / "in" / "m.json").write_text('{"content": "x.png", "style": "x.png"}')
    return root


@pytest.mark.parametrize("outbox", ["in/x.png", "in/x.png/out"])
def test_an_outbox_that_is_a_file_is_reported(root: Path, call: Call, outbox: str) -> None:
    code, text = call("run", root / "in" / "m.json", "--outbox", root / outbox)
    assert code in (1, 2)
    assert text.startswith(f"nst-pipeline: {root / outbox}: ")
    assert "folder" in text
    assert text.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("run {in}/m.json", "which outbox? give --outbox FOLDER or set NST_OUTBOX"),
        ("watch --outbox {out}", "which inbox? give --inbox FOLDER or set NST_INBOX"),
        ("status", "which inbox? give --inbox FOLDER or set NST_INBOX"),
        ("watch --inbox {gone} --outbox {out}", "no such folder; make it first"),
        ("watch --inbox {in} --outbox {out} --queue https://a/1/q", "--queue goes with an s3:// inbox; "),
        (
            "watch --inbox {in} --outbox {out} --queue https://a/1/q --schedule @daily",
            "--queue does not go with --schedule",
        ),
        ("cancel --inbox {in} nobody", "nobody: no manifest of this name waits or is worked on in"),
        ("watch --inbox {in} --outbox {in}/new", "lie in one another; choose two apart"),
        ("watch --inbox {in} --outbox {root}", "lie in one another; choose two apart"),
        (
            "watch --inbox {in} --outbox {out} --schedule daily",
            "--schedule 'daily' is no cron expression; give",
        ),
        ("run {in}/m.json --outbox {out} --device tpu", "device 'tpu' is unknown; use auto, cpu, cuda"),
        ("run {in}/m.json --outbox {out} --dtype fp8", "dtype 'fp8' is unknown; use auto, fp32 or bf16"),
        ("run {in}/m.json {in}/m.json --outbox {out}", "m.json would write into one folder, m; rename one"),
        (
            "run {in}/m.json {in}/M.json --outbox {out}",
            "into one folder, M, where letter case does not count",
        ),
        ("run {in}/m.json {in}/n.json --outbox {out} --name x", "--name names the folder of one manifest; "),
        (
            "run {in}/m.json --outbox {out} --name ../x",
            "--name ../x: a name is a plain file name, without / ",
        ),
        ("run {in}/m.json --outbox {out} --name .x", "--name .x: a name must not begin or end with a dot"),
        ("run {in}/m.json --outbox {out} --shard 0/4", "shard 0/4: the first of 4 shards is 1"),
        (
            "run {in}/m.json --outbox {out} --shard 5/4",
            "shard 5/4: the first of 4 shards is 1, the last is 4",
        ),
        ("run {in}/m.json --outbox {out} --shard a/b", "--shard a/b: give I/N, as in 1/4 for the first of "),
        ("run {in}/m.json --outbox {out} --shard auto", "--shard auto: this process is no task of an array "),
        ("run {in}/m.json {in}/n.json --outbox {out} --shard 1/2", "--shard divides one manifest; call this"),
        ("run {in}/m.json --outbox s3://x", "s3://x: an S3 URL is s3://BUCKET/PREFIX"),
        ("run {in}/m.json --outbox s3://bucket/x --endpoint-url nonsense", "check the AWS_* variables and"),
        ("watch --inbox {in} --outbox {out} --idle -1", "--idle -1: give a number of seconds, 0 or more"),
        ("watch --inbox {in} --outbox {out} --idle nan", "--idle nan: give a number of seconds, 0 or more"),
        (
            "watch --inbox {in} --outbox {out} --idle 5 --once",
            "--idle does not go with --once; leave one of ",
        ),
        (
            "watch --inbox {in} --outbox {out} --idle 5 --schedule @daily",
            "--idle does not go with --schedule; leave one of them out",
        ),
        (
            "run {in}/m.json --outbox {out} --ray-address head:6379",
            "--ray-address head:6379: give --engine",
        ),
        ("watch --inbox {in} --outbox {out} --schedule=", "--schedule '' is no cron expression; give five"),
        ("run {in}/m.json --outbox {out} --name=", "--name : a name must not be empty"),
        ("retry --inbox {in} nothing", "nothing: no failed manifest of this name"),
    ],
)
def test_wrong_usage_is_reported_in_one_sentence(
    root: Path, call: Call, arguments: str, message: str
) -> None:
    before = set((root / "in").iterdir())
    code, text = call(*(fill(argument, root) for argument in arguments.split()))
    assert code == 2
    assert text.startswith("nst-pipeline: ")
    assert message in text
    assert text.count("\n") == 1
    assert set((root / "in").iterdir()) == before


def test_a_bad_variable_is_named_in_the_message(
    root: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NST_POLL", "perhaps")
    code, text = call("run", root / "in" / "m.json", "--outbox", root / "out")
    assert code == 2
    assert text.startswith("nst-pipeline: NST_POLL: should be a valid boolean")
    assert text.endswith("found 'perhaps'\n")


def test_version_prints_the_version(call: Call) -> None:
    assert call("--version") == (0, f"nst-pipeline {nst.__version__}\n")


@pytest.mark.parametrize("arguments", [["frob"], ["run"], ["run", "m.json", "--frob"], ["validate"]])
def test_an_unknown_command_or_option_is_wrong_usage(call: Call, arguments: list[str]) -> None:
    code, text = call(*arguments)
    assert code == 2
    assert text.startswith("Usage: ")


def test_manifests_and_outbox_may_begin_in_the_home_folder(
    root: Path, call_fake: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(root))
    monkeypatch.chdir(tmp_path)
    assert call_fake("validate", "~/in/m.json")[0] == 0
    assert call_fake("run", "~/in/m.json", "--outbox=~/results")[0] == 0
    assert (root / "results" / "m" / "x-x.json").exists()
    assert list(tmp_path.iterdir()) == []
    code, text = call_fake("run", "~nobody-at-all/m.json", "--outbox=~/results")
    assert (code, "home folder of ~nobody-at-all" in text) == (2, True)

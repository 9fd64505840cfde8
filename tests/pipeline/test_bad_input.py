import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.conftest import SHALLOW, make_picture
from tests.nst.making import without_pixels
from tests.pipeline.calling import Call, fill

NOBODY = 65534
SMALL = {"epochs": 1, "max_size": 48, **SHALLOW}
GOOD = {"good": "ok.png", "good from an allowed folder": "{allowed}/x.png"}
# The id of a pair, its content, and a part of its only error message.
BAD: dict[str, tuple[str, str]] = {
    "missing": ("gone.png", "gone.png: no such file"),
    "name like an error": ("out of memory.png", "out of memory.png: no such file"),
    "not an image": ("text.png", "text.png: not an image"),
    "truncated": ("cut.png", "cut.png: incomplete"),
    "truncated TIFF": ("cut.tif", "cut.tif: "),
    "no bytes": ("zero.png", "zero.png: the file is empty"),
    "one pixel": ("one.png", "one.png: the content is 1x1; each side needs 16 pixels"),
    "huge": ("huge.png", "huge.png: too large to decode"),
    "narrow": ("narrow.png", "narrow.png: the content scaled to max_size 48 is 1x48; each side needs 16"),
    "above": ("../elsewhere/x.png", "../elsewhere/x.png: lies outside"),
    "absolute": ("{elsewhere}/x.png", "{elsewhere}/x.png: lies outside"),
    "web": (
        "https://example.org/x.png",
        "https://example.org/x.png: nothing is fetched from the web; put it",
    ),
    "device": ("/dev/zero", "/dev/zero: lies outside"),
    "link out": ("link.png", "link.png: lies outside"),
    "link to nothing": ("bare.png", "bare.png: no such file"),
    "circle": ("circle.png", "circle.png: its symbolic links go round in circles"),
    "folder": ("folder.png", "folder.png: is a folder; an ordinary file is needed"),
    "fifo": ("fifo.png", "fifo.png: is not a regular file; an ordinary file is needed"),
    "below a file": ("ok.png/x.png", "ok.png/x.png: a part of the path is not a folder"),
    "long": ("x" * 300, ": the name is too long"),
    "null byte": ("a\0b.png", "a\\x00b.png': not a usable path"),
    "escape": ("\x1b[31m.png", "\\x1b[31m.png: no such file"),
    "bucket": ("s3://bucket/x.png", "s3://bucket/x.png: "),
}
BAD_STYLES = {
    "style of one pixel": ("one.png", "one.png: the style is 1x1; each side needs 16 pixels"),
    "style missing": ("gone.png", "gone.png: no such file"),
}


def write_manifest(root: Path, name: str, **keys: Any) -> Path:
    path = root / "in" / f"{name}.json"
    path.write_text(json.dumps({"defaults": SMALL, **keys}))
    return path


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders `in`, `allowed` and `elsewhere`; `in/m.json` names every bad picture and some good ones."""
    root = tmp_path_factory.mktemp("bad")
    for name in ("in", "allowed", "elsewhere"):
        (root / name).mkdir()
        make_picture().save(root / name / "x.png")
    folder = root / "in"
    make_picture().save(folder / "ok.png")
    make_picture(20, 20, seed=2).save(folder / "style.png")
    whole = (folder / "ok.png").read_bytes()
    (folder / "cut.png").write_bytes(whole[: len(whole) // 2])
    make_picture().save(folder / "cut.tif")
    os.truncate(folder / "cut.tif", 99)
    (folder / "text.png").write_text("hello")
    (folder / "zero.png").touch()
    Image.new("RGB", (1, 1)).save(folder / "one.png")
    Image.new("RGB", (16, 2000)).save(folder / "narrow.png")
    (folder / "huge.png").write_bytes(without_pixels(30000, 30000))
    (folder / "link.png").symlink_to(root / "elsewhere" / "x.png")
    (folder / "bare.png").symlink_to("nothing")
    (folder / "circle.png").symlink_to("circle.png")
    (folder / "folder.png").mkdir()
    os.mkfifo(folder / "fifo.png")
    contents = {name: content for name, (content, _) in BAD.items()} | GOOD
    pairs = [{"id": i, "content": fill(c, root), "style": "style.png"} for i, c in contents.items()]
    pairs += [{"id": i, "content": "ok.png", "style": style} for i, (style, _) in BAD_STYLES.items()]
    write_manifest(root, "m", pairs=pairs)
    return root


@contextmanager
def as_ordinary_user() -> Iterator[None]:
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


def expected(root: Path) -> dict[str, str]:
    return {name: fill(message, root) for name, (_, message) in (BAD | BAD_STYLES).items()}


def test_every_bad_pair_is_reported_once_and_the_good_pairs_are_done(root: Path, call: Call) -> None:
    allowed = ("--allow", root / "allowed", "--device", "cpu")
    code, text = call("run", root / "in" / "m.json", "--outbox", root / "out", *allowed)
    events = [json.loads(line) for line in text.splitlines()]
    failed = [event for event in events if event["event"] == "pair failed"]
    assert {event["pair"] for event in events if event["event"] == "pair done"} == set(GOOD)
    assert sorted(event["id"] for event in failed) == sorted(expected(root))
    order = [*BAD, *GOOD, *BAD_STYLES]
    for event in failed:
        assert expected(root)[event["id"]] in event["message"]
        assert event["message"].isprintable()
        assert event["place"] == f"pairs[{order.index(event['id'])}]"
    assert (events[-1]["event"], events[-1]["problems"]) == ("manifest failed", len(failed))
    assert code == 1
    assert {path.stem for path in (root / "out" / "m").glob("*.png")} == set(GOOD)


def test_validate_reports_the_same_errors_as_run(root: Path, call: Call) -> None:
    path = root / "in" / "m.json"
    code, text = call("validate", path, "--allow", root / "allowed")
    for line, message in zip(text.splitlines(), expected(root).values(), strict=True):
        assert line.startswith(f"{path}: pairs[")
        assert message in line
        assert line.isprintable()
    assert code == 1


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (None, "no such file"),
        (b"", "the file is empty"),
        (b"\x89PNG", "not UTF-8 text (byte 0); save it as UTF-8"),
        (b'{"content": "x.png", "style": "x.png", "stile": 1}', "stile: unknown key; did you mean 'style'?"),
        (b'{"content": "x.png", "style": "x.png", "style_layers": {"\\ud800": 1}}', "style_layers: no layer"),
        (b'{"product": {"content": ["*.gif"], "style": ["x.png"]}}', "product.content[0]: no image matches"),
    ],
)
def test_validate_reports_a_bad_manifest(root: Path, call: Call, data: bytes | None, message: str) -> None:
    path = root / "in" / "bad.json"
    path.unlink(missing_ok=True)
    if data is not None:
        path.write_bytes(data)
    code, text = call("validate", path)
    assert (code, text.count("\n")) == (1, 1)
    assert text.startswith(f"{path}: ")
    assert message in text
    assert text.rstrip("\n").isprintable()


def test_only_allowed_folders_are_read(root: Path, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_manifest(root, "outside", content=str(root / "elsewhere" / "x.png"), style="x.png")
    # The empty part of NST_ALLOW must not allow the current folder, which contains the image here.
    monkeypatch.chdir(root / "elsewhere")
    monkeypatch.setenv("NST_ALLOW", f"{root / 'allowed'}{os.pathsep}")
    code, text = call("validate", path)
    assert (code, "lies outside" in text) == (1, True)
    monkeypatch.setenv("NST_ALLOW", f"{root / 'allowed'}{os.pathsep}{root / 'elsewhere'}")
    assert call("validate", path) == (0, f"{path}: valid, 1 pair\n")


def test_the_variable_for_more_folders_counts_for_work(
    root: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_manifest(root, "allowed", content=str(root / "elsewhere" / "x.png"), style="ok.png")
    monkeypatch.setenv("NST_ALLOW", str(root / "elsewhere"))
    assert call("run", path, "--outbox", root / "out")[0] == 0


def test_files_without_permission_are_reported(call: Call) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "shut").mkdir()
        for picture in ("secret.png", "shut/x.png", "x.png"):
            make_picture().save(folder / picture)
        pairs, globs = folder / "pairs.json", folder / "globs.json"
        pairs.write_text('{"pairs": [{"content": "secret.png", "style": "x.png"}]}')
        globs.write_text('{"product": {"content": ["shut/*.png"], "style": ["x.png"]}}')
        # This also imports modules that another user may have no permission to read.
        assert call("validate", pairs, globs)[0] == 0
        folder.chmod(0o755)
        (folder / "secret.png").chmod(0)
        (folder / "shut").chmod(0o444)  # the names of the files can be listed, but the files cannot be opened
        with as_ordinary_user():
            secret, shut, inbox = (
                call("validate", pairs),
                call("validate", globs),
                call("status", "--inbox", folder / "shut" / "x"),
            )
        (folder / "shut").chmod(0)
        with as_ordinary_user():
            closed = call("validate", globs)
        (folder / "shut").chmod(0o755)
    assert secret == (
        1,
        f"{pairs}: pairs[0] (secret-x): secret.png: no permission; check its owner and mode\n",
    )
    assert shut == (1, f"{globs}: product (x-x): shut/x.png: no permission; check its owner and mode\n")
    closed_folder = f"{folder.resolve()}/shut/: cannot be listed (Permission denied)"
    assert closed[1].startswith(f"{globs}: warning: {closed_folder}; it is left out\n")
    assert inbox == (1, f"nst-pipeline: {folder}/shut/x: no permission; check its owner and mode\n")


def test_a_folder_in_place_of_a_picture_leaves_no_file_open(root: Path, call: Call) -> None:
    path = write_manifest(root, "folder", content="folder.png", style="x.png")
    call("validate", path)
    before = len(os.listdir("/dev/fd"))
    assert call("validate", path)[0] == 1
    assert len(os.listdir("/dev/fd")) == before

"""Patterns of manifests skip what is a result already, in every place of the outbox."""

import json
from pathlib import Path

import pytest

from tests.pipeline.calling import Call

PRODUCT = {"content": ["**/*.[pj]*g"], "style": ["style.png"]}
SMALL = {"epochs": 1, "max_size": 32}


def events(text: str) -> list[str]:
    return [json.loads(line)["event"] for line in text.splitlines()]


@pytest.mark.parametrize("outbox", ["results", ".", ".."])
def test_patterns_of_run_skip_results_and_no_other_files(folder: Path, call_fake: Call, outbox: str) -> None:
    for name in ("m", folder.name):
        (folder / f"{name}.json").write_text(json.dumps({"defaults": SMALL, "product": PRODUCT}))
    (folder / "m").mkdir()
    (folder / "content.png").rename(folder / "m" / "content.png")
    for name, expected in (("m", "pair done"), ("m", "pair done already"), (folder.name, "pair done")):
        command = (folder / f"{name}.json", "--outbox", folder / outbox)
        assert call_fake("validate", *command)[1].endswith(": valid, 2 pairs\n")
        code, text = call_fake("run", *command)
        assert (code, events(text).count(expected)) == (0, 2)
        assert {event for event in events(text) if event.startswith("pair done")} == {expected}


def test_patterns_of_watch_skip_results(folder: Path, call_fake: Call) -> None:
    (folder / "in").mkdir()
    product = {"content": [f"{folder}/**/*content*.png"], "style": [f"{folder}/style.png"]}
    places = ("--inbox", folder / "in", "--outbox", folder / "out", "--allow", folder)
    for name in ("a", "b"):
        (folder / "in" / f"{name}.json").write_text(json.dumps({"defaults": SMALL, "product": product}))
        assert call_fake("watch", "--once", *places)[0] == 0
    assert len(list(folder.glob("out/*/*.loss.jsonl"))) == 2


def test_a_pattern_that_matches_only_results_is_reported(folder: Path, call_fake: Call) -> None:
    pair = {"content": "content.png", "style": "style.png", "id": "p", **SMALL}
    (folder / "m.json").write_text(json.dumps(pair))
    (folder / "more.json").write_text(
        json.dumps({"product": {"content": ["m/*.png"], "style": ["style.png"]}})
    )
    (folder / "named.json").write_text(json.dumps({"content": "m/p.png", "style": "style.png"}))
    assert call_fake("run", folder / "m.json", "--outbox", folder)[0] == 0
    code, text = call_fake("validate", folder / "more.json", folder / "named.json", "--outbox", folder)
    refused, valid = text.splitlines()
    assert code == 1
    assert refused.endswith("'m/*.png' matches only results; to go on from them, name them one by one")
    assert valid.endswith(": valid, 1 pair")


@pytest.mark.parametrize("command", ["validate", "run", "watch"])
def test_the_caps_of_the_operator_hold_for_every_command(
    folder: Path, call_fake: Call, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    pair = {"content": "content.png", "style": "style.png", "max_size": 4096}
    (folder / "in").mkdir()
    for place in (folder, folder / "in"):
        (place / "m.json").write_text(json.dumps(pair))
    places = {
        "validate": (folder / "m.json",),
        "run": (folder / "m.json", "--outbox", folder / "out"),
        "watch": ("--once", "--inbox", folder / "in", "--outbox", folder / "out"),
    }[command]
    monkeypatch.setenv("NST_MOST_SIZE", "2048")
    code, text = call_fake(command, *places)
    assert code == 1
    assert "max_size 4096 is above what this operator allows, 2048 (NST_MOST_SIZE)" in text


def test_what_a_pattern_leaves_out_is_reported(folder: Path, call_fake: Call) -> None:
    (folder / "gone.png").symlink_to("nothing")
    (folder / "m.json").write_text(
        json.dumps({"defaults": SMALL, "product": {"content": ["*.png"], "style": ["style.png"]}})
    )
    code, text = call_fake("validate", folder / "m.json")
    reason = f"{folder}/gone.png: is a link that does not lead to an ordinary file; it is left out"
    assert (code, text.splitlines()[0]) == (0, f"{folder}/m.json: warning: {reason}")
    code, text = call_fake("run", folder / "m.json", "--outbox", folder / "out")
    assert (code, events(text).count(reason)) == (0, 1)


def test_a_missing_image_and_a_missing_manifest_suggest_another_one(folder: Path, call_fake: Call) -> None:
    (folder / "m.json").write_text(json.dumps({"content": "Content.PNG", "style": "style.png"}))
    code, text = call_fake("validate", folder / "m.json")
    assert (code, text.endswith("Content.PNG: no such file; did you mean 'content.png'?\n")) == (1, True)
    code, text = call_fake("validate", folder / "M.json")
    assert (code, text.endswith("M.json: no such file; did you mean 'm.json'?\n")) == (1, True)

import os
from pathlib import Path

import pytest

from pipeline.errors import UsageError
from pipeline.settings import Caps, load_settings


def test_flags_override_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NST_INBOX", "from-environment")
    monkeypatch.setenv("NST_OUTBOX", "from-environment")
    settings = load_settings(inbox="from-flag", outbox=None)
    assert (settings.inbox, settings.outbox) == ("from-flag", "from-environment")


def test_allow_accepts_several_places(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folders = [tmp_path / name for name in "abc"]
    for folder in folders:
        folder.mkdir()
    monkeypatch.setenv("NST_ALLOW", os.pathsep.join(map(str, folders[:2])))
    assert load_settings().allow == [str(folder) for folder in folders[:2]]
    monkeypatch.setenv("NST_ALLOW", f"s3://bucket/art{os.pathsep}{folders[0]}")
    assert load_settings().allow == ["s3://bucket/art", str(folders[0])]
    assert load_settings(allow=[str(folders[2])]).allow == [str(folders[2])]


def test_an_allowed_folder_must_exist(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"^--allow: there is no folder .*/none; found"):
        load_settings(allow=[str(tmp_path / "none")])


def test_a_wrong_variable_is_named_in_the_message(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NST_POLL", "perhaps")
    with pytest.raises(UsageError, match=r"^NST_POLL: should be a valid boolean"):
        load_settings()


def test_less_memory_than_the_program_needs_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NST_MEMORY", "2")
    assert load_settings().memory == 2
    with pytest.raises(UsageError, match=r"^--memory: should be greater than or equal to 2; found 1"):
        load_settings(memory=1.5)


def test_caps_come_from_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_settings().caps == Caps()
    for name, value in (("PAIRS", "1000"), ("SIZE", "2048"), ("EPOCHS", "20")):
        monkeypatch.setenv(f"NST_MOST_{name}", value)
    assert load_settings().caps == Caps(pairs=1000, max_size=2048, epochs=20)
    monkeypatch.setenv("NST_MOST_SIZE", "0")
    with pytest.raises(UsageError, match=r"^NST_MOST_SIZE: should be greater than or equal to 1; found '0'"):
        load_settings()


@pytest.mark.parametrize(
    ("flag", "variable", "joined"),
    [
        (None, None, None),
        (None, "local", None),
        ("local", None, None),
        (None, "head:6379", "head:6379"),
        ("other:6379", "head:6379", "other:6379"),
    ],
)
def test_a_ray_cluster_is_joined_where_one_is_named(
    flag: str | None, variable: str | None, joined: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", variable or "")
    assert load_settings(ray_address=flag).ray_cluster == joined


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home" / "art").mkdir(parents=True)
    return tmp_path / "home"


@pytest.mark.parametrize("name", ["inbox", "outbox", "weights", "allow", "metrics_file"])
@pytest.mark.parametrize("by", ["flag", "variable"])
def test_a_path_may_begin_in_the_home_folder(
    home: Path, monkeypatch: pytest.MonkeyPatch, name: str, by: str
) -> None:
    if by == "variable":
        monkeypatch.setenv(f"NST_{name.upper()}", "~/art")
    given = {name: ["~/art"] if name == "allow" else "~/art"} if by == "flag" else {}
    found = getattr(load_settings(**given), name)
    assert found == ([f"{home}/art"] if name == "allow" else f"{home}/art")


def test_each_allowed_place_may_begin_in_the_home_folder(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NST_ALLOW", "~/art:s3://bucket/~/art:~")
    assert load_settings().allow == [f"{home}/art", "s3://bucket/~/art", str(home)]


def test_only_a_tilde_at_the_beginning_is_expanded(home: Path) -> None:
    for path in ("./~/x", "a/~/x", "s3://bucket/~/x"):
        assert load_settings(outbox=path).outbox == path
    with pytest.raises(
        UsageError, match=r"^--outbox: the home folder of ~nobody-at-all is unknown; write \./~"
    ):
        load_settings(outbox="~nobody-at-all/x")

import os
from pathlib import Path

import pytest

from pipeline.errors import UsageError
from pipeline.settings import load_settings


def test_flags_win_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NST_INBOX", "from-environment")
    monkeypatch.setenv("NST_OUTBOX", "from-environment")
    settings = load_settings(inbox="from-flag", outbox=None)
    assert (settings.inbox, settings.outbox) == ("from-flag", "from-environment")


def test_several_folders_are_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NST_ALLOW", os.pathsep.join(["/a", "/b"]))
    assert load_settings().allow == [Path("/a"), Path("/b")]
    assert load_settings(allow=[Path("/c")]).allow == [Path("/c")]


def test_a_wrong_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NST_POLL", "perhaps")
    with pytest.raises(UsageError, match="NST_POLL: should be a valid boolean"):
        load_settings()

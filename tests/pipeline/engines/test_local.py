import threading
from pathlib import Path
from unittest.mock import Mock

from pipeline.engines.local import LocalEngine
from pipeline.outbox.outbox import Outbox
from pipeline.settings import Settings
from pipeline.stores.folder import FolderStore
from pipeline.stores.opening import Stores


def test_manifests_that_can_not_be_handed_back_hold_up_nothing_else(tmp_path: Path) -> None:
    answered = threading.Event()
    engine = LocalEngine(Settings(), Stores(), Outbox(FolderStore(tmp_path)), listener := Mock())
    engine._runner = Mock(hand_back=answered.wait)
    engine._suspect = suspect = Mock()
    engine._leave()
    suspect.claimed.release.assert_called_once_with()
    listener.close.assert_called_once_with()
    answered.set()

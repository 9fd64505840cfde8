"""What a machine leaves in a folder when it dies."""

from pathlib import Path

from pipeline.stores.folder import FolderStore
from pipeline.stores.holding import Holding


def left_by_another_machine(root: Path, *reserved: tuple[str, str]) -> list[Path]:
    """Reserve folders, or parts of them, as processes that have died on another machine; the lock files."""
    store = FolderStore(root)
    reservations = [store.reserve(folder, part) for folder, part in reserved]
    texts = {lock: Holding.from_bytes(lock.read_bytes()) for lock in root.rglob(".lock-*")}
    for reservation in reservations:
        assert reservation
        reservation.close()
    for lock, text in texts.items():
        lock.write_bytes(text.model_copy(update={"machine": "another"}).to_bytes())
    return list(texts)

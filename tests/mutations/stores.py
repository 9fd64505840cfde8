"""Sabotages of the stores: what is durable, whose a claim is, and which write comes too late."""

from tests.mutating import Mutation
from tests.mutations.replays import AGAIN, BY_HAND, FIRST

_PLACE = "test_power_loss.py::test_a_manifest_is_sure_of_its_new_place_before_it_leaves_the_old_one"
_KEPT = "stores/test_contract.py::test_a_history_is_kept_when_a_claim_is_released_and_belongs_to_the_content"
_REPLACED = "stores/test_contract.py::test_a_file_is_replaced_only_if_it_is_the_one_that_was_seen"
_TAKEN = "stores/test_claims_in_buckets.py::test_a_claim_that_was_taken_over_is_lost_and_counts_as_a_death"
_ORDER = "stores/test_claims_in_buckets.py::test_an_object_is_copied_before_it_is_deleted"

STORES = (
    # Folders after a power loss.
    Mutation("files are not synchronised", "pipeline/stores/files.py", "os.fsync(descriptor)", "pass", FIRST),
    Mutation(
        "folders are not synchronised", "pipeline/stores/tree.py", "os.fsync(descriptor)", "pass", FIRST
    ),
    Mutation(
        "a new folder is not synchronised to the one above",
        "pipeline/stores/tree.py",
        "os.mkdir(name, dir_fd=folder)\n    sync(folder)",
        "os.mkdir(name, dir_fd=folder)",
        FIRST,
    ),
    Mutation(
        "the removal of a file is not synchronised",
        "pipeline/stores/files.py",
        "os.unlink(name, dir_fd=folder)\n                    sync(folder)",
        "os.unlink(name, dir_fd=folder)",
        AGAIN,
    ),
    Mutation(
        "an old name goes before the new one is synchronised",
        "pipeline/stores/files.py",
        "sync(new[0])  # before the other name goes",
        "pass",
        BY_HAND,
    ),
    Mutation(
        "the new place of a manifest is not synchronised",
        "pipeline/stores/files.py",
        "sync(new[0])\n            sync(old[0])",
        "sync(old[0])",
        _PLACE,
    ),
    Mutation(
        "the old place of a manifest is not synchronised",
        "pipeline/stores/files.py",
        "sync(old[0])",
        "pass",
        _PLACE,
    ),
    Mutation(
        "the text of a lock is not synchronised",
        "pipeline/stores/lock.py",
        "os.fsync(self._descriptor)",
        "pass",
        "test_power_loss.py::test_a_power_loss_counts_as_a_death",
    ),
    # Claims in folders.
    Mutation(
        "locks exclude nobody",
        "pipeline/stores/lock.py",
        "fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)",
        "pass",
        "stores/test_contract.py::test_a_claim_excludes_others_until_it_is_released[folder]",
    ),
    Mutation(
        "the loss of a lock is not noticed",
        "pipeline/stores/lock.py",
        "self._loss = self._find_loss()",
        "pass",
        "stores/test_lock.py::test_a_claim_is_lost_when_its_lock_file_is_deleted",
    ),
    Mutation(
        "a lock that another machine has taken over is not noticed",
        "pipeline/stores/lock.py",
        "if self._read().owner == self._owner else",
        "if True else",
        "stores/test_lock.py::test_a_claim_is_lost_when_another_machine_has_taken_it_over",
    ),
    Mutation(
        "a cancelled manifest is still published",
        "pipeline/stores/folder_claim.py",
        "if not self.present():\n            raise TakenAwayError",
        "if False:\n            raise TakenAwayError",
        "stores/test_folder.py::test_a_claim_is_lost_when_its_file_is_gone_but_not_when_the_whole_folder_is",
    ),
    Mutation(
        "a death is not written down before the manifest is read, in a folder",
        "pipeline/stores/folder.py",
        "lock.write(holding)\n            claim",
        "claim",
        "test_power_loss.py::test_a_power_loss_counts_as_a_death",
    ),
    Mutation(
        "the history is lost when a manifest is handed back, in a folder",
        "pipeline/stores/folder_claim.py",
        "self.history == History() else self._lock.leave()",
        "self.history == History() else self._lock.close()",
        f"{_KEPT}[folder]",
    ),
    Mutation(
        "a hand-back is not marked, so that it counts as a death",
        "pipeline/stores/folder_claim.py",
        "self.stopping()\n                self._store.move",
        "self._store.move",
        f"{_KEPT}[folder]",
    ),
    Mutation(
        "a manifest that can't be moved into processing/ counts a death",
        "pipeline/stores/folder_claim.py",
        "self.stopping()\n            raise",
        "pass\n            raise",
        "stores/test_folder.py::test_a_file_that_can_not_be_moved_for_a_while_has_no_deaths",
    ),
    Mutation(
        "a manifest that is handed back replaces a newer one",
        "pipeline/stores/files.py",
        "if not one_file(old, new):\n                raise",
        "if not one_file(old, new):\n                return False",
        "inbox/test_inbox.py::test_releasing_a_manifest_never_overwrites_a_newer_one",
    ),
    Mutation(
        "a late write replaces the next runner's file, in a folder",
        "pipeline/stores/folder.py",
        "if seen is not None and self.tag(key) != seen:",
        "if False:",
        f"{_REPLACED}[folder]",
    ),
    # Claims in buckets.
    Mutation(
        "leases are not confirmed",
        "pipeline/stores/lease.py",
        "if now() - self._renewed > _FRESH",
        "if now() - self._renewed > 1e9 + _FRESH",
        _TAKEN,
    ),
    Mutation(
        "leases are renewed after somebody else has taken them over",
        "pipeline/stores/lease.py",
        "put(key, text, absent=match is None, match=match)",
        "put(key, text, absent=match is None)",
        _TAKEN,
    ),
    Mutation(
        "a death is not counted, in a bucket",
        "pipeline/stores/lease.py",
        'history = last.history if ours else last.inherited("")',
        "history = last.history",
        _TAKEN,
    ),
    Mutation(
        "the history is lost when a manifest is handed back, in a bucket",
        "pipeline/stores/lease.py",
        "self._end(self._delete if self.holding.history == History() else self._leave)",
        "self._end(self._delete)",
        f"{_KEPT}[moto]",
    ),
    Mutation(
        "an object is deleted before it is copied to its end",
        "pipeline/stores/s3_claim.py",
        "            self._copy_to(key)\n",
        "            self._objects.delete(self._key)\n            self._copy_to(key)\n",
        f"{_ORDER}[an end]",
    ),
    Mutation(
        "an object is deleted before it is copied back",
        "pipeline/stores/s3_claim.py",
        "        content = self._content\n        if content.size <= _SMALL:\n",
        "        content = self._content\n        self._objects.delete(self._key)\n"
        "        if content.size <= _SMALL:\n",
        f"{_ORDER}[a hand-back]",
    ),
    Mutation(
        "an object is deleted before it is copied to be claimed",
        "pipeline/stores/s3_claim.py",
        "        etag, written = found.etag, found.modified\n",
        "        etag, written = found.etag, found.modified\n        objects.delete(source)\n",
        f"{_ORDER}[a claim]",
    ),
    Mutation(
        "a late write replaces the next runner's file, in a bucket",
        "pipeline/stores/s3.py",
        "put(key, data, absent=seen is None, match=seen)",
        "put(key, data)",
        f"{_REPLACED}[moto]",
    ),
    # Faults of folders and buckets.
    Mutation(
        "a volume that is not mounted is written below",
        "pipeline/stores/tree.py",
        "self._planned = self._mount in planned",
        "self._planned = False",
        "stores/test_folder_safety.py::test_a_volume_that_is_planned_but_not_mounted_is_waited_for",
    ),
    Mutation(
        "a folder that becomes a symbolic link is followed",
        "pipeline/stores/tree.py",
        "    try:\n        return os.open(name, _FOLDER | os.O_NOFOLLOW, dir_fd=folder)",
        "    try:\n        return os.open(name, _FOLDER, dir_fd=folder)",
        "stores/test_folder_safety.py::test_nothing_is_changed_through_a_folder_that_becomes_a_symbolic_link",
    ),
    Mutation(
        "a write does not recognise its first try",
        "pipeline/stores/objects.py",
        "return self._written_before(key, data)",
        "raise",
        "stores/test_fences.py::test_a_write_whose_answer_was_lost_recognises_its_first_try",
    ),
    Mutation(
        "the date of an answer ends a lease",
        "pipeline/stores/lease.py",
        "self.watched.measure(key, self._measured_age(key, found))",
        "self.watched.measure(key, found.age)",
        "stores/test_lease.py::test_a_lease_that_is_renewed_is_kept_although_the_dates_of_answers_are_ahead",
    ),
)

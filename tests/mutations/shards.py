"""Sabotages of shards and of `--idle`: who may work on a folder, who writes the page, what is deleted."""

from tests.mutating import Mutation

_MOMENT = "outbox/test_shared_end.py::test_of_two_shards_that_end_at_the_same_moment_one_writes_the_page"

SHARDS = (
    Mutation(
        "shards of another expansion are let in",
        "pipeline/outbox/shared_notes.py",
        "if not replace:",
        "if False:",
        "shards/test_shards.py::test_shards_of_another_expansion_are_refused_and_both_are_named[folder]",
    ),
    Mutation(
        "failures of a plan that was replaced count",
        "pipeline/outbox/shared_notes.py",
        "re.escape(plan.short_digest)",
        "'[0-9a-f]+'",
        "outbox/test_shared_notes.py::test_failures_of_a_plan_that_was_replaced_do_not_count[other-pairs]",
    ),
    Mutation(
        "failures from before the plan count",
        "pipeline/outbox/shared_notes.py",
        "entry.modified >= begun",
        "True",
        "outbox/test_shared_notes.py::test_failures_do_not_count_again_when_an_earlier_plan_comes_back",
    ),
    Mutation(
        "a shard sees what is left before it notes what has failed",
        "pipeline/outbox/shared_end.py",
        "self._notes.note_end(self._plan, self.shard, problems, self._folder)",
        "self._folder.entries(); self._notes.note_end(self._plan, self.shard, [], self._folder)",
        _MOMENT,
    ),
    Mutation(
        "a page that is older than a record stays",
        "pipeline/outbox/shared_end.py",
        "all(file.modified < page.modified for file in files)",
        "True",
        "shards/test_shards.py::test_a_page_that_is_older_than_a_record_is_written_again[folder]",
    ),
    Mutation(
        "the last shard writes no page",
        "pipeline/outbox/shared_end.py",
        "if not left and (computed",
        "if left and (computed",
        "shards/test_shards.py::test_each_shard_computes_its_pairs_and_the_last_one_writes_the_page[folder]",
    ),
    Mutation(
        "a shard and a run of the whole manifest work at the same time",
        "pipeline/stores/folder.py",
        "if others:",
        "if False:",
        "stores/test_contract.py::test_a_folder_and_a_part_of_it_are_not_reserved_at_the_same_time[folder]",
    ),
    Mutation(
        "two processes work on one shard in a bucket",
        "pipeline/stores/s3.py",
        "return S3Reservation(lease) if lease else None",
        "return S3Reservation(lease)",
        "stores/test_contract.py::test_parts_of_a_folder_are_reserved_each_by_one_at_a_time[seaweed]",
    ),
    Mutation(
        "a runner that ends leaves messages behind",
        "pipeline/work/watch.py",
        "while not self._session.stop.is_set() and self._trigger.collect():",
        "while False:",
        "inbox/test_sqs.py::"
        "test_a_runner_that_ends_by_itself_has_acknowledged_all_manifests_that_are_done[options0]",
    ),
    Mutation(
        "a scan that fails acknowledges messages",
        "pipeline/work/feed.py",
        "if found is not None:  # a scan that failed does not show which manifests have ended",
        "if True:",
        "work/test_feed.py::test_a_scan_that_fails_shows_a_trigger_nothing",
    ),
)

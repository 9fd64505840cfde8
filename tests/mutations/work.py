"""Sabotages of inbox, outbox, engines and work: the order of steps, turns, deaths, faults and limits."""

from tests.mutating import Mutation

_REPLAY = "test_power_loss.py::test_a_power_loss_at_any_step_loses_nothing_and_tears_nothing"
_FIRST = f"{_REPLAY}[two manifests are done]"
_AGAIN = f"{_REPLAY}[two manifests are done again, with another image]"
_BY_HAND = f"{_REPLAY}[a claim is handed back; manifests fail, are corrected and done]"

WORK = (
    Mutation(
        "a record is written before its picture",
        "pipeline/outbox",
        ", (record.picture, picture)):",
        ', (f"{record.id}.json", record.model_dump_json().encode()), (record.picture, picture)):',
        _FIRST,
    ),
    Mutation(
        "an earlier record is not removed first",
        "pipeline/outbox",
        "self._folder.remove(record_name(record.id), self._seen(record_name(record.id)))",
        "pass",
        _AGAIN,
    ),
    Mutation(
        "a manifest ends before its last record",
        "pipeline/work/job.py",
        "return self.settled == len(self.pairs)",
        "return self.settled >= len(self.pairs) - 1",
        "work/test_owner.py::test_the_record_is_the_last_file_of_a_pair_and_the_page_the_last_of_a_manifest",
    ),
    Mutation(
        "a claim is not confirmed before each file",
        "pipeline/work/job.py",
        "self.claimed.confirm()",
        "pass",
        "work/test_owner.py::test_a_claim_confirms_before_each_file",
    ),
    Mutation(
        "claims are not marked when the process is being stopped",
        "pipeline/work/open_jobs.py",
        "job, job.claimed.stopping)",
        "job, job.claimed.lost)",
        "work/test_stopping.py::test_a_runner_that_is_killed_while_it_stops_counts_as_no_crash",
    ),
    Mutation(
        "a suspect's pair is not noted before it is computed",
        "pipeline/work",
        "self._settling.wait_for(job, partial(caution.begin, handed_out.task.pair))",
        "pass",
        "work/test_caution.py"
        "::test_only_the_pair_that_kills_fails_after_three_deaths_and_the_others_are_done",
    ),
    Mutation(
        "a manifest fails without an error file",
        "pipeline/inbox/claimed.py",
        "self._store.write(error_key(self.name), text)",
        "pass",
        _BY_HAND,
    ),
    Mutation(
        "a message is deleted before its manifest has ended",
        "pipeline/inbox/sqs.py",
        "m.missed >= _SCANS",
        "m.missed >= 0",
        "inbox/test_sqs.py"
        "::test_an_upload_starts_a_scan_and_its_message_is_deleted_after_the_manifest_has_ended",
    ),
    # What was done before.
    Mutation(
        "what is done already is computed again",
        "pipeline/work/owner.py",
        "known=earlier.record.input_digest if earlier.record and earlier.whole else None,",
        "known=None,",
        "work/test_owner.py::test_what_is_done_already_is_not_done_again",
    ),
    Mutation(
        "an edited picture is replaced",
        "pipeline/outbox/results.py",
        "self._edited.keep(earlier.record)",
        "pass",
        "outbox/test_edited.py::test_an_edited_picture_is_kept_and_reported",
    ),
    Mutation(
        "the result of a newer version is replaced",
        "pipeline/outbox/results.py",
        'refusal = self._refusal(pair) if found.newer else ""',
        'refusal = ""',
        "work/test_lookup.py::test_two_versions_do_not_undo_each_other",
    ),
    Mutation(
        "a long manifest is resumed record by record",
        "pipeline/outbox/pages.py",
        "if kept and kept.tag == entry.tag:",
        "if False:",
        "work/test_lookup.py::test_a_long_manifest_that_is_done_costs_a_few_requests_for_each_page",
    ),
    # Runners and manifests beside each other.
    Mutation(
        "more is claimed than begins soon",
        "pipeline/work/owner.py",
        "claim=self._tasks.newcomers < 2 * batch",
        "claim=True",
        "work/test_feed.py::test_what_would_begin_after_the_next_batch_is_left_to_other_runners",
    ),
    Mutation(
        "a manifest keeps its turn",
        "pipeline/work/turns.py",
        "if self._current not in jobs or self._left == 0:",
        "if self._current not in jobs:",
        "work/test_turns.py::test_open_jobs_take_turns",
    ),
    Mutation(
        "two inboxes publish under one name",
        "pipeline/stores/folder.py",
        "lock.write(Holding(owner=uuid4().hex))",
        "lock.close()",
        "stores/test_contract.py::test_a_folder_is_reserved_by_one_at_a_time[folder]",
    ),
    Mutation(
        "the loss of a reservation is not noticed",
        "pipeline/work/job.py",
        "self.reservation.confirm()",
        "pass",
        "work/test_owner.py::test_nothing_is_published_in_a_folder_that_another_process_has_reserved_since",
    ),
    Mutation(
        "signals are handled after the imports",
        "pipeline/start.py",
        "signal.signal(number, _end)",
        "pass",
        "test_start.py::test_a_signal_before_any_work_ends_the_process_in_silence",
    ),
    # Faults.
    Mutation(
        "a fault of the outbox fails pairs",
        "pipeline/outbox/result_folder.py",
        "raise UnavailableError(str(error)) from error",
        "raise",
        "work/test_lookup.py::test_a_fault_of_the_outbox_is_waited_for_and_reported_once",
    ),
    Mutation(
        "a suspect whose images are out of reach holds up the others",
        "pipeline/work/owner.py",
        "self._settling.put_off(job, reason)",
        'self._settling.settle(job, Problem("", reason))',
        "work/test_caution.py::test_a_suspect_whose_images_are_out_of_reach_is_put_off_and_the_others_go_on",
    ),
    Mutation(
        "a batch that does not fit fails",
        "pipeline/engines/local.py",
        "self._transfer(batch[: len(batch) // 2])\n            self._transfer(batch[len(batch) // 2 :])",
        "for entry in batch:\n                self._outcomes.put(type(failure)(entry.task, failure.problem))",
        "engines/test_local.py::test_a_batch_that_is_too_large_is_halved",
    ),
    # Input, and what is written.
    Mutation(
        "a run replaces the results of another project",
        "pipeline/work/watch.py",
        "if earlier and earlier != job.origin and (store.atomic or any(store.entries(job.name))):",
        "if False:",
        "test_origin.py::test_the_results_of_a_manifest_from_another_place_are_not_replaced",
    ),
    Mutation(
        "a picture is published whose loss is not finite",
        "nst/scales.py",
        "if not all(map(math.isfinite, losses)):",
        "if False:",
        "engines/test_local.py::test_a_pair_whose_loss_is_not_finite_fails_and_the_others_of_its_batch_are_done",
    ),
    Mutation(
        "an image whose pixels are not all there is read",
        "nst/decoding/jpeg.py",
        "if missing:",
        "if False:",
        "../nst/test_completeness.py::test_a_progressive_jpeg_without_some_scans_is_incomplete",
    ),
    Mutation(
        "a stop does not end a search",
        "pipeline/work/session.py",
        "if self.stop.is_set():\n                raise StoppedError",
        "if False:\n                raise StoppedError",
        "work/test_stopping.py::test_a_stop_ends_a_search_for_images_and_hands_the_manifest_back",
    ),
    Mutation(
        "a manifest that was written slowly is not taken up again",
        "pipeline/inbox/inbox.py",
        "self._unfinished.take_back_all()",
        "pass",
        "inbox/test_unfinished.py::test_a_manifest_that_its_writer_completes_in_failed_is_taken_up_again",
    ),
    Mutation(
        "the parser refuses what the schema accepts",
        "nst/parameters.py",
        "return int(value) if isinstance(value, float) and value.is_integer() else value",
        "return value",
        "manifest/test_schema.py::test_schema_and_parser_accept",
    ),
    Mutation(
        "a pattern compares any number of names",
        "pipeline/stores/search.py",
        "if self._compared > _MOST_COMPARED:",
        "if False:",
        "stores/test_search.py::test_patterns_of_one_manifest_compare_a_limited_number_of_names",
    ),
    Mutation(
        "a document has any number of values",
        "pipeline/manifest/document.py",
        " > _MOST_VALUES:",
        " > 1e9:",
        "manifest/test_limits.py::test_a_document_without_use_is_refused_with_one_problem",
    ),
    Mutation(
        "the log has the URL of the server with its password",
        "pipeline/work/watch.py",
        "WatchBegan(self._inbox.store.url,",
        'WatchBegan(getattr(self._inbox.store, "objects").client.meta.endpoint_url,',
        "test_secrets.py::test_no_secret_is_written_anywhere",
    ),
)

"""Sabotages of the HTTP door: who may use it, its limits, and that a request is one job."""

from tests.mutating import Mutation

SERVER = (
    Mutation(
        "any token is right",
        "pipeline/server/access.py",
        "hmac.compare_digest(",
        "bool(",
        "server/test_access.py::test_nothing_is_answered_without_the_token",
    ),
    Mutation(
        "any Host is answered",
        "pipeline/server/access.py",
        "or name in _LOOPBACK or",
        "or name or",
        "server/test_access.py::test_only_names_of_this_machine_are_answered",
    ),
    Mutation(
        "pages of other origins may use the door",
        "pipeline/server/access.py",
        'for origin in headers.getlist("origin"):',
        "for origin in list[str]():",
        "server/test_access.py::test_pages_of_other_origins_are_refused",
    ),
    Mutation(
        "requests have no priority",
        "pipeline/server/taking.py",
        "_PRIORITY = 100",
        "_PRIORITY = 0",
        "server/test_stylize.py::"
        "test_images_and_manifest_lie_in_the_inbox_and_the_manifest_goes_before_bulk_work",
    ),
    Mutation(
        "a key may belong to two requests",
        "pipeline/server/taking.py",
        "if earlier != digest:",
        "if not digest:",
        "server/test_stylize.py::test_the_same_key_with_another_body_is_refused",
    ),
    Mutation(
        "images are not decoded before they are taken in",
        "pipeline/server/taking.py",
        "suffixes.append(self._suffix_of(data))",
        'suffixes.append(".png")',
        "server/test_stylize.py::test_images_that_cannot_be_decoded_are_named_and_nothing_is_kept",
    ),
    Mutation(
        "results may run in a browser",
        "pipeline/server/files.py",
        '"sandbox allow-same-origin allow-downloads; ',
        '"',
        "server/test_result_routes.py::test_files_have_their_type_and_run_nothing",
    ),
    Mutation(
        "a result may be mixed from two versions",
        "pipeline/server/files.py",
        "left.start, _size(left), entry.version",
        "left.start, _size(left)",
        "server/test_large_results.py::"
        "test_a_file_that_is_replaced_while_it_is_sent_is_not_mixed_with_the_newer_one[2]",
    ),
    Mutation(
        "previews are made although nobody watches",
        "pipeline/engines/previewing.py",
        "(task.manifest, task.pair.id) in watched and",
        "watched is not None and",
        "engines/test_previewing.py::test_nothing_is_copied_while_nobody_watches",
    ),
    Mutation(
        "a request of the door rests before it is worked on",
        "pipeline/inbox/writing.py",
        "0.0 if is_request(name) else",
        "",
        "inbox/test_inbox.py::test_a_request_of_the_door_is_ready_as_soon_as_it_is_whole",
    ),
)

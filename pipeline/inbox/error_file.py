"""`failed/NAME.error.json`: what is wrong with a manifest, where, and what to do about it."""

import json
import os
import shlex
from collections.abc import Sequence

from pipeline.errors import Problem, printable, read_problems
from pipeline.inbox.layout import SUFFIX, as_argument, error_key
from pipeline.manifest.document import MAX_BYTES
from pipeline.stores.base import Entry, Store

CANCELLED = Problem("", "cancelled by hand")


def error_file(store: Store, name: str, problems: Sequence[Problem]) -> bytes:
    """The content of the error file."""
    shown, url = (_shell_word(text) for text in (as_argument(name), store.absolute("")))
    dashes = "-- " if name.startswith("-") else ""  # otherwise the name would be taken for an option
    file = f"{printable(name)}{SUFFIX}"
    first = f"correct the images, or {file} beside this file, if they are wrong; then"
    if list(problems) == [CANCELLED]:
        first = "to work on it again"
    errors = {
        "manifest": file,
        "errors": [problem.to_json() for problem in problems],
        "remedy": f"{first}: nst-pipeline retry --inbox {url} {dashes}{shown}",
    }
    return json.dumps(errors, indent=1, ensure_ascii=False).encode()


def read_errors(store: Store, name: str) -> list[Problem]:
    """What the error file of a failed manifest says.

    That it is damaged is one problem. Raises `NotFoundError` if there is none, and another `StoreError` if it
    cannot be read.
    """
    text = store.read(error_key(name), MAX_BYTES)
    try:
        problems = read_problems(json.loads(text)["errors"])
    except (ValueError, LookupError, TypeError, RecursionError):
        problems = []
    damaged = Problem("", "the error file is damaged; retry the manifest to see what is wrong")
    return problems or [damaged]


def _shell_word(text: str) -> str:
    """A text as one printable word for a shell."""
    if text.isprintable():
        return shlex.quote(text)
    special = {"'", "\\"}
    parts = (
        c if c.isprintable() and c not in special else "".join(f"\\x{byte:02x}" for byte in os.fsencode(c))
        for c in text
    )
    return f"$'{''.join(parts)}'"


def remove_error_file(store: Store, name: str, seen: Entry | None) -> None:
    """Delete the error file that was `seen` before its manifest was put back into the inbox.

    A runner may have refused the manifest again since then, and written another one, which stays.
    """
    if seen and store.entry(error_key(name)) == seen:
        store.remove(error_key(name), seen.tag)

"""Where manifests lie in an inbox: the names of its folders and files.

A person may write the suffix in upper case. The program writes it in lower case, from the claim on.
"""

import re
from secrets import token_hex

from pipeline.manifest.names import shortened

PROCESSING, DONE, FAILED = "processing", "done", "failed"
REQUESTS = "requests"  # images that the HTTP door has received

SUFFIX = ".json"
_ERROR_SUFFIX = ".error.json"
_CANCELLED = re.compile(r"(.+)\.cancelled-[0-9a-f]{8}")
_LONGEST_FILE = 255  # bytes
_REQUEST = re.compile(r"request-[0-9a-f]{32}")


def request_name(unique: str) -> str:
    """The name of a manifest that the HTTP door makes of one request; `unique` has 32 hexadecimal digits."""
    return f"request-{unique}"


def is_request(name: str) -> bool:
    """Whether the HTTP door has made a manifest, by its name. Its images were written before it."""
    return _REQUEST.fullmatch(name) is not None


def request_key(name: str, file: str) -> str:
    """Where a file of a request lies, such as its content image."""
    return f"{REQUESTS}/{name}/{file}"


def waiting_key(name: str) -> str:
    """Where a manifest waits."""
    return f"{name}{SUFFIX}"


def processing_key(name: str) -> str:
    """Where a manifest lies while a runner works on it."""
    return f"{PROCESSING}/{name}{SUFFIX}"


def done_key(name: str) -> str:
    """Where a manifest ends whose pairs are all done."""
    return f"{DONE}/{name}{SUFFIX}"


def failed_key(name: str) -> str:
    """Where a manifest ends that failed, or some of whose pairs failed."""
    return f"{FAILED}/{name}{SUFFIX}"


def error_key(name: str) -> str:
    """The file beside a failed manifest that says what is wrong."""
    return _beside_failed(name, _ERROR_SUFFIX)


def cancelled_key(name: str) -> str:
    """Where a manifest lies for a moment while it is being cancelled; another key every time."""
    return _beside_failed(name, f".cancelled-{token_hex(4)}{SUFFIX}")


def kept_key(name: str) -> str:
    """Where a file is kept that a person has written to `failed_key(name)`; another key every time.

    The runner needs that key for the manifest that fails now.
    """
    return _beside_failed(name, f".kept-{token_hex(4)}{SUFFIX}")


def _beside_failed(name: str, suffix: str) -> str:
    # The manifest's own name may just fit into a file name; with the longer suffix it would not.
    return f"{FAILED}/{shortened(name, _LONGEST_FILE - len(suffix))}{suffix}"


def cancelled_name(name: str) -> str | None:
    """The name of a manifest whose cancelling did not end, by the name that it has in `failed/` then."""
    match = _CANCELLED.fullmatch(name)
    return match[1] if match else None


def manifest_name(key: str) -> str | None:
    """The name of the manifest that waits under a key of the inbox; none if the key is of something else.

    The suffix may have any letter case. A hidden file is no manifest.
    """
    if "/" in key or key.startswith(".") or key.lower().endswith(_ERROR_SUFFIX):
        return None
    name = without_suffix(key)
    return name if name != key else None


def without_suffix(file: str) -> str:
    """The name of a manifest, by its file name or its name."""
    return file[: -len(SUFFIX)] if file.lower().endswith(SUFFIX) and len(file) > len(SUFFIX) else file


def as_argument(name: str) -> str:
    """What a person writes in a command to mean a manifest: `without_suffix` turns it into the name again."""
    return name if without_suffix(name) == name else waiting_key(name)


def is_manifest(file: str) -> bool:
    """Whether a file directly in the inbox is a manifest, by its name."""
    return manifest_name(file) is not None

"""Names and paths that clients give: only those that lead to something that a client may use."""

from pipeline.errors import Problem
from pipeline.inbox.layout import DONE, FAILED, PROCESSING, REQUESTS, SUFFIX, is_manifest, waiting_key
from pipeline.manifest.names import plain_file_name
from pipeline.server.problems import RefusedError

_OWN = {PROCESSING, DONE, FAILED, REQUESTS}  # folders of the inbox in which only the program writes
_DEEPEST = 16  # folders in one path


def new_name(name: str) -> str:
    """The name for a new manifest. Raises `RefusedError` if there can be none of this name."""
    try:
        plain_file_name(name, what="the name of a manifest")
    except ValueError as error:
        raise RefusedError(422, str(error)) from None
    if not is_manifest(waiting_key(name)):
        raise RefusedError(422, "the name of a manifest must not end with '.error'")
    return name


def known_name(name: str) -> str:
    """The name of a manifest that may exist. Raises `RefusedError` for any other one."""
    if not can_be_given(name):
        raise RefusedError(404, "there is no manifest of this name")
    return name


def can_be_given(name: str) -> bool:
    """Whether a client can name a manifest so."""
    return "/" not in name and name.isprintable() and is_manifest(waiting_key(name))


def image_path(path: str) -> str:
    """The path of a new image in the inbox. Raises `RefusedError` if none may be written there."""
    parts = path.split("/")
    try:
        for part in parts:
            plain_file_name(part, what="each part of the path of an image")
    except ValueError as error:
        raise RefusedError(422, str(error), [Problem("path", str(error))]) from None
    if parts[0].casefold() in _OWN:
        raise RefusedError(422, f"{parts[0]}/ belongs to the program; choose another folder")
    if parts[-1].lower().endswith(SUFFIX):
        raise RefusedError(422, "an image must not have a name that ends with .json; use /manifests")
    if len(parts) > _DEEPEST:
        raise RefusedError(422, f"the path has more than {_DEEPEST} parts; choose a shorter one")
    return path


def result_key(name: str, path: str) -> str:
    """The key of a file of results. Raises `RefusedError` if it can be none."""
    parts = [name, *path.split("/")]
    if not all(part.isprintable() and part and not part.startswith(".") for part in parts):
        raise RefusedError(404, "there is no result of this name")
    return "/".join(parts)

"""The errors that several rooms share. Each message is one sentence for a person, with the remedy.

NSTError                    exit code 1; base class of all, in nst.errors
├── ImageError              an image cannot be decoded; in nst.errors
├── WeightsError            the weight file is missing or not a VGG19; in nst.errors
│   └── DownloadError       the weight file can't be downloaded now; in nst.errors
├── UsageError              exit code 2; the command line or the environment is wrong
├── ManifestError           a manifest is invalid; lists the problems in it
├── EngineLostError         an engine cannot continue
└── StoreError              a file cannot be read or written
    ├── NotFoundError       there is no file under this key
    ├── ConflictError       there is another file under this key than expected
    ├── TooLargeError       a file has more bytes than may be read
    ├── NameRefusedError    the store cannot hold a file of this name
    ├── UnavailableError    the store cannot be used now; the caller should wait and retry
    └── ClaimLostError      the claim on a manifest is lost; the runner must not publish its results
        └── TakenAwayError  a person has moved or deleted the manifest
"""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

from nst.errors import NSTError

UNEXPECTED = "failed unexpectedly, which is a bug worth reporting"
MOST_PROBLEMS = 100  # of one manifest that are listed, each with a line in the log; correct these first


def printable(text: str) -> str:
    """The text, with control characters and other unprintable characters escaped."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


@dataclass(frozen=True)
class Problem:
    """One error, with its place in the manifest (empty for the whole manifest) and the remedy."""

    place: str
    message: str
    id: str | None = None

    def __str__(self) -> str:
        # All pairs of a product have the same place.
        pair = f" ({self.id})" if self.id and self.place else self.id or ""
        where = f"{self.place}{pair}"
        return printable(f"{where}: {self.message}" if where else self.message)

    def to_json(self) -> dict[str, str]:
        return {key: printable(value) for key, value in asdict(self).items() if value}


def read_problems(listed: Any) -> list[Problem]:
    """The problems of which `Problem.to_json` made a list. Raises `ValueError` for anything else."""
    try:
        if isinstance(listed, list):
            return [Problem(str(e.get("place", "")), str(e["message"]), e.get("id")) for e in listed]
    except (LookupError, TypeError, AttributeError):
        pass
    raise ValueError("no list of problems")


class ManifestError(NSTError):
    """A manifest is invalid; `problems` lists the errors in it, and their number if they are too many."""

    def __init__(self, problems: list[Problem], count: int = 0) -> None:
        """`count` is the number of all problems, if `problems` are only the first of them."""
        listed = problems[:MOST_PROBLEMS]
        if more := max(count, len(problems)) - len(listed):
            listed.append(Problem("", f"and {more:,} more"))
        super().__init__("; ".join(str(problem) for problem in listed))
        self.problems = listed


class StoreError(NSTError):
    """A file in a folder or bucket cannot be read or written."""


class NotFoundError(StoreError):
    """There is no file under this key."""


class ConflictError(StoreError):
    """There is another file under this key than expected, or one where none was expected."""


class TooLargeError(StoreError):
    """A file has more bytes than may be read. None of them was read."""

    size = 0  # bytes
    tag = ""  # of the file, if it is known without reading it

    @classmethod
    def of(cls, place: str, size: int, limit: int, tag: str = "") -> "TooLargeError":
        """The error for a file of so many bytes, of which `limit` may be read."""
        error = cls(f"{place}: has {size:,} bytes; at most {limit:,} are read")
        error.size, error.tag = size, tag
        return error


class NameRefusedError(StoreError):
    """The store cannot hold a file of this name. Another name may work; waiting does not help.

    Examples: the name is too long, a folder has this name, or the name has a character that the file system
    refuses.
    """


class UnavailableError(StoreError):
    """The store cannot be used now. The caller should wait and retry.

    Examples: a bucket cannot be reached, the credentials have expired, a disk is full, a folder is not
    mounted.
    """


class ClaimLostError(StoreError):
    """The claim on a manifest is lost; the runner must not publish results of this manifest any more.

    Another runner has taken over, or a person has moved or deleted the manifest.
    """


class TakenAwayError(ClaimLostError):
    """A person has moved or deleted the manifest, for example by `cancel`, to stop the work on it."""

    def __init__(self, place: str) -> None:
        super().__init__(f"{place} was moved or deleted; work on it stops")


class UsageError(NSTError):
    """The command line or an environment variable is wrong."""

    exit_code = 2


class EngineLostError(NSTError):
    """An engine cannot continue, for example because its GPU has failed."""


class StoppedError(Exception):
    """Work was interrupted because the process stops. This is not an error and is not shown to users."""


def problems_of(error: Exception, place: str = "", pair: str | None = None) -> list[Problem]:
    """An error as a list of problems of the whole manifest, or of the pair at a place in it."""
    if isinstance(error, ManifestError):
        return error.problems
    if isinstance(error, NSTError):
        return [Problem(place, str(error), pair)]
    return [Problem(place, f"{UNEXPECTED}: {error!r}", pair)]


@contextmanager
def needing(extra: str, packages: Collection[str], sentence: str) -> Iterator[None]:
    """Turn the lack of one of these packages into a `UsageError`; `extra` is the one that installs them.

    In the sentence, `{}` is the name of the package that is missing.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name not in packages:
            raise
        command = f"pip install -c constraints.txt '.[{extra}]'"
        raise UsageError(f"{sentence.format(error.name)}: {command} in a checkout") from None

"""Everything that can go wrong. Each message is one sentence for a person, with the remedy.

NSTError                    exit code 1; root of all, in nst.errors
├── ImageError              an image cannot be decoded; in nst.errors
├── WeightsError            the weight file is missing or is no VGG19; in nst.errors
├── UsageError              exit code 2; the command line or the environment asks for something impossible
├── ManifestError           a manifest is invalid; holds every problem in it
├── EngineLostError         an engine cannot go on
└── StoreError              a file cannot be read or written
    ├── NotFoundError       nothing has this name
    ├── ConflictError       something else has this name
    ├── UnavailableError    the store cannot be used now; worth waiting for
    └── ClaimLostError      the claim on a manifest is gone; nothing of it may be published
"""

from dataclasses import asdict, dataclass

from nst.errors import NSTError


def printable(text: str) -> str:
    """The text with control characters, and characters that a terminal cannot show, escaped."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong, its place in the manifest (empty for the whole manifest), and the remedy."""

    place: str
    message: str
    id: str | None = None

    def __str__(self) -> str:
        return printable(f"{self.place}: {self.message}" if self.place else self.message)

    def to_json(self) -> dict[str, str]:
        return {key: printable(value) for key, value in asdict(self).items() if value}


class ManifestError(NSTError):
    """A manifest is invalid; `problems` holds everything that is wrong with it."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("; ".join(str(problem) for problem in problems))
        self.problems = problems


class StoreError(NSTError):
    """A file in a folder or bucket cannot be read or written."""


class NotFoundError(StoreError):
    """There is nothing under this key."""


class ConflictError(StoreError):
    """There is something else under this key than was expected."""


class UnavailableError(StoreError):
    """A store that cannot be used now, whatever is asked of it; it is worth waiting for.

    For example a bucket that cannot be reached, expired credentials, a full disk, a folder that is not
    mounted.
    """


class ClaimLostError(StoreError):
    """The claim on a manifest is gone, to another runner or by a person; nothing of it may be published."""


class UsageError(NSTError):
    """The command line or the environment asks for something impossible."""

    exit_code = 2


class EngineLostError(NSTError):
    """An engine cannot go on, for example because its GPU has failed."""


class StoppedError(Exception):
    """Work was interrupted because the process is to stop. It is no fault, and no person sees it."""


def problems_of(error: Exception, place: str = "", pair: str | None = None) -> list[Problem]:
    """The problems that an error stands for, of a whole manifest or of the pair at a place in it."""
    if isinstance(error, ManifestError):
        return error.problems
    if isinstance(error, NSTError):
        return [Problem(place, str(error), pair)]
    return [Problem(place, f"failed unexpectedly, which is a bug worth reporting: {error!r}", pair)]

"""What can go wrong with a manifest, its images or its stores; each message is one sentence for a person."""

from dataclasses import asdict, dataclass

from nst.errors import NSTError


def printable(text: str) -> str:
    """The text with what a terminal would obey, and what it can't show, escaped."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong: where in the manifest (empty: the whole of it), and what to do about it."""

    place: str
    message: str
    id: str | None = None

    def __str__(self) -> str:
        return printable(f"{self.place}: {self.message}" if self.place else self.message)

    def to_json(self) -> dict[str, str]:
        return {key: printable(value) for key, value in asdict(self).items() if value}


class ManifestError(NSTError):
    """A manifest that can't be worked on; holds every problem found in it."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("; ".join(str(problem) for problem in problems))
        self.problems = problems


class StoreError(NSTError):
    """A folder or bucket that can't be read or written as asked."""


class NotFoundError(StoreError):
    """There is nothing under this key."""


class ConflictError(StoreError):
    """What is there is not what was to be written over."""


class UnavailableError(StoreError):
    """A store that can't be used for now, through no fault of what was asked; it is worth waiting for.

    A bucket out of reach, credentials that have expired, a full disk, a folder that is not mounted.
    """


class ClaimLostError(StoreError):
    """This runner's claim on a manifest has ended, so it may not publish anything of it.

    Another runner has taken over, or somebody has moved or deleted the manifest.
    """


class UsageError(NSTError):
    """The command line or the environment asks for something impossible."""


def problems_of(error: Exception, place: str = "", pair: str | None = None) -> list[Problem]:
    """What an error says is wrong with a manifest, or with the pair that stands at a place in it."""
    if isinstance(error, ManifestError):
        return error.problems
    if isinstance(error, NSTError):
        return [Problem(place, str(error), pair)]
    return [Problem(place, f"failed unexpectedly, which is a bug worth reporting: {error!r}", pair)]

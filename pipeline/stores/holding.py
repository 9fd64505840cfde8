"""The text of a lock file or a lease: who holds the claim, on what content, and what happened before.

It is JSON. Earlier versions of this program wrote numbers, which are read, too.
"""

import json
import os
import socket
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pipeline.stores.base import History

FORMAT = 2  # of this text; 1 was a number in a lock, and an owner, a random text and a number in a lease
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def this_machine() -> str:
    """The same for all processes of one running kernel, also in containers: flock() excludes these."""
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        return socket.gethostname()


class Holding(BaseModel):
    """What a holder has written down. A newer version of this program may write more fields."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    format: int = FORMAT
    owner: str  # different for every claim
    content: str = ""  # identifies the content of the claimed file, if it is known
    stopped: bool = False  # the holder is being stopped, so that its end is not counted as a death
    free: bool = False  # of a lease: the holder has ended; the text is there only to keep the history
    history: History = History()
    machine: str = Field(default_factory=this_machine)
    host: str = Field(default_factory=socket.gethostname)  # for people
    process: int = Field(default_factory=os.getpid)
    random: str = ""  # of a lease: another one for each write, so that no two have the same ETag

    def inherited(self, content: str) -> History:
        """The history that the next holder begins with, if the file has this content.

        An unknown content, which is empty, counts as the same.
        """
        if self.content and content and self.content != content:
            return History()
        return self.history.after_stop() if self.stopped else self.history.after_death()

    def to_bytes(self) -> bytes:
        return self.model_dump_json().encode()

    @classmethod
    def from_bytes(cls, text: bytes) -> "Holding":
        """Raises no error: text that is empty or damaged counts as that of a holder without a history.

        Of a text that a newer version has written, fields that have another type now are left out.
        """
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            wrong = {part["loc"][0] for part in error.errors() if part["loc"]}
        try:
            fields = json.loads(text)
            return cls.model_validate({"owner": "", **{k: v for k, v in fields.items() if k not in wrong}})
        except (ValueError, AttributeError, RecursionError):
            return _of_format_1(text)


def _of_format_1(text: bytes) -> Holding:
    """The number at the end is how many deaths the next holder had to count."""
    words = text.decode(errors="replace").split() or [""]
    deaths = int(words[-1]) if len(words[-1]) < 10 and words[-1].isdecimal() else 0
    owner = words[0] if len(words) > 1 else ""
    history = History(crashes=max(0, deaths - 1))
    return Holding(
        format=1, owner=owner, stopped=deaths == 0, history=history, machine="", host="", process=0
    )

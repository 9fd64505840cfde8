"""Takes requests in: images and a manifest are written to the inbox, the manifest last."""

import hashlib
import json
import re
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any

from nst.errors import ImageError
from nst.parameters import Parameters
from pipeline.errors import ConflictError, ManifestError, NotFoundError, Problem, StoreError
from pipeline.inbox.layout import is_request, manifest_name, request_key, request_name, waiting_key
from pipeline.manifest.document import MAX_BYTES
from pipeline.manifest.expand import expand
from pipeline.manifest.reading import parse
from pipeline.outbox.outbox import Outbox
from pipeline.server.form import CONTENT, STYLE, Submission
from pipeline.server.problems import RefusedError, retry_later
from pipeline.server.states import state_of
from pipeline.settings import Caps
from pipeline.stores.base import Store

PAIR = "picture"  # the id of the only pair of a request
_PRIORITY = 100  # before bulk work
_NOTE = "request.json"  # the file with the digest of the request that has used a key
_BUSY = 30  # seconds of `Retry-After` while too many manifests wait


class Backlog:
    """Refuses requests while too many manifests wait. The inbox is listed only now and then."""

    def __init__(self, inbox: Store, most: int, seconds: float) -> None:
        """A listing is used for so many seconds; what was added since then is counted, too."""
        self._inbox, self._most, self._seconds = inbox, most, seconds
        self._lock = threading.Lock()
        self._listed, self._requests, self._others = float("-inf"), 0, 0

    def check(self, request: bool, repeated: Callable[[], bool] = lambda: False) -> None:
        """Raises `RefusedError` if too many wait: of a request for one picture, other requests count.

        One that is `repeated`, because it was taken in before, is let in all the same.
        """
        with self._lock:
            if time.monotonic() > self._listed + self._seconds:
                found = (manifest_name(entry.name) for entry in self._inbox.entries(""))
                names = [name for name in found if name]
                self._requests = sum(map(is_request, names))
                self._others = len(names) - self._requests
                self._listed = time.monotonic()
            waiting = self._requests + (0 if request else self._others)
        if waiting >= self._most and not repeated():
            raise retry_later(429, f"{waiting:,} manifests wait already; try again later", _BUSY)

    def add(self, request: bool) -> None:
        """Count a manifest that was written now."""
        with self._lock:
            self._requests, self._others = self._requests + request, self._others + (not request)


class Taking:
    """Takes requests for one picture in. All methods may be called from several threads."""

    def __init__(
        self, inbox: Store, outbox: Outbox, caps: Caps, backlog: Backlog, suffix_of: Callable[[bytes], str]
    ) -> None:
        """`suffix_of` decodes an image and returns the suffix of its format, or raises `ImageError`."""
        self._inbox, self._outbox, self._caps, self._backlog = inbox, outbox, caps, backlog
        self._suffix_of = suffix_of
        self._changed, self._names = threading.Condition(), set[str]()

    def name(self, key: str | None) -> str:
        """The name of the manifest of a request with this `Idempotency-Key`; a new one without a key."""
        if key is None:
            return request_name(secrets.token_hex(16))
        return request_name(hashlib.sha256(key.encode()).hexdigest()[:32])

    def take(self, name: str, submission: Submission, repeatable: bool) -> bool:
        """Check a request and write it to the inbox, unless it is `repeatable` and was taken in before.

        Returns whether it was written now. Raises `StoreError`, and `RefusedError` if it is not valid, or if
        another request had the same key.
        """
        note = request_key(name, _NOTE)
        self._backlog.check(True, lambda: repeatable and self._inbox.entry(note) is not None)
        images = [file.file.read() for file in (*submission.content, *submission.styles)]
        parameters = self._lowered() | submission.parameters()
        # First, because decoding takes longer.
        self._check(_document(submission, parameters, [""] * len(images), name))
        suffixes = self._suffixes(images)
        files = [f"content{suffixes[0]}", *(f"style-{n}{s}" for n, s in enumerate(suffixes[1:], start=1))]
        with self.alone(name), self._removed_on_error(name) as written:
            if repeatable and self._was_taken(name, submission.digest(images), written):
                return False
            for file, data in zip(files, images, strict=True):
                written.append(request_key(name, file))
                self._inbox.write(written[-1], data)
            document = _document(submission, parameters, files, name)
            try:
                self._inbox.replace(waiting_key(name), document, None)
                self._backlog.add(request=True)
            except ConflictError:
                pass  # another door was quicker with the same request
            return True

    def _lowered(self) -> dict[str, int]:
        """What the operator allows, for each parameter whose default is above that."""
        usual, allowed = Parameters(), {"max_size": self._caps.max_size, "epochs": self._caps.epochs}
        return {name: most for name, most in allowed.items() if most < getattr(usual, name)}

    def _check(self, document: bytes) -> None:
        """Raises `RefusedError` with each problem of the manifest of a request and the field it is in."""
        try:
            expand(parse(document), lambda pattern: [], self._caps)
        except ManifestError as error:
            problems = [replace(problem, place=_field(problem.place)) for problem in error.problems]
            detail = f"the form is not valid: {'; '.join(map(str, problems))}"
            raise RefusedError(422, detail, problems) from None

    def _suffixes(self, images: Sequence[bytes]) -> list[str]:
        """Decode all images. Raises `RefusedError` with the field of each that can't be decoded."""
        fields = [CONTENT, *(f"{STYLE}[{n}]" for n in range(len(images) - 1))]
        suffixes, problems = [], []
        for place, data in zip(fields, images, strict=True):
            try:
                suffixes.append(self._suffix_of(data))
            except ImageError as error:
                problems.append(Problem(place, str(error)))
        if problems:
            raise RefusedError(422, "; ".join(map(str, problems)), problems)
        return suffixes

    def _was_taken(self, name: str, digest: str, written: list[str]) -> bool:
        """Whether a request of this name was written whole before. Raises `RefusedError` for another one.

        The key of the note that is made of a new request is added to `written`.
        """
        key = request_key(name, _NOTE)
        # The note differs each time: where the answer to a write is lost, `S3Store` takes an object of the
        # same bytes for its own, and this one may be of another request.
        note = json.dumps({"digest": digest, "try": secrets.token_hex(8)}).encode()
        try:
            self._inbox.replace(key, note, None)
            written.append(key)
            return False
        except ConflictError:
            pass
        try:
            earlier = json.loads(self._inbox.read(key, MAX_BYTES)).get("digest")
        except (NotFoundError, ValueError, AttributeError):
            earlier = None
        if earlier != digest:
            raise RefusedError(422, "this Idempotency-Key belongs to another request; choose a new one")
        # A door may have died before it wrote the manifest.
        return state_of(self._inbox, name) is not None or self._outbox.record(name, PAIR) is not None

    def _may_be_taken(self, name: str) -> bool:
        """Whether there is a manifest of this name, or that cannot be found out."""
        try:
            return state_of(self._inbox, name) is not None
        except StoreError:
            return True

    @contextmanager
    def _removed_on_error(self, name: str) -> Iterator[list[str]]:
        """A list of keys. If the block raises a `StoreError`, the files under these keys are removed.

        They stay if there may be a manifest of this name: of this try, whose answer was lost, or of another.
        """
        written: list[str] = []
        try:
            yield written
        except StoreError:
            if not self._may_be_taken(name):
                for key in written:
                    with suppress(StoreError):
                        self._inbox.remove(key)
            raise

    @contextmanager
    def alone(self, name: str) -> Iterator[None]:
        """Wait until no other thread takes in a manifest of this name, and keep others waiting meanwhile."""
        with self._changed:
            self._changed.wait_for(lambda: name not in self._names)
            self._names.add(name)
        try:
            yield
        finally:
            with self._changed:
                self._names.discard(name)
                self._changed.notify_all()


def _document(
    submission: Submission, parameters: Mapping[str, Any], files: Sequence[str], name: str
) -> bytes:
    """The manifest of a request whose content and styles have these file names."""
    content, *styles = [request_key(name, file) for file in files]
    document: dict[str, Any] = {"priority": _PRIORITY, "id": PAIR, "content": content}
    if weights := submission.weights():
        document["styles"] = [{"image": s, "weight": w} for s, w in zip(styles, weights, strict=True)]
    elif len(styles) > 1:
        document["styles"] = [{"image": style} for style in styles]
    else:
        document["style"] = styles[0]
    return json.dumps({**document, **parameters}, indent=1).encode()


def _field(place: str) -> str:
    """The field of the form that a place in the manifest came from."""
    return re.sub(r"^styles(\[\d+\])\.weight$", r"style_weights\1", place)

"""The claim on an object of a bucket, and how an object is moved there: by a copy and a delete."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from pipeline.errors import (
    ClaimLostError,
    ConflictError,
    NotFoundError,
    StoreError,
    TakenAwayError,
    TooLargeError,
)
from pipeline.stores.base import History
from pipeline.stores.lease import Lease
from pipeline.stores.objects import Objects

_SMALL = 2**23  # bytes of an object that is moved through this process; the server copies larger ones
_LARGEST = 5 * 2**30  # bytes of an object that a server copies in one request


@dataclass(frozen=True)
class Content:
    """What an object contains. `data` is None as long as it was not read, or if it is large."""

    etag: str
    size: int  # bytes
    data: bytes | None = None


def moved(objects: Objects, source: str, target: str) -> tuple[str, Content]:
    """Move an object. Returns the ETag that it had at `source`, and what is at `target` now.

    Raises `NotFoundError`, and `ConflictError` if another object is at `target`, or if the source changes.
    """
    try:
        found = objects.get(source, _SMALL)
    except TooLargeError as large:
        etag, written = large.tag, None
        content = _copied_if_absent(objects, source, large.tag, large.size, target)
    else:
        etag, written = found.etag, found.modified
        content = Content(objects.put(target, found.data, absent=True), len(found.data), found.data)
    objects.delete(source, match=etag, written=written)
    return etag, content


def _copied_if_absent(objects: Objects, source: str, etag: str, size: int, target: str) -> Content:
    if size > _LARGEST:
        raise StoreError(
            f"{objects.url}/{source}: has {size / 2**30:.1f} GiB; at most 5 GiB can be moved; delete it"
        )
    # The copy itself has no condition on its target, which not every server supports.
    there = objects.tag(target)
    if there is None:
        there = objects.copy(source, target, match=etag)
    elif there != etag:  # the same ETag is the copy of an earlier try
        raise ConflictError(f"{objects.url}/{target}: something else is there already")
    return Content(there, size)


def claimed(objects: Objects, lease: Lease, source: str, key: str) -> "S3Claim | None":
    """The claim on what a dead holder left at `key`, or else on `source`, which is moved there.

    None if there is neither. The lease then ends.
    """
    try:
        content = _find(objects, lease, source, key)
    except BaseException:
        lease.end()
        raise
    if content is None:
        lease.end()
        return None
    return S3Claim(objects, lease, source, key, content)


def _find(objects: Objects, lease: Lease, source: str, key: str) -> Content | None:
    try:
        etag, content = moved(objects, source, key)
    except (NotFoundError, ConflictError):
        try:
            head = objects.head(key)
        except NotFoundError:
            return None
        etag, content = head.etag, Content(head.etag, head.size)
    written = lease.holding
    history = written.history if written.content in ("", etag) else History()
    if (written.content, written.history) != (content.etag, history):
        lease.change(content=content.etag, history=history)
    return content


class S3Claim:
    """The claim on an object, by a lease."""

    def __init__(self, objects: Objects, lease: Lease, source: str, key: str, content: Content) -> None:
        self._objects, self._lease, self._source, self._key = objects, lease, source, key
        self._content = content
        self._held, self._copied = True, False

    @property
    def history(self) -> History:
        return self._lease.holding.history

    def note(self, history: History) -> None:
        self._check()
        self._lease.change(history=history)

    def stopping(self) -> None:
        if self._held and not self._lease.holding.stopped:
            self._lease.change(stopped=True)

    def read(self, limit: int) -> bytes:
        content = self._content
        if content.size > limit:
            raise TooLargeError.of(f"{self._objects.url}/{self._key}", content.size, limit)
        if content.data is not None:
            return content.data
        try:
            data = self._objects.get(self._key, limit, IfMatch=content.etag).data
        except (NotFoundError, ConflictError):
            raise self._taken_away() from None
        if content.size <= _SMALL:
            self._content = replace(content, data=data)
        return data

    def confirm(self) -> None:
        self._check()
        self._lease.confirm()

    def present(self) -> bool:
        return self._held and self._objects.tag(self._key) is not None

    def move_to(self, key: str, clearing: Sequence[str] = ()) -> None:
        if not self._held:
            return
        self._lease.confirm()
        # After a copy, an earlier call may have deleted the object although its answer was lost.
        if not self._copied:
            if not self.present():
                raise self._taken_away()
            self._copy_to(key)
            self._copied = True
        # The copy may have taken longer than the lease. Another runner may then hold a newer object.
        self._lease.confirm()
        # With ETags, because this request may arrive after another runner has written both anew.
        self._lease.end_by(
            lambda etag: self._objects.delete_all(
                {self._key: self._content.etag, **dict.fromkeys(clearing), self._lease.key: etag}
            )
        )
        self._held = False

    def release(self) -> None:
        if not self._held:
            return
        self._held = False
        try:
            if self._lease.holding.stopped:
                self._lease.confirm()
            else:
                self._lease.change(stopped=True)
            if not self._copied:  # or else it has ended, but for the delete, which the next runner repeats
                self._put_back()
        except ClaimLostError:
            return
        except ConflictError:
            pass  # a newer object waits; this one stays where the next scan finds it
        finally:
            self._lease.end()

    def drop(self) -> None:
        if self._held:
            self._held = False
            self._lease.delete()

    def _check(self) -> None:
        if not self._held:
            raise ClaimLostError(f"{self._objects.url}/{self._key}: the claim has ended")

    def _copy_to(self, key: str) -> None:
        """Copy the claimed object, in place of any object there. Raises `ClaimLostError` if it is gone."""
        if self._content.size <= _SMALL:
            self._objects.put(key, self.read(_SMALL))
            return
        try:
            self._objects.copy(self._key, key, match=self._content.etag)
        except (NotFoundError, ConflictError):
            raise self._taken_away() from None

    def _put_back(self) -> None:
        found = self._objects.tag(self._key)
        if found is None:
            self._lease.delete()
        elif found == self._content.etag:
            self._copy_back()

    def _copy_back(self) -> None:
        content = self._content
        if content.size <= _SMALL:
            etag = self._objects.put(self._source, self.read(_SMALL), absent=True)
        else:
            etag = _copied_if_absent(self._objects, self._key, content.etag, content.size, self._source).etag
        self._lease.confirm()
        self._objects.delete(self._key, match=content.etag)
        # A copy may have another ETag, for example if the original was uploaded in parts.
        self._lease.holding = self._lease.holding.model_copy(update={"content": etag})

    def _taken_away(self) -> TakenAwayError:
        return TakenAwayError(f"{self._objects.url}/{self._key}")

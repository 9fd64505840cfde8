"""Bodies that are on their way: they are kept in temporary files, whose size together is limited."""

from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from tempfile import SpooledTemporaryFile, gettempdir
from typing import BinaryIO, cast

from fastapi import Request
from starlette.datastructures import UploadFile

from pipeline.server.problems import retry_later

_IN_MEMORY = 2**20  # bytes of a body; the rest of it goes to a temporary file


def media_type(request: Request) -> str:
    """What a request says of its body: the media type without parameters, in lower case; empty for none."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


class Uploads:
    """Counts the bytes of the bodies of all requests until they are taken in."""

    def __init__(self, most: int) -> None:
        """More bytes than `most` are refused."""
        self._most, self._bytes = most, 0

    @asynccontextmanager
    async def counted(self, request: Request) -> AsyncIterator[AsyncGenerator[bytes]]:
        """The parts of a body, which count until the block ends. Reading them raises `RefusedError`."""
        size = 0

        async def parts() -> AsyncGenerator[bytes]:
            nonlocal size
            async for part in request.stream():
                size += len(part)
                self._bytes += len(part)
                if self._bytes > self._most:
                    raise retry_later(503, "too much is uploaded at the same time; send the request again")
                yield part

        try:
            yield parts()
        finally:
            self._bytes -= size

    @asynccontextmanager
    async def received(self, request: Request) -> AsyncIterator[BinaryIO]:
        """The body of a request as a file, which is in memory only while it is small."""
        file = UploadFile(cast(BinaryIO, SpooledTemporaryFile(_IN_MEMORY)))  # noqa: SIM115
        async with self.counted(request) as parts:
            try:
                with spooling():
                    async for part in parts:
                        await file.write(part)
                    await file.seek(0)
                yield file.file
            finally:
                await file.close()


@contextmanager
def spooling() -> Iterator[None]:
    """Turn an error of the disk that has the temporary files into a `RefusedError`."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise retry_later(
            503, f"the upload can't be kept in the folder {gettempdir()}: {reason}; make room there"
        ) from None

"""From what an operator writes to a store."""

import os
from uuid import uuid4

from pipeline.errors import UsageError
from pipeline.stores.base import Store
from pipeline.stores.folder import FolderStore


class Stores:
    """Opens folders and `s3://bucket/prefix` URLs; all buckets share one client, made when first needed."""

    def __init__(self, endpoint_url: str | None = None) -> None:
        self._endpoint_url = endpoint_url
        self._client: object = None

    def open(self, url: str) -> Store:
        """A store that exists, or may yet. Raises `UsageError`."""
        if not url.startswith("s3://"):
            if "://" in url:
                raise UsageError(f"{url}: a folder or s3://BUCKET/PREFIX is needed")
            return FolderStore(url)
        # boto3 takes a while to import, and most people use folders.
        from pipeline.stores.aws import connect
        from pipeline.stores.s3 import S3Store

        self._client = self._client or connect("s3", self._endpoint_url)
        return S3Store(url, self._client)

    def inbox(self, url: str) -> Store:
        """A store that manifests come into; it must be there."""
        store = self.open(url)
        if isinstance(store, FolderStore) and not os.path.isdir(store.root):
            raise UsageError(f"inbox {url}: no such folder; make it first")
        store.entries("processing")
        return store

    def outbox(self, url: str, apart_from: Store | None = None) -> Store:
        """A store that results go to, not in `apart_from`; a folder is made where it is missing."""
        store = self.open(url)
        whole = store.absolute("")
        if apart_from and (
            apart_from.key(whole) is not None or store.key(apart_from.absolute("")) is not None
        ):
            raise UsageError(f"inbox {apart_from.url} and outbox {url} lie in one another; choose two apart")
        if isinstance(store, FolderStore):
            return FolderStore.make(url)
        # Better now than after the first picture.
        probe = f".probe-{uuid4().hex}"
        store.write(probe, b"")
        store.remove(probe)
        return store

    def sources(self, inbox: Store) -> list[Store]:
        """Where else than below it an inbox's images may lie: in the rest of its bucket."""
        url = inbox.absolute("")
        bucket = "/".join(url.split("/")[:3])
        return [self.open(bucket)] if url.startswith("s3://") else []

"""Records and results for tests of the outbox."""

from collections.abc import Callable, Sequence

from nst import Parameters
from pipeline.outbox.outbox import Outbox
from pipeline.outbox.pages import Kept
from pipeline.outbox.record import DeliveredLosses, Record, RecordedImage, RecordedSnapshots, WeightFile
from pipeline.outbox.results import Results
from pipeline.stores.base import Store
from pipeline.timing import Timing

LIMIT = 10**6
THUMBNAILS = {"thumbs/0000000000000000.jpg": b"thumbnail"}


def make_record(digest: str = "d1", picture: str = "p.png", pair: str = "p") -> Record:
    """A record without tags."""
    return Record(
        id=pair,
        input_digest=digest,
        picture=picture,
        content=RecordedImage(reference="c.png", sha256="0", thumbnail="thumbs/0.jpg"),
        styles=[RecordedImage(reference="s.png", sha256="1", thumbnail="thumbs/1.jpg")],
        parameters=Parameters(),
        width=4,
        height=3,
        losses=DeliveredLosses(content=1, style=2, tv=3, total=4),
        evaluations=20,
        seconds=1.5,
        device="cpu",
        dtype="float32",
        weights=WeightFile(source="embedded", sha256="2"),
        versions={"torch": "2"},
        finished="2026-01-01T00:00:00+00:00",
        curve=[(1, 5.0), (20, 4.0)],
    )


def opened(
    store: Store,
    pairs: Sequence[str] = ("p",),
    confirm: Callable[[], None] = lambda: None,
    timing: Timing = Timing(),
    warn: Callable[[str], None] = lambda message: None,
) -> Results:
    """The results of manifest "m"."""
    return Outbox(store).open("m", pairs, confirm, timing, warn)


def publish(
    store: Store,
    digest: str = "d1",
    picture: str = "p.png",
    data: bytes = b"picture",
    confirm: Callable[[], None] = lambda: None,
    warn: Callable[[str], None] = lambda message: None,
    snapshots: int = 0,
    thumbnail: str | None = None,
) -> Kept:
    """What a runner does with pair "p" of manifest "m": open the results, look the pair up, publish."""
    results = opened(store, confirm=confirm, warn=warn)
    found = results.find("p")
    record, files = make_record(digest, picture), dict[str, bytes]()
    thumbnails = THUMBNAILS
    if thumbnail:
        record = record.model_copy(update={"thumbnail": thumbnail})
        thumbnails = {**THUMBNAILS, thumbnail: b"small"}
    if snapshots:
        recorded = RecordedSnapshots.of("p", range(1, snapshots + 1))
        record = record.model_copy(update={"snapshots": recorded})
        files = dict.fromkeys((*recorded.pictures, recorded.animation), data)
    return results.put(record, data, b"log", thumbnails, found, files)


def is_done(store: Store, digest: str = "d1") -> bool:
    """Whether pair "p" of manifest "m" has a whole result of these inputs."""
    found = opened(store).find("p")
    return found.whole and found.record is not None and found.record.input_digest == digest

"""The pages of one manifest: each is written as soon as all of its pairs are done or have failed.

A manifest of at most `PAIRS` pairs has one page, `index.html`. A longer one has `page-0001.html` and so on,
and `index.html` links to them. Beside each of these pages, `pages/0001.json` repeats its records, so that the
next runner reads one file for many pairs.
"""

import itertools
import json
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from pipeline.errors import NotFoundError, Problem, TooLargeError
from pipeline.outbox.contents import PageSummary, contents, navigation, page_name
from pipeline.outbox.page import page
from pipeline.outbox.record import LONGEST, Record, read_parsed_record, read_record
from pipeline.outbox.result_folder import ResultFolder
from pipeline.stores.base import Entry

PAIRS = 250  # on one page
INDEX = "index.html"
_FORMAT = 1  # of the files with records
_LONGEST = 2**28  # bytes of such a file


@dataclass(frozen=True)
class Kept:
    """A record, and the tag of its file; without one, the next runner reads the record again."""

    record: Record
    tag: str | None


@dataclass(frozen=True)
class RecordFile:
    """What the file with the record of a pair says.

    No record if this version cannot understand it: it is of a newer version, or else damaged.
    """

    kept: Kept | None
    newer: bool = False  # a newer version of this program wrote it
    reused: bool = False  # the record was read from the file of its page


@dataclass
class _Page:
    """A page of which not all pairs have settled."""

    left: int  # pairs that have not settled
    kept: list[Kept] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    reused: int = 0  # pairs whose record came from the file of this page


class Pages:
    """Collects what becomes of pairs, and writes the pages. `seen` gives the tag of a file by its name."""

    def __init__(self, folder: ResultFolder, pairs: Sequence[str], seen: Callable[[str], str | None]) -> None:
        self._folder, self._pairs, self._seen = folder, pairs, seen
        self._places = {pair: place for place, pair in enumerate(pairs)}
        self._count = max(1, -(-len(pairs) // PAIRS))
        self._open: dict[int, _Page] = {}  # by number, from 1
        self._summaries: dict[int, PageSummary] = {}
        self._file: tuple[int, dict[str, Kept]] = 0, {}  # the page whose file was read last, and its records
        self._file_tags: dict[int, str | None] = {}  # of the files that were read
        self._ready: set[int] = set()  # pages whose HTML stays if the records of all pairs are reused
        self._reading = threading.Lock()  # of the file of a page

    def look_up(self, pair: str, entry: Entry) -> RecordFile | None:
        """The record of a pair, whose file has this entry in the listing; none if it was deleted since.

        It is read from the file of its page if that has it with the same tag.
        """
        with self._reading:
            kept = self._earlier(pair)
        if kept and kept.tag == entry.tag:
            return RecordFile(kept, reused=True)
        try:
            text, tag = self._folder.fetch(entry.name, LONGEST)
        except NotFoundError:
            return None
        except TooLargeError:
            return RecordFile(None)
        reading = read_record(text)
        if reading.record is None or reading.record.id != pair:
            return RecordFile(None, reading.newer)
        return RecordFile(Kept(reading.record, None if reading.newer else tag), reading.newer)

    def settle(self, result: Kept | Problem, reused: bool = False) -> int | None:
        """Take in what has become of a pair; the number of its page if that can be written now.

        `reused` if the record came from the file of its page.
        """
        number = self._number(str(result.id) if isinstance(result, Problem) else result.record.id)
        if number not in self._open:
            self._open[number] = _Page(len(self._on(number)))
        current = self._open[number]
        current.left -= 1
        current.reused += reused
        if isinstance(result, Problem):
            current.problems.append(result)
        else:
            current.kept.append(result)
        return number if self._count > 1 and not current.left else None

    def put(self, number: int) -> None:
        """Write a page, and forget its records."""
        current, pairs = self._open[number], self._on(number)
        kept = sorted(current.kept, key=self._place)
        self._summaries[number] = PageSummary(
            number=number,
            first=pairs[0],
            last=pairs[-1],
            done=len(kept),
            failed=len(current.problems),
            seconds=sum(each.record.seconds for each in kept),
            devices=frozenset(each.record.device for each in kept),
        )
        if number not in self._ready or current.reused < len(pairs):
            records, part = [each.record for each in kept], f"page {number:,} of {self._count:,}"
            links = navigation(number, self._count)
            html = page(self._folder.manifest, records, current.problems, part, links)
            self._put(page_name(number), html, self._seen(page_name(number)))
            if self._folder.lists_tags:
                self._put(_file_name(number), _file_text(self._count, kept), self._file_tags.get(number))
        del self._open[number]

    def put_index(self, problems: Sequence[Problem]) -> None:
        """Write `index.html`, the last file of a manifest, and delete pages of a longer manifest before."""
        if self._count == 1:
            kept = sorted(self._open[1].kept if self._open else [], key=self._place)
            html = page(self._folder.manifest, [each.record for each in kept], problems)
        else:
            summaries = [self._summaries[number] for number in sorted(self._summaries)]
            html = contents(self._folder.manifest, summaries, problems)
        self._put(INDEX, html, self._seen(INDEX))
        # The last one first, and each page after its records, so that the next runner finds the rest if this
        # one dies.
        for number, seen in reversed(list(self._surplus())):
            file = _file_name(number)
            self._folder.remove(file, self._folder.tag(file))
            self._folder.remove(page_name(number), seen)

    def _surplus(self) -> Iterator[tuple[int, str]]:
        """The numbers and tags of pages that a longer manifest had."""
        for number in itertools.count(1 if self._count == 1 else self._count + 1):
            if (seen := self._seen(page_name(number))) is None:
                return
            yield number, seen

    def _number(self, pair: str) -> int:
        return self._places[pair] // PAIRS + 1

    def _on(self, number: int) -> Sequence[str]:
        """The pairs of a page."""
        return self._pairs[(number - 1) * PAIRS : number * PAIRS]

    def _place(self, kept: Kept) -> int:
        return self._places[kept.record.id]

    def _put(self, name: str, text: str, seen: str | None) -> None:
        self._folder.put(name, text.encode(), seen)

    def _earlier(self, pair: str) -> Kept | None:
        """The record of a pair in the file of its page, which may be older than `ID.json`."""
        number = self._number(pair)
        if self._count == 1 or not self._folder.lists_tags or self._seen(page_name(number)) is None:
            return None
        if self._file[0] != number:
            self._file = number, self._read(number)
        return self._file[1].get(pair)

    def _read(self, number: int) -> dict[str, Kept]:
        """The records in the file of a page, which repeats them; none if there is no such file."""
        try:
            text, tag = self._folder.fetch(_file_name(number), _LONGEST)
        except NotFoundError:
            return {}
        self._file_tags[number] = tag
        pages, kept = _read_file(text)
        if pages == self._count and [each.record.id for each in kept] == list(self._on(number)):
            self._ready.add(number)
        return {each.record.id: each for each in kept}


def _file_name(number: int) -> str:
    # In a separate folder, because every other name in the folder of the manifest may belong to a pair.
    return f"pages/{number:04}.json"


def _file_text(pages: int, kept: Sequence[Kept]) -> str:
    results = ",\n".join(
        f'{{"tag": {json.dumps(each.tag)}, "record": {each.record.model_dump_json()}}}'
        for each in kept
        if each.tag
    )
    return f'{{"format": {_FORMAT}, "pages": {pages}, "results": [\n{results}\n]}}\n'


def _read_file(text: bytes) -> tuple[int, list[Kept]]:
    """How many pages the manifest had, and the records; 0 and none for text of another format."""
    try:
        found = json.loads(text)
        if found["format"] != _FORMAT:
            return 0, []
        readings = [(read_parsed_record(each["record"]), each["tag"]) for each in found["results"]]
        return found["pages"], [Kept(reading.record, tag) for reading, tag in readings if reading.record]
    except (ValueError, TypeError, KeyError, RecursionError):
        return 0, []

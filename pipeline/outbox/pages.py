"""The pages of one manifest: each is written as soon as all of its pairs are done or have failed.

A manifest of at most `PAIRS` pairs has one page, `index.html`. A longer one has `page-0001.html` and so on,
and `index.html` links to them. Beside each of these pages, `pages/0001.json` repeats its records, so that the
next runner reads one file for many pairs.
"""

import itertools
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from pipeline.errors import NotFoundError, Problem
from pipeline.outbox.contents import PageSummary, contents, navigation, page_name
from pipeline.outbox.page import page
from pipeline.outbox.record import Record, read_parsed_record
from pipeline.outbox.writing import Confirm, Writer, waiting_for_outbox
from pipeline.stores.base import Store

PAIRS = 250  # on one page
INDEX = "index.html"
_FORMAT = 1  # of the files with records
_LONGEST = 2**28  # bytes of such a file


@dataclass(frozen=True)
class Kept:
    """A record, and the tag of its file, which is none if it is not known."""

    record: Record
    tag: str | None


@dataclass
class _Page:
    """A page of which not all pairs have settled."""

    left: int  # pairs that have not settled
    kept: list[Kept] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    reused: int = 0  # pairs whose record came from the file of this page


class Pages:
    """Collects what becomes of pairs, and writes the pages. `seen` gives the tag of a file by its name."""

    def __init__(
        self, store: Store, manifest: str, pairs: Sequence[str], seen: Callable[[str], str | None]
    ) -> None:
        self._store, self._manifest, self._pairs, self._seen = store, manifest, pairs, seen
        self._writer = Writer(store, manifest)
        self._places = {pair: place for place, pair in enumerate(pairs)}
        self._count = max(1, -(-len(pairs) // PAIRS))
        self._open: dict[int, _Page] = {}  # by number, from 1
        self._summaries: dict[int, PageSummary] = {}
        self._file: tuple[int, dict[str, Kept]] = 0, {}  # the page whose file was read last, and its records
        self._file_tags: dict[int, str | None] = {}  # of the files that were read
        self._ready: set[int] = set()  # pages that are there already, if all of their pairs are reused

    def earlier(self, pair: str) -> Kept | None:
        """The record of a pair in the file of its page, which may be older than `ID.json`."""
        number = self._number(pair)
        if self._count == 1 or not self._store.lists_tags or self._seen(page_name(number)) is None:
            return None
        if self._file[0] != number:
            self._file = number, self._read(number)
        return self._file[1].get(pair)

    def settle(self, pair: str, result: Kept | Problem, reused: bool = False) -> int | None:
        """Take in what has become of a pair; the number of its page if that can be written now.

        `reused` if the result came from `earlier`.
        """
        number = self._number(pair)
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

    def put(self, number: int, confirm: Confirm) -> None:
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
            html = page(self._manifest, records, current.problems, part, navigation(number, self._count))
            self._put(page_name(number), html, self._seen(page_name(number)), confirm)
            if self._store.lists_tags:
                text = _file_text(self._count, kept)
                self._put(_file_name(number), text, self._file_tags.get(number), confirm)
        del self._open[number]

    def put_index(self, problems: Sequence[Problem], confirm: Confirm) -> None:
        """Write `index.html`, the last file of a manifest, and delete pages of a longer manifest before."""
        if self._count == 1:
            kept = sorted(self._open[1].kept if self._open else [], key=self._place)
            html = page(self._manifest, [each.record for each in kept], problems)
        else:
            html = contents(self._manifest, [self._summaries[n] for n in sorted(self._summaries)], problems)
        self._put(INDEX, html, self._seen(INDEX), confirm)
        # The last one first, and each page after its records, so that the next runner finds the rest if this
        # one dies.
        for number, seen in reversed(list(self._surplus())):
            file = _file_name(number)
            self._writer.remove(file, self._writer.tag(file), confirm)
            self._writer.remove(page_name(number), seen, confirm)

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

    def _put(self, name: str, text: str, seen: str | None, confirm: Confirm) -> None:
        self._writer.put(name, text.encode(), seen, confirm)

    def _read(self, number: int) -> dict[str, Kept]:
        """The records in the file of a page; none if there is no such file. Each pair has its own, too."""
        try:
            with waiting_for_outbox():
                text, tag = self._store.fetch(f"{self._manifest}/{_file_name(number)}", _LONGEST)
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

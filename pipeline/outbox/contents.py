"""The page `NAME/index.html` of a manifest with several pages: totals, problems, and links to the pages."""

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.errors import Problem
from pipeline.outbox.html import document, duration, failures, summary, text

_MOST_PROBLEMS = 10  # on this page; every other page lists all of its pairs


@dataclass(frozen=True)
class PageSummary:
    """What the contents say about one page: its number, from 1, and what became of its pairs."""

    number: int
    first: str  # id of its first pair
    last: str
    done: int
    failed: int
    seconds: float
    devices: frozenset[str]


def page_name(number: int) -> str:
    """The name of the HTML file of a page."""
    return f"page-{number:04}.html"


def contents(manifest: str, pages: Sequence[PageSummary], problems: Sequence[Problem]) -> str:
    """The text of `index.html`: the totals of all pages, the first problems, and a row for each page."""
    done, failed = sum(page.done for page in pages), sum(page.failed for page in pages)
    devices = {device for page in pages for device in page.devices}
    rows = "\n".join(map(_row, pages))
    main = f"""{failures(problems, _MOST_PROBLEMS)}
<table>
<thead><tr><th>Page</th><th>Pairs</th><th class="count">Done</th><th class="count">Failed</th>
<th class="count">Time</th></tr></thead>
<tbody>
{rows}
</tbody>
</table>"""
    totals = summary(done, failed, sum(page.seconds for page in pages), devices)
    return document(manifest, totals, main, f"<nav>{_link(1, 'First page')}</nav>\n", _CSS)


def navigation(number: int, count: int) -> str:
    """Links of a page to the contents and to the pages beside it."""
    links = ['<a href="index.html">All pages</a>']
    if number > 1:
        links.append(_link(number - 1, "Previous page"))
    if number < count:
        links.append(_link(number + 1, "Next page"))
    return f"<nav>{' '.join(links)}</nav>\n"


def _row(page: PageSummary) -> str:
    failed = f'<b class="alarm">{page.failed:,}</b>' if page.failed else "0"
    return (
        f"<tr><td>{_link(page.number, f'Page {page.number}')}</td>"
        f"<td>{text(page.first)} – {text(page.last)}</td>"
        f'<td class="count">{page.done:,}</td><td class="count">{failed}</td>'
        f'<td class="count">{duration(page.seconds)}</td></tr>'
    )


def _link(number: int, shown: str) -> str:
    return f'<a href="{page_name(number)}">{shown}</a>'


_CSS = """
table { width: 100%; margin-bottom: 3rem; border-collapse: collapse; }
th { font-weight: 400; color: var(--quiet); font-size: 0.8125rem; }
th, td { padding: 0.5rem 1.25rem 0.5rem 0; text-align: left; border-bottom: 1px solid var(--line); }
.count { text-align: right; white-space: nowrap; }
.count:last-child { padding-right: 0; }
.alarm { color: var(--alarm); }
"""

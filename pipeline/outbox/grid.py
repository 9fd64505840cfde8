"""The HTML of a sweep: its pictures in tables whose rows and columns are values of parameters."""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from pipeline.outbox import formed
from pipeline.outbox.html import text, value_text
from pipeline.outbox.record import Record
from pipeline.outbox.sweep import Axis, Grid, Sweep


def grids(sweep: Sweep) -> str:
    """The pictures of a sweep: a table for each combination of its further parameters.

    If only one parameter differs, it is a list of pictures, which wraps.
    """
    if sweep.rows is None:
        return "\n".join(_strip(sweep.columns, grid.cells[0]) for grid in sweep.grids)
    return "\n".join(_table(sweep.columns, sweep.rows, grid) for grid in sweep.grids)


def _strip(axis: Axis, cells: Sequence[Sequence[Record]]) -> str:
    items = "\n".join(
        f"<li><p><span>{_name(axis)}</span> <b>{text(value_text(value))}</b></p>{_pictures(records)}</li>"
        for value, records in zip(axis.values, cells, strict=True)
    )
    return f'<ul class="strip">\n{items}\n</ul>'


def _table(columns: Axis, rows: Axis, grid: Grid) -> str:
    heads = "".join(f'<th scope="col">{text(value_text(value))}</th>' for value in columns.values)
    body = "\n".join(
        f'<tr><th scope="row">{text(value_text(value))}</th>'
        + "".join(f"<td>{_pictures(records)}</td>" for records in cells)
        + "</tr>"
        for value, cells in zip(rows.values, grid.cells, strict=True)
    )
    caption = f"<caption>{_caption(grid.further)}</caption>\n" if grid.further else ""
    return f"""<div class="grid"><table style="--columns:{len(columns.values)}">
{caption}<thead><tr><td></td><th scope="colgroup" colspan="{len(columns.values)}">{_name(columns)}</th></tr>
<tr><th>{_name(rows)}</th>{heads}</tr></thead>
<tbody>
{body}
</tbody></table></div>"""


def _caption(further: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{name.replace('_', ' ')} <b>{text(value_text(value))}</b>" for name, value in further.items()
    )


def _name(axis: Axis) -> str:
    return axis.name.replace("_", " ")


def _pictures(records: Sequence[Record]) -> str:
    """The pictures of one cell: several if pairs with different ids have the same parameters."""
    return "".join(map(_picture, records)) or '<span class="quiet">no picture</span>'


def _picture(record: Record) -> str:
    picture, shown, width, height = quote(record.picture), quote(record.shown), record.width, record.height
    return (
        f'<a href="{picture}"><img src="{shown}" alt="{text(record.id)}" width="{width}" height="{height}" '
        f'style="--w:{width};--h:{height}" loading="lazy" decoding="async"></a>{formed.link(record)}'
    )


CSS = """
.sweep { padding: clamp(1.75rem, 3vw, 3rem) 0; border-top: 1px solid var(--line); }
.sweep > header { display: grid; gap: 1rem; padding-bottom: 1.5rem; }
.sweep > header .sources { grid-template-columns: repeat(auto-fill, 8rem); }
.sweep a { display: block; }
.grid { overflow-x: auto; padding-bottom: 2rem; }
.grid table { width: 100%; min-width: calc(6rem + 7rem * var(--columns)); table-layout: fixed;
  border-collapse: collapse; }
.grid caption { padding-bottom: 0.5rem; text-align: left; color: var(--quiet); }
.grid th, .grid td { padding: 0.25rem; text-align: center; vertical-align: middle;
  font-weight: 400; font-size: 0.8125rem; color: var(--quiet); }
.grid th { color: var(--ink); font-weight: 600; }
.grid th[scope=colgroup], .grid thead th:first-child { color: var(--quiet); font-weight: 400; }
.grid tr > :first-child { position: sticky; left: 0; width: 6rem; padding-left: 0; text-align: left;
  background: var(--paper); }
.grid img, .strip img { display: block; height: auto; margin: auto;
  width: min(100%, 80vh * var(--w) / var(--h), 2px * var(--w)); }
.strip { display: grid; gap: 1rem; padding-bottom: 2rem;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 14rem), 1fr)); }
.strip p { padding-bottom: 0.25rem; font-size: 0.8125rem; color: var(--quiet); }
.pictures article:first-of-type { margin-top: 1.5rem; }
"""

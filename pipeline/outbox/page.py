"""An HTML page with the results of a manifest or of a part of it. It needs no server and no network."""

import math
from collections.abc import Mapping, Sequence
from urllib.parse import quote

from nst.parameters import Parameters
from pipeline.errors import Problem
from pipeline.outbox import formed
from pipeline.outbox.grid import CSS, grids
from pipeline.outbox.html import document, duration, facts, failures, number, power, summary, text, value_text
from pipeline.outbox.record import Record, RecordedImage
from pipeline.outbox.sweep import Sweep, arranged

_DEFAULTS = Parameters()
_LEFT, _RIGHT, _TOP, _BOTTOM = 34, 334, 32, 122  # edges of the plot, in a view box of 340 x 142
_VALUE = 46  # width of the text of a loss


def page(
    manifest: str,
    records: Sequence[Record],
    problems: Sequence[Problem],
    part: str = "",
    navigation: str = "",
) -> str:
    """An HTML page: the problems, then a card for each record or the grids of a sweep, in their order.

    It is the whole `NAME/index.html`, or one of several pages: `part` then says which, and `navigation` is
    HTML that leads to the others.
    """
    seconds, devices = sum(record.seconds for record in records), {record.device for record in records}
    parts = list(arranged(records))
    shown = "\n".join(_section(each) if isinstance(each, Sweep) else _card(each) for each in parts)
    main = f"""{failures(problems)}
{shown or '<p class="quiet">No pictures.</p>'}"""
    heading = f"{manifest}, {part}" if part else manifest
    css = CSS if any(isinstance(each, Sweep) for each in parts) else ""
    css += formed.CSS if any(record.snapshots for record in records) else ""
    return document(heading, summary(len(records), len(problems), seconds, devices), main, navigation, css)


def _section(sweep: Sweep) -> str:
    first, count = sweep.records[0], len(sweep.records)
    names = " and ".join(_file_name(style) for style in first.styles)
    heading = text(f"{_file_name(first.content)} in the style of {names}")
    return f"""<section class="sweep">
<header><h2>{heading}</h2>{_sources(first)}</header>
{grids(sweep)}
<details class="pictures"><summary>Losses, parameters and files of these {count:,} pictures</summary>
{"".join(map(_card, sweep.records))}
</details>
</section>"""


def _card(record: Record) -> str:
    names = " and ".join(_file_name(style) for style in record.styles)
    alt = text(f"{_file_name(record.content)} in the style of {names}")
    picture, shown, width, height = quote(record.picture), quote(record.shown), record.width, record.height
    kind = "" if record.shown == record.picture else f", {record.parameters.format.upper()}"
    return f"""<article>
<header><h2>{text(record.id)}</h2>{_changed_parameters(record)}</header>
<a class="result" href="{picture}"><img src="{shown}" alt="{alt}"
width="{width}" height="{height}" style="--w:{width};--h:{height}"
loading="lazy" decoding="async"></a>
<div class="details">
{_sources(record)}
{_curve_svg(record.curve)}
{formed.animation(record)}{facts("measured", _measured(record))}
<p class="links"><a href="{picture}">Picture, {width} × {height}{kind}</a>
<a href="{quote(record.id)}.loss.jsonl">Loss log</a>
<a href="{quote(record.id)}.json">Record</a></p>
<details><summary>All parameters</summary>{facts("table", _parameters(record))}</details>
</div>
</article>"""


def _changed_parameters(record: Record) -> str:
    items = "".join(
        f"<li>{name.replace('_', ' ')} <b>{value_text(value)}</b></li>"
        for name, value in record.parameters
        if value != getattr(_DEFAULTS, name)
    )
    return f'<ul class="changed">{items or "<li>default parameters</li>"}</ul>'


def _sources(record: Record) -> str:
    several = len(record.styles) > 1
    content = _image_figure("Content", record.content, masks={"Keep": record.keep})
    styles = [
        _image_figure("Style", s, f"<br>weight {s.weight:g}" * several, _masks(s)) for s in record.styles
    ]
    return f'<div class="sources">{content}{"".join(styles)}</div>'


def _masks(style: RecordedImage) -> dict[str, RecordedImage | None]:
    return {"Region": style.region, "Part": style.image_region}


def _image_figure(
    role: str, source: RecordedImage, note: str = "", masks: Mapping[str, RecordedImage | None] = {}
) -> str:
    """An image with its name, and the masks that belong to it, small, below it."""
    name = text(_file_name(source))
    note += "".join(_mask(of, mask) for of, mask in masks.items() if mask)
    return (
        f'<figure><img src="{quote(source.thumbnail)}" alt="{role}: {name}" width="256" '
        f'height="192" loading="lazy" decoding="async">'
        f"<figcaption><b>{role}</b> {name}{note}</figcaption></figure>"
    )


def _mask(role: str, mask: RecordedImage) -> str:
    name = text(_file_name(mask))
    return (
        f'<span class="mask"><img src="{quote(mask.thumbnail)}" alt="{role}: {name}" width="64" height="48" '
        f'loading="lazy" decoding="async"><span><b>{role}</b> {name}</span></span>'
    )


def _measured(record: Record) -> dict[str, str]:
    return {
        "Total loss": number(record.losses.total),
        "Evaluations": f"{record.evaluations:,}",
        "Time": duration(record.seconds),
        "Content loss": number(record.losses.content),
        "Style loss": number(record.losses.style),
        "Total variation": number(record.losses.tv),
    }


def _parameters(record: Record) -> dict[str, str]:
    parameters = dict(record.parameters)
    if record.style_weight is not None:
        parameters["style_weight"] = float(f"{record.style_weight:.4g}")
    return {
        "content": record.content.reference,
        "style": ", ".join(map(_described, record.styles)),
        **({"keep": record.keep.reference} if record.keep else {}),
        **{name.replace("_", " "): value_text(value) for name, value in parameters.items()},
        "weights": record.weights.source,
        "device": ", ".join(filter(None, (record.device, record.dtype, record.node))),
    }


def _described(style: RecordedImage) -> str:
    masks = {"region": style.region, "image region": style.image_region}
    named = ", ".join(f"{name} {mask.reference}" for name, mask in masks.items() if mask)
    return f"{style.reference} ({named})" if named else style.reference


def _curve_svg(curve: Sequence[tuple[int, float]]) -> str:
    points = [(step, total) for step, total in curve if math.isfinite(total)]
    if not points:
        return '<p class="quiet">No loss curve.</p>'
    # 0 has no logarithm. It is drawn at the smallest loss above 0.
    least = min((total for _, total in points if total > 0), default=1.0)
    logs = [math.log10(max(total, least)) for _, total in points]
    # The axis spans at least a tenth of a decade, so that tiny changes are not drawn large.
    span = max(max(logs) - min(logs), 0.1)
    low = (max(logs) + min(logs) - span) / 2
    ys = [_height(log, low, span) for log in logs]
    (begin, first), (end, last) = points[0], points[-1]
    xs = [_RIGHT - (_RIGHT - _LEFT) * (end - step) / ((end - begin) or 1) for step, _ in points]
    line = list(zip(xs, ys, strict=True))
    drawn = " ".join(f"{x:.1f},{y:.1f}" for x, y in line)
    start_y, end_y = _above(line, _LEFT, _LEFT + _VALUE), _above(line, _RIGHT - _VALUE, _RIGHT)
    start = f'<text class="value" x="{_LEFT}" y="{start_y:.1f}">{number(first)}</text>'
    return f"""<svg viewBox="0 0 340 142" role="img"
aria-label="Total loss from {number(first)} to {number(last)} in {end:,} evaluations">
{_decades(low, span)}<line x1="{_LEFT}" x2="{_RIGHT}" y1="{_BOTTOM + 4}" y2="{_BOTTOM + 4}"/>
<text x="{_LEFT}" y="139">{begin:,}</text>
<g text-anchor="middle"><text x="{(_LEFT + _RIGHT) / 2:g}" y="139">evaluations</text></g>
<g text-anchor="end"><text x="{_RIGHT}" y="139">{end:,}</text>
<text x="{_RIGHT}" y="11">total loss, log scale</text></g>
<polyline points="{drawn}"/><circle cx="{xs[-1]:.1f}" cy="{ys[-1]:.1f}" r="3"/>
{start if len(points) > 1 else ""}<g text-anchor="end">
<text class="value" x="{_RIGHT}" y="{end_y:.1f}">{number(last)}</text></g></svg>"""


def _above(line: Sequence[tuple[float, float]], left: float, right: float) -> float:
    """The height of a text that the line does not cross between these edges of the text."""
    return min((y for x, y in line if left <= x <= right), default=_BOTTOM) - 8


def _decades(low: float, span: float) -> str:
    inside = range(math.ceil(low), math.floor(low + span) + 1)
    return "".join(
        f'<line class="decade" x1="{_LEFT}" x2="{_RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        f'<text x="{_LEFT - 7}" y="{y + 4:.1f}" text-anchor="end">{power(exponent)}</text>\n'
        for exponent in inside[:: len(inside) // 5 + 1]
        for y in [_height(exponent, low, span)]
    )


def _height(log: float, low: float, span: float) -> float:
    return _BOTTOM - (_BOTTOM - _TOP) * (log - low) / span


def _file_name(source: RecordedImage) -> str:
    return source.reference.rpartition("/")[2] or source.reference

"""The HTML page with the results of a manifest: one file that needs no server and no network."""

import math
import re
from collections.abc import Sequence
from html import escape
from urllib.parse import quote

from nst.parameters import Parameters
from pipeline.errors import Problem
from pipeline.outbox.outbox import Record, RecordedImage

_DEFAULTS = Parameters()
_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_NOT_IN_HTML = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
_LEFT, _RIGHT, _TOP, _BOTTOM = 34, 334, 32, 122  # edges of the plot, in a view box of 340 x 142


def page(manifest: str, records: Sequence[Record], problems: Sequence[Problem]) -> str:
    """The text of `NAME/index.html`: the problems, then a card for each record, in their order."""
    facts = {
        "Done": f"{len(records):,}",
        "Failed": f"{len(problems):,}",
        "Time": _duration(sum(record.seconds for record in records)),
        "Device": ", ".join(sorted({record.device for record in records})) or "none",
    }
    cards = "\n".join(map(_card, records))
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{_text(manifest)} · style transfer</title>
<style>{_CSS}</style>
</head>
<body>
<header class="top"><h1>{_text(manifest)}</h1>{_facts("totals", facts)}</header>
<main>
{_failures(problems) if problems else ""}
{cards or '<p class="quiet">No pictures.</p>'}
</main>
<footer class="quiet">Losses are measured in fp32 on the saved 8-bit picture. The total loss is
the sum of content loss, style loss and total variation, each multiplied by its weight.</footer>
</body>
</html>
"""


def _failures(problems: Sequence[Problem]) -> str:
    items = "\n".join(
        f"<li>{f'<strong>{_text(problem.id)}</strong> ' if problem.id else ''}"
        f"<code>{_text(problem.place or 'whole manifest')}</code>"
        f"<p>{_text(problem.message)}</p></li>"
        for problem in problems
    )
    summary = f"<summary><h2>{len(problems):,} failed</h2></summary>"
    return f'<details class="failures" open>{summary}\n<ul>\n{items}\n</ul></details>'


def _card(record: Record) -> str:
    several = len(record.styles) > 1
    sources = [_image_figure("Content", record.content)]
    sources += [_image_figure("Style", s, f"<br>weight {s.weight:g}" * several) for s in record.styles]
    names = " and ".join(_file_name(style) for style in record.styles)
    alt = _text(f"{_file_name(record.content)} in the style of {names}")
    picture, width, height = quote(record.picture), record.width, record.height
    return f"""<article>
<header><h2>{_text(record.id)}</h2>{_changed_parameters(record)}</header>
<a class="result" href="{picture}"><img src="{picture}" alt="{alt}"
width="{width}" height="{height}" style="--w:{width};--h:{height}"
loading="lazy" decoding="async"></a>
<div class="details">
<div class="sources">{"".join(sources)}</div>
{_curve_svg(record.curve)}
{_facts("measured", _measured(record))}
<p class="links"><a href="{picture}">Picture, {width} × {height}</a>
<a href="{quote(record.id)}.loss.jsonl">Loss log</a>
<a href="{quote(record.id)}.json">Record</a></p>
<details><summary>All parameters</summary>{_facts("table", _parameters(record))}</details>
</div>
</article>"""


def _changed_parameters(record: Record) -> str:
    items = "".join(
        f"<li>{name.replace('_', ' ')} <b>{_parameter_text(value)}</b></li>"
        for name, value in record.parameters
        if value != getattr(_DEFAULTS, name)
    )
    return f'<ul class="changed">{items or "<li>default parameters</li>"}</ul>'


def _image_figure(role: str, source: RecordedImage, note: str = "") -> str:
    name = _text(_file_name(source))
    return (
        f'<figure><img src="{quote(source.thumbnail)}" alt="{role}: {name}" width="256" '
        f'height="192" loading="lazy" decoding="async">'
        f"<figcaption><b>{role}</b> {name}{note}</figcaption></figure>"
    )


def _measured(record: Record) -> dict[str, str]:
    return {
        "Total loss": _number(record.losses.total),
        "Evaluations": f"{record.evaluations:,}",
        "Time": _duration(record.seconds),
        "Content loss": _number(record.losses.content),
        "Style loss": _number(record.losses.style),
        "Total variation": _number(record.losses.tv),
    }


def _parameters(record: Record) -> dict[str, str]:
    return {
        "content": record.content.reference,
        "style": ", ".join(style.reference for style in record.styles),
        **{name.replace("_", " "): _parameter_text(value) for name, value in record.parameters},
        "weights": record.weights.source,
        "device": f"{record.device}, {record.dtype}",
    }


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
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in zip(xs, ys, strict=True))
    start = f'<text class="value" x="{_LEFT}" y="{ys[0] - 8:.1f}">{_number(first)}</text>'
    return f"""<svg viewBox="0 0 340 142" role="img"
aria-label="Total loss from {_number(first)} to {_number(last)} in {end:,} evaluations">
{_decades(low, span)}<line x1="{_LEFT}" x2="{_RIGHT}" y1="{_BOTTOM + 4}" y2="{_BOTTOM + 4}"/>
<text x="{_LEFT}" y="139">{begin:,}</text>
<g text-anchor="middle"><text x="{(_LEFT + _RIGHT) / 2:g}" y="139">evaluations</text></g>
<g text-anchor="end"><text x="{_RIGHT}" y="139">{end:,}</text>
<text x="{_RIGHT}" y="11">total loss, log scale</text></g>
<polyline points="{line}"/><circle cx="{xs[-1]:.1f}" cy="{ys[-1]:.1f}" r="3"/>
{start if len(points) > 1 else ""}<g text-anchor="end">
<text class="value" x="{_RIGHT}" y="{ys[-1] - 8:.1f}">{_number(last)}</text></g></svg>"""


def _decades(low: float, span: float) -> str:
    inside = range(math.ceil(low), math.floor(low + span) + 1)
    return "".join(
        f'<line class="decade" x1="{_LEFT}" x2="{_RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        f'<text x="{_LEFT - 7}" y="{y + 4:.1f}" text-anchor="end">{_power(power)}</text>\n'
        for power in inside[:: len(inside) // 5 + 1]
        for y in [_height(power, low, span)]
    )


def _height(log: float, low: float, span: float) -> float:
    return _BOTTOM - (_BOTTOM - _TOP) * (log - low) / span


def _facts(kind: str, facts: dict[str, str]) -> str:
    rows = (f"<div><dt>{_text(k)}</dt><dd>{_text(v)}</dd></div>" for k, v in facts.items())
    return f'<dl class="{kind}">{"".join(rows)}</dl>'


def _text(text: str) -> str:
    return escape(_NOT_IN_HTML.sub("\ufffd", text))


def _file_name(source: RecordedImage) -> str:
    return source.reference.rpartition("/")[2] or source.reference


def _parameter_text(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {weight:g}" for name, weight in value.items())
    if isinstance(value, bool):
        return "yes" if value else "no"
    # 15 digits show the number as the manifest gives it.
    return f"{value:,.15g}" if isinstance(value, float) else str(value)


def _number(value: float) -> str:
    if value == 0 or not math.isfinite(value) or 1e-3 <= abs(value) < 1e6:
        return f"{value:,.0f}" if 1000 <= abs(value) < math.inf else f"{value:.4g}"
    digits, power = f"{value:.2e}".split("e")
    return f"{float(digits):g} × {_power(int(power))}"


def _power(power: int) -> str:
    return f"10{str(power).translate(_SUPERSCRIPT)}"


def _duration(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60:,} h {minutes % 60} min"


_CSS = """
:root { --paper: #f7f7f5; --mat: #eeeeeb; --line: #dcdcd7; --ink: #1b1b19; --quiet: #5f5f59;
  --link: #1d5496; --alarm: #9c2118; }
@media (prefers-color-scheme: dark) { :root { --paper: #161615; --mat: #1e1e1c; --line: #343431;
  --ink: #ecebe6; --quiet: #a5a49c; --link: #9cc1f2; --alarm: #ff9b8c; } }
* { box-sizing: border-box; margin: 0; }
body { max-width: 112rem; margin: auto; padding: clamp(1.25rem, 4vw, 4rem);
  font: 0.9375rem/1.5 system-ui, "Segoe UI", Roboto, Helvetica, sans-serif;
  font-variant-numeric: tabular-nums; overflow-wrap: anywhere;
  color: var(--ink); background: var(--paper); }
h1, h2 { font: 500 1.5rem/1.2 "Iowan Old Style", "Palatino Linotype", Palatino, P052, serif; }
h1 { font-size: clamp(2rem, 5vw, 3.25rem); letter-spacing: -0.015em; }
a { color: var(--link); text-underline-offset: 0.2em; text-decoration-thickness: 1px; }
b { font-weight: 600; color: var(--ink); }
ul { padding: 0; list-style: none; }
summary { cursor: pointer; }
dt, figcaption, .quiet, .changed { color: var(--quiet); font-size: 0.8125rem; }
.top, .totals, .changed, .links { display: flex; flex-wrap: wrap; gap: 0.25rem 1.25rem; }
.top { gap: 1.25rem 4rem; align-items: end; justify-content: space-between;
  padding-bottom: clamp(1.5rem, 4vw, 3rem); }
.totals { gap: 1rem 2.5rem; font-size: 1.125rem; }
.failures { margin-bottom: 3rem; padding: 1.25rem 1.5rem; background: var(--mat); }
.failures h2 { display: inline; }
.failures h2 { color: var(--alarm); }
.failures li { padding-top: 1rem; }
.failures code { color: var(--quiet); padding-left: 0.25rem; }
/* A card clips its content. 4px leave room for the outline of a focused picture. */
article { display: grid; gap: 1.25rem 3rem; padding: clamp(1.75rem, 3vw, 3rem) 4px; margin: 0 -4px;
  border-top: 1px solid var(--line); content-visibility: auto; contain-intrinsic-size: auto 65rem; }
.result { display: grid; place-items: center; align-self: start; background: var(--mat); }
.result img { width: min(100%, 86vh * var(--w) / var(--h), 2px * var(--w)); height: auto; }
.details, article header { display: grid; gap: 0.5rem; align-content: start; }
.details { gap: 1.25rem; max-width: 30rem; }
.sources { display: grid; gap: 1rem;
  grid-template-columns: repeat(auto-fit, minmax(6.25rem, 1fr)); }
.sources img { width: 100%; height: auto; aspect-ratio: 4 / 3; object-fit: contain;
  object-position: left bottom; }
figcaption b { display: block; }
svg { width: 100%; font-size: 11px; fill: var(--quiet); }
line { stroke: var(--quiet); }
.decade { stroke: var(--line); }
polyline { fill: none; stroke: var(--link); stroke-width: 2; stroke-linejoin: round; }
circle { fill: var(--link); }
.value { fill: var(--ink); font-size: 13px; font-weight: 600; }
.measured { display: grid; grid-template-columns: repeat(3, 1fr); gap: 0.625rem 1rem; }
.table { display: grid; gap: 0.25rem; padding-top: 0.5rem; font-size: 0.8125rem; }
.table div { display: grid; grid-template-columns: 8rem 1fr; }
@media (min-width: 62rem) {
  article { grid: "picture head" auto "picture details" 1fr / minmax(0, 1fr) 22rem;
    contain-intrinsic-size: auto 50rem; }
  .result { grid-area: picture; }
}
"""

"""What all HTML pages of the outbox have in common: the frame, the style sheet, and how values are shown."""

import math
import re
from collections.abc import Mapping, Sequence
from html import escape

from pipeline.errors import Problem

_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_NOT_IN_HTML = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


def document(heading: str, totals: Mapping[str, str], main: str, navigation: str = "", css: str = "") -> str:
    """A whole page, with its heading and totals at the top. `main` and `navigation` are HTML.

    `css` is added to the style sheet.
    """
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{text(heading)} · style transfer</title>
<style>{_CSS}{css}</style>
</head>
<body>
<header class="top"><h1>{text(heading)}</h1>{facts("totals", totals)}</header>
{navigation}<main>
{main}
</main>
<footer class="quiet">Losses are measured in fp32 on the saved 8-bit picture. The total loss is
the sum of content loss, style loss and total variation, each multiplied by its weight.</footer>
</body>
</html>
"""


def summary(done: int, failed: int, seconds: float, devices: set[str]) -> dict[str, str]:
    """The totals of a page or of a whole manifest."""
    return {
        "Done": f"{done:,}",
        "Failed": f"{failed:,}",
        "Time": duration(seconds),
        "Device": ", ".join(sorted(devices)) or "none",
    }


def failures(problems: Sequence[Problem], most: int | None = None) -> str:
    """A list of problems, at most so many of them; nothing if there are none."""
    if not problems:
        return ""
    shown = problems if most is None else problems[:most]
    items = "\n".join(
        f"<li>{f'<strong>{text(problem.id)}</strong> ' if problem.id else ''}"
        f"<code>{text(problem.place or 'whole manifest')}</code>"
        f"<p>{text(problem.message)}</p></li>"
        for problem in shown
    )
    if len(shown) < len(problems):
        items += f"\n<li>{len(problems) - len(shown):,} more are listed on the pages.</li>"
    count = f"<summary><h2>{len(problems):,} failed</h2></summary>"
    return f'<details class="failures" open>{count}\n<ul>\n{items}\n</ul></details>'


def facts(kind: str, values: Mapping[str, str]) -> str:
    """Names and values as a list of terms."""
    rows = (f"<div><dt>{text(k)}</dt><dd>{text(v)}</dd></div>" for k, v in values.items())
    return f'<dl class="{kind}">{"".join(rows)}</dl>'


def text(raw: str) -> str:
    """Any text as HTML."""
    return escape(_NOT_IN_HTML.sub("\ufffd", raw))


def number(value: float) -> str:
    """A number with four digits or so."""
    if value == 0 or not math.isfinite(value) or 1e-3 <= abs(value) < 1e6:
        return f"{value:,.0f}" if 1000 <= abs(value) < math.inf else f"{value:.4g}"
    digits, exponent = f"{value:.2e}".split("e")
    return f"{float(digits):g} × {power(int(exponent))}"


def power(exponent: int) -> str:
    """A power of ten."""
    return f"10{str(exponent).translate(_SUPERSCRIPT)}"


def value_text(value: object) -> str:
    """The value of a parameter."""
    if isinstance(value, dict):
        return ", ".join(f"{name} {weight:g}" for name, weight in value.items())
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None:
        return "none"
    # 15 digits show the number as the manifest gives it.
    return f"{value:,.15g}" if isinstance(value, float) else str(value)


def duration(seconds: float) -> str:
    """A time in seconds, minutes or hours."""
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
nav { display: flex; flex-wrap: wrap; gap: 0.25rem 1.25rem; padding-bottom: 1.5rem; }
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
.sources .mask { display: flex; flex-wrap: wrap; gap: 0.25rem 0.5rem; align-items: center;
  padding-top: 0.5rem; }
.sources .mask span { flex: 1 0 5.5rem; min-width: 0; }
.sources .mask img { width: 3rem; aspect-ratio: auto; border: 1px solid var(--line); }
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

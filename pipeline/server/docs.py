"""The page `/docs`: the OpenAPI document as a page that loads nothing and runs nothing."""

import base64
import hashlib
import json
from html import escape
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from pipeline.server.bodies import POLICY

router = APIRouter()

_CSS = (
    ":root{color-scheme:light dark;font:1rem/1.5 system-ui,sans-serif}"
    "body{max-width:60rem;margin:auto;padding:1rem}"
    "h2{border-top:1px solid;padding-top:1rem;font:bold 1.1rem ui-monospace,monospace;overflow-wrap:anywhere}"
    "table{border-collapse:collapse}td,th{padding:.2rem .8rem .2rem 0;text-align:left;vertical-align:top}"
    "pre{overflow:auto}"
)
_DIGEST = base64.b64encode(hashlib.sha256(_CSS.encode()).digest()).decode()


@router.get("/docs", include_in_schema=False)
async def docs(request: Request) -> HTMLResponse:
    """A page that describes the routes."""
    document = request.app.openapi()
    parts = [
        _operation(method, path, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    schemas = json.dumps(document["components"]["schemas"], indent=1)
    text = (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>nst-pipeline: the API</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{_CSS}</style></head>'
        '<body><h1>nst-pipeline: the API</h1><p>For programs: <a href="/openapi.json">openapi.json</a></p>'
        f"{''.join(parts)}<h2>Schemas</h2><pre>{escape(schemas)}</pre></body></html>"
    )
    return HTMLResponse(text, headers={"Content-Security-Policy": f"{POLICY}; style-src 'sha256-{_DIGEST}'"})


def _operation(method: str, path: str, operation: dict[str, Any]) -> str:
    """A section about one route."""
    text = escape(operation.get("description", "")).replace("\n\n", "</p><p>")
    inputs = [(p["name"], p["in"], p.get("description", "")) for p in operation.get("parameters", [])]
    for kind, content in operation.get("requestBody", {}).get("content", {}).items():
        fields = content["schema"].get("properties", {"": content["schema"]})
        inputs += [(name, kind, schema.get("description", "")) for name, schema in fields.items()]
    answers = [(code, "", answer["description"]) for code, answer in operation["responses"].items()]
    return (
        f"<h2>{method.upper()} {escape(path)}</h2><p>{text}</p>"
        f"{_table('Inputs', inputs)}{_table('Answers', answers)}"
    )


def _table(heading: str, rows: list[tuple[str, str, str]]) -> str:
    if not rows:
        return ""
    cells = "".join(
        f"<tr><th>{escape(name)}</th><td>{escape(where)}</td><td>{escape(text)}</td></tr>"
        for name, where, text in rows
    )
    return f"<h3>{heading}</h3><table>{cells}</table>"

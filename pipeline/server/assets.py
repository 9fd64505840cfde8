"""The files of the page at `/`: HTML, a style sheet, an icon, and ES modules, as the package has them."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pipeline.server.etags import etag_of

_FOLDER = Path(__file__).with_name("static")
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


@dataclass(frozen=True)
class StaticFile:
    """A file, and what its answer says about it."""

    data: bytes
    kind: str
    etag: str


def _read(path: Path) -> StaticFile:
    data = path.read_bytes()
    return StaticFile(data, _TYPES[path.suffix], etag_of(data))


_FILES = {path.name: _read(path) for path in sorted(_FOLDER.iterdir()) if path.suffix in _TYPES}

INDEX = _FILES.pop("index.html")
STATIC: Mapping[str, StaticFile] = {f"/static/{name}": file for name, file in _FILES.items()}  # by address

"""Manifests for tests, and the problems in them."""

import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from pipeline.errors import ManifestError, Problem
from pipeline.manifest.expand import expand
from pipeline.manifest.models import Pair
from pipeline.manifest.reading import parse

PAIR = {"content": "a.png", "style": "b.png"}
PRODUCT = {"content": ["a.png"], "style": ["b.png"]}
EXAMPLE: dict[str, Any] = json.loads("""
    {"version": 1,
     "defaults": {"epochs": 10, "content_weight": 1.0, "style_weight": 1000000.0, "max_size": 512},
     "pairs": [
       {"content": "photos/cat.jpg", "style": "art/waves.png"},
       {"id": "cat-bold", "content": "photos/cat.jpg", "style": "art/waves.png", "style_weight": 5000000.0},
       {"content": "photos/cat.jpg", "styles": [{"image": "art/waves.png", "weight": 0.7},
                                                {"image": "art/mosaic.png", "weight": 0.3}]}],
     "product": {"content": ["photos/*.jpg"], "style": ["art/*.png"]}}
""")
FOLDERS = {
    "photos/*.jpg": ["photos/cat.jpg", "photos/dog.jpg"],
    "art/*.png": ["art/mosaic.png", "art/waves.png"],
}
Glob = Callable[[str], list[str]]


def encoded(document: object) -> bytes:
    return document if isinstance(document, bytes) else json.dumps(document).encode()


def expanded(document: object, glob: Glob = FOLDERS.__getitem__) -> list[Pair]:
    return expand(parse(encoded(document)), glob)


def problems(document: object, glob: Glob = FOLDERS.__getitem__) -> list[Problem]:
    with pytest.raises(ManifestError) as caught:
        expanded(document, glob)
    for problem in caught.value.problems:
        assert str(problem).isprintable()
        assert len(str(problem)) < 600
        assert not re.search(r"Input|instance|dictionary|List |String |sys\.|pydantic", str(problem))
    return caught.value.problems


def problem(document: object, glob: Glob = FOLDERS.__getitem__) -> str:
    (only,) = problems(document, glob)
    return str(only)


def of_pair(**keys: object) -> dict[str, Any]:
    """A manifest of four pairs, the last of which has these keys besides its images."""
    return {"pairs": [{**PAIR, "id": f"{n}"} for n in range(3)] + [{**PAIR, **keys}]}

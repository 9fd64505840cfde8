"""Any bytes as a manifest give pairs, or messages for a person, but never another exception."""

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nst.parameters import Parameters
from pipeline.errors import ManifestError
from pipeline.manifest.expand import expand
from pipeline.manifest.names import folded
from pipeline.manifest.reading import parse

# Any JSON value, and equally often a value that a manifest may have in this place.
KEYS = [
    *("pairs", "defaults", "product", "version", "$schema", "id", "content", "style", "styles", "image"),
    *("weight", "name", *Parameters.model_fields),
]
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(
        ["a.png", "*.png", "../a.png", "/etc/passwd", "s3://x/y", "con", "relu4_1", "\x00", "\ud800"]
    )
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=10), inner, max_size=5)
    ),
    max_leaves=25,
)
PAIRS = st.fixed_dictionaries(
    {"content": st.just("a.png") | VALUES, "style": st.just("b.png") | VALUES},
    optional={name: VALUES for name in KEYS if name not in ("content", "style")},
)
MANIFESTS = st.fixed_dictionaries(
    {"pairs": st.lists(PAIRS, max_size=4)},
    optional=dict.fromkeys(("defaults", "product", "version", "extra"), VALUES),
)
FILES = {"*.png": ["a.png", "b.png"]}


def assert_expanded_or_refused(data: bytes) -> None:
    try:
        pairs = expand(parse(data), lambda pattern: FILES.get(pattern, []))
    except ManifestError as error:
        assert error.problems
        for problem in error.problems:
            text = str(problem)
            assert text.isprintable()
            assert 0 < len(text) < 1000
            json.dumps(problem.to_json()).encode()
    else:
        assert pairs
        ids = [pair.id for pair in pairs]
        assert len({folded(name) for name in ids}) == len(ids)
        assert all(name and "/" not in name and name[0] != "." and len(name.encode()) < 255 for name in ids)


@given(VALUES | PAIRS | MANIFESTS)
@settings(max_examples=100, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_any_json_document_is_expanded_or_refused(document: Any) -> None:
    assert_expanded_or_refused(json.dumps(document).encode())


@given(st.binary(max_size=200))
@settings(max_examples=200, deadline=None, derandomize=True)
def test_any_bytes_are_expanded_or_refused(data: bytes) -> None:
    assert_expanded_or_refused(data)


@given(MANIFESTS, st.data())
@settings(max_examples=100, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_any_damaged_manifest_is_expanded_or_refused(document: Any, data: st.DataObject) -> None:
    text = json.dumps(document).encode()
    at = data.draw(st.integers(0, len(text)))
    assert_expanded_or_refused(
        text[:at] + data.draw(st.binary(max_size=3)) + text[at + data.draw(st.integers(0, 3)) :]
    )


@pytest.mark.parametrize("depth", [100, 10_000, 1_000_000])
def test_any_depth_of_nesting_is_refused(depth: int) -> None:
    assert_expanded_or_refused(b"[" * depth + b"]" * depth)
    assert_expanded_or_refused(b'{"pairs": ' * depth + b"1" + b"}" * depth)

"""In a pattern, letter case counts, but not in the extension of a file."""

from typing import Any

import pytest

from pipeline.stores import patterns
from pipeline.stores.s3 import S3Store

NAMES = (
    *(
        "vol.17-a.png",
        "vol.17-A.png",
        "vol.17-b.PNG",
        "vol.17-B",
        "VOL.17-a.png",
        "Vol",
        "cat.x.png",
        "MYCAT",
    ),
    *("my.CAT", "a.b.JPG", "a.B.jpg", "a.jpg.PNG", "a.JPG.png"),
)


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("vol.17-a*", ["vol.17-a.png"]),
        ("vol.17-[a]*", ["vol.17-a.png"]),
        ("vol.17-a*.PNG", ["vol.17-a.png"]),
        ("vol.17-*", ["vol.17-A.png", "vol.17-B", "vol.17-a.png", "vol.17-b.PNG"]),
        ("vol.17-*png", ["vol.17-A.png", "vol.17-a.png", "vol.17-b.PNG"]),
        ("vol.17-b*", ["vol.17-B", "vol.17-b.PNG"]),
        ("vol.17-b", ["vol.17-B"]),
        ("*cat", ["my.CAT"]),
        ("*.cat", ["my.CAT"]),
        ("*.b.*", ["a.b.JPG"]),
        ("a.b*", ["a.b.JPG"]),
        ("*.jpg*", ["a.B.jpg", "a.b.JPG", "a.jpg.PNG"]),
        ("a.?.jpg", ["a.B.jpg", "a.b.JPG"]),
    ],
)
def test_letter_case_counts_only_before_the_last_dot_of_a_name(pattern: str, found: list[str]) -> None:
    assert patterns.matching(NAMES, pattern) == found
    assert all(key.startswith(patterns.literal(pattern)) for key in found)


@pytest.mark.parametrize(
    ("pattern", "prefix"),
    [
        ("scans/vol.17-*", "in/scans/vol.17-"),
        ("scans/vol.17-a*", "in/scans/vol.17-"),
        ("scans/vol.17-a*.png", "in/scans/vol.17-a"),
        ("scans/vol.17-a*/*.png", "in/scans/vol.17-a"),
        ("scans/vol.a/*", "in/scans/vol.a/"),
        ("scans/a.png", "in/scans/a."),
        ("scans/*.png", "in/scans/"),
        ("v.1/scans", "in/v.1/scans"),
    ],
)
def test_a_pattern_lists_no_more_of_a_bucket_than_it_may_match(
    client: Any, pattern: str, prefix: str
) -> None:
    listed: list[str] = []
    client.meta.events.register(
        "provide-client-params.s3.ListObjectsV2", lambda params, **rest: listed.append(params["Prefix"])
    )
    S3Store("s3://bucket/in", client).glob(pattern)
    assert listed == [prefix]

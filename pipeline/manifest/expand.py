"""A `Manifest` to the pairs that it stands for: patterns, products, defaults, names."""

from collections.abc import Callable
from pathlib import PurePosixPath

from pydantic import ValidationError

from nst.parameters import Parameters
from pipeline.errors import ManifestError, Problem, StoreError, UnavailableError
from pipeline.manifest.models import MOST_PAIRS, Manifest, Pair, PairEntry, StyleEntry
from pipeline.manifest.names import complete_names, folded
from pipeline.manifest.reading import reworded, shown

_MOST_DEPTHS = 2  # `**` in one pattern: the time to find its matches is a power of their number


def expand(manifest: Manifest, glob: Callable[[str], list[str]]) -> list[Pair]:
    """All pairs of a manifest, in its order; `glob` lists the images that a pattern stands for.

    Raises `ManifestError` for patterns that match nothing and for pairs named twice.
    """
    pairs = [
        _pair_of(entry, "" if manifest.single else f"pairs[{index}]", manifest.defaults)
        for index, entry in enumerate(manifest.pairs)
    ]
    listed = {
        (pair.content, pair.styles) for pair in pairs if not pair.id and pair.parameters == manifest.defaults
    }
    if manifest.product:
        contents = _matches(manifest.product.content, "product.content", glob)
        styles = _matches(manifest.product.style, "product.style", glob)
        if (count := len(contents) * len(styles)) > MOST_PAIRS:
            message = f"stands for {count} pairs; at most {MOST_PAIRS} go into one manifest, so split it"
            raise ManifestError([Problem("product", message)])
        for content in contents:
            for style in styles:
                entry = PairEntry(content=content, style=style)
                pair = _pair_of(entry, "product", manifest.defaults)
                # A product that comes upon a pair as `pairs` spells it out does not make it twice.
                if (pair.content, pair.styles) not in listed:
                    pairs.append(pair)
    images = [[pair.content, *(style.image for style in pair.styles)] for pair in pairs]
    names = complete_names([pair.id for pair in pairs], images)
    named = [pair.model_copy(update={"id": name}) for pair, name in zip(pairs, names, strict=True)]
    if twice := _named_twice(named):
        raise ManifestError(twice)
    return named


def _pair_of(entry: PairEntry, place: str, defaults: Parameters) -> Pair:
    own = entry.model_dump(exclude_unset=True, include=set(Parameters.model_fields))
    try:
        parameters = Parameters.model_validate({**defaults.model_dump(), **own})
    except ValidationError as error:
        raise ManifestError([Problem(place, reworded(error.errors()[0]["msg"]))]) from None
    styles = entry.styles or [StyleEntry(image=str(entry.style))]
    return Pair(
        id=entry.id or "",
        place=place,
        content=entry.content,
        styles=tuple(styles),
        parameters=parameters,
    )


def _matches(patterns: list[str], place: str, glob: Callable[[str], list[str]]) -> list[str]:
    found: dict[str, str] = {}
    for index, pattern in enumerate(patterns):
        at = f"{place}[{index}]"
        if pattern.split("/").count("**") > _MOST_DEPTHS:
            message = f"'**' may stand in a pattern {_MOST_DEPTHS} times; found {shown(pattern)}"
            raise ManifestError([Problem(at, message)])
        try:
            matches = glob(pattern) if any(c in pattern for c in "*?[") else [pattern]
        except UnavailableError:
            raise  # which says nothing about the manifest
        except StoreError as error:
            raise ManifestError([Problem(at, str(error))]) from None
        if not matches:
            raise ManifestError([Problem(at, f"no image matches '{pattern}'")])
        for match in matches:
            if any("\ud800" <= c <= "\udfff" for c in match):
                raise ManifestError([Problem(at, f"the file name '{match}' is not UTF-8; rename it")])
            found.setdefault(str(PurePosixPath(match)), match)
    return list(found.values())


def _named_twice(pairs: list[Pair]) -> list[Problem]:
    first: dict[str, Pair] = {}
    problems = []
    for pair in pairs:
        other = first.setdefault(folded(pair.id), pair)
        if other is not pair:
            # A product has no place for an id.
            at, other = (other, pair) if pair.place == "product" else (pair, other)
            message = f"'{pair.id}' is named twice, here and in {other.place}; give one another 'id'"
            problems.append(Problem(f"{at.place}.id", message, pair.id))
    return problems

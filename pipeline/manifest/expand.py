"""Expands a `Manifest` into its pairs: matches patterns, forms products, applies defaults, names pairs."""

from collections.abc import Callable
from pathlib import PurePosixPath

from pydantic import ValidationError

from nst.parameters import Parameters
from pipeline.errors import ManifestError, Problem, StoreError, UnavailableError
from pipeline.manifest.models import MOST_PAIRS, Manifest, Pair, PairEntry, StyleEntry
from pipeline.manifest.names import complete_names, folded
from pipeline.manifest.wording import reworded, shown

_MOST_DEPTHS = 2  # `**` in one pattern; the time of the search grows exponentially with their number


def expand(manifest: Manifest, glob: Callable[[str], list[str]]) -> list[Pair]:
    """All pairs of a manifest, in its order. `glob` lists the images that match a pattern.

    Raises `ManifestError` for a pattern that matches nothing, for two pairs of the same id, and for too many
    pairs. Raises `UnavailableError` if the images cannot be listed now.
    """
    pairs = [
        _pair_of(entry, "" if manifest.single else f"pairs[{index}]", manifest.defaults)
        for index, entry in enumerate(manifest.pairs)
    ]
    listed = {
        (pair.content, pair.styles) for pair in pairs if not pair.id and pair.parameters == manifest.defaults
    }
    if manifest.product:
        contents = _images_matching(manifest.product.content, "product.content", glob)
        styles = _images_matching(manifest.product.style, "product.style", glob)
        if (count := len(contents) * len(styles)) > MOST_PAIRS:
            message = f"gives {count} pairs; a manifest may have at most {MOST_PAIRS}, so split it"
            raise ManifestError([Problem("product", message)])
        for content in contents:
            for style in styles:
                entry = PairEntry(content=content, style=style)
                pair = _pair_of(entry, "product", manifest.defaults)
                # A pair that `pairs` lists already, with the same parameters, is not added again.
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


def _images_matching(patterns: list[str], place: str, glob: Callable[[str], list[str]]) -> list[str]:
    found: dict[str, str] = {}
    for index, pattern in enumerate(patterns):
        at = f"{place}[{index}]"
        if pattern.split("/").count("**") > _MOST_DEPTHS:
            message = f"a pattern may contain '**' at most {_MOST_DEPTHS} times; found {shown(pattern)}"
            raise ManifestError([Problem(at, message)])
        try:
            matches = glob(pattern) if any(c in pattern for c in "*?[") else [pattern]
        except UnavailableError:
            raise  # the manifest is not the cause
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
            # The user can give an id only to a pair that `pairs` lists, so report that one.
            at, other = (other, pair) if pair.place == "product" else (pair, other)
            message = f"'{pair.id}' is named twice, here and in {other.place}; change one 'id'"
            problems.append(Problem(f"{at.place}.id", message, pair.id))
    return problems

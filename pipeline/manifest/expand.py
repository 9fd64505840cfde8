"""Expands a `Manifest` into its pairs: matches patterns, forms products, applies defaults, names pairs."""

import json
from collections.abc import Callable, Iterator, Mapping
from itertools import product
from pathlib import PurePosixPath
from typing import Any, NamedTuple

from pydantic import ValidationError

from nst.parameters import Parameters
from pipeline.errors import ManifestError, Problem, StoreError, UnavailableError
from pipeline.manifest.models import MOST_PAIRS, Manifest, Pair, StyleEntry
from pipeline.manifest.names import complete_names, folded
from pipeline.manifest.sweeps import cells, count_cells
from pipeline.manifest.wording import reworded, shown
from pipeline.settings import Caps

Glob = Callable[[str], list[str]]

_MOST_DEPTHS = 2  # `**` in one pattern; the time of the search grows exponentially with their number
_MOST_PATTERNS = 1000  # different ones in a manifest; use fewer that match more, or split the manifest
# The parameters that an operator limits, and the variables that limit them.
_CAPPED = {"max_size": "NST_MOST_SIZE", "epochs": "NST_MOST_EPOCHS"}


class _Draft(NamedTuple):
    """A pair, which may have no name yet.

    `own` has the place in the manifest of each parameter that is not from the defaults. `end` is the end of
    the name of a pair of a sweep.
    """

    id: str | None
    place: str
    content: str
    styles: tuple[StyleEntry, ...]
    parameters: Parameters
    own: Mapping[str, str] = {}
    end: str = ""
    keep: str | None = None

    @property
    def details(self) -> str:
        """What differs from another pair with the same images: weights, masks, and parameters that it gives.

        Masks are described only where there are some, because the names of other pairs must not change.
        """
        # Not `model_dump`, which leaves out some values that are defaults of the format: a pair may give such
        # a value because the defaults of its manifest have another one.
        own = {name: getattr(self.parameters, name) for name in self.own}
        described: list[Any] = [[style.weight for style in self.styles], own]
        masks = [[style.region, style.image_region] for style in self.styles]
        if self.keep or any(map(any, masks)):
            described += [masks, self.keep]
        return json.dumps(described, sort_keys=True)


def expand(manifest: Manifest, glob: Glob, caps: Caps = Caps()) -> list[Pair]:
    """All pairs of a manifest, in its order. `glob` lists the images that match a pattern.

    Pairs without an id that are equal in everything are made once. Raises `ManifestError` for a pattern that
    matches nothing, for two pairs of the same id, for too many pairs, and for what exceeds the caps of the
    operator. Raises `UnavailableError` if the images cannot be listed now.
    """
    drafts = _without_repetitions([*_listed(manifest), *_products(manifest, glob, caps)])
    _check_number(len(drafts), "product" if manifest.product else "pairs", caps)
    if above := list(_above_caps(drafts, caps)):
        raise ManifestError(above)
    images = [[draft.content, *(style.image for style in draft.styles)] for draft in drafts]
    ends = [draft.end for draft in drafts]
    names = complete_names([draft.id for draft in drafts], images, ends, lambda index: drafts[index].details)
    if twice := _named_twice(names, [draft.place for draft in drafts]):
        raise ManifestError(twice)
    return [
        Pair(
            id=name,
            place=d.place,
            content=d.content,
            styles=d.styles,
            parameters=d.parameters,
            keep=d.keep,
        )
        for name, d in zip(names, drafts, strict=True)
    ]


def _without_repetitions(drafts: list[_Draft]) -> list[_Draft]:
    """The drafts, without those that have no id and are equal to an earlier one without an id."""
    shared = {id(draft.parameters): draft.parameters for draft in drafts}  # most drafts share one object
    texts = {key: parameters.model_dump_json() for key, parameters in shared.items()}
    known: dict[object, _Draft] = {}
    for index, draft in enumerate(drafts):
        key = index if draft.id else (draft.content, draft.styles, draft.keep, texts[id(draft.parameters)])
        first = known.setdefault(key, draft)
        if draft.end and not first.end:  # a pair of a sweep keeps its name
            known[key] = first._replace(end=draft.end)
    return list(known.values())


def _listed(manifest: Manifest) -> Iterator[_Draft]:
    """The pairs that `pairs` lists. Pairs of the same parameters share one object.

    Raises `ManifestError` at the end for pairs whose parameters, with the defaults, do not go together.
    """
    known: dict[str, Parameters] = {"{}": manifest.defaults}
    names = set(Parameters.model_fields)
    single, problems = manifest.single, list[Problem]()
    for index, entry in enumerate(manifest.pairs):
        place = "" if single else f"pairs[{index}]"
        own = {name: getattr(entry, name) for name in sorted(names & entry.model_fields_set)}
        key = repr(own)
        if key not in known:
            try:
                known[key] = _parameters(manifest.defaults, own, place)
            except ManifestError as error:
                problems += error.problems
                continue
        styles = entry.styles or [StyleEntry(image=str(entry.style))]
        yield _Draft(
            entry.id,
            place,
            entry.content,
            tuple(styles),
            known[key],
            dict.fromkeys(own, place),
            keep=entry.keep,
        )
    if problems:
        raise ManifestError(problems)


def _parameters(defaults: Parameters, own: Mapping[str, Any], place: str) -> Parameters:
    try:
        return defaults.with_own(own)
    except ValidationError as error:
        raise ManifestError([Problem(place, reworded(error.errors()[0]["msg"]))]) from None


def _products(manifest: Manifest, glob: Glob, caps: Caps) -> Iterator[_Draft]:
    """Every content of `product` with every style, in each cell of the sweep."""
    if manifest.product is None:
        return
    count = count_cells(manifest.product.parameters)
    _check_number(count, "product", caps)  # before any image is listed
    matches = _Matches(glob)
    contents = matches.of(manifest.product.content, "product.content")
    styles = matches.of(manifest.product.style, "product.style")
    _check_number(len(contents) * len(styles) * count, "product", caps)
    entries = [(StyleEntry(image=style),) for style in styles]
    each = cells(manifest.product.parameters, manifest.defaults)
    keep = manifest.product.keep
    for content, entry, cell in product(contents, entries, each):
        yield _Draft(None, "product", content, entry, cell.parameters, cell.places, cell.name, keep)


class _Matches:
    """What the patterns of one manifest match. The same pattern is searched once."""

    def __init__(self, glob: Glob) -> None:
        self._glob = glob
        self._found: dict[str, list[str]] = {}

    def of(self, patterns: list[str], place: str) -> list[str]:
        """The images that the entries at a place match or name, each once, in their order."""
        images: dict[str, str] = {}
        seen: set[str] = set()
        for index, pattern in enumerate(patterns):
            if pattern in seen:
                continue
            seen.add(pattern)
            for match in self._matching(pattern, f"{place}[{index}]"):
                images.setdefault(str(PurePosixPath(match)), match)
        return list(images.values())

    def _matching(self, pattern: str, place: str) -> list[str]:
        if not any(c in pattern for c in "*?["):
            return [pattern]
        if pattern not in self._found:
            self._found[pattern] = self._search(pattern, place)
        return self._found[pattern]

    def _search(self, pattern: str, place: str) -> list[str]:
        if pattern.split("/").count("**") > _MOST_DEPTHS:
            message = f"a pattern may contain '**' at most {_MOST_DEPTHS} times; found {shown(pattern)}"
            raise ManifestError([Problem(place, message)])
        if len(self._found) == _MOST_PATTERNS:
            message = (
                f"a manifest may have at most {_MOST_PATTERNS} different patterns; use fewer, or split it"
            )
            raise ManifestError([Problem(place, message)])
        try:
            matches = self._glob(pattern)
        except UnavailableError:
            raise  # the manifest is not the cause
        except StoreError as error:
            raise ManifestError([Problem(place, str(error))]) from None
        if not matches:
            raise ManifestError([Problem(place, f"no image matches '{pattern}'")])
        for match in matches:
            if any("\ud800" <= c <= "\udfff" for c in match):
                raise ManifestError([Problem(place, f"the file name '{match}' is not UTF-8; rename it")])
        return matches


def _check_number(count: int, place: str, caps: Caps) -> None:
    if count > MOST_PAIRS:
        message = f"gives {count} pairs; a manifest may have at most {MOST_PAIRS}, so split it"
        raise ManifestError([Problem(place, message)])
    if count > caps.pairs:
        message = f"{count} pairs are above what this operator allows, {caps.pairs} (NST_MOST_PAIRS)"
        raise ManifestError([Problem(place, message)])


def _above_caps(drafts: list[_Draft], caps: Caps) -> Iterator[Problem]:
    """What exceeds a cap, once for each place in the manifest."""
    seen: set[tuple[str, str]] = set()
    for draft in drafts:
        for name, variable in _CAPPED.items():
            value, most = getattr(draft.parameters, name), getattr(caps, name)
            place = draft.own.get(name, "defaults")
            if value <= most or (name, place) in seen:
                continue
            seen.add((name, place))
            message = f"{name} {value} is above what this operator allows, {most} ({variable})"
            yield Problem(place, message)


def _named_twice(names: list[str], places: list[str]) -> list[Problem]:
    first: dict[str, int] = {}
    problems = []
    for index, name in enumerate(names):
        other = first.setdefault(folded(name), index)
        if other != index:
            message = f"'{names[index]}' is named twice, here and in {places[other]}; change one 'id'"
            problems.append(Problem(f"{places[index]}.id", message, names[index]))
    return problems

"""Reads a `Manifest` from bytes, or lists the problems in it as sentences for a person."""

from typing import Any

from pydantic import TypeAdapter, ValidationError

from pipeline.errors import MOST_PROBLEMS, ManifestError, Problem
from pipeline.manifest.document import load_object
from pipeline.manifest.models import MOST_PAIRS, Manifest, PairEntry, Priority, Product, Reference
from pipeline.manifest.sweeps import VALUES
from pipeline.manifest.wording import place_of, problem_of, shown

_SINGLE_KEYS = ("content", "style", "styles")
# In a manifest of one pair, these keys belong to the manifest, all others to the pair.
_OUTER_KEYS = ("version", "$schema", "priority", "defaults")
_PAIR, _REFERENCE = TypeAdapter[Any](PairEntry), TypeAdapter[Any](Reference)
_PRIORITY = TypeAdapter[int](Priority)


def parse(data: bytes) -> Manifest:
    """Read a manifest from its bytes. Raises `ManifestError` with the first problems and their places."""
    document = load_object(data)
    single = any(key in document for key in _SINGLE_KEYS) and "pairs" not in document
    if single:
        outer: dict[str, Any] = {key: document.pop(key) for key in _OUTER_KEYS if key in document}
        document = {**outer, "pairs": [document]}
    found = _Found(single)
    document = found.checked_lists(document)
    try:
        manifest = Manifest.model_validate(document)
    except ValidationError as error:
        found.add(error)
    if found.count:
        raise ManifestError(found.problems, found.count)
    manifest._single = single
    return manifest


def priority_of(data: bytes) -> int:
    """The priority of a manifest; 0 if it has none, or if it or the manifest is not valid."""
    try:
        return _PRIORITY.validate_python(load_object(data).get("priority", 0), strict=True)
    except (ManifestError, ValidationError):
        return 0


class _Found:
    """The problems of one document: how many they are, and the first of them as sentences."""

    def __init__(self, single: bool) -> None:
        self._single = single
        self.problems: list[Problem] = []
        self.count = 0

    def checked_lists(self, document: dict[str, Any]) -> dict[str, Any]:
        """The document with its long lists validated.

        Where one has an error, a valid list takes its place, so that the rest can be validated. Their items
        are validated one by one, because pydantic would keep the errors of all of them in memory.
        """
        checked = dict(document)
        if isinstance(pairs := document.get("pairs"), list):
            stand_in = PairEntry(content="a", style="b")
            checked["pairs"] = self._checked(pairs, ("pairs",), _PAIR) or [stand_in] * bool(pairs)
        if isinstance(product := document.get("product"), dict):
            checked["product"] = self._checked_product(product)
        return checked

    def _checked_product(self, product: dict[str, Any]) -> dict[str, Any]:
        checked = dict(product)
        for key, value in product.items():
            place = ("product", key)
            if key not in VALUES and key not in Product.model_fields:
                self._add(problem_of({"loc": place, "type": "extra_forbidden", "msg": ""}, self._single))
            elif key in VALUES and not isinstance(value, list):
                checked[key] = self._validated(value, place, VALUES[key])
            elif key in VALUES:
                checked[key] = self._checked(value, place, VALUES[key])
                self._check_sweep(value, checked[key], place)
            elif isinstance(value, list) and key in ("content", "style"):
                checked[key] = self._checked(value, place, _REFERENCE) or ["a"] * bool(value)
        return checked

    def _check_sweep(self, given: list[Any], values: list[Any], place: tuple[str, ...]) -> None:
        """Add what is wrong with a list of values of a parameter, each of which is valid."""
        if not given:
            self._add(Problem(place_of(place), "should not be empty; found []"))
        first: dict[object, int] = {}
        for index, value in enumerate(values):
            other = first.setdefault(tuple(value.items()) if isinstance(value, dict) else value, index)
            if other != index:
                message = f"is the same value as {place_of((*place, other))}; delete one of the two"
                self._add(Problem(place_of((*place, index)), f"{message}; found {shown(given[index])}"))

    def _checked(self, items: list[Any], place: tuple[str, ...], kind: TypeAdapter[Any]) -> list[Any]:
        """The validated items, or none of them if one has an error."""
        if len(items) > MOST_PAIRS:
            message = f"should have at most {MOST_PAIRS} items; found {len(items)}; split it"
            self._add(Problem(place_of(place), message))
            return []
        before = self.count
        good = [self._validated(item, (*place, index), kind) for index, item in enumerate(items)]
        return good if self.count == before else []

    def _validated(self, value: Any, place: tuple[str | int, ...], kind: TypeAdapter[Any]) -> Any:
        """The validated value; none if it has an error."""
        try:
            return kind.validate_python(value, strict=True)
        except ValidationError as error:
            self.add(error, place)
            return None

    def add(self, error: ValidationError, place: tuple[str | int, ...] = ()) -> None:
        """Add the errors of the value at a place in the document."""
        left = MOST_PROBLEMS - len(self.problems)
        for details in error.errors(include_url=False)[:left] if left > 0 else ():
            self.problems.append(problem_of({**details, "loc": (*place, *details["loc"])}, self._single))
        self.count += error.error_count()

    def _add(self, problem: Problem) -> None:
        if len(self.problems) < MOST_PROBLEMS:
            self.problems.append(problem)
        self.count += 1

"""Sweeps: a parameter of a product may have a list of values, and each combination of them is a cell."""

import math
from collections.abc import Iterator, Mapping
from decimal import Decimal
from itertools import product
from typing import Any, NamedTuple

from pydantic import TypeAdapter, ValidationError

from nst.parameters import Parameters
from pipeline.errors import ManifestError, Problem
from pipeline.manifest.wording import reworded

# The type of one value of each parameter, with its range.
VALUES = {
    name: TypeAdapter[Any](field.rebuild_annotation(), config={"allow_inf_nan": False})
    for name, field in Parameters.model_fields.items()
}


class Cell(NamedTuple):
    """One combination of the parameters of a product, with the defaults.

    `places` says where in the manifest each parameter is that the product gives. `name` is what the names of
    the pairs of this cell end in, such as `style_weight=1e5-seed=3`; empty without a sweep.
    """

    parameters: Parameters
    places: Mapping[str, str]
    name: str


def count_cells(given: Mapping[str, Any]) -> int:
    """How many cells the parameters of a product give."""
    return math.prod(len(value) for value in given.values() if isinstance(value, list))


def cells(given: Mapping[str, Any], defaults: Parameters) -> list[Cell]:
    """The cells that the parameters of a product give; the values of the last parameter change first.

    The parameters are in the order of the reference, so that the order of the keys in a manifest changes no
    name. Raises `ManifestError` for values that do not go together.
    """
    if not given:
        return [Cell(defaults, {}, "")]
    names = [name for name in Parameters.model_fields if name in given]
    found, problems = list[Cell](), dict[Problem, None]()
    for chosen in product(*(_choices(name, given[name]) for name in names)):
        values = {choice.name: choice.value for choice in chosen}
        try:
            parameters = defaults.with_own(values)
        except ValidationError as error:
            problems[Problem("product", reworded(error.errors()[0]["msg"]))] = None
            continue
        places = {choice.name: choice.place for choice in chosen}
        found.append(Cell(parameters, places, "-".join(c.text for c in chosen if c.text)))
    if problems:
        raise ManifestError(list(problems))
    return found


class _Choice(NamedTuple):
    """One value of a parameter; `text` is empty if it is the only one and not in a list."""

    name: str
    value: Any
    place: str
    text: str


def _choices(name: str, given: Any) -> Iterator[_Choice]:
    if not isinstance(given, list):
        yield _Choice(name, given, f"product.{name}", "")
        return
    for index, value in enumerate(given):
        yield _Choice(name, value, f"product.{name}[{index}]", f"{name}={_text(value)}")


def _text(value: Any) -> str:
    """A value in a file name. Different values of a parameter give different texts."""
    if isinstance(value, dict):
        return ",".join(
            layer if weight == 1 else f"{layer}x{_number(weight)}" for layer, weight in value.items()
        )
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return "none"
    return _number(value) if isinstance(value, float) else str(value)


def _number(value: float) -> str:
    """A number in full, with an exponent if that saves two characters or more: 1e5, but 1000."""
    plain = repr(value).removesuffix(".0")
    short = str(Decimal(plain).normalize()).lower().replace("+", "")
    return short if len(short) + 1 < len(plain) else plain

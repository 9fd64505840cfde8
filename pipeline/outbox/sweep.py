"""Finds sweeps among the records of a page: the same images with parameters that span a grid.

The records alone decide, and the page needs no manifest. So reused results of earlier versions have a place
in the grid, a missing picture leaves its cell empty, and each of several pages shows its part of a sweep.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, NamedTuple

from nst.parameters import Parameters
from pipeline.outbox.record import Record

_MOST_COLUMNS = 6  # with more, the pictures of a grid are too small
# Snapshots do not change a picture, so that results with and without them need no places of their own.
_COMPARED = [name for name in Parameters.model_fields if name != "snapshots"]
_Key = tuple[object, ...]


class Axis(NamedTuple):
    """A parameter that differs among the records of a sweep, and its values."""

    name: str
    values: Sequence[Any]


@dataclass(frozen=True)
class Grid:
    """A part of a sweep: the values of its further parameters, and the records of each row.

    Without rows there is one sequence of records.
    """

    further: Mapping[str, Any]
    cells: Sequence[Sequence[Sequence[Record]]]  # by row and column; empty where there is no picture


@dataclass(frozen=True)
class Sweep:
    """Records of the same images; `rows` is none if only one parameter differs."""

    records: Sequence[Record]
    columns: Axis
    rows: Axis | None
    grids: Sequence[Grid]


def arranged(records: Sequence[Record]) -> Iterator[Sweep | Record]:
    """The records in their order; those of a sweep are together, in the place of the first of them."""
    groups: dict[_Key, list[Record]] = {}
    for record in records:
        groups.setdefault(_images(record), []).append(record)
    sweeps = {id(group[0]): sweep for group in groups.values() if (sweep := _sweep(group))}
    inside = {id(record) for sweep in sweeps.values() for record in sweep.records}
    for record in records:
        if sweep := sweeps.get(id(record)):
            yield sweep
        elif id(record) not in inside:
            yield record


def _images(record: Record) -> _Key:
    """The images of a record, with the weights of its styles and all masks."""
    styles = tuple(
        (s.reference, s.weight, s.region and s.region.reference, s.image_region and s.image_region.reference)
        for s in record.styles
    )
    return record.content.reference, styles, record.keep and record.keep.reference


def _sweep(records: Sequence[Record]) -> Sweep | None:
    """The sweep of records of the same images; none if their parameters leave most of a grid empty."""
    axes = [axis for name in _COMPARED if len((axis := _axis(name, records)).values) > 1]
    found: dict[_Key, list[Record]] = {}
    for record in records:
        found.setdefault(_place(axes, record.parameters), []).append(record)
    if not axes or 2 * len(found) < math.prod(len(axis.values) for axis in axes):
        return None
    columns, rows = _columns_and_rows(axes)
    further = [axis for axis in axes if axis not in (columns, rows)]
    grids = [_grid(chosen, columns, rows, axes, found) for chosen in _combinations(further)]
    return Sweep(records, columns, rows, [grid for grid in grids if any(any(row) for row in grid.cells)])


def _axis(name: str, records: Sequence[Record]) -> Axis:
    """A parameter and its values: numbers in ascending order, others as they come."""
    values = {_key(value): value for record in records for value in [getattr(record.parameters, name)]}
    numbers = all(isinstance(value, int | float) for value in values.values())
    return Axis(name, sorted(values.values()) if numbers else list(values.values()))


def _columns_and_rows(axes: Sequence[Axis]) -> tuple[Axis, Axis | None]:
    """The two parameters with the most values. The longer one has the columns if they are not too many."""
    longest = sorted(axes, key=lambda axis: -len(axis.values))[:2]
    if len(longest) == 1:
        return longest[0], None
    return (longest[0], longest[1]) if len(longest[0].values) <= _MOST_COLUMNS else (longest[1], longest[0])


def _combinations(axes: Sequence[Axis]) -> Iterable[dict[str, Any]]:
    names = [axis.name for axis in axes]
    return (dict(zip(names, chosen, strict=True)) for chosen in product(*(axis.values for axis in axes)))


def _grid(
    further: dict[str, Any],
    columns: Axis,
    rows: Axis | None,
    axes: Sequence[Axis],
    found: Mapping[_Key, Sequence[Record]],
) -> Grid:
    def cell(values: dict[str, Any]) -> Sequence[Record]:
        return found.get(tuple(_key(values[axis.name]) for axis in axes), ())

    return Grid(
        further,
        [
            [cell({**further, **row, **column}) for column in _combinations([columns])]
            for row in _combinations([rows] if rows else [])
        ],
    )


def _place(axes: Sequence[Axis], parameters: Parameters) -> _Key:
    return tuple(_key(getattr(parameters, axis.name)) for axis in axes)


def _key(value: object) -> object:
    """The value, such that it can be a key."""
    return tuple(value.items()) if isinstance(value, dict) else value

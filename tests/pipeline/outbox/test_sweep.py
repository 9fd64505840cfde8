"""Which records of a page are a sweep, and how its grids are arranged."""

from collections.abc import Sequence
from itertools import product
from typing import Any

from nst.parameters import Parameters
from pipeline.outbox.record import Record
from pipeline.outbox.sweep import Sweep, arranged
from tests.pipeline.outbox.test_page import record, source


def made(**parameters: Any) -> Record:
    name = "-".join(f"{key}={value}" for key, value in parameters.items()) or "plain"
    return record(id=name, parameters=Parameters.model_validate(parameters))


def swept(**axes: Sequence[Any]) -> list[Record]:
    """A record for each combination of values."""
    return [made(**dict(zip(axes, chosen, strict=True))) for chosen in product(*axes.values())]


def sweep_of(records: Sequence[Record]) -> Sweep:
    (only,) = arranged(records)
    assert isinstance(only, Sweep)
    return only


def ids(sweep: Sweep) -> list[list[list[str]]]:
    """For each grid and row, the ids of its records; `+` between two in one cell."""
    return [[["+".join(r.id for r in cell) for cell in row] for row in grid.cells] for grid in sweep.grids]


def test_one_parameter_that_differs_gives_columns_only() -> None:
    sweep = sweep_of(swept(style_weight=[1e5, 1e6, 1e7]))
    assert (sweep.columns.name, sweep.columns.values, sweep.rows) == ("style_weight", [1e5, 1e6, 1e7], None)
    assert ids(sweep) == [[["style_weight=100000.0", "style_weight=1000000.0", "style_weight=10000000.0"]]]


def test_the_longer_of_two_parameters_has_the_columns() -> None:
    sweep = sweep_of(swept(tv_weight=[1, 2], seed=[1, 2, 3]))
    assert sweep.rows and (sweep.columns.name, sweep.rows.name) == ("seed", "tv_weight")
    rows = [[f"tv_weight={tv}-seed={seed}" for seed in (1, 2, 3)] for tv in (1, 2)]
    assert ids(sweep) == [rows]


def test_a_parameter_of_many_values_has_the_rows() -> None:
    sweep = sweep_of(swept(seed=list(range(7)), epochs=[3, 4]))
    assert sweep.rows and (sweep.columns.name, sweep.rows.name) == ("epochs", "seed")


def test_each_further_combination_has_a_grid() -> None:
    axes: dict[str, list[Any]] = {
        "seed": [1, 2, 3],
        "epochs": [3, 4],
        "init": ["content", "random"],
        "pooling": ["avg", "max"],
    }
    records = swept(**axes)
    sweep = sweep_of(records)
    assert sweep.rows and (sweep.columns.name, sweep.rows.name) == ("seed", "epochs")
    further = [dict(grid.further) for grid in sweep.grids]
    assert further == [{"init": i, "pooling": p} for i in ("content", "random") for p in ("avg", "max")]
    assert sorted(name for grid in ids(sweep) for row in grid for name in row) == sorted(
        r.id for r in records
    )


def test_numbers_are_in_ascending_order_and_other_values_as_they_come() -> None:
    layers = [{"relu5_1": 1.0}, {"relu1_1": 1.0}]
    sweep = sweep_of(swept(style_layers=layers, style_weight=[1e7, 1e5, 1e6]))
    assert sweep.columns.values == [1e5, 1e6, 1e7]
    assert sweep.rows and sweep.rows.values == layers


def test_a_record_that_is_missing_leaves_its_cell_empty() -> None:
    sweep = sweep_of(swept(seed=[1, 2], epochs=[3, 4])[1:])
    assert ids(sweep) == [[["", "seed=1-epochs=4"], ["seed=2-epochs=3", "seed=2-epochs=4"]]]


def test_a_grid_without_any_record_is_left_out() -> None:
    records = swept(seed=[1, 2, 3], epochs=[3, 4], init=["content", "random"], pooling=["max", "avg"])
    left = [r for r in records if (r.parameters.init, r.parameters.pooling) != ("random", "avg")]
    assert len(sweep_of(left).grids) == 3


def test_two_records_of_the_same_parameters_share_a_cell() -> None:
    first, second = swept(seed=[1, 2])
    assert ids(sweep_of([first, second, first.model_copy(update={"id": "again"})])) == [
        [["seed=1+again", "seed=2"]]
    ]


def test_records_of_other_images_or_of_the_same_parameters_are_no_sweep() -> None:
    images = [source("a.png"), source("b.png")]
    records = [
        record(id="a", content=images[0], parameters=Parameters(seed=1)),
        record(id="b", content=images[1], parameters=Parameters(seed=2)),
        record(id="c", content=images[0], styles=images, parameters=Parameters(seed=3)),
        record(id="d", content=images[1], parameters=Parameters(seed=2)),
    ]
    assert list(arranged(records)) == records


def test_records_that_leave_most_of_a_grid_empty_are_no_sweep() -> None:
    records = [made(seed=n, epochs=n, tv_weight=n) for n in (1, 2, 3)]
    assert list(arranged(records)) == records


def test_each_sweep_is_in_the_place_of_its_first_record() -> None:
    sweep, other = swept(seed=[1, 2]), record(id="other", content=source("x.png"))
    found = list(arranged([sweep[0], other, sweep[1]]))
    assert isinstance(found[0], Sweep)
    assert found[0].records == sweep
    assert found[1:] == [other]


def test_the_number_of_snapshots_is_no_axis() -> None:
    several = [made(style_weight=1e5, snapshots=12), made(style_weight=1e6), made(style_weight=1e7)]
    sweep = sweep_of(several)
    assert (sweep.columns.name, sweep.rows) == ("style_weight", None)
    twice = [made(snapshots=12), made(snapshots=0)]
    assert list(arranged(twice)) == twice

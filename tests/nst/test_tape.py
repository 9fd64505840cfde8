import torch

from nst.tape import Row, Tape


def row_of(number: float) -> Row[torch.Tensor]:
    """A row of two pairs, whose numbers count up from this one; those of the second pair are negative."""
    return Row(*(torch.tensor([number + place, -number - place]) for place in range(6)))


def test_rows_are_read_in_order_with_one_row_for_each_pair() -> None:
    tape = Tape()
    for number in (10, 20):
        tape.write(row_of(number))
    first, second = tape.read(everything=True)
    assert first == [Row(*range(10, 16)), Row(*range(-10, -16, -1))]
    assert second[1].total == -23
    assert not list(tape.read(everything=True))


def test_a_tape_does_not_change_with_the_tensors_written_to_it() -> None:
    tape, row = Tape(), row_of(1)
    tape.write(row)
    row.total.zero_()
    ((pair, _),) = tape.read()
    assert pair.total == 4

"""Breaks one promise after the other, and checks that its test notices it."""

from pathlib import Path

import pytest

from tests.mutating import FAILED, PASSED, ROOT, Mutation, copy, mutated, run
from tests.mutations import MUTATIONS

_PARTS = 24  # of the tests that notice mutations, so that several processes share them
# All of them take ten minutes of a core. The test suite has every 40th one, `make mutations` has all.
_SUITE = MUTATIONS[::40]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of this repository."""
    target = tmp_path_factory.mktemp("mutations")
    copy(target)
    return target


def test_all_texts_are_where_they_are_replaced() -> None:
    for mutation in MUTATIONS:
        assert mutation.file(ROOT)


@pytest.mark.parametrize("text", ["return 1", "return 3"])
def test_a_text_that_is_not_there_once_is_reported(tmp_path: Path, text: str) -> None:
    (tmp_path / "code.py").write_text("return 1\nreturn 1\n")
    with pytest.raises(AssertionError, match=f"'{text}' must be in code.py once; adapt this mutation"):
        Mutation("name", "code.py", text, "", "test").file(tmp_path)


@pytest.mark.long  # the suite runs each of these tests itself
@pytest.mark.parametrize("part", range(_PARTS))
def test_without_a_mutation_the_tests_pass(place: Path, part: int) -> None:
    code, output = run(place, sorted({mutation.node for mutation in MUTATIONS})[part::_PARTS])
    assert code == PASSED and "skipped" not in output, output


@pytest.mark.parametrize(
    "mutation",
    [pytest.param(m, id=m.name, marks=() if m in _SUITE else pytest.mark.long) for m in MUTATIONS],
)
def test_a_mutation_makes_its_test_fail(place: Path, mutation: Mutation) -> None:
    with mutated(place, mutation):
        code, output = run(place, [mutation.node])
    assert code == FAILED, f"{mutation.name} is not noticed by {mutation.node}:\n{output}"

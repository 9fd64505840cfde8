"""Which worker gets which task."""

from dataclasses import dataclass, field, replace

from nst.parameters import Parameters
from pipeline.engines.base import Task
from pipeline.engines.dispatch import dispatch
from pipeline.manifest.models import Pair, StyleEntry


@dataclass(eq=False)
class Place:
    """A worker that notes what it is sent."""

    room: int
    batch: int = 1
    tasks: dict[int, Task] = field(default_factory=dict)
    last: object = None
    flushed: bool = False

    @property
    def free(self) -> int:
        alone = any(task.alone for task in self.tasks.values())
        return 0 if alone else self.room - len(self.tasks)

    @property
    def idle(self) -> bool:
        return not self.tasks

    def send(self, task: Task) -> None:
        self.tasks[task.number] = task

    def flush(self) -> None:
        self.flushed = True


def task(number: int, content: str = "a.png", **fields: object) -> Task:
    pair = Pair(
        id=f"{number}",
        place=f"pairs[{number}]",
        content=content,
        styles=(StyleEntry(image="style.png"),),
        parameters=Parameters(seed=number),
    )
    return replace(Task(number, "m", pair, "memory://in"), **fields)  # type: ignore[arg-type]


def numbers(place: Place) -> list[int]:
    return list(place.tasks)


def test_all_workers_get_as_many_tasks_as_they_can_take() -> None:
    places = [Place(2), Place(3)]
    left = dispatch([task(n) for n in range(7)], places)
    assert [len(place.tasks) for place in places] == [2, 3]
    assert [each.number for each in left] == [5, 6]


def test_tasks_of_a_higher_priority_and_of_new_manifests_are_sent_first() -> None:
    place = Place(3)
    left = dispatch([task(1), task(2), task(3, newcomer=True), task(4, priority=1)], [place])
    assert numbers(place) == [4, 3, 1]
    assert [each.number for each in left] == [2]


def test_few_tasks_are_shared_between_workers_with_large_batches() -> None:
    places = [Place(32, 16), Place(32, 16)]
    dispatch([task(1), task(2)], places)
    assert [len(place.tasks) for place in places] == [1, 1]


def test_tasks_of_one_content_and_size_go_to_one_worker_once_all_have_work() -> None:
    places = [Place(32, 16), Place(32, 16)]
    contents = ["a.png", "b.png", "b.png", "a.png"] * 6
    dispatch([task(n, content) for n, content in enumerate(contents)], places)
    for place in places:
        assert len({each.pair.content for each in place.tasks.values()}) == 1


def test_a_task_that_must_be_alone_gets_a_worker_without_other_tasks() -> None:
    busy, idle = Place(3, tasks={90: task(90)}), Place(3)
    assert dispatch([task(1), task(2, alone=True), task(3)], [busy, idle]) == []
    assert numbers(idle) == [2]
    assert numbers(busy) == [90, 1, 3]


def test_a_worker_is_kept_free_for_a_task_that_must_be_alone() -> None:
    places = [Place(3, tasks={90: task(90)}), Place(4, tasks={91: task(91), 92: task(92)})]
    left = dispatch([task(1, alone=True), task(2)], places)
    assert [each.number for each in left] == [1]
    assert numbers(places[0]) == [90]
    assert numbers(places[1]) == [91, 92, 2]
    # A batch that is not full does not wait for tasks that will not come.
    assert [place.flushed for place in places] == [True, False]
    places[0].tasks.clear()
    assert dispatch(left, places) == []
    assert numbers(places[0]) == [1]

"""What a disk may hold after a power loss, by what a process has changed and synchronised before.

A killed process leaves everything that it has written in the cache of the kernel. A power loss does not. The
model is more pessimistic than most file systems:

* A change of names is sure to last once its folder was synchronised after it. Until then it may be there or
  not, independently of all other changes.
* A rename never loses the file. Between two folders, it may be half done: the file then has both names.
* What was written to a file is sure to last once the file was synchronised after it. Until then the file may
  hold what it held when it was synchronised last (nothing, if it never was), or a part of the new content.
"""

import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

Place = tuple[int, str]  # the inode of a folder, and a name in it


@dataclass(frozen=True)
class Named:
    """The file or folder `node` gets the name `to`, and then the name `off` goes. A rename has both."""

    node: int
    to: Place | None = None
    off: Place | None = None


@dataclass(frozen=True)
class Data:
    """The file `node` has this content from now on."""

    node: int
    content: bytes


@dataclass(frozen=True)
class Sync:
    """A file or a folder was synchronised."""

    node: int


Step = Named | Data | Sync


@dataclass(frozen=True)
class State:
    """Folders and files by their paths; each of `links` has the paths that are one file."""

    folders: frozenset[str]
    files: frozenset[tuple[str, bytes]]
    links: frozenset[frozenset[str]]

    def write(self, root: Path) -> None:
        """Create all of it below an empty folder."""
        for folder in sorted(self.folders):
            (root / folder).mkdir()
        for path, content in self.files:
            (root / path).write_bytes(content)
        for first, *others in map(sorted, self.links):
            for other in others:
                (root / other).unlink()
                os.link(root / first, root / other)


class Disk:
    """What is below a folder before the first step. All of it is sure to last."""

    def __init__(self, root: Path) -> None:
        self.root = root.stat().st_ino
        self.folders = {self.root}  # inodes; the recorder adds those that are created
        self.names: dict[Place, int] = {}
        self.contents: dict[int, bytes] = {}
        for above, folders, files in os.walk(root):
            for name in (*folders, *files):
                path = Path(above, name)
                node = self.names[os.stat(above).st_ino, name] = path.stat().st_ino
                if path.is_dir():
                    self.folders.add(node)
                else:
                    self.contents[node] = path.read_bytes()

    def states(self, steps: Sequence[Step]) -> Iterator[State]:
        """The states in which the disk may be if the power is lost before or after any step, each once."""
        seen: set[State] = set()
        for length in range(len(steps) + 1):
            for state in self.states_after(steps[:length]):
                if state not in seen:
                    seen.add(state)
                    yield state

    def versions(self, steps: Sequence[Step]) -> dict[str, set[bytes]]:
        """The whole contents that each path may have: those of all files that ever have its name."""
        contents = self.contents | {step.node: step.content for step in steps if isinstance(step, Data)}
        given = [(step.to, step.node) for step in steps if isinstance(step, Named) and step.to]
        every = [*self.names.items(), *given]
        paths, found = self._paths(dict(every)), defaultdict[str, set[bytes]](set)
        for (folder, name), node in every:
            if node not in self.folders:
                found[paths[folder] + name].add(contents.get(node, b""))
        return found

    def states_after(self, steps: Sequence[Step]) -> Iterator[State]:
        """The states in which the disk may be if the power is lost after all of these steps."""
        changes = [step for step in steps if isinstance(step, Named)]
        contents = self._contents_after(steps)
        for survival in _survivals(_possible(steps)):
            names = dict(self.names)
            for change, parts in zip(changes, survival, strict=True):
                if parts and change.to:
                    names[change.to] = change.node
                if parts == _ALL and change.off:
                    names.pop(change.off, None)
            for each in contents:
                yield self._state(names, each)

    def _contents_after(self, steps: Sequence[Step]) -> list[dict[int, bytes]]:
        synced, last = dict(self.contents), dict(self.contents)
        for step in steps:
            if isinstance(step, Data):
                last[step.node] = step.content
            elif isinstance(step, Sync) and step.node in last:
                synced[step.node] = last[step.node]
        unsure = {node: new for node, new in last.items() if synced.get(node) != new}
        if not unsure:
            return [last]
        old = {node: synced.get(node, b"") for node in unsure}
        torn = {node: new[: len(new) // 2] + old[node][len(new) // 2 :] for node, new in unsure.items()}
        return [last, last | old, last | torn]

    def _paths(self, names: dict[Place, int]) -> dict[int, str]:
        """The folders that can be reached: by inode, their paths with a slash at the end."""
        inner = defaultdict[int, list[tuple[int, str]]](list)
        for (above, name), node in names.items():
            if node in self.folders:
                inner[above].append((node, name))
        found, waiting = dict[int, str](), [(self.root, "")]
        while waiting:
            folder, path = waiting.pop()
            found[folder] = path
            waiting += [(node, f"{path}{name}/") for node, name in inner[folder]]
        return found

    def _state(self, names: dict[Place, int], contents: dict[int, bytes]) -> State:
        paths, same = self._paths(names), defaultdict[int, set[str]](set)
        for (folder, name), node in names.items():
            if folder in paths and node not in self.folders:
                same[node].add(paths[folder] + name)
        return State(
            frozenset(path.rstrip("/") for path in paths.values() if path),
            frozenset((path, contents.get(node, b"")) for node, group in same.items() for path in group),
            frozenset(frozenset(group) for group in same.values() if len(group) > 1),
        )


# How much of a change of names has lasted.
_NOTHING, _NEW_NAME, _ALL = 0, 1, 2


def _possible(steps: Sequence[Step]) -> list[tuple[int, ...]]:
    """For each change of names, how much of it may have lasted, the least first."""
    found, synced = list[tuple[int, ...]](), set[int]()
    for step in reversed(steps):
        if isinstance(step, Sync):
            synced.add(step.node)
        elif isinstance(step, Named):
            last = step.off or step.to
            assert last
            if last[0] in synced:
                found.append((_ALL,))
            elif step.to and step.off and step.to[0] != step.off[0]:
                found.append((_NEW_NAME, _ALL) if step.to[0] in synced else (_NOTHING, _NEW_NAME, _ALL))
            else:
                found.append((_NOTHING, _ALL))
    return found[::-1]


def _survivals(possible: Sequence[tuple[int, ...]]) -> Iterator[list[int]]:
    """Nothing that is not sure has lasted; all has; each change is the only one that has, or that has not."""
    least, most = [choices[0] for choices in possible], [choices[-1] for choices in possible]
    yield least
    yield most
    for index, choices in enumerate(possible):
        for choice in choices[1:]:
            yield [*least[:index], choice, *least[index + 1 :]]
        for choice in choices[:-1]:
            yield [*most[:index], choice, *most[index + 1 :]]

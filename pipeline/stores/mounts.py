"""The tables of the system that say which volume is mounted where, and which are to be mounted."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

# Only one running kernel at a time can use these, so that its flock() excludes all runners.
_OF_ONE_MACHINE = {
    *("ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "bcachefs", "f2fs", "jfs", "nilfs2", "reiserfs"),
    *("tmpfs", "ramfs", "overlay", "vfat", "exfat", "ntfs", "ntfs3", "hfsplus"),
}
_NFS = ("nolock", "local_lock=flock", "local_lock=all")
_LOCAL_LOCKS = {"nfs": _NFS, "nfs4": _NFS, "cifs": ("nobrl",), "smb3": ("nobrl",)}  # mount options, by type


@dataclass(frozen=True)
class Mount:
    """A mounted file system; `kind` is the kernel's name of its type, such as `nfs4`."""

    point: Path
    kind: str
    options: frozenset[str]

    @property
    def of_one_machine(self) -> bool:
        """Whether no other machine can have it mounted at the same time."""
        return self.kind in _OF_ONE_MACHINE

    @property
    def lock_fault(self) -> str:
        """Why locks on it are known to have no effect on other machines, and a remedy; otherwise empty."""
        if self.kind == "fuse.sshfs":
            return f"sshfs keeps the locks on {self.point} from other machines; use NFS or a bucket"
        for option in _LOCAL_LOCKS.get(self.kind, ()):
            if option in self.options:
                return (
                    f"the mount option {option} keeps the locks on {self.point} from other machines; "
                    "mount it without this option"
                )
        return ""


@dataclass(frozen=True)
class Tables:
    """The files with both tables. A file that can't be read counts as empty."""

    planned: Path = Path("/etc/fstab")
    mounted: Path = Path("/proc/self/mountinfo")

    def mount_of(self, path: Path) -> Mount | None:
        """The mount that an absolute path without links is on; none if the system has no such table."""
        return mount_of(path, _text(self.mounted))

    def to_be_mounted(self) -> set[Path]:
        """The mount points that the operator has planned."""
        return planned(_text(self.planned))


SYSTEM = Tables()


def mount_of(path: Path, table: str) -> Mount | None:
    """The mount that a path is on, by the text of `/proc/self/mountinfo`."""
    found: Mount | None = None
    for mount in _mounts(table):
        # Of two mounts at the same point, the later one hides the earlier one.
        if path.is_relative_to(mount.point) and (found is None or mount.point.is_relative_to(found.point)):
            found = mount
    return found


def planned(table: str) -> set[Path]:
    """The mount points in the text of `/etc/fstab`, except that of the root of the whole system."""
    rows = (line.split() for line in table.splitlines() if not line.lstrip().startswith("#"))
    points = (_plain(row[1]) for row in rows if len(row) >= 3 and row[1].startswith("/"))
    return {Path(point) for point in points} - {Path("/")}


def _mounts(table: str) -> Iterator[Mount]:
    for line in table.splitlines():
        before, _, after = line.partition(" - ")
        fields, kind = before.split(" "), after.split(" ")
        if len(fields) >= 6 and len(kind) >= 3:
            options = frozenset([*fields[5].split(","), *kind[2].split(",")])
            yield Mount(Path(_plain(fields[4])), kind[0], options)


def _plain(field: str) -> str:
    """A path without the octal escapes of blanks."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), field)


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="surrogateescape")
    except OSError:
        return ""

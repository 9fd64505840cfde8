"""Which volume a folder is on, and which volumes are planned, by samples of the system's tables."""

from pathlib import Path

import pytest

from pipeline.stores.mounts import Mount, mount_of, planned

MOUNTED = r"""22 27 0:21 / /proc rw,relatime - proc proc rw
27 1 254:0 / / rw,relatime - ext4 /dev/vda rw,discard
40 27 0:40 / /srv/share rw,relatime shared:1 - nfs4 server:/share rw,vers=4.2,local_lock=none,addr=10.0.0.1
41 40 0:41 / /srv/share/old rw,relatime - nfs server:/old rw,vers=3,nolock,local_lock=all
42 27 0:42 / /mnt/my\040disk rw - cifs //server/x rw,nobrl,uid=1000
43 27 0:43 / /mnt/home rw - fuse.sshfs me@server: rw,user_id=0
44 27 0:44 / /srv/data rw - ext4 /dev/vdb rw
45 44 0:45 / /srv/data rw - xfs /dev/vdc rw
"""


@pytest.mark.parametrize(
    ("path", "point", "kind"),
    [
        ("/home/me/in", "/", "ext4"),
        ("/srv/share/in", "/srv/share", "nfs4"),
        ("/srv/shared", "/", "ext4"),
        ("/srv/share/old", "/srv/share/old", "nfs"),
        ("/mnt/my disk/in", "/mnt/my disk", "cifs"),
        ("/srv/data/in", "/srv/data", "xfs"),
    ],
)
def test_the_mount_of_a_path_is_the_last_one_at_the_deepest_point_above_it(
    path: str, point: str, kind: str
) -> None:
    found = mount_of(Path(path), MOUNTED)
    assert found
    assert (found.point, found.kind) == (Path(point), kind)


@pytest.mark.parametrize(
    ("path", "fault"),
    [
        ("/home/me/in", ""),
        ("/srv/share/in", ""),
        (
            "/srv/share/old/in",
            "the mount option nolock keeps the locks on /srv/share/old from other machines; "
            "mount it without this option",
        ),
        (
            "/mnt/my disk",
            "the mount option nobrl keeps the locks on /mnt/my disk from other machines; "
            "mount it without this option",
        ),
        (
            "/mnt/home/in",
            "sshfs keeps the locks on /mnt/home from other machines; use NFS or a bucket",
        ),
    ],
)
def test_mounts_whose_locks_do_not_reach_other_machines_are_known(path: str, fault: str) -> None:
    found = mount_of(Path(path), MOUNTED)
    assert found
    assert found.lock_fault == fault


@pytest.mark.parametrize("option", ["nolock", "local_lock=flock", "local_lock=all"])
def test_options_of_nfs_that_keep_locks_local(option: str) -> None:
    assert option in Mount(Path("/x"), "nfs4", frozenset([option])).lock_fault
    assert not Mount(Path("/x"), "nfs4", frozenset(["local_lock=none", "local_lock=posix"])).lock_fault


def test_disks_that_one_machine_uses_are_known() -> None:
    found = [mount_of(Path(path), MOUNTED) for path in ("/home", "/srv/data", "/srv/share", "/mnt/home")]
    assert [mount is not None and mount.of_one_machine for mount in found] == [True, True, False, False]


@pytest.mark.parametrize("table", ["", "nonsense\n1 2 3 - x\n"])
def test_without_a_table_no_mount_is_known(table: str) -> None:
    assert mount_of(Path("/srv"), table) is None


def test_planned_mount_points() -> None:
    table = r"""
# <file system> <mount point> <type> <options>
UUID=1 / ext4 defaults 0 1
UUID=2 none swap sw 0 0
server:/share /srv/share nfs4 _netdev 0 0
LABEL=x	/mnt/my\040disk	ext4	noauto
# UUID=3 /mnt/commented ext4 defaults 0 2
half
"""
    assert planned(table) == {Path("/srv/share"), Path("/mnt/my disk")}

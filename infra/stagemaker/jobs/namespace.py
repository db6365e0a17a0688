"""A mount namespace of its own for a container: the literal `/opt/ml`, host names, no network.

Linux only, and only where the kernel lets this user make namespaces. Nothing outside the namespace
changes: no folder is made on the machine, and all mounts go with the container's last process.
`python -m stagemaker.jobs.namespace` exits with 0 where that works.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import socket
import struct
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from stagemaker.contract.layout import OPT_ML

_CLONE_NEWNS, _CLONE_NEWUSER, _CLONE_NEWNET = 0x00020000, 0x10000000, 0x40000000
_SIOCSIFFLAGS, _IFF_UP = 0x8914, 0x1
_MS_BIND, _MS_REC, _MS_PRIVATE = 0x1000, 0x4000, 0x40000
_MS_RDONLY, _MS_REMOUNT = 0x1, 0x20
_KEPT_FLAGS = {0x2: 0x2, 0x4: 0x4, 0x8: 0x8, 0x400: 0x400, 0x800: 0x800, 0x1000: 0x200000}
"""nosuid, nodev, noexec, noatime, nodiratime, relatime: as statvfs shows them, as mount wants them."""
_LIBC = ctypes.CDLL(None, use_errno=True)
"""Loaded before any fork: a child of a process with threads must not load anything."""
_OPT = os.path.dirname(OPT_ML)  # noqa: PTH120 - used between fork and exec, where plain strings are best


@dataclass(frozen=True, slots=True)
class Mount:
    """A folder of this machine, `source`, that a container sees at `target`, which is there below `/opt/ml`."""

    source: Path
    target: str
    writable: bool


@dataclass(frozen=True, slots=True)
class Namespace:
    """What the container sees: `base` at `/opt/ml`, `hosts` at `/etc/hosts`; `stash` is an empty folder to work in."""

    base: Path
    hosts: Path
    stash: Path
    isolated: bool = False
    """Without any network but a loopback interface of its own."""
    mounts: tuple[Mount, ...] = ()

    def enter(self) -> None:
        """Move this process into the namespace: for a child between fork and exec. Raises OSError."""
        user, group = os.getuid(), os.getgid()
        # Root may mount as it is; anybody else becomes able to inside a user namespace of their own.
        flags = _CLONE_NEWNS | (_CLONE_NEWUSER if user else 0) | (_CLONE_NEWNET if self.isolated else 0)
        _call(_LIBC.unshare(flags), "unshare")
        if user:
            _write("/proc/self/setgroups", "deny")
            _write("/proc/self/uid_map", f"{user} {user} 1")
            _write("/proc/self/gid_map", f"{group} {group} 1")
        if self.isolated:
            _bring_loopback_up()
        _mount("none", "/", _MS_REC | _MS_PRIVATE)
        tree, hosts = os.open(self.base, os.O_PATH), os.open(self.hosts, os.O_PATH)
        sources = [os.open(mount.source, os.O_PATH) for mount in self.mounts]
        if not os.path.isdir(OPT_ML):  # noqa: PTH112 - see above
            self._make_room()
        # By descriptor: the folder may itself lie below what was just covered.
        _mount(f"/proc/self/fd/{tree}", OPT_ML, _MS_BIND)
        _mount(f"/proc/self/fd/{hosts}", "/etc/hosts", _MS_BIND)
        for source, mount in zip(sources, self.mounts, strict=True):
            _mount(f"/proc/self/fd/{source}", mount.target, _MS_BIND | _MS_REC)
            if not mount.writable:
                _make_read_only(mount.target)
        for descriptor in (tree, hosts, *sources):
            os.close(descriptor)

    def _make_room(self) -> None:
        """A fresh `/opt` that shows all that the old one holds, and an empty `ml`."""
        stash = str(self.stash)
        _mount(_OPT, stash, _MS_BIND | _MS_REC)
        _mount("tmpfs", _OPT, 0, "tmpfs")
        for name in os.listdir(stash):  # noqa: PTH208 - see above
            old, new = f"{stash}/{name}", f"{_OPT}/{name}"
            if os.path.islink(old):  # noqa: PTH114
                os.symlink(os.readlink(old), new)  # noqa: PTH115, PTH211
            elif os.path.isdir(old):  # noqa: PTH112
                os.mkdir(new)  # noqa: PTH102
                _mount(old, new, _MS_BIND | _MS_REC)
            else:
                os.close(os.open(new, os.O_CREAT | os.O_WRONLY))
                _mount(old, new, _MS_BIND)
        os.mkdir(OPT_ML)  # noqa: PTH102


@cache
def available() -> bool:
    """Whether this machine lets us make such namespaces; tried once, in a process of its own."""
    if sys.platform != "linux":
        return False
    command = [sys.executable, "-m", "stagemaker.jobs.namespace"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def _call(result: int, what: str) -> None:
    if result != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")


def _mount(source: str, target: str, flags: int, kind: str = "none") -> None:
    _call(_LIBC.mount(source.encode(), target.encode(), kind.encode(), flags, None), f"mount {target}")


def _make_read_only(target: str) -> None:
    """A second step: a bind mount takes no flags of its own. Those that its source has must be said again."""
    has = os.statvfs(target).f_flag
    kept = sum(flag for seen, flag in _KEPT_FLAGS.items() if has & seen)
    _mount("none", target, _MS_REMOUNT | _MS_BIND | _MS_RDONLY | kept)


def _bring_loopback_up() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sh", b"lo", _IFF_UP))


def _write(file: str, text: str) -> None:
    descriptor = os.open(file, os.O_WRONLY)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)


def _try() -> int:
    """0 when everything that a container needs can be done here."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for part in ("base", "stash"):
            (folder / part).mkdir()
        (folder / "base" / "seen").touch()
        (folder / "hosts").touch()
        child = os.fork()
        if child == 0:
            try:
                Namespace(folder / "base", folder / "hosts", folder / "stash", isolated=True).enter()
                os._exit(0 if os.path.exists(f"{OPT_ML}/seen") else 1)  # noqa: PTH110
            except BaseException:  # noqa: BLE001 - whatever it is, the answer is no
                os._exit(1)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


if __name__ == "__main__":
    sys.exit(_try())

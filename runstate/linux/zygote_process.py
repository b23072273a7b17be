"""Starting the zygote's process.

Apart from the launcher, and light to import: a command starts the zygote before anything else,
so that its interpreter comes up on another processor while the command still imports.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from _socket import AF_UNIX, SOCK_CLOEXEC, SOCK_SEQPACKET, socket, socketpair

from runstate.errors import NotSupported, OperationFailed
from runstate.init import fscontext, kernel

BOOTSTRAP = (
    "import sys; sys.path.insert(0, sys.argv.pop(1)); "
    "from runstate.init import zygote; zygote.main()"
)
"""The zygote's program, on its command line, and so on that of each container that waits."""

_MFD_EXEC = 0x10  # memfd_create(2), Linux 6.3


class ZygoteProcess:
    """A zygote that has been started.

    Attributes:
        popen: Its process.
        control: Our end of the socket that it takes its orders from.
        last_words: What it wrote to its standard error: only ever a bug's traceback.
    """

    __slots__ = ("control", "last_words", "popen")

    def __init__(self, popen: subprocess.Popen[bytes], control: socket, last_words: int) -> None:
        self.popen = popen
        self.control = control
        self.last_words = last_words


_early: ZygoteProcess | None = None


def start_early() -> None:
    """Start one for whoever takes it first; an error is left for them to meet."""
    global _early  # noqa: PLW0603 - one for each process is the point
    try:
        _early = _start()
    except (NotSupported, OperationFailed):
        _early = None


def take() -> ZygoteProcess:
    """The one that was started early, or a new one.

    Raises:
        OperationFailed: The kernel refuses.
        NotSupported: There is no interpreter to start.
    """
    global _early
    early, _early = _early, None
    return early or _start()


def _start() -> ZygoteProcess:
    ours, theirs = socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC)
    image = last_words = -1
    try:
        image, executable = _sealed_interpreter()
        last_words = os.memfd_create("runstate-zygote-stderr", os.MFD_CLOEXEC)
        popen = subprocess.Popen(
            [_interpreter(), "-I", "-S", "-c", BOOTSTRAP, _package_parent(), str(theirs.fileno())],
            executable=executable,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=last_words,
            env={},
            cwd="/",
            pass_fds=(theirs.fileno(), image),
            start_new_session=True,
        )
    except OSError as error:
        ours.close()
        if last_words >= 0:
            os.close(last_words)
        raise OperationFailed.from_os_error("start the zygote", error) from error
    finally:
        theirs.close()
        if image >= 0:
            os.close(image)
    return ZygoteProcess(popen, ours, last_words)


def _interpreter() -> str:
    path = getattr(sys, "_base_executable", "") or sys.executable
    if not path:
        raise NotSupported("start the zygote: this program does not know its Python interpreter")
    return str(path)


def _package_parent() -> str:
    # Two levels up from runstate/linux/zygote_process.py: whence the zygote imports `runstate`.
    return os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def _sealed_interpreter() -> tuple[int, str]:
    """The interpreter as a file that nobody can write to: a descriptor, and the path by it.

    A container could write to the host's own through /proc/PID/exe (CVE-2019-5736). An overlay
    without an upper layer cannot be written to by anybody, and its pages are those of the
    original, which other programs share; where it cannot be mounted, a sealed copy must do.

    Raises:
        OSError: The kernel refuses.
    """
    path = os.path.realpath(_interpreter())
    directory, name = os.path.split(path)
    # Without an upper layer there have to be two lower ones; any second one will do.
    layers = f"{directory}:{os.path.dirname(os.__file__)}"
    try:
        mount = fscontext.mount_detached(
            "overlay", {"source": "runstate", "lowerdir": layers}, kernel.MOUNT_ATTR_RDONLY
        )
    except OSError:
        image = _sealed_copy(path)
        return image, f"/proc/self/fd/{image}"
    return mount, f"/proc/self/fd/{mount}/{name}"


def _sealed_copy(path: str) -> int:
    """A copy of a file in memory, as memfd_create(2) makes and fcntl(2) seals it."""
    flags = os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING
    try:
        image = os.memfd_create("runstate-init", flags | _MFD_EXEC)
    except OSError:
        image = os.memfd_create("runstate-init", flags)
    try:
        source = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            while os.sendfile(image, source, None, 1 << 30):
                pass
        finally:
            os.close(source)
        fcntl.fcntl(
            image,
            fcntl.F_ADD_SEALS,
            fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE,
        )
    except BaseException:
        os.close(image)
        raise
    return image

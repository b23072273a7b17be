"""The zygote: a small, already started interpreter that new processes are forked from.

It is started once by :mod:`runstate.linux.launcher`, from a sealed copy of the interpreter
(CVE-2019-5736: a container must not be able to write to the host's through /proc/PID/exe),
with one thread, an empty environment and no descriptors but its control socket. It forks,
reaps, reports, and decides nothing.
"""

from __future__ import annotations

import _signal as signal  # type: ignore[import-not-found]  # signal wraps it in enums
import errno
import gc
import os
import resource
import select
import sys
from _socket import AF_UNIX, SOCK_CLOEXEC, SOCK_SEQPACKET, socket, socketpair

from runstate.init import executor, joining, kernel, operations, protocol
from runstate.init.operations.base import Init, OperationError
from runstate.init.rehearsal import rehearse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

_MANY = 2  # containers: who asks for so many may ask for more


class _Child:
    """A living child: its pid, whom to tell, and where to put its exit on record (or -1)."""

    __slots__ = ("directory", "lifeline", "pid")

    def __init__(self, pid: int, lifeline: socket | None, directory: int) -> None:
        self.pid = pid
        self.lifeline = lifeline
        self.directory = directory


class _Spare:
    """A child made in advance, which waits for the descriptors of a container."""

    __slots__ = ("flags", "pid", "pidfd", "socket")

    def __init__(self, pid: int, pidfd: int, flags: tuple[int, int], sock: socket) -> None:
        self.pid = pid
        self.pidfd = pidfd
        self.flags = flags
        self.socket = sock


class Zygote:
    """The zygote's loop: one control socket, and a pidfd for each living child.

    Who made one container often makes another like it. So after a request the zygote forks one
    spare child for the next, with its new namespaces, while the container goes its way. It has
    no mount namespace of its own yet: that would be a copy of the host's mounts of now.
    """

    def __init__(self, control: socket) -> None:
        self.control = control
        self.children: dict[int, _Child] = {}
        self.spare: _Spare | None = None
        self.requests = 0
        self.poll = select.poll()
        self.poll.register(control, select.POLLIN)
        self.nofile = resource.getrlimit(resource.RLIMIT_NOFILE)
        self.is_root = os.geteuid() == 0

    def serve(self) -> None:
        """Until the engine closes its end."""
        # Three descriptors a child; each child gets the limit that the engine had.
        resource.setrlimit(resource.RLIMIT_NOFILE, (self.nofile[1], self.nofile[1]))
        while True:
            for fd, _event in self.poll.poll():
                if fd != self.control.fileno():
                    self._reap(fd)
                elif not self._spawn():
                    return

    def _spawn(self) -> bool:
        try:
            request = protocol.receive_spawn(self.control)
        except ConnectionResetError:
            return False
        if request is None:
            return False
        flags, early, join_flags, into_cgroup, record_exit, before, needed, clocks = request[0]
        fds = request[1]
        channel, lifeline_fd, stdin, stdout, stderr = fds[:5]
        rest = fds[5:]
        directory = rest.pop(0) if record_exit else -1
        cgroup = rest.pop(0) if into_cgroup else -1
        joins, extras = rest[: len(join_flags)], rest[len(join_flags) :]
        lifeline = socket(fileno=lifeline_fd)
        keep = [channel, stdin, stdout, stderr, *extras]
        inside = joins or before or flags & kernel.CLONE_NEWTIME
        try:
            if inside:
                pairs = list(zip(joins, join_flags, strict=True))
                pid = self._clone_inside(flags, pairs, keep, cgroup, before, needed, clocks)
                pidfd = os.pidfd_open(pid)
            else:
                # A spare is in the zygote's cgroup, and to be born elsewhere it is too late.
                spare = None
                if not into_cgroup:
                    spare = self._take_spare((flags, early), keep, replace=record_exit)
                pid, pidfd = spare or self._clone(flags, keep, cgroup)
        except OSError as error:
            operation = str(error.filename or "clone3")
            _tell(lifeline, (protocol.SPAWN_FAILED, error.errno or 0, operation), [])
            lifeline.close()
            if directory >= 0:
                os.close(directory)
        else:
            self._adopt(_Child(pid, lifeline, directory), pidfd)
            # The engine could not ask: a process that fails at once may be reaped by then.
            _tell(lifeline, (protocol.SPAWNED, pid, _start_time(pid)), [pidfd])
        for fd in keep + joins + ([cgroup] if into_cgroup else []):
            os.close(fd)
        if (
            not inside
            and not into_cgroup
            and self.spare is None
            and not flags & kernel.CLONE_NEWUSER
        ):
            self._get_ready(flags, early)
        return True

    def _adopt(self, child: _Child, pidfd: int) -> None:
        self.children[pidfd] = child
        self.poll.register(pidfd, select.POLLIN)

    def _clone(self, flags: int, keep: list[int], cgroup: int) -> tuple[int, int]:
        pid = self._fork(flags, keep, cgroup)
        return pid, os.pidfd_open(pid)

    def _fork(
        self, flags: int, keep: list[int], cgroup: int, parent_flag: int = 0, made: int = 0
    ) -> int:
        shows_maps = (flags | made) & kernel.CLONE_NEWUSER and not self.is_root
        if shows_maps:
            # The id maps of a process that is not dumpable belong to root (proc(5)); an
            # ordinary user could not write them. The child drops this again with its plan. For
            # root it is not done: a neighbour in a pid namespace that is joined could look in.
            kernel.prctl(kernel.PR_SET_DUMPABLE, 1)
        pid = kernel.clone3(flags | parent_flag, 0 if parent_flag else signal.SIGCHLD, cgroup)
        if pid == 0:
            self._become_init(lambda: executor.main(keep))
        if shows_maps:
            kernel.prctl(kernel.PR_SET_DUMPABLE, 0)
        return pid

    def _get_ready(self, flags: int, early: int) -> None:
        self.requests += 1
        if self.requests == _MANY and flags:
            rehearse()
        self._make_spare(flags, early)

    # --- the spare ------------------------------------------------------------------------------

    def _make_spare(self, flags: int, early: int) -> None:
        ours, theirs = socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC)
        try:
            pid = kernel.clone3(flags, signal.SIGCHLD)
            if pid == 0:
                self._become_init(lambda: executor.wait_as_spare(theirs, early))
            pidfd = os.pidfd_open(pid)
        except OSError:
            ours.close()
            return  # the next container will do without, and meet the error itself
        finally:
            theirs.close()
        self._adopt(_Child(pid, None, -1), pidfd)
        self.spare = _Spare(pid, pidfd, (flags, early), ours)

    def _take_spare(
        self, flags: tuple[int, int], keep: list[int], *, replace: bool
    ) -> tuple[int, int] | None:
        # What comes along with a container, as a hook does, leaves the spare to the next one.
        if self.spare is None or (self.spare.flags != flags and not replace):
            return None
        spare, self.spare = self.spare, None
        taken = False
        if spare.flags == flags:
            try:
                protocol.send_take(spare.socket, keep)
                taken = True
            except OSError:
                pass  # it is gone; `_reap` has, or will have, the rest
        # Without a message before it, the end of this socket is the end of the spare.
        spare.socket.close()
        if not taken:
            return None
        self.poll.unregister(spare.pidfd)
        del self.children[spare.pidfd]
        return spare.pid, spare.pidfd

    def _clone_inside(
        self,
        flags: int,
        joins: list[tuple[int, int]],
        keep: list[int],
        cgroup: int,
        before: list[tuple[object, ...]],
        needed: list[str],
        clocks: str,
    ) -> int:
        """Fork into existing namespaces, by way of a process that joins them first.

        A pid namespace is entered by children only, and a user namespace cannot be left
        again, so the zygote itself must join neither. A new time namespace is for children
        only, too, and its clocks are set while it has none. What has to happen outside, and is
        passed on to a child, happens in the process between as well; and so does the loading of
        code, for inside only the container's files are in sight.
        """
        reader, writer = os.pipe2(os.O_CLOEXEC)
        # Whoever has joined a cgroup namespace may not fork into a cgroup from outside it, where
        # the hierarchy is mounted with nsdelegate (cgroups(7)).
        goes_first = any(kinds & kernel.CLONE_NEWCGROUP for _fd, kinds in joins)
        middle = kernel.clone3(0, signal.SIGCHLD, cgroup if goes_first else -1)
        if middle == 0:
            cgroup = -1 if goes_first else cgroup
            self._join_and_clone(flags, joins, keep, cgroup, before, needed, clocks, writer)
        os.close(writer)
        answer = os.read(reader, 1024).decode("utf-8", "replace")
        os.close(reader)
        os.waitpid(middle, 0)
        operation, _, rest = answer.partition("\0")
        number, _, text = rest.partition("\0")
        if operation == "pid":
            return int(number)
        doing = operation or "join namespaces"
        raise OSError(int(number or errno.ESRCH), "", f"{doing}\0{text}" if text else doing)

    def _join_and_clone(
        self,
        flags: int,
        joins: list[tuple[int, int]],
        keep: list[int],
        cgroup: int,
        before: list[tuple[object, ...]],
        needed: list[str],
        clocks: str,
        writer: int,
    ) -> NoReturn:
        doing = ""
        new_time = flags & kernel.CLONE_NEWTIME
        try:
            if before or any(kinds & kernel.CLONE_NEWNS for _fd, kinds in joins):
                operations.load([*(operation[0] for operation in before), *needed])
            if before or new_time:
                # Its files in /proc are its user's then, and it is not in the container yet.
                kernel.prctl(kernel.PR_SET_DUMPABLE, 1)
                for name, *arguments in before:
                    doing = str(name)
                    operations.OPERATIONS[name](Init(self.control, (), 0), *arguments)
                clocks_fd = joining.open_clocks() if new_time else -1
                kernel.prctl(kernel.PR_SET_DUMPABLE, 0)
                doing = ""
            joining.join(joins)
            made = 0
            if new_time:
                joining.make_time_namespace(flags, clocks_fd, clocks)
                made = flags & (kernel.CLONE_NEWUSER | kernel.CLONE_NEWTIME)
            pid = self._fork(flags & ~made, keep, cgroup, kernel.CLONE_PARENT, made)
            answer = f"pid\0{pid}"
        except OSError as error:
            answer = f"{doing or error.filename or 'clone3'}\0{error.errno}"
        except OperationError as error:
            answer = f"{doing}\0{error.errno}\0{error.text}"
        except Exception as error:  # noqa: BLE001 - a second zygote must not come of it
            answer = f"{doing or 'clone3'}\0{errno.EINVAL}\0{type(error).__name__}: {error}"
        os.write(writer, answer.encode())
        os._exit(0)

    def _become_init(self, run: Callable[[], None]) -> NoReturn:
        status = 1
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, self.nofile)
            run()
            status = 0
        finally:
            os._exit(status)

    def _reap(self, pidfd: int) -> None:
        child = self.children.pop(pidfd)
        self.poll.unregister(pidfd)
        if self.spare is not None and self.spare.pidfd == pidfd:
            self.spare.socket.close()
            self.spare = None
        os.close(pidfd)
        # First the record, then the reaping: who finds the process gone finds the record.
        info = os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        status = 0
        if info is not None:
            exited = info.si_code == os.CLD_EXITED
            status = info.si_status << 8 if exited else info.si_status & 0x7F
        if child.directory >= 0:
            _record_exit(child.directory, status)
            os.close(child.directory)
        os.waitpid(child.pid, 0)
        if child.lifeline is not None:
            _tell(child.lifeline, (protocol.EXITED, status, ""), [])
            child.lifeline.close()


def _start_time(pid: int) -> str:
    """When a child started that is not reaped yet (proc_pid_stat(5), field 22)."""
    fd = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
    try:
        text = os.read(fd, 4096)
    finally:
        os.close(fd)
    return text[text.rindex(b")") + 2 :].split()[19].decode()


def _record_exit(directory: int, status: int) -> None:
    try:
        fd = os.open(".exit.new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600, dir_fd=directory)
        try:
            os.write(fd, b"%d\n" % status)
        finally:
            os.close(fd)
        os.rename(".exit.new", "exit", src_dir_fd=directory, dst_dir_fd=directory)
    except OSError:
        # The container's directory is gone or full; the lifeline still carries the status.
        return


def _tell(lifeline: socket, reply: protocol.Reply, fds: list[int]) -> None:
    try:
        protocol.send_reply(lifeline, reply, fds)
    except OSError:
        return  # nobody listens any more; the record on disk remains


def main() -> None:
    """Started by the launcher's bootstrap; returns when the engine is gone."""
    comm = os.open("/proc/self/comm", os.O_WRONLY | os.O_CLOEXEC)
    os.write(comm, b"runstate-init")  # what ps shows, also of containers not started yet
    os.close(comm)
    kernel.prctl(kernel.PR_SET_DUMPABLE, 0)  # from here on its files in /proc are root's (proc(5))
    # Ctrl-C and friends are the engine's; the zygote goes when its control socket closes.
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    control = socket(fileno=int(sys.argv[1]))
    os.set_inheritable(control.fileno(), False)
    os.umask(0o022)
    kernel.learn_text()
    gc.disable()
    gc.collect()
    gc.freeze()
    Zygote(control).serve()
    os._exit(0)

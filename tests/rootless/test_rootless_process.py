"""What an ordinary user's processes may have, and what the kernel keeps from them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.rootless.conftest import User

_RUN = """
import attrs
from runstate import DEVNULL, PIPE
from runstate.config import ConsoleSize, ExecCPUAffinity, Scheduler
def process(container, *args, **changes):
    return attrs.evolve(container.config.process, args=args, **changes)
def changed(**changes):
    config = Config.default(["sleep", "1000"])
    return attrs.evolve(config, process=attrs.evolve(config.process, **changes))
"""


def test_the_out_of_memory_score_can_be_raised(user: User) -> None:
    told = user.script(f"""{_RUN}
with factory.run(new_id(), changed(oom_score_adj=500)) as container:
    tell(read(f"/proc/{{container.pid}}/oom_score_adj"))
    described = process(container, "cat", "/proc/self/oom_score_adj", oom_score_adj=700)
    tell(container.exec((), process=described, capture_output=True, text=True).stdout)
""")
    assert told == ["500\n", "700\n"]


def test_a_further_process_has_a_terminal_and_cpus_and_a_scheduler(user: User) -> None:
    told = user.script(f"""{_RUN}
with factory.run(new_id(), changed()) as container:
    script = "tty; stty size; grep Cpus_allowed_list /proc/self/status; echo end"
    described = process(container, "sh", "-c", script, terminal=True,
                        console_size=ConsoleSize(height=30, width=90),
                        exec_cpu_affinity=ExecCPUAffinity(initial="0", final="1"),
                        scheduler=Scheduler(policy="SCHED_BATCH"))
    streams = dict(stdin=DEVNULL, stdout=DEVNULL, stderr=DEVNULL)
    with container.popen((), process=described, **streams) as started:
        written = b""
        while b"end" not in written:
            written += os.read(started.console, 4096)
    tell(written.decode().split())
""")
    assert told == ["/dev/pts/0", "30", "90", "Cpus_allowed_list:", "1", "end"]


def test_groups_cannot_be_had_where_setgroups_is_denied(user: User) -> None:
    told = user.script(f"""{_RUN}
from runstate.config import User
for group in (0, 5):
    try:
        factory.create(new_id(), changed(user=User(uid=0, gid=0, additional_gids=(group,))))
    except ConfigInvalid as error:
        tell("; ".join(error.problems))
tell(len(factory.list()))
""")
    *denied, left = told
    assert len(denied) == 2
    for problem in denied:
        assert problem.startswith(
            "$.process.user.additionalGids: expected none: an ordinary user's"
        )
    assert left == 0


def test_what_only_the_hosts_root_may_is_an_error_with_its_reason(user: User) -> None:
    told = user.script(f"""{_RUN}
from runstate.config import Rlimit
import resource
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
for changes in (
    dict(oom_score_adj=-500),
    dict(scheduler=Scheduler(policy="SCHED_OTHER", nice=-5)),
    dict(rlimits=(Rlimit(type="RLIMIT_NOFILE", soft=5, hard=hard + 1),)),
):
    try:
        factory.create(new_id(), changed(**changes))
    except RuntimeStateError as error:
        tell(str(error))
tell(len(factory.list()))
""")
    score, nice, limit, left = told
    assert "set oom_score_adj to -500: Permission denied" in score
    assert "schedule by SCHED_OTHER, nice -5: Operation not permitted" in nice
    assert "$.process.rlimits[0].hard: expected at most" in limit
    assert left == 0

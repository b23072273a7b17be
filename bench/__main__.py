"""runstate, crun and runc on the same bundle, in one run: ``make bench``."""

from __future__ import annotations

import argparse
import compileall
import json
import os
import platform
import sys
import tempfile
from typing import TYPE_CHECKING

import runstate
from bench import bundles, contenders, host, measures
from bench.figures import Target, show
from runstate.linux import launcher

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.bundles import Bundles
    from bench.contenders import Contender
    from bench.measures import Samples

_API = "runstate API"


class Report:
    """Prints each measure as it is done, and keeps all for the JSON file."""

    def __init__(self) -> None:
        self.samples: dict[str, Samples] = {}
        self.all_reached = True

    def add(self, key: str, title: str, samples: Samples, targets: Sequence[Target] = ()) -> None:
        """One measure."""
        self.samples[key] = samples
        self.all_reached &= show(title, samples, targets)


def main() -> int:
    """Measure everything; the exit status says nothing about the targets."""
    options = _options()
    if os.geteuid() != 0:
        sys.exit("bench: needs root, because its peers do")
    # An installation has its byte code; a checkout may not be allowed to write it by itself.
    compileall.compile_dir(os.path.dirname(runstate.__file__), quiet=2)
    report = Report()
    with host.private_mounts() as changes, tempfile.TemporaryDirectory(dir="/run") as directory:
        crun, runc = host.require("crun"), host.require("runc")
        about = _about(crun, runc)
        print("\n".join([*about.values(), *changes]))
        made = bundles.make(directory)
        rivals = contenders.all_of(directory, made, crun, runc)
        try:
            _measure(report, rivals, made, directory, options)
        finally:
            for rival in rivals:
                rival.clean_up()
            launcher.close()
    print("\nall targets reached" if report.all_reached else "\nsome targets are not reached")
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump({"about": about, "samples": report.samples}, file, indent=1)
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=60, metavar="N", help="default: 60")
    parser.add_argument("--quick", action="store_true", help="few rounds: is everything in order?")
    parser.add_argument("--json", metavar="FILE", help="write all samples to a file")
    options = parser.parse_args()
    options.lives = 25
    if options.quick:
        options.rounds, options.lives = 5, 3
    return options


def _about(crun: str, runc: str) -> dict[str, str]:
    return {
        "runstate": f"runstate {runstate.__version__}, Python {platform.python_version()}",
        "crun": host.version_of(crun),
        "runc": host.version_of(runc),
        "host": f"Linux {platform.release()}, {os.cpu_count()} processors",
    }


def _measure(
    report: Report,
    rivals: Sequence[Contender],
    made: Bundles,
    directory: str,
    options: argparse.Namespace,
) -> None:
    rounds = options.rounds
    counted = f"{rounds} rounds in turn, after {measures.WARM_UP} that do not count"
    report.add(
        "life",
        f"whole life: create, start, exit of /bin/true, destroy — ms; {counted}",
        measures.life(rivals, rounds),
        [Target(_API, 0.8, "crun"), Target(_API, 0.3, "runc")],
    )
    report.add(
        "first",
        "the first whole life in a new Python process, and the one after it — ms",
        measures.first_of_process(f"{directory}/api", made.true, max(3, rounds // 6)),
    )
    report.add(
        "start",
        f"start of a created container until its first output — ms; {counted}",
        measures.start_to_output(rivals, rounds),
        [Target(_API, 1.5)],
    )
    report.add(
        "exec",
        f"exec of /bin/true in a running container — ms; {counted}",
        measures.execute(rivals, rounds),
    )
    runs = max(3, rounds // 12)
    best = f"{_API}, 8 processes"
    report.add(
        "parallel",
        f"whole lives by 8 workers at once — containers a second; {runs} runs of"
        f" {measures.WORKERS * options.lives}, in turn; more is better",
        measures.parallel(rivals, runs, options.lives),
        [
            Target(f"{_API}, 8 threads", 1.0, "crun", at_least=True),
            Target(best, 1.0, "crun", at_least=True),
        ],
    )
    for count in (1, 10):
        report.add(
            f"memory-{count}",
            f"proportional memory (Pss) of a created container's waiting init, with {count}"
            " waiting — MiB",
            measures.memory(rivals, count),
            [Target(_API, 3.0)],
        )
    zygote = measures.proportional(launcher.get().pid)
    print(
        f"  beside them the zygote, once for each process that uses the library: {zygote:.2f} MiB"
    )
    _measure_startup(report, rivals, made, max(5, rounds // 3))


def _measure_startup(
    report: Report, rivals: Sequence[Contender], made: Bundles, rounds: int
) -> None:
    python = sys.executable
    commands: dict[str, Sequence[str]] = {
        "python -c pass": (python, "-c", "pass"),
        "import runstate": (python, "-c", "import runstate"),
        "import runstate; runstate.Factory": (python, "-c", "import runstate; runstate.Factory"),
    }
    by_command = [rival for rival in rivals if isinstance(rival, contenders.Command)]
    for rival in by_command:
        name = f"{rival.slug}-state"
        rival.create(name, made.sleep)
        commands[f"{rival.name} --version"] = (rival.command[0], "--version")
        commands[f"{rival.name} state"] = (*rival.command, "state", name)
    samples = measures.startup(commands, rounds)
    for rival in by_command:
        rival.destroy(f"{rival.slug}-state")
    report.add("startup", f"whole processes — ms; {rounds} rounds in turn", samples)


if __name__ == "__main__":
    sys.exit(main())

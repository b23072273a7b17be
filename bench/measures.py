"""What is measured. Each gives samples by contender; contenders take turns in each round."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, TypeAlias

from bench.contenders import Library, OutputClock

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bench.contenders import Contender

Samples: TypeAlias = dict[str, list[float]]
WARM_UP = 3
WORKERS = 8

_FIRST = """
import sys, time
began = time.perf_counter()
import runstate
factory = runstate.Factory(sys.argv[1])
for name in ("first", "second"):
    container = factory.create(name, sys.argv[2], stdin=-3, stdout=-3, stderr=-3)
    container.start(); container.wait(); container.destroy()
    print((time.perf_counter() - began) * 1000)
    began = time.perf_counter()
"""


def in_turn(
    contenders: Sequence[Contender], rounds: int, measure: Callable[[Contender], float]
) -> Samples:
    """Each contender once a round, another one first each time; warm-up rounds do not count."""
    samples: Samples = {contender.name: [] for contender in contenders}
    for number in range(WARM_UP + rounds):
        first = number % len(contenders)
        for contender in (*contenders[first:], *contenders[:first]):
            taken = measure(contender)
            if number >= WARM_UP:
                samples[contender.name].append(taken)
    return samples


def life(contenders: Sequence[Contender], rounds: int) -> Samples:
    """Milliseconds for a container's whole life."""

    def measure(contender: Contender) -> float:
        began = time.perf_counter()
        contender.life(f"{contender.slug}-life")
        return _since(began)

    return in_turn(contenders, rounds, measure)


def start_to_output(contenders: Sequence[Contender], rounds: int) -> Samples:
    """Milliseconds from the call that starts a created container until its first output."""
    clock = OutputClock()

    def measure(contender: Contender) -> float:
        name = f"{contender.slug}-output"
        contender.create(name, contender.bundles.echo, clock.stdout)
        began = time.monotonic_ns()
        contender.start(name)
        taken = (clock.first_output() - began) / 1e6
        contender.destroy(name)
        return taken

    try:
        return in_turn(contenders, rounds, measure)
    finally:
        clock.close()


def execute(contenders: Sequence[Contender], rounds: int) -> Samples:
    """Milliseconds for /bin/true in a container that runs."""

    def measure(contender: Contender) -> float:
        began = time.perf_counter()
        contender.execute(f"{contender.slug}-exec")
        return _since(began)

    for contender in contenders:
        contender.create(f"{contender.slug}-exec", contender.bundles.sleep)
        contender.start(f"{contender.slug}-exec")
    samples = in_turn(contenders, rounds, measure)
    for contender in contenders:
        contender.destroy(f"{contender.slug}-exec")
    return samples


def parallel(contenders: Sequence[Contender], rounds: int, lives: int) -> Samples:
    """Whole lives a second, by eight workers: processes, and for the library threads as well."""
    samples: Samples = {}
    for _ in range(rounds):
        for contender in contenders:
            if isinstance(contender, Library):
                rate = _by_threads(contender, lives)
                samples.setdefault(f"{contender.name}, 8 threads", []).append(rate)
                name = f"{contender.name}, 8 processes"
            else:
                name = contender.name
            samples.setdefault(name, []).append(_by_processes(contender, lives))
    return samples


def _lives(contender: Contender, worker: int, lives: int) -> None:
    for number in range(lives):
        contender.life(f"{contender.slug}-{worker}-{number}")


def _by_threads(contender: Contender, lives: int) -> float:
    failed: list[BaseException] = []

    def work(worker: int) -> None:
        try:
            _lives(contender, worker, lives)
        except BaseException as error:  # noqa: BLE001 - raised below
            failed.append(error)

    contender.life(f"{contender.slug}-before")
    workers = [threading.Thread(target=work, args=(number,)) for number in range(WORKERS)]
    began = time.perf_counter()
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    taken = time.perf_counter() - began
    if failed:
        raise failed[0]
    return WORKERS * lives / taken


def _by_processes(contender: Contender, lives: int) -> float:
    """Each worker has one life before the clock starts, to have its zygote where it needs one."""
    ready, ready_worker = os.pipe()
    go, go_engine = os.pipe()
    workers = []
    for number in range(WORKERS):
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                os.close(go_engine)
                _lives(contender, number, 1)
                os.write(ready_worker, b"r")
                os.read(go, 1)
                _lives(contender, number, lives)
                status = 0
            finally:
                _end_worker(status)
        workers.append(pid)
    os.close(ready_worker)
    os.close(go)
    for _ in workers:
        if not os.read(ready, 1):
            raise SystemExit("bench: a worker failed before it was ready")
    began = time.perf_counter()
    os.close(go_engine)
    statuses = [os.waitpid(pid, 0)[1] for pid in workers]
    taken = time.perf_counter() - began
    os.close(ready)
    if any(statuses):
        raise SystemExit("bench: a worker failed")
    return WORKERS * lives / taken


def _end_worker(status: int) -> None:
    if status:
        import traceback  # noqa: PLC0415 - rarely needed

        traceback.print_exc()
    os._exit(status)  # the zygote goes as soon as its control socket is closed


def memory(contenders: Sequence[Contender], count: int) -> Samples:
    """Mebibytes, proportional, of the inits of so many containers that wait to be started."""
    samples: Samples = {}
    for contender in contenders:
        names = [f"{contender.slug}-memory-{number}" for number in range(count)]
        for name in names:
            contender.create(name, contender.bundles.sleep)
        samples[contender.name] = [proportional(contender.init_pid(name)) for name in names]
        for name in names:
            contender.destroy(name)
    return samples


def proportional(pid: int) -> float:
    """Pss in mebibytes (proc(5), smaps_rollup)."""
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
        for line in file:
            if line.startswith("Pss:"):
                return int(line.split()[1]) / 1024
    return 0.0


def startup(commands: dict[str, Sequence[str]], rounds: int) -> Samples:
    """Milliseconds that whole processes take."""
    samples: Samples = {name: [] for name in commands}
    for _ in range(WARM_UP + rounds):
        for name, command in commands.items():
            began = time.perf_counter()
            subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
            samples[name].append(_since(began))
    return {name: taken[WARM_UP:] for name, taken in samples.items()}


def first_of_process(root: str, bundle: str, rounds: int) -> Samples:
    """Milliseconds for the first and the second whole life in a new process."""
    samples: Samples = {"first, with import and zygote": [], "second": []}
    for _ in range(rounds):
        output = subprocess.run(
            [sys.executable, "-c", _FIRST, root, bundle], capture_output=True, text=True, check=True
        ).stdout
        for taken, line in zip(samples.values(), output.split(), strict=True):
            taken.append(float(line))
    return samples


def _since(began: float) -> float:
    return (time.perf_counter() - began) * 1000

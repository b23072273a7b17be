"""Medians, spreads and ratios, and how they are printed."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

from attrs import frozen

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.measures import Samples


@frozen
class Target:
    """What a contender shall reach.

    Attributes:
        name: Whose median.
        bound: The largest ratio or value; the smallest if ``at_least``.
        against: Whose median it is divided by; None: it stands for itself.
        at_least: Whether more is better.
    """

    name: str
    bound: float
    against: str | None = None
    at_least: bool = False

    def verdict(self, samples: Samples) -> tuple[str, bool]:
        """In words, and whether it is reached."""
        value = statistics.median(samples[self.name])
        what = self.name
        if self.against is not None:
            value /= statistics.median(samples[self.against])
            what = f"{self.name} / {self.against}"
        reached = value >= self.bound if self.at_least else value <= self.bound
        sign = "≥" if self.at_least else "≤"
        word = "reached" if reached else "NOT REACHED"
        return f"{what}: {value:.2f}, target {sign} {self.bound:g}: {word}", reached


def show(
    title: str,
    samples: Samples,
    targets: Sequence[Target] = (),
    peers: Sequence[str] = ("crun", "runc"),
) -> bool:
    """Print one measure; whether all its targets are reached."""
    print(f"\n{title}")
    medians = {name: statistics.median(taken) for name, taken in samples.items()}
    against = [peer for peer in peers if peer in medians]
    head = f"{'median':>10} {'quartiles':>17}" + "".join(f"{f'/ {peer}':>9}" for peer in against)
    width = max(len(name) for name in samples)
    print(f"  {'':{width}} {head}")
    for name, taken in samples.items():
        low, high = quartiles(taken)
        spread = f"{low:.2f} … {high:.2f}"
        ratios = "".join(f"{medians[name] / medians[peer]:9.2f}" for peer in against)
        print(f"  {name:{width}} {medians[name]:10.2f} {spread:>17}{ratios}")
    verdicts = [target.verdict(samples) for target in targets]
    for words, _reached in verdicts:
        print(f"  → {words}")
    return all(reached for _words, reached in verdicts)


def quartiles(taken: Sequence[float]) -> tuple[float, float]:
    """The first and the third."""
    if len(taken) < 2:
        return taken[0], taken[0]
    low, _median, high = statistics.quantiles(taken, n=4, method="inclusive")
    return low, high

"""What all benchmarks share: a clock, sides that take turns, processes of their own, and the processor's name."""

import contextlib
import json
import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np


def seconds() -> np.ndarray:
    """Return seconds on the wall, and of the processor with children, those that ended and those that are alive."""
    own, children = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    cpu = own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime
    return np.array([time.perf_counter(), cpu + _of_living_children()])


def _of_living_children() -> float:
    """Return the processor's seconds of the processes below this one; 0 where there is no /proc."""
    parents, used, tick = {}, {}, os.sysconf("SC_CLK_TCK")
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = path.read_text().rpartition(")")[2].split()
            parents[int(path.parent.name)] = int(fields[1])
            used[int(path.parent.name)] = sum(map(int, fields[11:15])) / tick
    found, level = 0.0, {os.getpid()}
    while level := {child for child, parent in parents.items() if parent in level}:
        found += sum(used[child] for child in level)
    return found


class Clock:
    """What a side took: ``wall`` and ``cpu`` seconds, and ``peak`` MiB of memory."""

    def __init__(self, times: int = 1):
        """Take note of how often all that is measured stands for what was asked."""
        self.times = times

    def __enter__(self) -> "Clock":
        """Start; on Linux, the peak of memory anew."""
        with contextlib.suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")
        self.began = seconds()
        return self

    def __exit__(self, *_) -> None:
        """Stop."""
        self.wall, self.cpu = map(float, self.times * (seconds() - self.began))
        with contextlib.suppress(OSError):
            lines = Path("/proc/self/status").read_text().splitlines()
            self.peak = next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))


def turns(sides: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, list]:
    """Let every side run in turn, in another order each time, so that what else the machine does meets all of them.

    Args:
        sides: Name of a side to what runs it and returns what was measured.
        repeats: Turns of each.

    Returns:
        What was measured of each side, by turn.
    """
    found: dict[str, list] = {name: [] for name in sides}
    names = list(sides)
    for turn in range(repeats):
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            found[name].append(sides[name]())
    return found


def alone(file: str, *words: str) -> dict:
    """Run a benchmark in a process of its own and return what its last line of output says, as JSON.

    Args:
        file: The script.
        words: Its arguments.
    """
    done = subprocess.run([sys.executable, file, *words], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"error: {' '.join(words)}: {done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def processor() -> str:
    """Return the name of the processor."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").is_file() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())

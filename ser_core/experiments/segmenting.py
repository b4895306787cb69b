"""Segments of speech of anybody's recordings: single ones and folders."""

import json
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from ser_core.errors import SerError
from ser_core.experiments import predicting
from ser_core.systems import speech

_COLUMNS = {"path": "str", "start": "float64", "end": "float64"}


def segment(
    given: Iterable[Path | str],
    *,
    shortest_s: float = speech.SHORTEST_S,
    pause_s: float = speech.PAUSE_S,
    longest_s: float | None = None,
    progress: bool = False,
) -> tuple[pd.DataFrame, dict[str, str]]:
    """Find where somebody speaks in recordings.

    Args:
        given: Files, and folders, of which every file is tried.
        shortest_s: See `ser_core.systems.speech.segments`.
        pause_s: See `ser_core.systems.speech.segments`.
        longest_s: See `ser_core.systems.speech.segments`.
        progress: Show a progress bar on standard error.

    Returns:
        A row a segment, ``path``, ``start`` and ``end`` in s; and for each recording without one, why.

    Raises:
        SerError: As `ser_core.systems.speech.check`.
        ModuleNotFoundError: If ``silero-vad`` is not installed.
    """
    from tqdm import tqdm

    options = {"shortest_s": shortest_s, "pause_s": pause_s, "longest_s": longest_s}
    speech.check(**options)
    speech.ready()
    rows: list[tuple[str, float, float]] = []
    without: dict[str, str] = {}
    for path in tqdm(predicting.find(given), desc="segment", unit="file", disable=not progress):
        name = predicting.shown(path)
        try:
            samples, rate = predicting.read(path)
        except SerError as error:
            without[name] = str(error).removeprefix(f"{path}: ")
            continue
        found = [] if (silent := predicting.silent(samples)) else speech.segments(samples, rate, **options)
        rows += [(name, start, end) for start, end in found]
        if not found:
            without[name] = silent or "no speech found"
    return pd.DataFrame(rows, columns=list(_COLUMNS)).astype(_COLUMNS), without


def as_csv(table: pd.DataFrame) -> str:
    """Return segments as CSV, times with three decimals.

    Args:
        table: From `segment`.

    Examples:
        >>> print(as_csv(pd.DataFrame({"path": ["a.wav"], "start": [0.25], "end": [1.5]})))
        path,start,end
        a.wav,0.250,1.500
    """
    return table.to_csv(index=False, lineterminator="\n", float_format="%.3f").rstrip("\n")


def as_json(table: pd.DataFrame, **options) -> str:
    """Return segments as JSON, with what found them.

    Args:
        table: From `segment`.
        **options: With which it was made.
    """
    about = {**speech.identity(), **options}
    rows = table.round({"start": 3, "end": 3}).to_dict("records")
    return json.dumps({"made_by": about, "segments": rows}, indent=1, ensure_ascii=False)


def summary(table: pd.DataFrame, without: dict[str, str]) -> str:
    """Return how much speech was found, in one line.

    Args:
        table: From `segment`.
        without: From `segment`.

    Examples:
        >>> summary(pd.DataFrame({"path": ["a.wav"] * 2, "start": [0, 2.0], "end": [1, 3.5]}), {"b.wav": "silent"})
        '2 files, 1 with speech: 2 segments, 2.5 s'
    """
    n, spoken = len(without) + table["path"].nunique(), table["path"].nunique()
    seconds = float((table["end"] - table["start"]).sum())
    counted = f"{n} file{'s' * (n > 1)}, {spoken} with speech: {len(table)} segment{'s' * (len(table) != 1)}"
    return f"{counted}, {seconds:.1f} s"

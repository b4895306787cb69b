"""Where somebody speaks in a recording: segments of speech, found by Silero VAD."""

import functools
import importlib.metadata
import warnings

import numpy as np

from ser_core.data import audio
from ser_core.errors import SerError

RATE = 16_000

SHORTEST_S, PAUSE_S = 0.25, 0.1
"""A segment is at least this long, in s; a pause of at least this, in s, ends it. Silero's own values."""

THRESHOLD, PAD_S = 0.5, 0.03
"""Speech begins where its probability reaches this; a segment has this much, in s, added at both ends."""


def ready() -> None:
    """Load Silero VAD, so that a package that is not installed is told before any recording is read.

    Raises:
        ModuleNotFoundError: If ``silero-vad`` is not installed.
    """
    _network()


def identity() -> dict[str, object]:
    """Return what decides segments beside the recording and the options of `segments`.

    Returns:
        Package, version, threshold and padding in s.
    """
    version = importlib.metadata.version("silero-vad")
    return {"package": "silero-vad", "version": version, "threshold": THRESHOLD, "pad_s": PAD_S}


def segments(
    samples: np.ndarray,
    rate: int,
    *,
    shortest_s: float = SHORTEST_S,
    pause_s: float = PAUSE_S,
    longest_s: float | None = None,
) -> list[tuple[float, float]]:
    """Return where somebody speaks.

    Source: Silero Team (2021), Silero VAD: pre-trained enterprise-grade voice activity detector, MIT.

    Args:
        samples: Mono, in [-1, 1], shape (n_samples,).
        rate: Their rate in Hz.
        shortest_s: Shorter segments are left out, in s.
        pause_s: A pause of at least this, in s, ends a segment.
        longest_s: A longer segment is cut at a pause in it or, if it has none, anywhere, in s; not if None.

    Returns:
        Start and end of each segment in s, in order.

    Raises:
        SerError: If a duration is no number above 0, or the longest is below the shortest.
        ModuleNotFoundError: If ``silero-vad`` is not installed.
    """
    import torch
    from silero_vad import get_speech_timestamps

    check(shortest_s, pause_s, longest_s)
    heard = torch.from_numpy(np.ascontiguousarray(audio.resample(samples, rate, RATE)))
    found = get_speech_timestamps(
        heard,
        _network(),
        threshold=THRESHOLD,
        sampling_rate=RATE,
        min_speech_duration_ms=round(1000 * shortest_s),
        max_speech_duration_s=longest_s or float("inf"),
        min_silence_duration_ms=round(1000 * pause_s),
        speech_pad_ms=round(1000 * PAD_S),
    )
    end = len(samples) / rate
    return [(one["start"] / RATE, min(one["end"] / RATE, end)) for one in found]


def check(shortest_s: float, pause_s: float, longest_s: float | None) -> None:
    """Refuse durations that no segment can have.

    Args:
        shortest_s: As of `segments`.
        pause_s: As of `segments`.
        longest_s: As of `segments`.

    Raises:
        SerError: If one is no number above 0, or the longest is below the shortest.

    Examples:
        >>> check(2, 0.1, 1)
        Traceback (most recent call last):
        ...
        ser_core.errors.SerError: segments of at least 2 s and at most 1 s; expected the longest above the shortest
    """
    for name, value in (("shortest", shortest_s), ("pause", pause_s), ("longest", longest_s)):
        if value is not None and not 0 < value < np.inf:
            raise SerError(f"{name}: {value} s; expected a number above 0")
    if longest_s is not None and longest_s < shortest_s:
        found = f"segments of at least {shortest_s:g} s and at most {longest_s:g} s"
        raise SerError(f"{found}; expected the longest above the shortest")


def share(found: list[tuple[float, float]], start: float, end: float) -> float:
    """Return how much of a window lies in segments, in s.

    Args:
        found: From `segments`.
        start: Of the window, in s.
        end: Of the window, in s.

    Examples:
        >>> share([(1.0, 2.0), (3.0, 9.0)], 1.5, 4.0)
        1.5
    """
    return float(sum(max(0.0, min(end, b) - max(start, a)) for a, b in found))


@functools.cache
def _network():
    """Return the process's own network, whose weights come with the package."""
    import torch

    threads = torch.get_num_threads()
    from silero_vad import load_silero_vad

    torch.set_num_threads(threads)  # importing the package sets it to 1 for everything else, too
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of torch.jit, of which its network is made
        return load_silero_vad()

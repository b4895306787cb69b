"""Recordings: reading, hashing, resampling, trimming, and how loud they are."""

import hashlib
import re
from pathlib import Path

import numpy as np

from ser_core.errors import SerError

SILENCE_DB = 40.0
"""How far below the loudest frame a frame counts as silence, in dB."""

FULL_SCALE = 8.0
"""Float samples beyond this are on another scale, such as that of integers; a limiter or a codec passes 1 by less."""

CANCELLED_DB = 20.0
"""Where the mean of the channels is this much quieter than the loudest of them, they cancel each other."""

SHORT_S, LOW_RATE, SAME_SOUND = 0.05, 4_000, 0.5
"""Under these a recording is very short (s), its rate is low (Hz), its two channels hold other sound (correlation)."""

FLOOR_DB = -70.0
"""A recording whose peak is below this, in dB re full scale, is silent. Ten steps of 16 bits."""

_FRAME_S = 0.025
_HOP_S = 0.010


def read(path: Path) -> tuple[np.ndarray, int]:
    """Read a recording as mono.

    Args:
        path: A file that libsndfile decodes, such as WAV or FLAC.

    Returns:
        The samples, float32 of shape (n_samples,) in [-1, 1] or little beyond, channels averaged, and the rate in Hz.

    Raises:
        SerError: As `channels`.

    Examples:
        >>> import tempfile, soundfile
        >>> path = Path(tempfile.mkdtemp()) / "tone.wav"
        >>> soundfile.write(path, np.zeros(800), 16000)
        >>> samples, rate = read(path)
        >>> samples.shape, rate
        ((800,), 16000)
    """
    samples, rate = channels(path)
    return samples.mean(axis=1, dtype="float32"), rate


def channels(path: Path) -> tuple[np.ndarray, int]:
    """Read a recording with all its channels.

    Args:
        path: A file that libsndfile decodes, such as WAV or FLAC.

    Returns:
        The samples, float32 of shape (n_samples, n_channels), and the rate in Hz.

    Raises:
        SerError: If the file is missing, has no bytes, is cut short, cannot be decoded, holds no samples, samples that
            are NaN or on another scale than [-1, 1], or channels that cancel each other.
    """
    import soundfile

    path = Path(path)
    if not path.is_file():
        raise SerError(f"{path}: no such recording")
    if path.stat().st_size == 0:
        raise SerError(f"{path}: zero-byte file; fetch it again")
    try:
        # By its number, since a path may hold bytes that are no text.
        with path.open("rb") as stream:
            samples, rate = soundfile.read(stream.fileno(), dtype="float32", always_2d=True, closefd=False)
    except (soundfile.SoundFileError, RuntimeError, TypeError) as error:
        raise SerError(f"{path}: cannot be decoded ({_reason(error)}); fetch it again") from error
    if not len(samples):
        raise SerError(f"{path}: holds no samples; fetch it again")
    if lacking := _lacking(path):
        raise SerError(f"{path}: cut short, {lacking[0]} of {lacking[1]} bytes of sound are there; fetch it again")
    if not np.isfinite(samples).all():
        raise SerError(f"{path}: holds samples that are not finite numbers; fetch it again")
    if (peak := float(np.abs(samples).max())) > FULL_SCALE:
        raise SerError(f"{path}: its largest sample is {peak:.6g}; expected a scale of [-1, 1], save it anew")
    if (lost := _cancelled_db(samples)) > CANCELLED_DB:
        raise SerError(
            f"{path}: its {samples.shape[1]} channels cancel each other, {lost:.0f} dB in the mean; save one of them"
        )
    return samples, rate


def oddities(samples: np.ndarray, rate: int) -> list[tuple[str, str]]:
    """Return what is odd about a recording that can be used all the same.

    Args:
        samples: As from `channels`.
        rate: Their rate in Hz.

    Returns:
        Pairs of kind and detail: ``silent recording``, ``beyond full scale``, ``very short recording``, ``low sampling
        rate``, ``silent channel`` and ``different channels``.

    Examples:
        >>> oddities(np.zeros((8000, 1)), 8000)
        [('silent recording', 'every sample is zero')]
    """
    if not np.any(samples):
        return [("silent recording", "every sample is zero")]
    found, n_channels = [], samples.shape[1]
    # A hundredth of a dB is what rounding adds to a sample of full scale.
    if (peak := float(np.abs(samples).max())) > 1.001:
        found.append(("beyond full scale", f"its largest sample is {peak:.3g}; most programs cut it off at 1"))
    if len(samples) < SHORT_S * rate:
        found.append(("very short recording", f"{len(samples) / rate:.3f} s; features of it are of no use"))
    if rate < LOW_RATE:
        found.append(("low sampling rate", f"{rate} Hz; speech needs {LOW_RATE} Hz or more"))
    if n_channels > 1:
        power = np.square(samples, dtype="float64").mean(axis=0)
        if silent := int((power < power.max() * 1e-6).sum()):
            found.append(("silent channel", f"{silent} of {n_channels}; the mean is quieter than the others are"))
        elif n_channels == 2 and abs(_correlation(samples)) < SAME_SOUND:
            detail = f"two people or rooms, as it seems (correlation {_correlation(samples):.2f}); their mean is used"
            found.append(("different channels", detail))
        elif n_channels > 2:
            found.append(("several channels", f"{n_channels}; their mean is used"))
    return found


def _correlation(samples: np.ndarray) -> float:
    """Return the correlation of two channels, at the same moment."""
    one, other = (samples[:, i].astype("float64") - samples[:, i].mean() for i in (0, 1))
    return float(one @ other / np.sqrt(max((one @ one) * (other @ other), 1e-30)))


def _cancelled_db(samples: np.ndarray) -> float:
    """Return by how many dB the mean of the channels is quieter than the loudest of them."""
    if samples.shape[1] == 1:
        return 0.0
    loudest = np.square(samples, dtype="float64").mean(axis=0).max()
    mean = np.square(samples.mean(axis=1, dtype="float64")).mean()
    return float(10 * np.log10(loudest / max(mean, loudest * 1e-12, 1e-300))) if loudest else 0.0


def _reason(error: Exception) -> str:
    """Return what libsndfile says, without the number of the file that it was given."""
    return re.sub(r"^Error opening \d+: ", "", str(error).splitlines()[0])


# First bytes of a file of chunks -> order of the bytes of a length, name of the chunk of sound.
_FORMS = {(b"RIFF", b"WAVE"): ("little", b"data")}
_FORMS |= {(b"FORM", kind): ("big", b"SSND") for kind in (b"AIFF", b"AIFC")}


def _lacking(path: Path) -> tuple[int, int] | None:
    """Return how many bytes of sound a WAV or AIFF file has and should have, None if all are there.

    What writes to a pipe does not know the length and says 0 or 0xFFFFFFFF.
    """
    size = path.stat().st_size
    with path.open("rb") as stream:
        head = stream.read(12)
        if (form := _FORMS.get((head[:4], head[8:]))) is None:
            return None
        while len(chunk := stream.read(8)) == 8:
            length = int.from_bytes(chunk[4:], form[0])
            if chunk[:4] == form[1]:
                there = size - stream.tell()
                # Some writers count the byte that makes the length even.
                return (there, length) if 0 < length < 0xFFFFFF00 and there < length - 1 else None
            stream.seek(length + length % 2, 1)
    return None


def content_hash(samples: np.ndarray, rate: int) -> str:
    """Return the sha256 of what is heard: the same for a WAV and a FLAC of the same 16-bit samples.

    Args:
        samples: Mono samples in [-1, 1], shape (n_samples,).
        rate: Their rate in Hz, part of the hash.

    Returns:
        64 hex digits.

    Examples:
        >>> content_hash(np.zeros(4), 16000) == content_hash(np.zeros(4, "float32"), 16000)
        True
        >>> content_hash(np.zeros(4), 16000) == content_hash(np.zeros(4), 8000)
        False
    """
    pcm = np.clip(np.rint(np.asarray(samples, "float64") * 32768), -32768, 32767).astype("<i2")
    return hashlib.sha256(f"{int(rate)}:".encode() + pcm.tobytes()).hexdigest()


def resample(x: np.ndarray, rate: int, to: int) -> np.ndarray:
    """Return the samples at another rate (soxr, very high quality).

    Args:
        x: Samples, shape (n_samples,).
        rate: Their rate in Hz.
        to: The rate wanted in Hz.

    Returns:
        float32 samples, shape (about n_samples * to / rate,).

    Examples:
        >>> resample(np.zeros(16000), 16000, 8000).shape
        (8000,)
    """
    import soxr

    x = np.asarray(x, "float32")
    return x if rate == to else soxr.resample(x, rate, to, quality="VHQ")


def _frame_db(x: np.ndarray, rate: int) -> tuple[np.ndarray, int]:
    """Return the power of each 25 ms frame in dB re full scale, and the hop in samples."""
    frame, hop = max(1, round(_FRAME_S * rate)), max(1, round(_HOP_S * rate))
    n_frames = max(1, -(-max(0, len(x) - frame) // hop) + 1)
    # A running sum gives every frame's power without cutting the frames out.
    energy = np.concatenate([[0.0], np.cumsum(np.square(x, dtype="float64"))])
    starts = np.arange(n_frames) * hop
    ends = np.minimum(starts + frame, len(x))
    power = (energy[ends] - energy[starts]) / np.maximum(1, ends - starts)
    return 10 * np.log10(np.maximum(power, 1e-12)), hop


def _speech_span(x: np.ndarray, rate: int, top_db: float) -> tuple[int, int]:
    """Return the first and one past the last sample that are not silence at the ends; (0, 0) if all is silent."""
    db, hop = _frame_db(x, rate)
    if db.max() <= -119:
        return 0, 0
    loud = np.flatnonzero(db >= db.max() - top_db)
    frame = max(1, round(_FRAME_S * rate))
    return int(loud[0] * hop), int(min(len(x), loud[-1] * hop + frame))


def trim_silence(x: np.ndarray, rate: int, top_db: float = SILENCE_DB) -> np.ndarray:
    """Return the samples without the silence at both ends.

    Args:
        x: Samples, shape (n_samples,).
        rate: Their rate in Hz.
        top_db: A 25 ms frame this many dB below the loudest frame is silence.

    Returns:
        A view of the part between; empty if every sample is zero.

    Examples:
        >>> x = np.concatenate([np.zeros(16000), np.ones(16000), np.zeros(8000)])
        >>> abs(len(trim_silence(x, 16000)) - 16000) <= 0.05 * 16000
        True
    """
    start, end = _speech_span(x, rate, top_db)
    return x[start:end]


def is_silent(x: np.ndarray) -> bool:
    """Return whether the peak of a recording is below `FLOOR_DB`.

    Args:
        x: Samples in [-1, 1], shape (n_samples,).

    Examples:
        >>> is_silent(np.zeros(16000)), is_silent(np.full(16000, 0.001))
        (True, False)
    """
    return bool(np.abs(x).max(initial=0.0) < 10 ** (FLOOR_DB / 20))


def levels(x: np.ndarray, rate: int) -> dict[str, float]:
    """Return how loud a recording is and how much silence stands at its ends.

    Args:
        x: Samples in [-1, 1], shape (n_samples,).
        rate: Their rate in Hz.

    Returns:
        ``rms_db`` and ``peak_db`` (dB re full scale, at least -120), ``leading_silence_s`` and
        ``trailing_silence_s`` (seconds, silence as in `trim_silence`; all of it is leading if all is silent).

    Examples:
        >>> {name: round(value, 2) for name, value in levels(np.full(16000, 0.5), 16000).items()}
        {'rms_db': -6.02, 'peak_db': -6.02, 'leading_silence_s': 0.0, 'trailing_silence_s': 0.0}
    """
    x = np.asarray(x, "float64")
    start, end = _speech_span(x, rate, SILENCE_DB)
    if end == 0:
        start, end = len(x), len(x)
    return {
        "rms_db": float(10 * np.log10(max(np.mean(x**2), 1e-12))),
        "peak_db": float(20 * np.log10(max(np.abs(x).max(), 1e-6))),
        "leading_silence_s": start / rate,
        "trailing_silence_s": (len(x) - end) / rate,
    }

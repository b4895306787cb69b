"""Which recordings hold the same sound, however it was cut, padded, scaled or encoded since."""

import functools
import itertools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from ser_core import files, paths
from ser_core.data import audio, corpora
from ser_core.errors import SerError

THRESHOLD = 0.6
"""Similarity from which two recordings count as the same.

In six corpora (RAVDESS, EmoDB, SAVEE, TESS, URDU, BanglaSER) no pair of different takes reached 0.41, also not of one
actor saying one sentence twice in one emotion, and every pair that shares sound was above 0.9."""

_RATE = 8_000  # the alignment looks at 100 to 3,500 Hz, which every codec and telephone keeps
_BAND_HZ = (100, 3_500)
_WHITENING = 0.75  # between plain correlation (0) and phase transform (1)
_FIRST_PASS = 0.12  # different recordings stay under it as a rule, a third of a clip in common is over it
_SHARED_S = 0.4  # a shorter stretch in common is no evidence
_MEL_RATE, _MEL_HOP, _MEL_BANDS = 16_000, 400, 10
_FFT, _WINDOW = 1_024, 800
_CANDIDATES = 20
_ALL_PAIRS = 4_000  # of more recordings, only those that lie together in a tree are compared: pairs grow by the square
_TREES, _LEAF, _DIRECTIONS = 16, 128, 64
_VERSION = 1  # of what `heard` keeps: count it up when what is computed changes


def near_duplicates(
    clips: pd.DataFrame,
    folder: Path | None = None,
    *,
    threshold: float = THRESHOLD,
    candidates: int | None = _CANDIDATES,
    progress: bool = False,
) -> pd.DataFrame:
    """Find recordings that hold the same sound.

    Silence at the ends is cut off and everything is compared at 16 kHz or less. Recordings with the same samples are
    ``exact``. For the rest, each recording's most similar ones are picked by the best-aligned correlation of coarse
    log-mel images, and each such pair is aligned to half a sample by a whitened cross-correlation (the generalised
    cross-correlation of Knapp and Carter 1976, weight ``|cross-spectrum| ** -0.75``). Its peak over the stretch that
    both share is the similarity: about 1 for the same recording whatever its gain, polarity, codec, noise or
    microphone; well under one half for another take of the same words by the same person. Recordings that overlap
    (a part of one is a part of the other) are found if the part makes them similar enough to be picked.
    Of more than 4,000 recordings, only those are compared that lie in one leaf of a random projection tree, by how
    their bands move, so that time grows about as the number of recordings. Copies may then be missed, the more of
    them the more was cut off, added or changed.

    Args:
        clips: A Clips table of one corpus, with ``path``.
        folder: The corpus folder that the paths start from; by default ``$SER_DATA/<corpus>``.
        threshold: Similarity in (0, 1] from which a pair is reported as ``near``.
        candidates: How many of each recording's most similar ones to align; None for every pair, which takes a
            millisecond a pair and also finds all short overlaps.
        progress: Show progress bars.

    Returns:
        One row a pair, sorted: clip_a, clip_b (a < b), kind (``exact`` or ``near``), similarity in [0, 1], and
        shared_s, the seconds of sound in common.

    Raises:
        SerError: If a recording is not there or cannot be read.
    """
    recordings = [corpora.audio_path(row, folder) for _, row in clips.iterrows()]
    listened = _in_threads(_listen, recordings, "listen", progress)
    return _found(clips, listened, threshold, candidates, progress)


def _found(
    clips: pd.DataFrame, listened: Sequence, threshold: float, candidates: int | None, progress: bool
) -> pd.DataFrame:
    """Return what `near_duplicates` does, from what was listened to."""
    hashes, images, waves = zip(*listened, strict=True)
    rows = {}
    for keys in (clips["sha256"].to_numpy(), hashes):
        for group in _same(keys):
            for i, j in itertools.combinations(group, 2):
                rows[i, j] = ("exact", 1.0, max(len(waves[i]), len(waves[j])) / _RATE)
    audible = [i for i, wave in enumerate(waves) if len(wave) >= _SHARED_S * _RATE]
    pairs = _candidates([images[i] for i in audible], candidates)
    pairs = sorted({(audible[i], audible[j]) for i, j in pairs} - set(rows))
    aligned = _in_threads(lambda pair: _similarity(waves[pair[0]], waves[pair[1]]), pairs, "align", progress)
    for pair, (similarity, shared_s) in zip(pairs, aligned, strict=True):
        if similarity >= threshold:
            rows[pair] = ("near", similarity, shared_s)
    names = sorted((*sorted((clips.index[i], clips.index[j])), *row) for (i, j), row in rows.items())
    table = pd.DataFrame(names, columns=["clip_a", "clip_b", "kind", "similarity", "shared_s"])
    return table.astype({"clip_a": "str", "clip_b": "str", "kind": "str", "similarity": float, "shared_s": float})


def levels(clips: pd.DataFrame, folder: Path | None = None, *, progress: bool = False) -> pd.DataFrame:
    """Return how loud each recording is and how much silence stands at its ends.

    Args:
        clips: A Clips table of one corpus, with ``path``.
        folder: The corpus folder that the paths start from; by default ``$SER_DATA/<corpus>``.
        progress: Show a progress bar.

    Returns:
        Index clip, columns as of `ser_core.data.audio.levels`.

    Raises:
        SerError: If a recording is not there or cannot be read.
    """
    recordings = [corpora.audio_path(row, folder) for _, row in clips.iterrows()]
    return pd.DataFrame(_in_threads(_levels, recordings, "measure", progress), index=clips.index)


def heard(
    clips: pd.DataFrame, folder: Path | None = None, *, progress: bool = False
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return `near_duplicates` and `levels` of a corpus, each recording decoded once, and kept in the cache.

    What is in the cache holds as long as the clips have the same ids and the same samples (``sha256``).

    Args:
        clips: A Clips table of one corpus, with ``path``.
        folder: The corpus folder that the paths start from; by default ``$SER_DATA/<corpus>``.
        progress: Show progress bars.

    Returns:
        The pairs, and the levels.

    Raises:
        SerError: If a recording is not there or cannot be read.
    """
    clips = clips.sort_index()
    kept = None
    if clips["sha256"].notna().all():
        trees = [_TREES, _LEAF, _DIRECTIONS] if len(clips) > _ALL_PAIRS else []
        key = files.digest(_VERSION, THRESHOLD, _CANDIDATES, *trees, clips["sha256"].to_dict())
        kept = [paths.cache() / "audit" / f"{key}.{name}.parquet" for name in ("pairs", "levels")]
        try:
            return files.read_parquet(kept[0]), files.read_parquet(kept[1], index="clip")
        except SerError:
            pass  # not there, or damaged: listen
    recordings = [corpora.audio_path(row, folder) for _, row in clips.iterrows()]
    both = _in_threads(_both, recordings, "listen", progress)
    pairs = _found(clips, [one for one, _ in both], THRESHOLD, _CANDIDATES, progress)
    measured = pd.DataFrame([one for _, one in both], index=clips.index)
    for table, path in zip((pairs, measured), kept or (), strict=False):
        files.write_parquet(table, path)
    return pairs, measured


def _levels(path: Path) -> dict[str, float]:
    return audio.levels(*audio.read(path))


def _both(path: Path) -> tuple[tuple, dict[str, float]]:
    samples, rate = audio.read(path)
    return _listened(samples, rate), audio.levels(samples, rate)


def _in_threads(function: Callable, given: Sequence, what: str, progress: bool) -> list:
    """Return what a function gives for each item, with a progress bar of that name."""
    from joblib import Parallel, delayed
    from tqdm import tqdm

    bar = tqdm(given, desc=what, disable=not progress)
    return Parallel(n_jobs=-1, prefer="threads")(delayed(function)(item) for item in bar)


def _same(keys: Sequence) -> list[np.ndarray]:
    """Return the positions of each key that stands more than once; missing keys are different."""
    groups = pd.DataFrame({"key": keys}).groupby("key").indices
    return [positions for positions in groups.values() if len(positions) > 1]


def _listen(path: Path) -> tuple[str | None, np.ndarray, np.ndarray]:
    """Return of the trimmed sound: a hash (None if silent), a unit log-mel image, and a unit 8 kHz wave."""
    return _listened(*audio.read(path))


def _listened(samples: np.ndarray, rate: int) -> tuple[str | None, np.ndarray, np.ndarray]:
    x = audio.resample(audio.trim_silence(samples, rate), rate, _MEL_RATE)
    if not np.any(x):
        return None, np.zeros((_MEL_BANDS, 0), np.float32), np.zeros(0, np.float32)
    wave = audio.resample(x, _MEL_RATE, _RATE)
    return audio.content_hash(x, _MEL_RATE), _mel_image(x), wave / np.linalg.norm(wave)


def _mel_image(x: np.ndarray) -> np.ndarray:
    """Return log-mel levels, each band around its mean, of unit norm; shape (_MEL_BANDS, n_frames)."""
    mel = _mel_power(x)
    image = 10 * np.log10(np.maximum(mel, mel.max() * 1e-4 + 1e-20))
    image -= image.mean(axis=1, keepdims=True)
    return (image / (np.linalg.norm(image) + 1e-12)).astype(np.float32)


def _mel_power(x: np.ndarray) -> np.ndarray:
    """Return the power in each mel band and frame, as librosa computes it, which is too large for what audits need."""
    frames = np.lib.stride_tricks.sliding_window_view(np.pad(x, _FFT // 2), _FFT)[::_MEL_HOP]
    window = np.pad(np.hanning(_WINDOW + 1)[:-1], (_FFT - _WINDOW) // 2)
    return _mel_filters() @ np.abs(np.fft.rfft(frames * window)).T ** 2


@functools.cache
def _mel_filters() -> np.ndarray:
    """Return triangular filters of equal area on Slaney's mel scale, shape (_MEL_BANDS, _FFT // 2 + 1)."""
    # Linear below 1 kHz, 200 / 3 Hz a mel; logarithmic above, 27 mel for a factor of 6.4.
    hz = np.array(_BAND_HZ, float)
    low, high = np.where(hz < 1000, hz / (200 / 3), 15 + 27 * np.log(hz / 1000) / np.log(6.4))
    mel = np.linspace(low, high, _MEL_BANDS + 2)
    edges = np.where(mel < 15, mel * 200 / 3, 1000 * 6.4 ** ((mel - 15) / 27))
    away = edges[:, None] - np.linspace(0, _MEL_RATE / 2, _FFT // 2 + 1)
    widths = np.diff(edges)[:, None]
    rising, falling = -away[:-2] / widths[:-1], away[2:] / widths[1:]
    return np.maximum(0, np.minimum(rising, falling)) * (2 / (edges[2:] - edges[:-2]))[:, None]


def _candidates(images: list[np.ndarray], k: int | None) -> set[tuple[int, int]]:
    """Return the pairs (i < j) of which one is among the k most similar of the other, at the best alignment."""
    from scipy import fft

    n = len(images)
    if k is None or n <= k + 1:
        return set(itertools.combinations(range(n), 2))
    n_fft = fft.next_fast_len(2 * max(image.shape[1] for image in images), real=True)
    groups = [np.arange(n)] if n <= _ALL_PAIRS else _together(_movements(images, n_fft))
    found = []
    for group in groups:
        spectra = np.stack([fft.rfft(images[i], n_fft, axis=1) for i in group]).transpose(2, 0, 1)
        conjugates = np.ascontiguousarray(np.conj(spectra).transpose(0, 2, 1))
        rows = max(1, int(64e6 / (8 * len(group) * n_fft)))  # keeps what is computed at once near 64 MB
        most = min(k, len(group) - 1)
        for start in range(0, len(group), rows):
            similar = fft.irfft(spectra[:, start : start + rows] @ conjugates, n_fft, axis=0).max(axis=0)
            similar[np.arange(len(similar)), np.arange(start, start + len(similar))] = -1
            best = np.argpartition(-similar, most - 1, axis=1)[:, :most]
            first = np.repeat(group[start : start + len(similar)], most)
            found.append((first, group[best].ravel(), np.take_along_axis(similar, best, 1).ravel()))
    one, other, similar = map(np.concatenate, zip(*found, strict=True))
    # Of those that several trees found, each pair once, and of each recording the k best.
    _, once = np.unique(one.astype(np.int64) * n + other, return_index=True)
    one, other, similar = one[once], other[once], similar[once]
    order = np.lexsort((-similar, one))
    one, other = one[order], other[order]
    rank = np.arange(len(one)) - np.searchsorted(one, one)
    one, other = one[rank < k], other[rank < k]
    return set(zip(np.minimum(one, other).tolist(), np.maximum(one, other).tolist(), strict=True))


def _movements(images: Sequence[np.ndarray], n_fft: int) -> np.ndarray:
    """Return vectors that are alike for copies, also cut or padded ones, shape (n, _DIRECTIONS).

    They say how fast each band moves and which bands move together, whenever they do so: magnitudes of slow modulations
    and covariances, both of equal weight and each on the scale of its spread, at random in some directions.
    """
    from scipy import fft

    slow, pairs = slice(1, n_fft // 8), np.triu_indices(_MEL_BANDS)

    def numbers(some: Sequence[np.ndarray]) -> list[np.ndarray]:
        speeds = [np.abs(fft.rfft(image, n_fft, axis=1)[:, slow]).ravel() for image in some]
        return [np.stack(speeds), np.stack([(image @ image.T)[pairs] for image in some])]

    rng = np.random.default_rng(0)
    weights = []
    for sample in numbers(images[:: -(-len(images) // 1_000)]):
        spread, size = sample.std(axis=0)[:, None], sample.shape[1]
        directions = rng.normal(size=(size, _DIRECTIONS)) / (spread + 1e-3 * spread.mean() + 1e-12) / np.sqrt(size)
        weights.append(directions.astype(np.float32))
    found = np.empty((len(images), _DIRECTIONS), np.float32)
    for start in range(0, len(images), 1_000):
        block = numbers(images[start : start + 1_000])
        found[start : start + 1_000] = sum(values @ of for values, of in zip(block, weights, strict=True))
    return found - found.mean(axis=0)


def _together(vectors: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the leaves of random projection trees (Dasgupta and Freund 2008): groups of like vectors, by position."""
    rng = np.random.default_rng(0)
    for _ in range(_TREES):
        left = [np.arange(len(vectors))]
        while left:
            group = left.pop()
            if len(group) <= _LEAF:
                yield group
                continue
            one, other = vectors[rng.choice(group, 2, replace=False)]
            order = group[np.argsort(vectors[group] @ (one - other), kind="stable")]
            left += np.array_split(order, 2)


def _similarity(a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
    """Return the similarity over the stretch two waves share, and its length in seconds."""
    peak, lag = _aligned(a, b)
    start, end = max(0, lag), min(len(a), len(b) + lag)
    if peak < _FIRST_PASS or end - start < _SHARED_S * _RATE:
        return 0.0, 0.0
    return _aligned(a[start:end], b[start - lag : end - lag], around=2)[0], (end - start) / _RATE


def _aligned(a: np.ndarray, b: np.ndarray, around: int | None = None) -> tuple[float, int]:
    """Return the peak of the whitened cross-correlation, in [0, 1], and its lag in samples.

    Args:
        a: First wave.
        b: Second wave; ``b[t]`` lies at ``a[t + lag]``.
        around: Look only at lags of up to this many half samples; None for all lags.
    """
    from scipy import fft

    n = fft.next_fast_len(len(a) + len(b), real=True)
    low, high = (int(hz * n / _RATE) for hz in _BAND_HZ)
    cross = fft.rfft(a, n)[low:high] * np.conj(fft.rfft(b, n)[low:high])
    size = np.abs(cross)
    # Twice as many lags as samples: a copy shifted by half a sample would lose a quarter of its peak.
    spectrum = np.zeros(n + 1, np.complex64)
    spectrum[low:high] = cross / (size**_WHITENING + 1e-20)
    correlation = np.abs(fft.irfft(spectrum, 2 * n))
    if around is not None:
        correlation[around + 1 : -around] = 0
    best = int(correlation.argmax())
    lag = round((best if best < n else best - 2 * n) / 2)
    return float(correlation[best] * n / (np.abs(spectrum).sum() + 1e-20)), lag

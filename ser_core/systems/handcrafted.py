"""The feature sets of librosa, Praat and plain levels, as means over a whole clip."""

import warnings

import numpy as np

from ser_core.data import audio

# librosa's own defaults, spelled out so that a change of a default cannot pass unseen.
_FRAMES = {"n_fft": 2048, "hop_length": 512, "window": "hann", "center": True}

LIBROSA94 = {
    **_FRAMES,
    "sample_rate": 16_000,
    "resampler": "soxr_hq",
    "n_chroma": 12,
    "n_mels": 60,
    "n_mfcc": 20,
    "mfcc_n_mels": 128,
    "mel_scale": "power",
    "over_frames": "mean",
}
# The defaults of noisereduce and of librosa.effects.split, spelled out.
LIBROSA94_CLEAN = LIBROSA94 | {
    "noise": {
        "stationary": False,
        "prop_decrease": 1.0,
        "time_constant_s": 2.0,
        "freq_mask_smooth_hz": 500,
        "time_mask_smooth_ms": 50,
        "thresh_n_mult_nonstationary": 2,
        "sigmoid_slope_nonstationary": 10,
        "n_fft": 1024,
        "win_length": 1024,
        "hop_length": 256,
        "chunk_size": 600_000,
        "padding": 30_000,
    },
    "silence": {"top_db": 60, "frame_length": 2048, "hop_length": 512},
}
PRAAT31 = {
    **_FRAMES,
    "sample_rate": 22_050,
    "resampler": "soxr_hq",
    "n_mfcc": 13,
    "mfcc_n_mels": 128,
    "n_chroma": 12,
    "over_frames": "mean",
    "praat_sample_rate": "of the file",
    "pitch": "to_pitch() defaults: 75-600 Hz, mean over voiced frames",
    "points": {"method": "periodic, cc", "floor_hz": 75.0, "ceiling_hz": 500.0},
    "period_s": [0.0001, 0.02],
    "max_period_factor": 1.3,
    "max_amplitude_factor": 1.6,
    "undefined": 0.0,
}

PRAAT31_COLUMNS = (
    *(f"mfcc_{i}" for i in range(1, 14)),
    *(f"chroma_{i}" for i in range(1, 13)),
    *("zcr", "rms", "spec_centroid", "f0_mean", "jitter", "shimmer"),
)
"""Names of the values of `praat31`, known without librosa, whose import warns in a notebook without widgets."""

# Praat's own range of pitch.
_LOWEST_HZ, _HIGHEST_HZ = 75.0, 600.0


def librosa94(samples: np.ndarray, rate: int) -> dict[str, float]:
    """Return 12 chroma, 60 mel, 20 MFCC, the zero-crossing rate and the spectral centroid, means over frames.

    The paper names the five kinds and their sizes and resamples to 16 kHz. It does not state the frames, the
    scale of the mel spectrogram, or how frames become one value; here these are librosa's defaults (2,048
    samples every 512, power) and the mean. Its noise reduction and silence removal are left out here and done in
    `librosa94_clean`.

    Args:
        samples: Mono, float32, in [-1, 1].
        rate: Samples a second; resampled to 16 kHz.

    Returns:
        ``chroma_1..12`` in [0, 1], ``mel_1..60`` (power), ``mfcc_1..20``, ``zcr`` in [0, 1], ``spec_centroid`` in Hz.

    Source: Sharma, *Speech and Text-Based Emotion Recognizer*, arXiv:2312.11503, 2023, section III.B.

    Examples:
        >>> tone = np.sin(2 * np.pi * 440 * np.arange(16_000) / 16_000).astype("float32")
        >>> values = librosa94(tone, 16_000)
        >>> len(values), max((f"chroma_{i}" for i in range(1, 13)), key=values.get)  # from C, so A is the tenth
        (94, 'chroma_10')
    """
    import librosa

    p = LIBROSA94
    samples = _at(samples, rate, p)
    magnitude, common = _spectral(samples, p)
    mel = librosa.feature.melspectrogram(S=magnitude**2, sr=p["sample_rate"], n_mels=p["n_mels"])
    return {
        **_numbered("chroma", common["chroma"]),
        **_numbered("mel", mel),
        **_numbered("mfcc", common["mfcc"]),
        "zcr": common["zcr"],
        "spec_centroid": common["spec_centroid"],
    }


def clean(samples: np.ndarray, rate: int) -> np.ndarray:
    """Return the samples with their noise reduced, then without every silent section.

    The paper names these steps but no method and no threshold; here they are the spectral gate of noisereduce, whose
    noise floor follows the clip, and the sections of ``librosa.effects.split``, joined, each with its library's
    defaults: a frame 60 dB below the loudest is silence.

    Args:
        samples: Mono, float32, in [-1, 1].
        rate: Samples a second; the defaults are in samples, and we use 16 kHz.

    Returns:
        float32, shape (at most n_samples,); digital silence as it is.

    Source: Sharma, *Speech and Text-Based Emotion Recognizer*, arXiv:2312.11503, 2023, section III.A; Sainburg et al.,
    *Finding, visualizing, and quantifying latent structure across diverse animal vocal repertoires*, PLOS
    Computational Biology 16(10), 2020 (the gate).

    Examples:
        >>> clean(np.zeros(16_000, dtype="float32"), 16_000).shape
        (16000,)
    """
    if not samples.any():
        return samples  # the gate would divide 0 by 0
    import librosa
    import noisereduce

    quiet = noisereduce.reduce_noise(samples, rate, **LIBROSA94_CLEAN["noise"])
    sections = librosa.effects.split(quiet, **LIBROSA94_CLEAN["silence"])
    return np.concatenate([quiet[start:end] for start, end in sections])


def librosa94_clean(samples: np.ndarray, rate: int) -> dict[str, float]:
    """Return the values of `librosa94` of the clip after `clean`.

    The paper then leaves out what lasts less than one second. That is a choice of clips, not of features, and made by
    `ser_core.data.labels.SHORTEST`: every feature set has all clips, so that sets are compared on the same ones.

    Args:
        samples: Mono, float32, in [-1, 1].
        rate: Samples a second; resampled to 16 kHz.

    Returns:
        As `librosa94`.

    Examples:
        >>> len(librosa94_clean(np.zeros(16_000, dtype="float32"), 16_000))
        94
    """
    samples = _at(samples, rate, LIBROSA94_CLEAN)
    rate = LIBROSA94_CLEAN["sample_rate"]
    return librosa94(clean(samples, rate), rate)


def praat31(samples: np.ndarray, rate: int) -> dict[str, float]:
    """Return the 31 values of the Punjabi corpus: MFCC, chroma, ZCR, RMS, centroid, F0, jitter, shimmer.

    librosa's part is computed at 22,050 Hz (its default), Praat's at the file's own rate. Means over frames,
    for F0 over voiced frames.

    Args:
        samples: Mono, float32, in [-1, 1].
        rate: Samples a second.

    Returns:
        ``mfcc_1..13``, ``chroma_1..12`` in [0, 1], ``zcr`` in [0, 1], ``rms`` in [0, 1], ``spec_centroid`` and
        ``f0_mean`` in Hz, ``jitter`` and ``shimmer`` (local, as ratios). The last three are NaN where they
        are undefined: no voiced frame, or too few periods in a row.

    Source: Boersma and Weenink, *Praat: doing phonetics by computer*; Jadoul, Thompson and de Boer,
    *Introducing Parselmouth*, Journal of Phonetics 71, 2018.

    Examples:
        >>> time = np.arange(16_000) / 16_000
        >>> tone = (0.1 * np.sin(2 * np.pi * 200 * time)).astype("float32")
        >>> values = praat31(tone, 16_000)
        >>> len(values), round(values["f0_mean"]), round(values["jitter"], 3)
        (31, 200, 0.0)
    """
    p = PRAAT31
    _, common = _spectral(_at(samples, rate, p), p)
    return {
        **_numbered("mfcc", common["mfcc"]),
        **_numbered("chroma", common["chroma"]),
        "zcr": common["zcr"],
        "rms": common["rms"],
        "spec_centroid": common["spec_centroid"],
        **_voice(samples, rate),
    }


def pitch(samples: np.ndarray, rate: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the pitch over time by Praat, from 75 to 600 Hz.

    Args:
        samples: Mono, in [-1, 1], shape (n_samples,).
        rate: Samples a second.

    Returns:
        Times in s and pitch in Hz, 0 where there is no voice, each of shape (n_frames,); empty for a recording too
        short for three periods of 75 Hz.

    Examples:
        >>> times, hz = pitch(np.sin(2 * np.pi * 200 * np.arange(16_000) / 16_000), 16_000)
        >>> round(float(np.median(hz)))
        200
    """
    import parselmouth

    if len(samples) / rate < 3 / _LOWEST_HZ:
        return np.empty(0), np.empty(0)
    found = parselmouth.Sound(np.asarray(samples, "float64"), sampling_frequency=rate).to_pitch(
        pitch_floor=_LOWEST_HZ, pitch_ceiling=_HIGHEST_HZ
    )
    return found.xs(), found.selected_array["frequency"]


def levels(samples: np.ndarray, rate: int) -> dict[str, float]:
    """Return duration in seconds and the levels of `ser_core.data.audio.levels`: what a shortcut would hear.

    Examples:
        >>> list(levels(np.ones(8_000, dtype="float32"), 16_000))
        ['duration_s', 'rms_db', 'peak_db', 'leading_silence_s', 'trailing_silence_s']
    """
    return {"duration_s": len(samples) / rate, **audio.levels(samples, rate)}


def _at(samples: np.ndarray, rate: int, p: dict) -> np.ndarray:
    """Return the samples at the rate of a set.

    By librosa's own default and not `ser_core.data.audio.resample`: raising 16 kHz to 22,050 Hz leaves a band that
    is nearly empty, and the MFCC, which take its logarithm, hear how well the resampler has emptied it.
    """
    import librosa

    return librosa.resample(samples, orig_sr=rate, target_sr=p["sample_rate"], res_type=p["resampler"])


def _numbered(name: str, frames: np.ndarray) -> dict[str, float]:
    """Return the means over frames of (n_values, n_frames) as name_1, name_2, ..."""
    return {f"{name}_{i}": float(value) for i, value in enumerate(frames.mean(axis=1), start=1)}


def _spectral(samples: np.ndarray, p: dict) -> tuple[np.ndarray, dict]:
    """Return the magnitude spectrogram and what both librosa sets take from it."""
    import librosa

    if len(samples) < p["n_fft"]:
        # What librosa's centred frames would read beyond the clip anyway; keeps it from warning.
        samples = np.pad(samples, (0, p["n_fft"] - len(samples)))
    frames = {key: p[key] for key in ("n_fft", "hop_length", "center")}
    magnitude = np.abs(librosa.stft(samples, window=p["window"], **frames))
    power = magnitude**2
    mel = librosa.feature.melspectrogram(S=power, sr=p["sample_rate"], n_mels=p["mfcc_n_mels"])
    framing = {"frame_length": p["n_fft"], "hop_length": p["hop_length"], "center": p["center"]}
    with warnings.catch_warnings():
        # In digital silence there is no pitch to tune the chroma to; all of them are 0 then.
        warnings.filterwarnings("ignore", message="Trying to estimate tuning")
        chroma = librosa.feature.chroma_stft(S=power, sr=p["sample_rate"], n_chroma=p["n_chroma"])
    return magnitude, {
        "chroma": chroma,
        "mfcc": librosa.feature.mfcc(S=librosa.power_to_db(mel), n_mfcc=p["n_mfcc"]),
        "zcr": float(librosa.feature.zero_crossing_rate(samples, **framing).mean()),
        "rms": float(librosa.feature.rms(y=samples, **framing).mean()),
        "spec_centroid": float(librosa.feature.spectral_centroid(S=magnitude, sr=p["sample_rate"]).mean()),
    }


def _voice(samples: np.ndarray, rate: int) -> dict[str, float]:
    """Return mean F0, local jitter and local shimmer by Praat; NaN where undefined."""
    import parselmouth
    from parselmouth.praat import call

    points, (shortest, longest) = PRAAT31["points"], PRAAT31["period_s"]
    if len(samples) / rate < 3 / points["floor_hz"]:
        return dict.fromkeys(("f0_mean", "jitter", "shimmer"), np.nan)  # Praat needs three of the longest periods
    sound = parselmouth.Sound(samples.astype("float64"), sampling_frequency=rate)
    pitch = sound.to_pitch().selected_array["frequency"]
    voiced = pitch[pitch > 0]
    pulses = call(sound, f"To PointProcess ({points['method']})", points["floor_hz"], points["ceiling_hz"])
    periods = (0, 0, shortest, longest, PRAAT31["max_period_factor"])
    return {
        "f0_mean": float(voiced.mean()) if len(voiced) else np.nan,
        "jitter": call(pulses, "Get jitter (local)", *periods),
        "shimmer": call([sound, pulses], "Get shimmer (local)", *periods, PRAAT31["max_amplitude_factor"]),
    }

"""The openSMILE feature sets: functionals over a whole clip, at 16 kHz."""

import functools
import warnings

import numpy as np

from ser_core.data import audio

# The sets are defined for any rate, and their values depend on it; 16 kHz makes corpora comparable.
SAMPLE_RATE = 16_000


def parameters(feature_set: str) -> dict:
    """Return what fixes the values of an openSMILE set."""
    return {"feature_set": feature_set, "feature_level": "Functionals", "sample_rate": SAMPLE_RATE}


def egemaps(samples: np.ndarray, rate: int) -> dict[str, float]:
    """Return the 88 functionals of eGeMAPSv02, the extended Geneva minimalistic acoustic parameter set.

    Args:
        samples: Mono, float32, in [-1, 1].
        rate: Samples a second.

    Returns:
        Feature name -> value; NaN if the clip is too short for a single frame.

    Source: Eyben et al., *The Geneva Minimalistic Acoustic Parameter Set (GeMAPS) for voice research and
    affective computing*, IEEE Transactions on Affective Computing 7(2), 2016.

    Examples:
        >>> tone = np.sin(2 * np.pi * 220 * np.arange(16_000) / 16_000).astype("float32")
        >>> values = egemaps(tone, 16_000)
        >>> len(values), round(values["F0semitoneFrom27.5Hz_sma3nz_amean"])  # 220 Hz is three octaves up
        (88, 36)
    """
    return _functionals("eGeMAPSv02", samples, rate)


def emobase(samples: np.ndarray, rate: int) -> dict[str, float]:
    """Return the 988 functionals of emobase; arguments and result as for `egemaps`.

    Source: Eyben, Wöllmer and Schuller, *openSMILE: the Munich versatile and fast open-source audio feature
    extractor*, ACM Multimedia 2010.
    """
    return _functionals("emobase", samples, rate)


def compare(samples: np.ndarray, rate: int) -> dict[str, float]:
    """Return the 6,373 functionals of ComParE 2016; arguments and result as for `egemaps`.

    Source: Schuller et al., *The INTERSPEECH 2016 Computational Paralinguistics Challenge*, Interspeech 2016.
    """
    return _functionals("ComParE_2016", samples, rate)


@functools.cache
def _smile(feature_set: str):
    """Return the process's own openSMILE object."""
    import opensmile

    return opensmile.Smile(opensmile.FeatureSet[feature_set], opensmile.FeatureLevel.Functionals)


def _functionals(feature_set: str, samples: np.ndarray, rate: int) -> dict[str, float]:
    """Return one set's functionals of a clip."""
    extractor = _smile(feature_set)
    if rate != SAMPLE_RATE:
        samples = audio.resample(samples, rate, SAMPLE_RATE)
    with warnings.catch_warnings():
        # openSMILE's NaN for a clip that is too short becomes an error that names the clip.
        warnings.filterwarnings("ignore", message="Segment too short")
        values = extractor(samples, SAMPLE_RATE)
    return dict(zip(extractor.feature_names, values.ravel().tolist(), strict=True))

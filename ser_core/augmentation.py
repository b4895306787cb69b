"""Augmentation: what may be done to a training clip, and only to a training clip."""

import dataclasses
import numbers
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from ser_core import audio
from ser_core.errors import SerError

_RANGES = {"noise_snr_db": (-20, 100), "gain_db": (-60, 60), "speed": (0.5, 2), "pitch_semitones": (-12, 12)}
_MASKS = {"time_masks": "time_mask_frames", "frequency_masks": "frequency_mask_bins"}

_TIME_SHARE = 5  # A time mask covers at most one part in this many of a clip.
# On 25 recordings, F0 followed the shift more closely with this window than with one two or four times as long.
_PITCH_WINDOW_S = 0.032


@dataclass(frozen=True)
class Augmentation:
    """What is done to training clips; as made without arguments, nothing.

    A clip keeps its label, so the emotion must survive everything in the ranges: loudness, tempo and pitch carry it.

    Attributes:
        noise_snr_db: Lowest and highest signal-to-noise ratio of added white noise in dB, within -20 to 100; or None.
        gain_db: Lowest and highest gain in dB, within -60 to 60; or None.
        speed: Lowest and highest factor of speed, within 0.5 to 2; above 1 is faster and, by the same factor, higher
            (Ko et al., 2015); or None.
        pitch_semitones: Lowest and highest shift of pitch at kept tempo in semitones, within -12 to 12; the formants
            move along; or None.
        time_masks: Number of SpecAugment's time masks (Park et al., 2019).
        time_mask_frames: Widest time mask in frames.
        frequency_masks: Number of SpecAugment's frequency masks.
        frequency_mask_bins: Widest frequency mask in bins.
        mixup: Both parameters of the Beta distribution of the weights of mixup (Zhang et al., 2018); 0 is off.
        probability: Of each of the waveform effects that are on, to be applied to a clip.

    Raises:
        SerError: If a value is out of its range, or masks have a number but no width or the reverse.

    Examples:
        >>> how = Augmentation(speed=(0.9, 1.1), time_masks=2, time_mask_frames=40)
        >>> how.waveform, how.image, Augmentation().waveform
        (True, True, False)
    """

    noise_snr_db: tuple[float, float] | None = None
    gain_db: tuple[float, float] | None = None
    speed: tuple[float, float] | None = None
    pitch_semitones: tuple[float, float] | None = None
    time_masks: int = 0
    time_mask_frames: int = 0
    frequency_masks: int = 0
    frequency_mask_bins: int = 0
    mixup: float = 0.0
    probability: float = 1.0

    def __post_init__(self):
        """Refuse values that are out of range."""
        for name, (least, most) in _RANGES.items():
            span = getattr(self, name)
            pair = isinstance(span, tuple) and len(span) == 2 and all(_is(x, numbers.Real) for x in span)
            if span is not None and not (pair and least <= span[0] <= span[1] <= most):
                raise SerError(f"{name}={span!r}: expected two numbers, low and high, from {least} to {most}, or None")
        for name in (*_MASKS, *_MASKS.values()):
            if not _is(n := getattr(self, name), numbers.Integral) or n < 0:
                raise SerError(f"{name}={n!r}: expected a whole number of 0 or more")
        for masks, width in _MASKS.items():
            if bool(n := getattr(self, masks)) != bool(widest := getattr(self, width)):
                raise SerError(f"{masks}={n} with {width}={widest} masks nothing; give both or neither")
        if not _is(self.mixup, numbers.Real) or not 0 <= self.mixup < np.inf:
            raise SerError(
                f"mixup={self.mixup!r}: expected the parameter of a Beta distribution, above 0, or 0 for off"
            )
        if not _is(self.probability, numbers.Real) or not 0 <= self.probability <= 1:
            raise SerError(f"probability={self.probability!r}: expected a number from 0 to 1")

    @classmethod
    def from_mapping(cls, mapping: dict) -> "Augmentation":
        """Return the augmentation that a mapping read from YAML describes.

        Args:
            mapping: Field names and values; a range is a list of two numbers.

        Returns:
            The augmentation.

        Raises:
            SerError: If it is no mapping, a field is unknown, or a value is out of range.

        Examples:
            >>> Augmentation.from_mapping({"gain_db": [-6, 6]}).gain_db
            (-6, 6)
        """
        known = [field.name for field in dataclasses.fields(cls)]
        if not isinstance(mapping, dict):
            raise SerError(f"augmentation: {mapping!r} is no mapping; expected one with some of the fields {known}")
        if unknown := [name for name in mapping if name not in known]:
            raise SerError(f"augmentation: unknown fields {unknown}; expected some of {known}")
        return cls(**{name: tuple(value) if isinstance(value, list) else value for name, value in mapping.items()})

    @property
    def waveform(self) -> bool:
        """Whether `augment_waveform` does anything."""
        return any(getattr(self, name) is not None for name in _RANGES)

    @property
    def image(self) -> bool:
        """Whether `mask_image` does anything."""
        return any(getattr(self, name) > 0 for name in _MASKS)


def augment_waveform(samples: np.ndarray, rate: int, how: Augmentation, rng: np.random.Generator) -> np.ndarray:
    """Return a training clip changed in speed, pitch, level and noise, in this order.

    Values are drawn uniformly from the ranges. The ratio of the noise is to the power of the whole clip, pauses
    included, so that a silent clip stays silent. Gain, and gain alone, clips: samples that it lifts over full scale
    stay at full scale, as in a recorder. What the other effects put over full scale stays as it is.

    Speed, gain and noise take together about 2 ms for a clip of 3 s at 16 kHz on one core. Pitch takes about 15 ms with
    librosa's phase vocoder (torchaudio's takes seconds for most shifts, because its resampler is made for ratios of
    small integers). The vocoder loses some 3.5 dB on speech, which are given back.

    Args:
        samples: Samples in [-1, 1], shape (n_samples,).
        rate: Their rate in Hz.
        how: The augmentation.
        rng: Source of every random choice; one for each clip and epoch makes them independent of the order of clips.

    Returns:
        New float32 samples, at least one; as many as came in, or about n_samples / factor if the speed was changed.

    Raises:
        SerError: If there are no samples, more than one channel, or values that are not finite.

    Examples:
        >>> clip = np.full(1000, 0.1, "float32")
        >>> louder = augment_waveform(clip, 16000, Augmentation(gain_db=(6, 6)), np.random.default_rng(0))
        >>> round(float(louder[0]), 4)
        0.1995
        >>> faster = augment_waveform(clip, 16000, Augmentation(speed=(1.25, 1.25)), np.random.default_rng(0))
        >>> faster.shape
        (800,)
    """
    x = np.array(samples, "float32")
    if x.ndim != 1 or not x.size or not np.isfinite(x).all():
        raise SerError(f"samples of shape {x.shape}: expected (n_samples,), at least one and all finite numbers")

    def drawn(span: tuple[float, float] | None) -> float | None:
        return None if span is None or rng.random() >= how.probability else rng.uniform(*span)

    if (factor := drawn(how.speed)) is not None:
        x = audio.resample(x, round(rate * factor), rate)
    if (semitones := drawn(how.pitch_semitones)) is not None:
        x = _shift_pitch(x, rate, semitones)
    if (gain := drawn(how.gain_db)) is not None:
        limit = max(1.0, float(np.abs(x).max()))
        x = np.clip(x * 10 ** (gain / 20), -limit, limit)
    if (snr := drawn(how.noise_snr_db)) is not None:
        noise = rng.standard_normal(len(x), dtype="float32")
        x = x + noise * (_rms(x) / _rms(noise) * 10 ** (-snr / 20))
    return x


def mask_image(image: torch.Tensor, how: Augmentation, rng: np.random.Generator) -> torch.Tensor:
    """Return a training clip's image with bands of frames and of bins set to 0 (SpecAugment; Park et al., 2019).

    The width of each mask is drawn uniformly from 0 to the widest, its place uniformly from where it fits; masks may
    overlap. The time warping of the paper is left out.

    Args:
        image: What an encoder of spectrograms prepared, shape (n_frames, n_bins), standardised so that 0 is the mean.
        how: The augmentation; a time mask is never wider than a fifth of the clip.
        rng: Source of every random choice.

    Returns:
        A new tensor of the same shape.

    Raises:
        SerError: If it is no image, as for encoders of waveforms, or one frequency mask could cover every bin.

    Examples:
        >>> how = Augmentation(time_masks=1, time_mask_frames=40)
        >>> masked = mask_image(torch.ones(100, 8), how, np.random.default_rng(0))
        >>> bool((masked == 0).all(1).sum() <= 20)
        True
    """
    if image.ndim != 2:
        raise SerError(
            f"masks need an image (n_frames, n_bins), got shape {tuple(image.shape)}; leave masks off for it"
        )
    n_frames, n_bins = image.shape
    if how.frequency_masks and how.frequency_mask_bins >= n_bins:
        raise SerError(f"frequency_mask_bins={how.frequency_mask_bins}: the image has {n_bins} bins; ask for fewer")
    image = image.clone()
    for _ in range(how.time_masks):
        image[_band(n_frames, min(how.time_mask_frames, n_frames // _TIME_SHARE), rng)] = 0
    for _ in range(how.frequency_masks):
        image[:, _band(n_bins, how.frequency_mask_bins, rng)] = 0
    return image


def mix(
    inputs: torch.Tensor, lengths: torch.Tensor, how: Augmentation, rng: np.random.Generator
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return a training batch with each clip mixed with another of the batch (mixup; Zhang et al., 2018).

    The loss of clip i is then w[i] times its loss against its own label plus 1 - w[i] times that against the label of
    clip permutation[i]. The larger part of each pair of weights goes to the clip itself; over all pairs this
    changes nothing, because the distribution is symmetric.

    Args:
        inputs: A batch padded with zeros, shape (n_clips, n_frames, ...).
        lengths: Valid frames of each clip, shape (n_clips,).
        how: The augmentation; with mixup off the batch comes back as it is, each clip its own partner at weight 1.
        rng: Source of every random choice.

    Returns:
        The mixed batch; its lengths, the longer of each pair; the partner of each clip, shape (n_clips,); and the
        weight w of each clip itself, shape (n_clips,), in [0.5, 1].

    Examples:
        >>> batch, lengths = torch.tensor([[1.0, 1.0], [3.0, 0.0]]), torch.tensor([2, 1])
        >>> mixed, longer, partner, w = mix(batch, lengths, Augmentation(mixup=0.4), np.random.default_rng(0))
        >>> torch.equal(mixed, w[:, None] * batch + (1 - w[:, None]) * batch[partner])
        True
    """
    n, device = len(inputs), inputs.device
    if not how.mixup:
        return inputs, lengths, torch.arange(n, device=device), torch.ones(n, device=device)
    permutation = torch.from_numpy(rng.permutation(n)).to(device)
    weight = rng.beta(how.mixup, how.mixup, n)
    weight = torch.from_numpy(np.maximum(weight, 1 - weight).astype("float32")).to(device)
    w = weight.to(inputs.dtype).view(-1, *[1] * (inputs.ndim - 1))
    mixed = w * inputs + (1 - w) * inputs[permutation]
    # At a weight of 1, which small parameters give often, nothing of the partner is there to be listened to.
    partner_lengths = lengths[permutation.to(lengths.device)]
    longer = torch.where(weight.to(lengths.device) < 1, torch.maximum(lengths, partner_lengths), lengths)
    return mixed, longer, permutation, weight


def assert_training_only(folds: pd.DataFrame, clips: Sequence[str], fold: int) -> None:
    """Make sure that clips which are to be augmented are training clips.

    Args:
        folds: Folds: columns clip, fold, role.
        clips: Ids of the clips.
        fold: Number of the fold that is trained.

    Raises:
        SerError: If a column or the fold is missing, or a clip has another role than train in the fold, or none; the
            message names the first such clip and its role.

    Examples:
        >>> folds = pd.DataFrame({"clip": ["x", "y"], "fold": 0, "role": ["train", "test"]})
        >>> assert_training_only(folds, ["x"], 0)
        >>> assert_training_only(folds, ["x", "y"], 0)
        Traceback (most recent call last):
        ser_core.errors.SerError: fold 0: clip 'y' is in test; only clips in train may be augmented
    """
    if missing := {"clip", "fold", "role"} - set(folds):
        raise SerError(f"folds lack the columns {sorted(missing)}; they have {list(folds.columns)}")
    members = folds[folds["fold"] == fold]
    if not len(members):
        raise SerError(f"fold {fold}: no such fold; there are {sorted(folds['fold'].unique().tolist())}")
    training = members["role"] == "train"
    train = set(members.loc[training, "clip"])
    others = dict(members.loc[~training, ["clip", "role"]].itertuples(index=False))
    for clip in clips:
        if clip in others or clip not in train:
            where = f"in {others[clip]}" if clip in others else "in no part of it"
            raise SerError(f"fold {fold}: clip '{clip}' is {where}; only clips in train may be augmented")


def _is(value: object, kind: type) -> bool:
    """Return whether a value is a number of this kind; True and False are none."""
    return isinstance(value, kind) and not isinstance(value, bool)


def _rms(x: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(x, dtype="float64"))))


def _band(n: int, widest: int, rng: np.random.Generator) -> slice:
    width = int(rng.integers(0, widest + 1))
    start = int(rng.integers(0, n - width + 1))
    return slice(start, start + width)


def _shift_pitch(x: np.ndarray, rate: int, semitones: float) -> np.ndarray:
    """Return the samples at another pitch, as many and at the same level."""
    import librosa

    window = round(_PITCH_WINDOW_S * rate)
    # The vocoder needs one window at least.
    padded = np.pad(x, (0, max(0, window - len(x))))
    y = librosa.effects.pitch_shift(padded, sr=rate, n_steps=semitones, n_fft=window)[: len(x)]
    level = _rms(y)
    return y * (_rms(x) / level) if level else y

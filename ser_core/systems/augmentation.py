"""Augmentation: what may be done to a training clip, and only to a training clip."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch

from ser_core.data import audio
from ser_core.errors import SerError
from ser_core.systems.settings import Augmentation

_TIME_SHARE = 5  # A time mask covers at most one part in this many of a clip.
# On 25 recordings, F0 followed the shift more closely with this window than with one two or four times as long.
_PITCH_WINDOW_S = 0.032


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

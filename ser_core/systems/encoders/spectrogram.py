"""Spectrograms as images, and features as a sequence: VGG16, MobileNetV2 and a 1-D CNN as published systems use them.

Where a source leaves a setting open it is the default of its library; the class says which.
"""

import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import librosa
import numpy as np
import torch
from matplotlib import colormaps
from torch import nn
from torchvision import models
from torchvision.transforms.v2 import functional as images

from ser_core.errors import SerError
from ser_core.systems.encoders.base import RATE, Encoded, Encoder, mask_of
from ser_core.systems.handcrafted import librosa94
from ser_core.systems.registry import SPECTROGRAM_NETWORKS

# torchvision's names of the ImageNet weights; what follows the dash is the start of the file's sha256.
FILES = {"vgg16-mel": "vgg16-397923af.pth", "mobilenet-jet": "mobilenet_v2-7ebf99e0.pth"}
SOURCE = "https://download.pytorch.org/models"

# Mean and deviation of red, green and blue that torchvision's ImageNet weights were trained with.
MEAN, DEVIATION = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]

# librosa's own defaults, spelled out so that a change of a default cannot pass unseen.
MEL = {"n_fft": 2048, "hop_length": 512, "window": "hann", "center": True, "power": 2.0, "n_mels": 128}
DECIBEL = {"ref": 1.0, "amin": 1e-10, "top_db": 80.0}

BLOCK = RATE
"""Samples in a block of `jet_images`: one second."""
STFT = {"n_fft": 512, "win_length": 256, "hop_length": 64, "window": "hann", "center": True, "pad_mode": "constant"}
JET = colormaps["jet"](np.arange(256), bytes=True)[:, :3]

N_FEATURES = 94
HIDDEN = 128
"""Units of each of the two dense layers of `Cnn1dLibrosa94`; the paper does not state them."""


def mel_image(samples: np.ndarray) -> torch.Tensor:
    """Return the mel spectrogram of a clip in dB as a grey image.

    The lowest value of the image is black and the highest white; the first row is the lowest band.

    Args:
        samples: One clip, float32 at `RATE` Hz.

    Returns:
        uint8 of shape (1, 224, 224): one image, bands by time.

    Examples:
        >>> image = mel_image(np.sin(np.arange(16_000)).astype("float32"))
        >>> image.shape, image.min().item(), image.max().item()
        (torch.Size([1, 224, 224]), 0, 255)
    """
    # What librosa's centred frames would read beyond the clip anyway; keeps it from warning.
    samples = np.pad(samples, (0, max(0, MEL["n_fft"] - len(samples))))
    mel = librosa.feature.melspectrogram(y=samples, sr=RATE, **MEL)
    image = torch.from_numpy(librosa.power_to_db(mel, **DECIBEL))[None]
    return torch.from_numpy(_levels(images.resize(image, [224, 224]).numpy()))


def jet_images(samples: np.ndarray) -> torch.Tensor:
    """Return the magnitude spectrogram of each second of a clip in the colours of matplotlib's ``jet``.

    The seconds do not overlap; zeros fill the last. Each image spans the colours from its least to its greatest
    magnitude, so that normalising the amplitudes to [-1, 1] before, as the paper does, would change nothing.
    The first row is 0 Hz.

    Args:
        samples: One clip, float32 at `RATE` Hz.

    Returns:
        uint8 of shape (n_blocks, 3, 257, 251): red, green, blue; frequencies by time.

    Examples:
        >>> jet_images(np.zeros(16_001, dtype="float32")).shape
        torch.Size([2, 3, 257, 251])
    """
    n = max(1, -(-len(samples) // BLOCK))
    blocks = np.pad(samples, (0, n * BLOCK - len(samples))).reshape(n, BLOCK)
    return torch.from_numpy(JET[_levels(np.abs(librosa.stft(blocks, **STFT)))]).permute(0, 3, 1, 2).contiguous()


def _levels(values: np.ndarray) -> np.ndarray:
    """Return each image's values in 256 steps from its least to its greatest, as matplotlib divides them."""
    least = values.min(axis=(1, 2), keepdims=True)
    span = values.max(axis=(1, 2), keepdims=True) - least
    return ((values - least) / np.where(span > 0, span, 1) * 256).clip(0, 255).astype(np.uint8)


class _Framewise(Encoder):
    """An encoder whose blocks see each frame by itself; padding never enters them, batch norm included."""

    n_layers = 1

    def __init__(self, blocks: Sequence[nn.Module]):
        super().__init__()
        self._blocks = nn.ModuleList(blocks)

    @property
    def blocks(self) -> list[nn.Module]:
        """The blocks, from the input to the output."""
        return list(self._blocks)

    def prefix(self, inputs: torch.Tensor, lengths: torch.Tensor, k: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the output of the first ``k`` blocks, shape (n_clips, n_frames, ...), and the lengths as they are."""
        return self._run(inputs, lengths, 0, k), lengths

    def suffix(self, hidden: torch.Tensor, lengths: torch.Tensor, k: int) -> Encoded:
        """Return the one layer of states, shape (n_clips, n_frames, dim)."""
        return Encoded((self._run(hidden, lengths, k, len(self._blocks)),), lengths)

    def _run(self, x: torch.Tensor, lengths: torch.Tensor, start: int, stop: int) -> torch.Tensor:
        """Return the output of the blocks from ``start`` to ``stop``, zeros behind each clip."""
        if start == stop:
            return x
        valid = mask_of(lengths, x.shape[1])
        frames = x[valid] if start else self._enter(x[valid])
        if frames.ndim == 4:
            frames = frames.contiguous(memory_format=torch.channels_last)
        for block in self._blocks[start:stop]:
            frames = block(frames)
        padded = frames.new_zeros(*valid.shape, *frames.shape[1:])
        padded[valid] = frames
        return padded

    def _enter(self, frames: torch.Tensor) -> torch.Tensor:
        """Return what the first block takes, from prepared frames of shape (n_frames, ...)."""
        raise NotImplementedError


class _Images(_Framewise):
    """An encoder of images by blocks of a torchvision model, with the model's weights if they are given."""

    def __init__(self, model: nn.Module, blocks: Sequence[nn.Module], weights: Mapping[str, torch.Tensor] | None):
        super().__init__(blocks)
        if weights is not None:
            model.load_state_dict(weights)
        self.initialisation = "random initialisation" if weights is None else "ImageNet"

    def _enter(self, frames: torch.Tensor) -> torch.Tensor:
        colours = frames if frames.ndim == 4 else frames[:, None].expand(-1, 3, -1, -1)
        # Not scaled by dtype: mixed or converted images come as floats from 0 to 255.
        return images.normalize(colours.float() / 255, MEAN, DEVIATION)


class Vgg16Mel(_Images):
    """VGG16 without its last layer on the mel spectrogram of a clip, as a tutorial freezes it.

    Its seven blocks are the five groups of convolutions and the two dense layers with their dropout, so that
    freezing all of them leaves the head. A frozen block here drops nothing; the tutorial's training figures, which
    lie under its validation figures, look as if its dropout stayed on.

    The tutorial states a mel spectrogram by librosa and a pretrained VGG16. Left open and chosen here: 16 kHz,
    librosa's defaults (128 bands, 2,048 samples every 512, dB with a range of 80), the whole clip resized to 224 x 224
    (bilinear, torchvision's default), grey as all three colours, and the mean and deviation of torchvision's ImageNet
    weights.

    Args:
        weights: torchvision's state dict of ``vgg16``; drawn at random if None.

    Source: *Speech emotion recognition using transfer learning*, GeeksforGeeks, 2025; the network: Simonyan and
    Zisserman, *Very deep convolutional networks for large-scale image recognition*, ICLR 2015.
    """

    name = "vgg16-mel"
    dim = 4096

    def __init__(self, weights: Mapping[str, torch.Tensor] | None = None):
        """Cut torchvision's model into blocks."""
        model = models.vgg16()
        cuts = [0, *(i + 1 for i, layer in enumerate(model.features) if isinstance(layer, nn.MaxPool2d))]
        convolutions = [model.features[start:stop] for start, stop in zip(cuts[:-1], cuts[1:], strict=True)]
        first = nn.Sequential(model.avgpool, nn.Flatten(), *model.classifier[:3])
        super().__init__(model, [*convolutions, first, model.classifier[3:6]], weights)

    def prepare(self, samples: np.ndarray) -> torch.Tensor:
        """Return one grey image, see `mel_image`: uint8 of shape (1, 224, 224)."""
        return mel_image(samples)


class MobileNetJet(_Images):
    """MobileNetV2 without its classifier on the coloured spectrogram of each second of a clip.

    Its 19 blocks are those of torchvision's ``features``, the last with the average over the image. A frame is one
    second; the paper classifies seconds, and does not say how they become one answer for a clip.

    The paper states 1-s blocks, windows of 16 ms every 4 ms, 257 x 251 magnitudes and matplotlib's ``jet``. Of its
    four variants this is the one that it reports: blocks that do not overlap, the speaker's gender not told. Left open
    and chosen here: 16 kHz (a footnote speaks of 22.5), where 257 frequencies take windows of 256 samples filled to
    512; librosa's defaults (Hann, frames centred, zeros beyond the ends); magnitudes as they are, not in dB; each
    image's own least and greatest magnitude as the ends of the colours, matplotlib's default; the last block filled
    with zeros; no resizing; and the mean and deviation of torchvision's ImageNet weights. The dropout before
    torchvision's classifier is the head's.

    Drawn at random and never trained, its output is next to nothing: its batch norms have not seen any values.

    Args:
        weights: torchvision's state dict of ``mobilenet_v2``; drawn at random if None.

    Source: Sharma, *Speech and Text-Based Emotion Recognizer*, arXiv:2312.11503, 2023, section III.C.1; the network:
    Sandler et al., *MobileNetV2: Inverted residuals and linear bottlenecks*, CVPR 2018.
    """

    name = "mobilenet-jet"
    dim = 1280

    def __init__(self, weights: Mapping[str, torch.Tensor] | None = None):
        """Cut torchvision's model into blocks."""
        model = models.mobilenet_v2()
        last = nn.Sequential(model.features[-1], nn.AdaptiveAvgPool2d(1), nn.Flatten())
        super().__init__(model, [*model.features[:-1], last], weights)

    def prepare(self, samples: np.ndarray) -> torch.Tensor:
        """Return one image a second, see `jet_images`: uint8 of shape (n_blocks, 3, 257, 251)."""
        return jet_images(samples)


def _convolutions(*channels: int) -> list[nn.Module]:
    """Return a convolution from each number of channels to the next, each with its padding and activation."""
    pairs = zip(channels[:-1], channels[1:], strict=True)
    return [layer for pair in pairs for layer in (nn.ZeroPad1d((3, 4)), nn.Conv1d(*pair, 8), nn.ReLU())]


def _dense(n: int) -> list[nn.Module]:
    """Return a dense layer on ``n`` values with its activation."""
    return [nn.Linear(n, HIDDEN), nn.ReLU()]


class Cnn1dLibrosa94(_Framewise):
    """Eight 1-D convolutions and two dense layers on 94 features of a clip, as one sequence.

    Its four blocks are the convolutions with 256, 128 and 64 kernels and the dense layers. Their order, kernels,
    activations, batch norms and dropouts are those of the paper's table 5; its last layer is the head.

    Left open and chosen here: 128 units in both dense layers, and PyTorch's defaults for weights and batch norm. An
    even kernel cannot be centred: of the seven zeros, three are before and four behind. The paper's L1 and L2
    penalties, whose strengths it does not state, are none of the encoder's.

    Source: Sharma, *Speech and Text-Based Emotion Recognizer*, arXiv:2312.11503, 2023, section III.C.2 and table 5.

    Examples:
        >>> encoder = Cnn1dLibrosa94().eval()
        >>> encoder(torch.zeros(2, 1, 94), torch.tensor([1, 1])).states[-1].shape
        torch.Size([2, 1, 128])
    """

    name = "cnn1d-librosa94"
    dim = HIDDEN
    initialisation = "random initialisation"
    calibrated = True

    def __init__(self):
        """Build the blocks."""
        super().__init__(
            [
                nn.Sequential(*_convolutions(1, 256, 256), nn.BatchNorm1d(256), nn.Dropout(0.6)),
                nn.Sequential(*_convolutions(256, 128, 128, 128, 128), nn.BatchNorm1d(128), nn.Dropout(0.6)),
                nn.Sequential(*_convolutions(128, 64, 64)),
                nn.Sequential(nn.Flatten(), *_dense(64 * N_FEATURES), *_dense(HIDDEN), nn.Dropout(0.6)),
            ]
        )
        self.register_buffer("mean", torch.zeros(N_FEATURES))
        self.register_buffer("deviation", torch.ones(N_FEATURES))

    def prepare(self, samples: np.ndarray) -> torch.Tensor:
        """Return the values of `ser_core.systems.handcrafted.librosa94` as they are, shape (1, 94)."""
        return torch.tensor([list(librosa94(samples, RATE).values())])

    def calibrate(self, inputs: Sequence[torch.Tensor]) -> None:
        """Standardise each feature by its mean and deviation over these clips; one that never varies is only centred.

        Args:
            inputs: What `prepare` gave for each clip of the training part.

        Raises:
            SerError: If there are no clips.
        """
        if not len(inputs):
            raise SerError(f"{self.name}: 0 clips to take mean and deviation from; calibrate with the training part")
        values = torch.cat(list(inputs)).double()
        deviation = values.std(0, correction=0)
        self.mean.copy_(values.mean(0))
        self.deviation.copy_(deviation.where(deviation > 0, 1))

    def _enter(self, frames: torch.Tensor) -> torch.Tensor:
        return ((frames - self.mean) / self.deviation)[:, None]


def load(name: str) -> Encoder:
    """Return an encoder by name, with ImageNet weights where their file is at hand; nothing is downloaded.

    torchvision's file (`FILES`) is looked for in the folder ``SER_WEIGHTS`` and then among what ``torch.hub`` has
    downloaded before. Without it the weights are drawn by torch's global generator, which the caller seeds; the
    encoder's ``initialisation`` says which it is.

    Args:
        name: One of `ser_core.systems.registry.SPECTROGRAM_NETWORKS`.

    Returns:
        The encoder, in evaluation mode.

    Raises:
        SerError: If there is no such network, or a file's sha256 is not the one that its name states.

    Examples:
        >>> load("cnn1d-librosa94").initialisation
        'random initialisation'
    """
    if name not in SPECTROGRAM_NETWORKS:
        raise SerError(f"no spectrogram encoder '{name}'; expected one of {list(SPECTROGRAM_NETWORKS)}")
    if name == "cnn1d-librosa94":
        return Cnn1dLibrosa94().eval()
    weights = _weights(FILES[name])
    return (Vgg16Mel(weights) if name == "vgg16-mel" else MobileNetJet(weights)).eval()


def _weights(file: str) -> Mapping[str, torch.Tensor] | None:
    """Return a state dict from the first folder that has the file; None if neither has."""
    folders = [Path(torch.hub.get_dir()) / "checkpoints"]
    if root := os.environ.get("SER_WEIGHTS"):
        folders.insert(0, Path(root))
    path = next((folder / file for folder in folders if (folder / file).is_file()), None)
    if path is None:
        return None
    with path.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    expected = path.stem.rsplit("-", 1)[1]
    if not found.startswith(expected):
        raise SerError(
            f"{path}: sha256 {found[: len(expected)]}, expected {expected}; fetch it again from {SOURCE}/{file}"
        )
    return torch.load(path, map_location="cpu", weights_only=True)

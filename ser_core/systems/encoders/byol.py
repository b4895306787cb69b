"""BYOL-S: a small convolutional encoder of log-mel spectrograms, learnt without labels (Scheidwasser et al., 2022)."""

import hashlib
import os
from pathlib import Path

import numpy as np
import torch
from torch import nn

from ser_core.errors import SerError
from ser_core.systems.encoders.base import RATE, Encoded, Encoder, mask_of

FILE = "byol_s_512.pth"
SHA256 = "449f5d0dc6b6fa8433d5e43769097520d3bc0fdae88977a7ac29e2e72ca51b52"
SOURCE = (
    "https://github.com/Neclow/SERAB, SERAB/checkpoints/default512_BYOLAs64x96-2107281850-e100-bs256-lr0003-rs42.pth"
)

N_MELS = 64


class ByolS(Encoder):
    """The encoder: three convolutional blocks, then two dense layers on each time step of eight frames.

    Its four blocks are the convolutions and the pair of dense layers; its one layer of states has 512 values for
    each 80 ms.

    Args:
        name: Name to bear.
    """

    dim = 512
    n_layers = 1

    def __init__(self, name: str = "byol-s"):  # noqa: D107
        super().__init__()
        self.name = name
        # The layers bear the numbers of the published state dict.
        self.features = nn.ModuleDict()
        for i in range(3):
            self.features[str(4 * i)] = nn.Conv2d(64 if i else 1, 64, 3, padding=1)
            self.features[str(4 * i + 1)] = nn.BatchNorm2d(64)
        self.fc = nn.Sequential(
            nn.Linear(64 * N_MELS // 8, self.dim), nn.ReLU(), nn.Dropout(0.3), nn.Linear(self.dim, self.dim), nn.ReLU()
        )
        self._blocks = [nn.ModuleList([self.features[str(4 * i)], self.features[str(4 * i + 1)]]) for i in range(3)]
        self._blocks.append(self.fc)
        self._mel = None

    @property
    def blocks(self) -> list[nn.Module]:
        """The three convolutional blocks and the dense one."""
        return self._blocks

    def prepare(self, samples: np.ndarray) -> torch.Tensor:
        """Return the log-mel spectrogram with the clip's own mean 0, deviation 1, shape (n_frames, 64), at 100 Hz."""
        if self._mel is None:
            from torchaudio.transforms import MelSpectrogram

            self._mel = MelSpectrogram(
                RATE, n_fft=1024, win_length=400, hop_length=160, n_mels=N_MELS, f_min=60, f_max=7800
            )
        # The spectrogram reflects half a window at both ends, and the pooling needs eight frames.
        samples = torch.as_tensor(samples, dtype=torch.float32)
        samples = nn.functional.pad(samples, (0, max(0, 1280 - len(samples))))
        log_mel = (self._mel(samples) + torch.finfo(torch.float32).eps).log()
        # Published with the mean and deviation of the whole corpus, through which test clips would speak of each other.
        return ((log_mel - log_mel.mean()) / log_mel.std().clamp(min=1e-3)).T.contiguous()

    def prefix(self, inputs: torch.Tensor, lengths: torch.Tensor, k: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the output of the first ``k`` blocks and its lengths.

        Args:
            inputs: Spectrograms, shape (n_clips, n_frames, 64).
            lengths: Valid frames of each clip, shape (n_clips,).
            k: Number of blocks, from 0 to 4.

        Returns:
            The spectrograms themselves for 0, (n_clips, n_frames / 2^k, 64 / 2^k, 64 channels) for 1 to 3, and
            (n_clips, n_frames / 8, 512) for 4, zero where it is padding but for 4; and the lengths.
        """
        return self._run(inputs, lengths, 0, k)

    def suffix(self, hidden: torch.Tensor, lengths: torch.Tensor, k: int) -> Encoded:
        """Return the one layer of states, shape (n_clips, n_frames / 8, 512).

        Args:
            hidden: What `prefix` gave with the same ``k``.
            lengths: Valid frames of each clip in it, shape (n_clips,).
            k: Number of blocks that it has gone through.

        Returns:
            The states; what stands behind a clip's frames is no zero.
        """
        hidden, lengths = self._run(hidden, lengths, k, 4)
        return Encoded((hidden,), lengths)

    def _kernel(self, i: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return weight and bias of a convolution with its batch normalisation in them.

        The normalisation keeps its pretrained mean and variance, in training too: a batch's own would be of padding
        and of batch mates as well.
        """
        convolution, norm = self._blocks[i]
        scale = norm.weight / (norm.running_var + norm.eps).sqrt()
        # Published for images whose first axis is frequency; here it is time.
        weight = (convolution.weight * scale[:, None, None, None]).transpose(2, 3)
        return weight, norm.bias + (convolution.bias - norm.running_mean) * scale

    def _run(self, x: torch.Tensor, lengths: torch.Tensor, start: int, stop: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the output of the blocks from ``start`` to ``stop``; time is the second axis, outside and between."""
        for i in range(start, min(stop, 3)):
            # (n_clips, n_frames, mels) before the first block, (n_clips, n_frames, mels, channels) behind it.
            image = x[:, None] if i == 0 else x.permute(0, 3, 1, 2)
            image = image.contiguous(memory_format=torch.channels_last)
            image = nn.functional.conv2d(image, *self._kernel(i), padding=1)
            # As published but for the order of these two, which changes no value.
            image = nn.functional.max_pool2d(image, 2).relu()
            lengths = lengths // 2
            # Biases make padding other than zero, and the next block would see it.
            mask = mask_of(lengths, image.shape[2])
            x = image.permute(0, 2, 3, 1).masked_fill(~mask[:, :, None, None], 0)
        if start <= 3 < stop:
            x = self.fc(x.flatten(2))
        return x, lengths


def load(name: str = "byol-s") -> ByolS:
    """Return BYOL-S with its published weights.

    Args:
        name: Name for the encoder to bear.

    Returns:
        The encoder, in evaluation mode.

    Raises:
        SerError: If the checkpoint is not in ``SER_WEIGHTS``, or is not the file whose sha256 we know.
    """
    root = os.environ.get("SER_WEIGHTS")
    path = Path(root or ".") / FILE
    if not root or not path.is_file():
        where = f"{path} is not there" if root else "SER_WEIGHTS is not set"
        raise SerError(f"byol-s: {where}; put {FILE} (from {SOURCE}) into a folder and name it by SER_WEIGHTS")
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != SHA256:
        raise SerError(f"{path}: sha256 {found[:12]}, expected {SHA256[:12]}; fetch it again from {SOURCE}")
    encoder = ByolS(name)
    encoder.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    return encoder.eval()

"""Whisper's encoder: on 30 s, of which the clip's own frames are told from the silence behind, or on the clip alone."""

# The book is built without torch, whose classes stand in the annotations.
from __future__ import annotations

import numpy as np
import torch
from torch import nn
from transformers import PreTrainedModel, WhisperFeatureExtractor

from ser_core.errors import SerError
from ser_core.systems.encoders.base import RATE, Encoded, Encoder, mask_of


class WhisperEncoder(Encoder):
    """Whisper's encoder: two convolutions on a log-mel spectrogram of 30 s, then transformer layers; no decoder.

    Its blocks are the convolutions, then one a layer, the norm behind all in the last. Positions are fixed, and
    LayerDrop is left out. Whisper hears the silence behind a clip, as it was trained to: each clip fills its own 30 s.

    The states are each block's output over the clip's own frames, 20 ms each: ``hidden_states`` of transformers, the
    last being ``last_hidden_state``. The clip's own are those that a spectrogram window with any of its samples
    reaches, at most one more than transformers' attention mask counts.

    Args:
        name: Name to bear.
        model: What ``AutoModel`` gave.
        extractor: The checkpoint's feature extractor.
    """

    # The convolutions' output is a layer's state, the first.
    front = 1

    def __init__(self, name: str, model: PreTrainedModel, extractor: WhisperFeatureExtractor):
        """Take over the encoder of a loaded model."""
        super().__init__()
        self.name = name
        self.model = model.encoder
        self.extractor = extractor
        self.dim = model.config.d_model
        self.n_layers = 1 + model.config.encoder_layers
        self.n_frames = model.config.max_source_positions
        # Position embeddings are constants; from_pretrained marks them trainable.
        self.model.embed_positions.requires_grad_(False)

    @property
    def blocks(self) -> list[nn.Module]:
        """The convolutions and each layer."""
        layers = [[layer] for layer in self.model.layers]
        layers[-1].append(self.model.layer_norm)
        return [nn.ModuleList(block) for block in ([self.model.conv1, self.model.conv2], *layers)]

    def prepare(self, samples: np.ndarray) -> torch.Tensor:
        """Return the log-mel spectrogram up to the last window that touches the clip.

        Args:
            samples: One clip, float32 at 16 kHz.

        Returns:
            Shape (n_frames, n_mels), a frame each 10 ms.

        Raises:
            SerError: If the clip is longer than Whisper's 30 s.
        """
        self._refuse_long(samples)
        settings = self.extractor
        samples = np.asarray(samples, dtype=np.float32)
        mel = settings(samples, sampling_rate=RATE, return_tensors="pt").input_features[0]
        touched = -(-(len(samples) + settings.n_fft // 2) // settings.hop_length)
        return mel[:, :touched].T.contiguous()

    def _refuse_long(self, samples: np.ndarray) -> None:
        """Raise a SerError for more than 30 s."""
        if len(samples) > self.extractor.n_samples:
            found, most = len(samples) / RATE, self.extractor.n_samples / RATE
            raise SerError(f"{self.name}: a clip of {found:.2f} s, but it takes at most {most:g} s; cut the clip")

    def prefix(self, inputs: torch.Tensor, lengths: torch.Tensor, k: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the output of the first ``k`` blocks.

        As later layers attend to the silence too, all the 30 s of every clip are given unless all blocks are run. One
        value more a frame, 1 within the clip and 0 behind it, then tells how long the clip is.

        Args:
            inputs: Spectrograms, shape (n_clips, n_frames, n_mels).
            lengths: Frames of each clip, shape (n_clips,).
            k: Number of blocks.

        Returns:
            The output and its lengths: the inputs themselves if k is 0; shape (n_clips, 1500, dim + 1) and 1500 for
            each clip; or the last states, shape (n_clips, n_frames, dim), if k is the number of blocks.
        """
        if k == 0:
            return inputs, lengths
        hidden, lengths, _ = self._run(inputs, lengths, 0, k)
        if k == self.n_layers:
            return hidden[:, : lengths.max()], lengths
        inside = mask_of(lengths, self.n_frames)[..., None].to(hidden.dtype)
        return torch.cat([hidden, inside], 2), torch.full_like(lengths, self.n_frames)

    def suffix(self, hidden: torch.Tensor, lengths: torch.Tensor, k: int) -> Encoded:
        """Return the layers' states from the output of the first ``k`` blocks.

        Args:
            hidden: What `prefix` gave.
            lengths: The lengths that it gave.
            k: Number of blocks it ran.

        Returns:
            ``n_layers`` states, each of shape (n_clips, n_frames, dim). Of the first ``k`` blocks only the output of
            the last is known; those before it are None.
        """
        if 0 < k < self.n_layers:
            lengths = (hidden[..., -1] > 0.5).sum(1)
            hidden = hidden[..., :-1]
        _, lengths, states = self._run(hidden, lengths, k, self.n_layers)
        longest = lengths.max()
        return Encoded(tuple(None if state is None else state[:, :longest] for state in states), lengths)

    def _run(
        self, hidden: torch.Tensor, lengths: torch.Tensor, start: int, stop: int
    ) -> tuple[torch.Tensor, torch.Tensor, list[torch.Tensor | None]]:
        """Return the output of the blocks from ``start`` to ``stop``, the clips' frames, and the states up to there."""
        states = [*[None] * (start - 1), hidden] if start else []
        if not start:
            hidden, lengths = self._front(hidden, lengths)
            states.append(hidden)
        attention = self._attention(lengths, hidden.shape[1])
        for i in range(max(start, 1), stop):
            hidden = self.model.layers[i - 1](hidden, attention)
            if i == self.n_layers - 1:
                hidden = self.model.layer_norm(hidden)
            states.append(hidden)
        return hidden, lengths, states

    def _attention(self, lengths: torch.Tensor, n: int) -> torch.Tensor | None:
        """Return the frames that each frame attends to, for clips of some lengths in ``n`` frames: None for all."""
        return None

    def _front(self, mel: torch.Tensor, lengths: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the frames of the first layer and how many of them are each clip's."""
        model, valid = self.model, mask_of(lengths, mel.shape[1])
        # The extractor's silence: 8 below the clip's maximum in log10 units, not below -10, after its (x + 4) / 4.
        silence = (mel.masked_fill(~valid[..., None], -torch.inf).amax((1, 2), keepdim=True) - 2).clamp(min=-1.5)
        whole = silence.repeat(1, 2 * self.n_frames, mel.shape[2])
        whole[:, : mel.shape[1]][valid] = mel[valid]
        x = nn.functional.gelu(model.conv1(whole.transpose(1, 2)))
        return self._place(x), model._get_feat_extract_output_lengths(lengths)

    def _place(self, x: torch.Tensor) -> torch.Tensor:
        """Return what the first layer takes, from the first convolution's output."""
        model = self.model
        x = nn.functional.gelu(model.conv2(x)).transpose(1, 2)
        return nn.functional.dropout(
            x + model.embed_positions.weight[: x.shape[1]], model.dropout, model.conv1.training
        )


class OwnLengthWhisper(WhisperEncoder):
    """Whisper's encoder on the clip alone, at a fraction of the cost: no silence behind it, and the positions cut.

    Whisper was trained on 30 s, so that this is another use of the same weights than the published one. A clip shorter
    than one window of the spectrogram, 25 ms, is filled up to it by zeros.
    """

    def prepare(self, samples: np.ndarray) -> torch.Tensor:
        """Return the log-mel spectrogram of the clip alone.

        Args:
            samples: One clip, float32 at 16 kHz.

        Returns:
            Shape (n_frames, n_mels), a frame each 10 ms.

        Raises:
            SerError: If the clip is longer than Whisper's 30 s.
        """
        self._refuse_long(samples)
        samples = np.asarray(samples, dtype=np.float32)
        samples = np.pad(samples, (0, max(0, self.extractor.n_fft - len(samples))))
        mel = self.extractor(samples, sampling_rate=RATE, padding="longest", return_tensors="pt").input_features[0]
        return mel.T.contiguous()

    def prefix(self, inputs: torch.Tensor, lengths: torch.Tensor, k: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the output of the first ``k`` blocks, shape (n_clips, n_frames, dim) for k above 0.

        Args:
            inputs: Spectrograms, shape (n_clips, n_frames, n_mels).
            lengths: Frames of each clip, shape (n_clips,).
            k: Number of blocks.

        Returns:
            The output and its lengths: the inputs themselves if k is 0, else a frame for two.
        """
        return self._run(inputs, lengths, 0, k)[:2] if k else (inputs, lengths)

    def suffix(self, hidden: torch.Tensor, lengths: torch.Tensor, k: int) -> Encoded:
        """Return the layers' states from the output of the first ``k`` blocks, as `WhisperEncoder.suffix`.

        Args:
            hidden: What `prefix` gave.
            lengths: The lengths that it gave.
            k: Number of blocks it ran.

        Returns:
            ``n_layers`` states, each of shape (n_clips, n_frames, dim), or None.
        """
        _, lengths, states = self._run(hidden, lengths, k, self.n_layers)
        return Encoded(tuple(states), lengths)

    def _attention(self, lengths: torch.Tensor, n: int) -> torch.Tensor | None:
        """Return the clips' own frames; None where all are."""
        return None if int(lengths.min()) == n else mask_of(lengths, n)[:, None, None]

    def _front(self, mel: torch.Tensor, lengths: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the frames of the first layer and how many of them are each clip's."""
        x = nn.functional.gelu(self.model.conv1(mel.transpose(1, 2)))
        # Its bias makes padding other than zero, and the next convolution would see it.
        x = x.masked_fill(~mask_of(lengths, x.shape[2])[:, None], 0)
        return self._place(x), (lengths - 1) // 2 + 1

"""Encoders of the waveform (wav2vec 2.0, XLS-R, HuBERT, WavLM, data2vec-audio), made blind to padding."""

import numpy as np
import torch
from torch import nn
from transformers import PreTrainedModel, Wav2Vec2FeatureExtractor
from transformers.masking_utils import create_bidirectional_mask

from ser_core.errors import SerError
from ser_core.systems.encoders.base import RATE, Encoded, Encoder, mask_of

_Run = "tuple[torch.Tensor, torch.Tensor, list[torch.Tensor | None]]"


class WaveEncoder(Encoder):
    """wav2vec 2.0, XLS-R, HuBERT, WavLM or data2vec-audio: convolutions on the samples, then transformer layers.

    Its blocks are the convolutions with the projection behind them, then one a transformer layer. The positional
    convolution belongs to the first layer's block, so that SpecAugment, which acts before it, can be had on a frozen
    front end; a norm behind all layers belongs to the last. LayerDrop is left out: every layer always runs.

    The states are the layers' outputs: ``hidden_states[1:]`` of transformers, but in place of the last of them
    ``last_hidden_state``, which the norm behind all layers has passed. A checkpoint's length adapter is not used.

    Args:
        name: Name to bear.
        model: What ``AutoModel`` gave.
        extractor: The checkpoint's feature extractor.
    """

    def __init__(self, name: str, model: PreTrainedModel, extractor: Wav2Vec2FeatureExtractor):
        """Take over a loaded model."""
        super().__init__()
        self.name = name
        self.model = model
        self.extractor = extractor
        self.config = model.config
        self.dim = model.config.hidden_size
        self.n_layers = model.config.num_hidden_layers
        self.stable = getattr(model.config, "do_stable_layer_norm", False)
        if not hasattr(self.config, "mask_feature_min_masks"):
            # WavLM's configuration leaves out what its SpecAugment reads; this is the other families' default.
            self.config.mask_feature_min_masks = 0
        self.set_spec_augment(0.0, 0.0)

    @property
    def blocks(self) -> list[nn.Module]:
        """The front end and each layer."""
        encoder = self.model.encoder
        layers = [[layer] for layer in encoder.layers]
        layers[0] += [encoder.pos_conv_embed, encoder.dropout]
        layers[-1 if self.stable else 0].append(encoder.layer_norm)
        front = [self.model.feature_extractor, self.model.feature_projection]
        return [nn.ModuleList(block) for block in (front, *layers)]

    def set_spec_augment(self, time_prob: float, feature_prob: float) -> None:
        """Mask spans of frames and of channels in training, as transformers does (SpecAugment; Park et al., 2019).

        Off at first. It acts before the first layer, hence not where that is frozen. Spans are as long as the
        checkpoint's configuration says; a masked frame takes the checkpoint's own vector, which is not trained, or
        zeros if it has none. A batch shorter than one span stays as it is.

        Args:
            time_prob: Share of the frames to mask, in [0, 1]; spans may overlap, so that fewer are.
            feature_prob: Share of the channels to set to zero, in [0, 1].

        Raises:
            SerError: If a share is not in [0, 1].
        """
        if not (0 <= time_prob <= 1 and 0 <= feature_prob <= 1):
            raise SerError(f"SpecAugment: shares must be in [0, 1], not {time_prob} and {feature_prob}")
        self.config.apply_spec_augment = time_prob > 0 or feature_prob > 0
        self.config.mask_time_prob, self.config.mask_feature_prob = float(time_prob), float(feature_prob)

    def prepare(self, samples: np.ndarray) -> torch.Tensor:
        """Return the samples, standardised if the checkpoint wants it, shape (n_samples,); at least one frame's."""
        samples = np.asarray(samples, dtype=np.float32)
        values = self.extractor(samples, sampling_rate=RATE, return_tensors="pt").input_values[0]
        shortest = 1
        for kernel, stride in zip(self.config.conv_kernel[::-1], self.config.conv_stride[::-1], strict=True):
            shortest = (shortest - 1) * stride + kernel
        return nn.functional.pad(values, (0, max(0, shortest - len(values))))

    def prefix(self, inputs: torch.Tensor, lengths: torch.Tensor, k: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the output of the first ``k`` blocks, shape (n_clips, n_frames, dim) for k above 0.

        Args:
            inputs: Samples, shape (n_clips, n_samples).
            lengths: Samples of each clip, shape (n_clips,).
            k: Number of blocks.

        Returns:
            The output and the frames of each clip, as the model counts them.
        """
        return self._run(inputs, lengths, 0, k)[:2]

    def suffix(self, hidden: torch.Tensor, lengths: torch.Tensor, k: int) -> Encoded:
        """Return the layers' states from the output of the first ``k`` blocks.

        Args:
            hidden: What `prefix` gave.
            lengths: The lengths that it gave.
            k: Number of blocks it ran.

        Returns:
            ``n_layers`` states, each of shape (n_clips, n_frames, dim). Of the layers within the first ``k`` blocks
            only the output of the last is known; those before it are None.
        """
        _, lengths, states = self._run(hidden, lengths, k, self.n_layers + 1)
        return Encoded(tuple(states), lengths)

    def _run(self, hidden: torch.Tensor, lengths: torch.Tensor, start: int, stop: int) -> _Run:
        """Return the output of the blocks from ``start`` to ``stop``, its lengths, and the states up to there."""
        encoder = self.model.encoder
        states = [*[None] * (start - 2), hidden] if start > 1 else []
        if start == 0 < stop:
            hidden, lengths = self._front(hidden, lengths)
        if stop <= max(start, 1):
            return hidden, lengths, states
        mask = mask_of(lengths, hidden.shape[1])
        if start <= 1:
            hidden = self._positions(hidden, mask)
        if self.config.model_type == "wavlm":
            # Its first layer's attention holds the relative positions of all.
            bias = encoder.layers[0].attention.compute_bias(hidden.shape[1], hidden.shape[1])
            attention = {"attention_mask": mask, "position_bias": bias.repeat(len(hidden), 1, 1)}
        else:
            attention = {"attention_mask": create_bidirectional_mask(self.config, hidden, mask)}
        for i in range(max(start, 1), stop):
            hidden = encoder.layers[i - 1](hidden, **attention)
            hidden = hidden[0] if isinstance(hidden, tuple) else hidden
            if self.stable and i == self.n_layers:
                hidden = encoder.layer_norm(hidden)
            states.append(hidden)
        return hidden, lengths, states

    def _front(self, samples: torch.Tensor, lengths: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the projected frames and their number a clip."""
        first, *rest = self.model.feature_extractor.conv_layers
        norm = getattr(first, "layer_norm", None)
        if isinstance(norm, nn.GroupNorm):
            # It takes mean and deviation over time, so that it must not see the padding.
            x = first.conv(samples[:, None])
            n_frames = (lengths - first.conv.kernel_size[0]) // first.conv.stride[0] + 1
            normed = (norm(clip[None, :, :n])[0].T for clip, n in zip(x, n_frames.tolist(), strict=True))
            x = first.activation(nn.utils.rnn.pad_sequence(list(normed), batch_first=True).transpose(1, 2))
        else:
            x = first(samples[:, None])
        for layer in rest:
            x = layer(x)
        projected = self.model.feature_projection(x.transpose(1, 2))
        projected = projected[0] if isinstance(projected, tuple) else projected
        return projected, self.model._get_feat_extract_output_lengths(lengths)

    def _positions(self, hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Return what the first layer takes: SpecAugment in training, then positions by convolution."""
        encoder = self.model.encoder
        convolution, inside = encoder.pos_conv_embed, mask[..., None]
        if encoder.layers[0].training and hidden.shape[1] >= self.config.mask_time_length:
            # A copy, because it writes into what it is given.
            hidden = self.model._mask_hidden_states(hidden.clone(), attention_mask=mask)
        hidden = hidden * inside
        if hasattr(convolution, "layers"):
            # data2vec-audio stacks convolutions; biases make padding other than zero, and the next would see it.
            x = hidden.transpose(1, 2)
            for layer in convolution.layers:
                x = layer(x) * inside.transpose(1, 2)
            positions = x.transpose(1, 2)
        elif getattr(convolution, "batch_norm", None) is not None:
            normed = convolution.batch_norm(hidden[mask])
            x = torch.zeros_like(hidden, dtype=normed.dtype).masked_scatter(inside, normed).transpose(1, 2)
            positions = convolution.activation(convolution.padding(convolution.conv(x))).transpose(1, 2)
        else:
            positions = convolution(hidden)
        hidden = hidden + positions
        return encoder.dropout(hidden if self.stable else encoder.layer_norm(hidden))

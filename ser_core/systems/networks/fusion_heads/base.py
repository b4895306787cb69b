"""What all fusion heads share: masks, missing modalities, modality dropout; and what their audio-only controls do."""

# The book is built without torch, whose classes stand in the annotations.
from __future__ import annotations

import torch
from torch import nn

from ser_core.errors import SerError
from ser_core.systems.networks import Pooling


class FusionHead(nn.Module):
    """Class scores from the frames and the tokens that two encoders give for each clip.

    Every kind ends in dropout and one linear layer. Neither padding nor what a clip is batched with changes its
    scores. A modality that is missing stands as one frame, or one token, that holds a learnt vector; it starts at zero.
    A kind is a subclass with ``_build`` and ``_mix``, and an `AudioHead` for its control, in a module of its own.

    Args:
        audio_dim: Values a frame.
        text_dim: Values a token.
        n_classes: Number of classes.
        width: Values of a hidden layer, or of a state under cross-attention; ``plain-concat`` has none.
        heads: Attention heads; only cross-attention has them.
        dropout: Share of the fused values, and of the attention weights, that are dropped in training.

    Raises:
        SerError: If the heads do not divide the width.
    """

    def __init__(  # noqa: D107
        self,
        audio_dim: int,
        text_dim: int,
        n_classes: int,
        *,
        width: int = 512,
        heads: int = 8,
        dropout: float = 0.1,
    ):
        super().__init__()
        self.absent_audio = nn.Parameter(torch.zeros(audio_dim))
        self.absent_text = nn.Parameter(torch.zeros(text_dim))
        self.mean = Pooling("mean", audio_dim)
        fused = self._build(audio_dim, text_dim, width, heads, dropout)
        self.classify = nn.Sequential(nn.Dropout(dropout), nn.Linear(fused, n_classes))

    def _build(self, audio_dim: int, text_dim: int, width: int, heads: int, dropout: float) -> int:
        """Make the layers of this kind and return how many values ``_mix`` gives; for the arguments see the class."""
        raise NotImplementedError

    def _mix(
        self, audio: torch.Tensor, audio_mask: torch.Tensor, text: torch.Tensor, text_mask: torch.Tensor
    ) -> torch.Tensor:
        """Return the fused values of each clip, of which a missing modality is one learnt position already.

        Args:
            audio: Frames, shape (n_clips, n_frames, audio_dim); padding is zero.
            audio_mask: True where a frame is not padding.
            text: Tokens, shape (n_clips, n_tokens, text_dim); padding is zero.
            text_mask: True where a token is not padding.

        Returns:
            Shape (n_clips, n_values).
        """
        raise NotImplementedError

    def attention(
        self, audio: torch.Tensor, audio_mask: torch.Tensor, text: torch.Tensor, text_mask: torch.Tensor
    ) -> torch.Tensor:
        """Return how much each frame of one clip attends to each token, the mean over the heads, without dropout.

        Args:
            audio: Frames of one clip, shape (n_frames, audio_dim).
            audio_mask: True where a frame is not padding, shape (n_frames,).
            text: Tokens of the clip, shape (n_tokens, text_dim).
            text_mask: True where a token is not padding, shape (n_tokens,).

        Returns:
            Weights of the valid frames and tokens, shape (n_valid_frames, n_valid_tokens); each row sums to one.

        Raises:
            SerError: If the head has no attention, the shapes do not fit it, or the clip lacks audio or text.
        """
        raise SerError(f"a head of class {type(self).__name__} has no attention weights; only 'cross-attention' has")

    def fuse(
        self,
        audio: torch.Tensor,
        audio_mask: torch.Tensor,
        text: torch.Tensor,
        text_mask: torch.Tensor,
        present: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Return the fused values of each clip, which ``classify`` takes.

        Args:
            audio: Frames, shape (n_clips, n_frames, audio_dim).
            audio_mask: True where a frame is not padding, shape (n_clips, n_frames).
            text: Tokens, shape (n_clips, n_tokens, text_dim).
            text_mask: True where a token is not padding, shape (n_clips, n_tokens).
            present: Whether to use the audio and the text of each clip, boolean, shape (n_clips, 2); all if None.
                What is padding alone is missing in any case.

        Returns:
            Shape (n_clips, n_values).

        Raises:
            SerError: If shapes do not fit each other or the head, a mask is not boolean, or a clip has neither audio
                nor text.
        """
        check_states("audio", audio, audio_mask, len(self.absent_audio))
        check_states("text", text, text_mask, len(self.absent_text))
        if len(audio) != len(text):
            raise SerError(f"audio of {len(audio)} clips and text of {len(text)}; a batch needs both of the same clips")
        here = self._here(audio_mask, text_mask, present)
        audio, audio_mask = _stand_in(audio, audio_mask, here[:, 0], self.absent_audio)
        text, text_mask = _stand_in(text, text_mask, here[:, 1], self.absent_text)
        return self._mix(audio, audio_mask, text, text_mask)

    def forward(self, *batch: torch.Tensor) -> torch.Tensor:
        """Return the scores of each class: logits of shape (n_clips, n_classes), float32.

        Args:
            *batch: The arguments of `fuse`.
        """
        return self.classify(self.fuse(*batch)).float()

    def _here(self, audio_mask: torch.Tensor, text_mask: torch.Tensor, present: torch.Tensor | None) -> torch.Tensor:
        """Whether the audio and the text of each clip are there: shape (n_clips, 2)."""
        here = torch.stack([audio_mask.any(1), text_mask.any(1)], 1)
        if present is not None:
            if present.shape != here.shape or present.dtype != torch.bool:
                raise SerError(
                    f"'present' is {present.dtype} of {tuple(present.shape)}; expected boolean of {tuple(here.shape)}"
                )
            here = here & present
        if not here.any(1).all():
            rows = (~here.any(1)).nonzero()[:, 0].tolist()
            raise SerError(f"rows {rows} of the batch have neither audio nor text; leave such clips out")
        return here


class AudioHead(nn.Module):
    """The audio-only control of a `FusionHead`: what as many trained parameters reach without the text.

    The mean of the frames goes through a network of one hidden layer; a kind of fusion may have a control of its own.

    Args:
        audio_dim: Values a frame.
        n_classes: Number of classes.
        hidden: Values of the hidden layer, from `ser_core.systems.networks.fusion_heads.matched_width`.
        width: Values of a state under cross-attention, as in the fusion; the other kinds have none.
        heads: Attention heads; only cross-attention has them.
        dropout: Share of the hidden values, and of the attention weights, that are dropped in training.

    Raises:
        SerError: If the heads do not divide the width.
    """

    def __init__(  # noqa: D107
        self,
        audio_dim: int,
        n_classes: int,
        *,
        hidden: int,
        width: int = 512,
        heads: int = 8,
        dropout: float = 0.1,
    ):
        super().__init__()
        self.audio_dim = audio_dim
        self.mean = Pooling("mean", audio_dim)
        pooled = self._build(width, heads, dropout)
        self.hidden = nn.Sequential(nn.Linear(pooled, hidden), nn.GELU())
        self.classify = nn.Sequential(nn.Dropout(dropout), nn.Linear(self._finish(hidden), n_classes))

    def _build(self, width: int, heads: int, dropout: float) -> int:
        """Make the layers before the mean and return how many values a frame has behind them."""
        return self.audio_dim

    def _finish(self, hidden: int) -> int:
        """Settle what is trained of the hidden layer and return how many values `fuse` gives."""
        return hidden

    def _frames(self, audio: torch.Tensor, audio_mask: torch.Tensor) -> torch.Tensor:
        """Return the frames whose mean is taken."""
        return audio

    def _widen(self, mean: torch.Tensor, hidden: torch.Tensor) -> torch.Tensor:
        """Return what `fuse` gives, from the mean of the frames and the hidden values."""
        return hidden

    def fuse(self, audio: torch.Tensor, audio_mask: torch.Tensor) -> torch.Tensor:
        """Return the values of each clip that ``classify`` takes.

        Args:
            audio: Frames, shape (n_clips, n_frames, audio_dim).
            audio_mask: True where a frame is not padding, shape (n_clips, n_frames).

        Returns:
            Shape (n_clips, n_values).

        Raises:
            SerError: If shapes do not fit each other or the head, the mask is not boolean, or a clip has no frame.
        """
        check_states("audio", audio, audio_mask, self.audio_dim)
        if not audio_mask.any(1).all():
            rows = (~audio_mask.any(1)).nonzero()[:, 0].tolist()
            raise SerError(f"rows {rows} of the batch have no audio, all that this head hears; leave such clips out")
        mean = self.mean(self._frames(audio.masked_fill(~audio_mask[..., None], 0), audio_mask), audio_mask)
        return self._widen(mean, self.hidden(mean))

    def forward(self, audio: torch.Tensor, audio_mask: torch.Tensor) -> torch.Tensor:
        """Return the scores of each class, shape (n_clips, n_classes), float32; for the arguments see `fuse`."""
        return self.classify(self.fuse(audio, audio_mask)).float()


def check_states(what: str, states: torch.Tensor, mask: torch.Tensor, dim: int) -> None:
    """Raise unless states and mask fit each other and the head.

    Integer masks, as tokenizers return, are refused above all: ``~mask`` is not a logical NOT on integers.

    Args:
        what: ``audio`` or ``text``, for the message.
        states: To be of shape (n_clips, length, dim).
        mask: To be boolean, of shape (n_clips, length).
        dim: Values a frame or token.

    Raises:
        SerError: If one is not so.
    """
    if states.ndim != 3 or states.shape[2] != dim or mask.shape != states.shape[:2] or mask.dtype != torch.bool:
        found = f"{tuple(states.shape)} with a mask of {tuple(mask.shape)}, {mask.dtype}"
        raise SerError(f"{what} is {found}; expected (n_clips, length, {dim}) and a boolean mask of (n_clips, length)")


def _stand_in(
    states: torch.Tensor, mask: torch.Tensor, here: torch.Tensor, absent: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return states and mask in which a missing modality is one position that holds the vector; padding is zero."""
    if not states.shape[1]:
        states, mask = states.new_zeros(len(states), 1, states.shape[2]), mask.new_zeros(len(states), 1)
    first = torch.arange(states.shape[1], device=mask.device) == 0
    states = torch.where(here[:, None, None], states.masked_fill(~mask[..., None], 0), absent)
    return states, torch.where(here[:, None], mask, first)

"""Heads that decide from a clip's audio frames and text tokens, with masks, and audio-only controls of equal size."""

# The book is built without torch, whose classes stand in the annotations.
from __future__ import annotations

import copy

import torch
from torch import nn

from ser_core.errors import SerError
from ser_core.models import Pooling

KINDS = {
    "concat": "means side by side, one hidden layer with GELU",
    "plain-concat": "means side by side, nothing hidden (Sharma's HuBERT with BERT)",
    "gated": "each mean through a hidden layer with GELU, mixed by a learnt sigmoid gate (after Arevalo et al., 2017)",
    "cross-attention": "frames attend to tokens and tokens to frames, once; the two means side by side (Khan)",
}


class _Attention(nn.Module):
    """One set of states attends to another: multi-head attention, residual, layer norm."""

    def __init__(self, width: int, heads: int, dropout: float):
        super().__init__()
        self.attention = nn.MultiheadAttention(width, heads, dropout=dropout, batch_first=True)
        self.norm = nn.LayerNorm(width)

    def forward(self, states: torch.Tensor, others: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Return states of the same shape; the mask is that of the others, True where there is no padding."""
        attended, _ = self.attention(states, others, others, key_padding_mask=~mask, need_weights=False)
        return self.norm(states + attended)


class FusionHead(nn.Module):
    """Class scores from the frames and the tokens that two encoders give for each clip.

    Every kind ends in dropout and one linear layer. Neither padding nor what a clip is batched with changes its
    scores. A modality that is missing stands as one frame, or one token, that holds a learnt vector; it starts at zero.

    Args:
        kind: A key of `KINDS`.
        audio_dim: Values a frame.
        text_dim: Values a token.
        n_classes: Number of classes.
        width: Values of a hidden layer, or of a state under cross-attention; ``plain-concat`` has none.
        heads: Attention heads; only cross-attention has them.
        dropout: Share of the fused values, and of the attention weights, that are dropped in training.
        modality_dropout: Probability, from 0 to 0.5, that a clip's audio is taken for missing in training, and the
            same for its text (after Neverova et al., 2016): never both, and never the only one that is there.

    Raises:
        SerError: If the kind is unknown, the probability is out of range, or the heads do not divide the width.

    Examples:
        >>> head = FusionHead("gated", 3, 2, n_classes=4, width=8).eval()
        >>> frames, tokens = torch.ones(1, 5, 3), torch.ones(1, 2, 2)
        >>> heard, written = torch.ones(1, 5, dtype=torch.bool), torch.zeros(1, 2, dtype=torch.bool)
        >>> head(frames, heard, tokens, written).shape
        torch.Size([1, 4])
    """

    def __init__(  # noqa: D107
        self,
        kind: str,
        audio_dim: int,
        text_dim: int,
        n_classes: int,
        *,
        width: int = 512,
        heads: int = 8,
        dropout: float = 0.1,
        modality_dropout: float = 0.0,
    ):
        super().__init__()
        _check_kind(kind, width, heads)
        if not 0 <= modality_dropout <= 0.5:
            raise SerError(f"modality dropout {modality_dropout} is not from 0 to 0.5; both modalities have the same")
        self.kind, self.modality_dropout = kind, modality_dropout
        self.absent_audio = nn.Parameter(torch.zeros(audio_dim))
        self.absent_text = nn.Parameter(torch.zeros(text_dim))
        self.mean = Pooling("mean", audio_dim)
        if kind == "concat":
            self.hidden = nn.Sequential(nn.Linear(audio_dim + text_dim, width), nn.GELU())
        elif kind == "gated":
            self.audio = nn.Sequential(nn.Linear(audio_dim, width), nn.GELU())
            self.text = nn.Sequential(nn.Linear(text_dim, width), nn.GELU())
            self.gate = nn.Sequential(nn.Linear(2 * width, width), nn.Sigmoid())
        elif kind == "cross-attention":
            self.audio, self.text = nn.Linear(audio_dim, width), nn.Linear(text_dim, width)
            self.audio_to_text = _Attention(width, heads, dropout)
            self.text_to_audio = _Attention(width, heads, dropout)
        fused = {"plain-concat": audio_dim + text_dim, "cross-attention": 2 * width}.get(kind, width)
        self.classify = nn.Sequential(nn.Dropout(dropout), nn.Linear(fused, n_classes))

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
        _check_states("audio", audio, audio_mask, len(self.absent_audio))
        _check_states("text", text, text_mask, len(self.absent_text))
        if len(audio) != len(text):
            raise SerError(f"audio of {len(audio)} clips and text of {len(text)}; a batch needs both of the same clips")
        here = self._here(audio_mask, text_mask, present)
        audio, audio_mask = _stand_in(audio, audio_mask, here[:, 0], self.absent_audio)
        text, text_mask = _stand_in(text, text_mask, here[:, 1], self.absent_text)
        if self.kind == "cross-attention":
            audio, text = self.audio(audio), self.text(text)
            audio, text = self.audio_to_text(audio, text, text_mask), self.text_to_audio(text, audio, audio_mask)
        means = [self.mean(audio, audio_mask), self.mean(text, text_mask)]
        if self.kind == "gated":
            means = [self.audio(means[0]), self.text(means[1])]
        fused = torch.cat(means, 1)
        if self.kind == "concat":
            fused = self.hidden(fused)
        elif self.kind == "gated":
            gate = self.gate(fused)
            fused = gate * means[0] + (1 - gate) * means[1]
        return fused

    def forward(
        self,
        audio: torch.Tensor,
        audio_mask: torch.Tensor,
        text: torch.Tensor,
        text_mask: torch.Tensor,
        present: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Return the scores of each class.

        Args:
            audio: Frames, as in `fuse`.
            audio_mask: True where a frame is not padding.
            text: Tokens.
            text_mask: True where a token is not padding.
            present: Whether to use the audio and the text of each clip.

        Returns:
            Logits of shape (n_clips, n_classes), float32.
        """
        return self.classify(self.fuse(audio, audio_mask, text, text_mask, present)).float()

    def _here(self, audio_mask: torch.Tensor, text_mask: torch.Tensor, present: torch.Tensor | None) -> torch.Tensor:
        """Whether the audio and the text of each clip are used, after modality dropout: shape (n_clips, 2)."""
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
        if self.training and self.modality_dropout:
            # One draw decides on both, so that they never go together.
            draw = torch.rand(len(here), 1, device=here.device)
            dropped = torch.cat([draw < self.modality_dropout, draw >= 1 - self.modality_dropout], 1)
            here = here & ~(dropped & here.all(1, keepdim=True))
        return here


class AudioHead(nn.Module):
    """The audio-only control of a `FusionHead`: what as many trained parameters reach without the text.

    The mean of the frames goes through a network of one hidden layer. Under ``cross-attention`` the frames first attend
    to themselves, by one of the fusion's two directions at the same width. Under ``plain-concat``, which has one layer
    to train, so has the control: beside the mean it reads as many random, fixed, hidden values as make up for the text
    (a random vector functional link, Pao et al., 1994).

    Args:
        kind: The kind of the fusion that it controls, a key of `KINDS`.
        audio_dim: Values a frame.
        n_classes: Number of classes.
        hidden: Values of the hidden layer, from `matched_width`.
        width: Values of a state under cross-attention, as in the fusion; the other kinds have none.
        heads: Attention heads; only cross-attention has them.
        dropout: Share of the hidden values, and of the attention weights, that are dropped in training.

    Raises:
        SerError: If the kind is unknown, or the heads do not divide the width.

    Examples:
        >>> head = AudioHead("concat", 3, n_classes=4, hidden=matched_width("concat", 3, 2, 4, width=64))
        >>> head(torch.ones(1, 5, 3), torch.ones(1, 5, dtype=torch.bool)).shape
        torch.Size([1, 4])
    """

    def __init__(  # noqa: D107
        self,
        kind: str,
        audio_dim: int,
        n_classes: int,
        *,
        hidden: int,
        width: int = 512,
        heads: int = 8,
        dropout: float = 0.1,
    ):
        super().__init__()
        _check_kind(kind, width, heads)
        self.kind, self.audio_dim = kind, audio_dim
        self.mean = Pooling("mean", audio_dim)
        pooled = audio_dim
        if kind == "cross-attention":
            self.audio = nn.Linear(audio_dim, width)
            self.audio_to_audio = _Attention(width, heads, dropout)
            pooled = width
        self.hidden = nn.Sequential(nn.Linear(pooled, hidden), nn.GELU())
        if kind == "plain-concat":
            self.hidden.requires_grad_(False)
            hidden += audio_dim
        self.classify = nn.Sequential(nn.Dropout(dropout), nn.Linear(hidden, n_classes))

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
        _check_states("audio", audio, audio_mask, self.audio_dim)
        if not audio_mask.any(1).all():
            rows = (~audio_mask.any(1)).nonzero()[:, 0].tolist()
            raise SerError(f"rows {rows} of the batch have no audio, all that this head hears; leave such clips out")
        audio = audio.masked_fill(~audio_mask[..., None], 0)
        if self.kind == "cross-attention":
            audio = self.audio(audio)
            audio = self.audio_to_audio(audio, audio, audio_mask)
        mean = self.mean(audio, audio_mask)
        hidden = self.hidden(mean)
        return torch.cat([mean, hidden], 1) if self.kind == "plain-concat" else hidden

    def forward(self, audio: torch.Tensor, audio_mask: torch.Tensor) -> torch.Tensor:
        """Return the scores of each class, shape (n_clips, n_classes), float32; for the arguments see `fuse`."""
        return self.classify(self.fuse(audio, audio_mask)).float()


def matched_width(kind: str, audio_dim: int, text_dim: int, n_classes: int, width: int) -> int:
    """Return the ``hidden`` with which an `AudioHead` has as many trained parameters as a `FusionHead`, within 1 %.

    Args:
        kind: A key of `KINDS`.
        audio_dim: Values a frame.
        text_dim: Values a token.
        n_classes: Number of classes.
        width: The width of the fusion.

    Returns:
        The number of hidden values, at least 1.

    Raises:
        SerError: If the kind is unknown, or one hidden value more or less is over 1 % of so small a fusion.

    Examples:
        >>> matched_width("concat", 768, 768, 8, width=512)
        1020
    """
    # Nothing is drawn or stored on the meta device; the number of heads does not count.
    with torch.device("meta"):
        wanted = _trained(FusionHead(kind, audio_dim, text_dim, n_classes, width=width, heads=1))
        one, two = (
            _trained(AudioHead(kind, audio_dim, n_classes, hidden=hidden, width=width, heads=1)) for hidden in (1, 2)
        )
    hidden = max(1, 1 + round((wanted - one) / (two - one)))
    found = one + (hidden - 1) * (two - one)
    if abs(found - wanted) > 0.01 * wanted:
        raise SerError(f"'{kind}' has {wanted} parameters, the nearest audio-only head {found}; take a greater width")
    return hidden


def attention_weights(
    head: FusionHead, audio: torch.Tensor, audio_mask: torch.Tensor, text: torch.Tensor, text_mask: torch.Tensor
) -> torch.Tensor:
    """Return how much each frame of one clip attends to each token, the mean over the heads, without dropout.

    Args:
        head: A fusion of kind ``cross-attention``.
        audio: Frames of one clip, shape (n_frames, audio_dim).
        audio_mask: True where a frame is not padding, shape (n_frames,).
        text: Tokens of the clip, shape (n_tokens, text_dim).
        text_mask: True where a token is not padding, shape (n_tokens,).

    Returns:
        Weights of the valid frames and tokens, shape (n_valid_frames, n_valid_tokens); each row sums to one.

    Raises:
        SerError: If the head has no attention, the shapes do not fit it, or the clip lacks audio or text.

    Examples:
        >>> head = FusionHead("cross-attention", 3, 2, n_classes=4, width=8)
        >>> mask = torch.tensor([True, True, False])
        >>> attention_weights(head, torch.ones(3, 3), mask, torch.ones(3, 2), mask).tolist()
        [[0.5, 0.5], [0.5, 0.5]]
    """
    if head.kind != "cross-attention":
        raise SerError(f"a head of kind '{head.kind}' has no attention weights; only 'cross-attention' has")
    _check_states("audio", audio[None], audio_mask[None], len(head.absent_audio))
    _check_states("text", text[None], text_mask[None], len(head.absent_text))
    if not (audio_mask.any() and text_mask.any()):
        raise SerError("the clip lacks audio or text, so nothing attends to anything; choose a clip that has both")
    # A copy, so that a head in training stays in training.
    attention = copy.deepcopy(head.audio_to_text.attention).eval()
    with torch.no_grad():
        frames, tokens = head.audio(audio[audio_mask])[None], head.text(text[text_mask])[None]
        return attention(frames, tokens, tokens)[1][0]


def _check_kind(kind: str, width: int, heads: int) -> None:
    if kind not in KINDS:
        raise SerError(f"unknown kind of fusion '{kind}'; expected one of {sorted(KINDS)}")
    if kind == "cross-attention" and width % heads:
        raise SerError(f"{heads} attention heads do not divide a width of {width}; change one of them")


def _check_states(what: str, states: torch.Tensor, mask: torch.Tensor, dim: int) -> None:
    """Refuse above all masks of 0 and 1, as tokenizers give them: their inverse would be no mask."""
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


def _trained(module: nn.Module) -> int:
    """Number of trained parameters."""
    return sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)

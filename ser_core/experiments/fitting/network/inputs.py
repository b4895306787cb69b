"""What a fold's clips are to the network: samples or words, prepared inputs, and what frozen blocks make of them."""

# The book is built without torch, whose classes stand in the annotations.
from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from transformers import set_seed

from ser_core.data import audio, corpora
from ser_core.errors import SerError
from ser_core.systems import encoders
from ser_core.systems.augmentation import augment_waveform, mask_image, mix
from ser_core.systems.encoders.base import RATE, Encoder, pad
from ser_core.systems.settings import Augmentation, Recipe


def recordings(corpus: str, trim: bool, max_seconds: float | None) -> dict[str, np.ndarray]:
    """Return the samples of every clip of a corpus at `ser_core.systems.encoders.base.RATE` Hz.

    Args:
        corpus: A corpus whose recordings are in ``SER_DATA``, or a union of such.
        trim: Cut the silence at both ends.
        max_seconds: Keep at most this much, the middle of a clip.

    Returns:
        float32 samples by clip.

    Raises:
        SerError: If a recording is not there or is another than the Clips table's.
    """
    found = {}
    for clip, row in corpora.table(corpus).iterrows():
        path = corpora.audio_path(row)
        samples, rate = audio.read(path)
        if audio.content_hash(samples, rate) != row["sha256"]:
            raise SerError(f"{path} is another recording than the Clips table's {row['path']}; fetch it again")
        samples = audio.resample(samples, rate, RATE)
        if trim:
            samples = audio.trim_silence(samples, RATE)
        if max_seconds is not None and (extra := len(samples) - round(max_seconds * RATE)) > 0:
            samples = samples[extra // 2 : len(samples) - (extra - extra // 2)]
        found[clip] = samples
    return found


class Part(torch.utils.data.Dataset):
    """One part of a fold, as the Trainer reads it.

    Args:
        versions: For each clip the tensors of which one is taken at a time; or its samples, to be changed each time.
        labels: Class of each clip, shape (n_clips,).
        augmentation: What is done to a clip each time it is read; None for a part that is only predicted.
        encoder: Prepares samples after waveform effects.
        seed: Of every random choice, with the epoch and the clip's place.
        texts: For each clip the tensor of its words, beside that of its sound, and whether it has any words; None for
            a network of one encoder.
    """

    def __init__(  # noqa: D107
        self,
        versions: Sequence[Sequence[torch.Tensor | np.ndarray]],
        labels: Sequence[int],
        augmentation: Augmentation | None = None,
        encoder: Encoder | None = None,
        seed: int = 0,
        texts: Sequence[tuple[torch.Tensor, bool]] | None = None,
    ):
        self.versions = versions
        self.labels = labels
        self.augmentation = augmentation
        self.encoder = encoder
        self.seed = seed
        self.texts = texts
        self.epoch = 0
        self.lengths = [len(clip[0]) for clip in versions]

    def __len__(self) -> int:  # noqa: D105
        return len(self.versions)

    def __getitem__(self, i: int) -> dict:  # noqa: D105
        how, clip = self.augmentation, self.versions[i]
        item = {"labels": int(self.labels[i]), "inputs": clip[0]}
        if how is not None:
            item["rng"] = rng = np.random.default_rng([self.seed, self.epoch, i])
            clip = clip[rng.integers(len(clip))]
            if isinstance(clip, np.ndarray):
                clip = self.encoder.prepare(augment_waveform(clip, RATE, how, rng))
            if how.image:
                clip = mask_image(clip.flatten(1), how, rng).view_as(clip)
            item["inputs"] = clip
        if self.texts is not None:
            item["texts"], item["spoken"] = self.texts[i]
        return item

    def collate(self, items: list[dict]) -> dict[str, torch.Tensor]:
        """Return a padded batch, with mixed clips if the part is augmented by mixup."""
        inputs, lengths = pad([item["inputs"] for item in items])
        labels = torch.tensor([item["labels"] for item in items])
        batch = {"inputs": inputs, "lengths": lengths, "labels": labels}
        if "texts" in items[0]:
            texts, text_lengths = pad([item["texts"] for item in items])
            spoken = torch.tensor([item["spoken"] for item in items])
            batch |= {"texts": texts, "text_lengths": text_lengths, "spoken": spoken}
        # The Trainer collates the dev part with this too, whose items have no generator.
        if "rng" in items[0] and self.augmentation.mixup > 0:
            inputs, lengths, permutation, shares = mix(inputs.float(), lengths, self.augmentation, items[0]["rng"])
            batch |= {"inputs": inputs, "lengths": lengths, "others": labels[permutation], "shares": shares}
        return batch


def frozen_encoder(recipe: Recipe, seed: int) -> Encoder:
    """Return the encoder of a recipe, frozen as it says.

    Args:
        recipe: Its recipe.
        seed: Draws the weights of an encoder without published ones.

    Raises:
        SerError: If the encoder is not at hand, or has fewer blocks than the recipe freezes.
    """
    set_seed(seed)
    encoder = encoders.load(recipe.encoder, revision=recipe.revision)
    n = len(encoder.blocks)
    if recipe.freeze != "all" and recipe.freeze > n:
        raise SerError(f"recipe: 'freeze' is {recipe.freeze}, but {recipe.encoder} has {n} blocks")
    encoder.freeze(n if recipe.freeze == "all" else recipe.freeze)
    return encoder


def prefixed(encoder: Encoder, inputs: Sequence[torch.Tensor], k: int, precision: str) -> list[torch.Tensor]:
    """Return what the first ``k`` blocks make of each clip; clips of like length go together.

    Args:
        encoder: An encoder; it acts as in evaluation.
        inputs: Prepared clips, time first.
        k: Number of blocks.
        precision: ``bf16`` or ``fp32``.

    Returns:
        A tensor for each clip, time first, on the CPU.
    """
    order = np.argsort([len(clip) for clip in inputs], kind="stable")
    found: list = [None] * len(inputs)
    device = next(encoder.parameters()).device
    keep = torch.bfloat16 if precision == "bf16" else torch.float32
    encoder.eval()
    with torch.no_grad(), torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
        for start in range(0, len(order), 16):
            which = order[start : start + 16]
            batch, lengths = pad([inputs[i] for i in which])
            hidden, lengths = encoder.prefix(batch.to(device), lengths.to(device), k)
            for i, clip, n in zip(which, hidden.to("cpu", keep), lengths.tolist(), strict=True):
                found[i] = clip[:n].clone()
    return found


def _noise(states: torch.Tensor, i: int) -> torch.Tensor:
    """Return noise in the place of the states of the clip of this number."""
    drawn = np.random.default_rng([4, i]).standard_normal(states.shape, dtype=np.float32)
    return torch.from_numpy(drawn).to(states.dtype)


class Material:
    """What a network is given of a corpus's clips, prepared once for all folds and seeds.

    Args:
        samples: By clip its mono samples at `ser_core.systems.encoders.base.RATE` Hz; None for a network that hears
            nothing.
        texts: By clip its turns, the clip's own last, see `ser_core.data.transcripts.texts`; None for a network that
            reads nothing.
    """

    def __init__(  # noqa: D107
        self, samples: dict[str, np.ndarray] | None, texts: dict[str, tuple[str, ...]] | None = None
    ):
        self.samples, self.texts = samples, texts
        self._prepared: dict[tuple, dict[str, torch.Tensor]] = {}

    def prepared(self, recipe: Recipe, seed: int, cached: int, copy: int = 0) -> dict[str, torch.Tensor]:
        """Return the prepared inputs, or what the first ``cached`` blocks make of them.

        Args:
            recipe: What `Recipe.of_inputs` or `Recipe.of_texts` left of one.
            seed: Draws the weights of an encoder without published ones.
            cached: How many blocks have been through with a clip.
            copy: 0 for the clips themselves, a number above for one version changed by the recipe's waveform effects.

        Returns:
            A tensor by clip, time first.
        """
        key = (recipe, seed, cached, copy)
        if key not in self._prepared:
            self._prepared[key] = self._prepare(*key)
        return self._prepared[key]

    def _prepare(self, recipe: Recipe, seed: int, cached: int, copy: int) -> dict[str, torch.Tensor]:
        encoder = frozen_encoder(recipe, seed)
        clips = self.texts if recipe.reads else self.samples
        if copy:
            how = Augmentation.from_mapping(recipe.augmentation)
            rng = [np.random.default_rng([copy, i]) for i in range(len(clips))]
            clips = {clip: augment_waveform(x, RATE, how, r) for (clip, x), r in zip(clips.items(), rng, strict=True)}
        found = {clip: encoder.prepare(x) for clip, x in clips.items()}
        if cached:
            found = dict(zip(found, prefixed(encoder, list(found.values()), cached, recipe.precision), strict=True))
        if recipe.words == "random":
            # Same number of tokens as the real text; only their values differ.
            found = {clip: _noise(x, i) for i, (clip, x) in enumerate(sorted(found.items()))}
        return found

    def said(self, recipe: Recipe, cached: int) -> dict[str, tuple[torch.Tensor, bool]] | None:
        """Return the prepared words of every clip that are read beside its sound, and whether it has any.

        Args:
            recipe: The recipe.
            cached: How many blocks of its text encoder have been through with them.

        Returns:
            By clip a tensor, tokens first, and False for a clip without text, whose tensor is that of an empty one;
            None for a network of one encoder.
        """
        if not (recipe.text and recipe.reads):
            return None
        states = self.prepared(recipe.of_texts().of_inputs(), 0, cached)
        return {clip: (states[clip], bool(turns[-1])) for clip, turns in self.texts.items()}

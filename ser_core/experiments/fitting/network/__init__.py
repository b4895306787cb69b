"""Fine-tuning: how one fold trains an encoder, by transformers' Trainer, and predicts its test part."""

# The book is built without torch, whose classes stand in the annotations.
from __future__ import annotations

import functools
import math
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from transformers import Trainer, set_seed

from ser_core.data import transcripts
from ser_core.experiments.fitting.network import checkpoints, inputs
from ser_core.experiments.fitting.network.inputs import Material, Part
from ser_core.experiments.fitting.network.trainer import make_trainer
from ser_core.experiments.fold import Fold
from ser_core.experiments.specs import NetworkSystem
from ser_core.systems import speaker_probe
from ser_core.systems.encoders.base import Encoder
from ser_core.systems.networks import SpeechClassifier
from ser_core.systems.settings import Augmentation, Recipe


def material(system: NetworkSystem) -> Material:
    """Return what a network is given of its corpus; a process keeps the last one, for the next fold or seed.

    Args:
        system: The system.

    Raises:
        SerError: If recordings or texts are not there.
    """
    recipe = system.recipe
    heard = (recipe.trim, recipe.max_seconds) if recipe.hears else None
    return _material(system.corpus, heard, (recipe.context, recipe.words) if recipe.reads else None)


@functools.lru_cache(maxsize=1)
def _material(corpus: str, heard: tuple | None, read: tuple | None) -> Material:
    samples = inputs.recordings(corpus, *heard) if heard else None
    return Material(samples, transcripts.texts(corpus, *read) if read else None)


def fit_fold(
    system: NetworkSystem, fold: Fold, given: Material, *, folder: Path | None = None, progress: bool = False
) -> tuple[pd.DataFrame, dict]:
    """Train on one fold's train part, stop by its dev part, and predict dev and test.

    Args:
        system: The system.
        fold: The fold.
        given: What it hears and reads of the corpus's clips.
        folder: Where the Trainer keeps its checkpoints, to go on from the last whole one there, see
            `ser_core.experiments.fitting.network.checkpoints`; a temporary folder if None.
        progress: Show the Trainer's progress bar.

    Returns:
        The predictions of the test and dev clips, with the column ``part``, and of the speaker probe, see
        `ser_core.systems.speaker_probe.speakers`. And the facts: clips of each part, learning curve, parameters and,
        of a network that reads, how many clips of the fold's parts are without text.

    Raises:
        SerError: If the recipe does not fit the encoder.
    """
    if folder is None:
        with tempfile.TemporaryDirectory() as temporary:
            return fit_fold(system, fold, given, folder=Path(temporary), progress=progress)
    recipe, seed, n_classes = system.recipe, fold.seed, len(fold.classes)
    encoder = inputs.frozen_encoder(recipe, seed)
    cached = _cached(recipe, encoder)
    # Published weights do not depend on the seed, so one cache serves all seeds.
    drawn = seed if encoder.initialisation == "random initialisation" else 0
    own = given.prepared(recipe.of_inputs(), drawn, cached)
    encoder.calibrate([own[clip] for clip in fold.train])
    reader = inputs.frozen_encoder(recipe.of_texts(), seed) if recipe.text else None
    text_cached = _cached(recipe.of_texts(), reader) if recipe.text else 0
    said = given.said(recipe, text_cached)
    train, filled = _training_part(recipe, fold, given, encoder, cached, drawn, said)
    parts = {role: which for role, which in (("dev", fold.dev), ("test", fold.test)) if which}
    rest = {}
    for role, which in parts.items():
        texts = None if said is None else [said[clip] for clip in which]
        rest[role] = Part([[own[clip]] for clip in which], fold.targets(which).tolist(), texts=texts)

    weights = None
    if recipe.class_weights:
        counts = np.bincount(train.labels, minlength=n_classes)
        weights = torch.tensor(counts.sum() / (n_classes * counts), dtype=torch.float32)
    # How many random numbers were used so far depends on what is kept from other folds.
    set_seed(seed)
    model = _model(recipe, encoder, reader, n_classes, weights, cached, text_cached)
    before = _embeddings(model, rest["test"])
    trainer = make_trainer(model, recipe, train, rest.get("dev") if recipe.patience else None, seed, folder, progress)
    _train(trainer, folder)
    tables = []
    for role, data in rest.items():
        scores = torch.as_tensor(trainer.predict(data).predictions, dtype=torch.float64).softmax(1).numpy()
        tables.append(fold.predictions(parts[role], scores.argmax(1), scores).assign(part=role))
    tested = fold.clips.loc[list(fold.test)]
    for when, vectors in (("before", before), ("after", _embeddings(model, rest["test"]))):
        probe = speaker_probe.speakers(vectors, tested)
        if probe is not None:
            tables.append(probe.assign(fold=fold.number, seed=seed, part=f"speakers-{when}"))
    trained = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    facts = fold.sizes | {
        "n_filled": filled,
        "curve": _curve(trainer.state.log_history),
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "trained": trained,
        "initialisation": encoder.initialisation,
        "device": str(trainer.args.device),
    }
    if recipe.reads:
        read = given.texts
        facts["n_without_text"] = sum(not read[clip][-1] for clip in (*fold.train, *fold.dev, *fold.test))
        # The licence of dialogues forbids to write their words, even as tokens, to run.json.
        committable = system.corpus not in transcripts.READERS
        if recipe.text and recipe.fusion == "cross-attention" and committable:
            if any(read[clip][-1].strip() for clip in fold.test):
                facts["attention"] = _attention(model, rest["test"], fold.test, read)
    return pd.concat(tables, ignore_index=True), facts


def _train(trainer: Trainer, folder: Path) -> None:
    """Train, from the last whole checkpoint if there is one; checkpoints that a kill or a full disk cut are deleted."""
    found = checkpoints.last(folder)
    if trainer.is_world_process_zero():
        checkpoints.keep(folder, found)
    if found is not None and (epochs := checkpoints.epochs_when_stopped(found)):
        # The Trainer does not remember that patience had run out, and would train another epoch.
        trainer.args.num_train_epochs = epochs
    trainer.train(resume_from_checkpoint=None if found is None else str(found))


def _model(
    recipe: Recipe,
    encoder: Encoder,
    reader: Encoder | None,
    n_classes: int,
    weights: torch.Tensor | None,
    cached: int,
    text_cached: int,
) -> torch.nn.Module:
    """Return the network of a recipe, untrained."""
    shared = {
        "layers": recipe.layers,
        "dropout": recipe.dropout,
        "class_weights": weights,
        "label_smoothing": recipe.label_smoothing,
        "cached": cached,
    }
    if reader is None:
        return SpeechClassifier(encoder, n_classes, pooling=recipe.pooling, **shared)
    # Imported here, because a Run of one encoder does not hang on its code.
    from ser_core.systems.networks.fused import FusionClassifier

    return FusionClassifier(
        encoder,
        reader,
        n_classes,
        kind=recipe.fusion,
        width=recipe.width,
        text_cached=text_cached,
        **shared,
    )


def _cached(recipe: Recipe, encoder: Encoder) -> int:
    """Return how many blocks each clip can go through once and for all epochs."""
    if encoder.calibrated or recipe.anew:
        return 0
    # The state of an early layer is gone once later blocks have been run.
    most = {"last": encoder.frozen, "weighted": encoder.front}
    return min(encoder.frozen, most[recipe.layers] if recipe.layers in most else recipe.layers + encoder.front)


def _training_part(
    recipe: Recipe,
    fold: Fold,
    given: Material,
    encoder: Encoder,
    cached: int,
    drawn: int,
    said: dict[str, tuple[torch.Tensor, bool]] | None,
) -> tuple[Part, int]:
    """Return the training part of a fold, the only one that is augmented, and how many clips fill up its classes."""
    how = Augmentation.from_mapping(recipe.augmentation) if recipe.augmentation else None
    if recipe.anew:
        samples = [given.samples]
    else:
        samples = [given.prepared(recipe.of_inputs(), drawn, cached, copy) for copy in range(1 + recipe.copies)]
    clips, labels = list(fold.train), fold.targets(fold.train).tolist()
    versions = [[version[clip] for version in samples] for clip in clips]
    fills = _fills(labels, fold.seed) if recipe.balance else []
    for i, copy in fills:
        versions.append([given.prepared(recipe.of_inputs(), drawn, cached, copy)[clips[i]]])
        clips.append(clips[i])
        labels.append(labels[i])
    texts = None if said is None else [said[clip] for clip in clips]
    return Part(versions, labels, how, encoder, fold.seed, texts), len(fills)


def _fills(labels: list[int], seed: int) -> list[tuple[int, int]]:
    """Return which clips, and which changed version of each, bring every class to the size of the largest.

    No clip of a class has one version more than another has two less; which clips have one more is drawn.
    """
    labels, rng = np.array(labels), np.random.default_rng([seed, 1])
    most, found = np.bincount(labels).max(), []
    for name in np.unique(labels):
        own = rng.permutation(np.flatnonzero(labels == name)).tolist()
        found += [(own[k % len(own)], 1 + k // len(own)) for k in range(most - len(own))]
    return found


def _batches(model: torch.nn.Module, part: Part) -> Iterator[dict[str, torch.Tensor]]:
    """Yield a part's clips in their order, as `model` takes them outside of the Trainer."""
    device = next(model.parameters()).device
    for start in range(0, len(part), 16):
        batch = part.collate([part[i] for i in range(start, min(start + 16, len(part)))])
        del batch["labels"]
        # What frozen blocks made may be kept in half precision, and there is no autocast here.
        batch = {name: x.float() if name in ("inputs", "texts") else x for name, x in batch.items()}
        yield {name: x.to(device) for name, x in batch.items()}


def _embeddings(model: torch.nn.Module, part: Part) -> np.ndarray:
    """Return the pooled vectors of a part, shape (n_clips, dim)."""
    model.eval()
    with torch.no_grad():
        found = [model.embed(**batch) for batch in _batches(model, part)]
    return torch.cat(found).float().cpu().numpy()


def _attention(model: torch.nn.Module, part: Part, clips: Sequence[str], read: dict[str, tuple[str, ...]]) -> dict:
    """Return how frames attend to tokens: in the first clip that has words, and in all of them how evenly.

    Evenness is the entropy of a frame's weights in units of that of equal weights, the mean over frames and clips: 1
    if every frame attends to every token alike.
    """
    model.eval()
    weights = []
    with torch.no_grad():
        for batch in _batches(model, part):
            del batch["spoken"]
            weights += model.attention(**batch)
    found = {clip: found.cpu() for clip, found in zip(clips, weights, strict=True) if read[clip][-1].strip()}
    even = [torch.special.entr(w).sum(1).mean().item() / math.log(w.shape[1]) for w in found.values()]
    first = min(found)
    return {
        "clip": first,
        "tokens": model.reader.tokens(read[first]),
        "weights": [[round(x, 4) for x in row] for row in found[first].tolist()],
        "evenness": round(float(np.mean(even)), 4),
    }


def _curve(history: list[dict]) -> list[dict]:
    """Return the loss, and the metric and loss on the dev part, of each epoch from the Trainer's log."""
    epochs: dict[int, dict] = {}
    for row in history:
        entry = epochs.setdefault(round(row["epoch"]), {"epoch": round(row["epoch"])})
        for key in ("loss", "eval_uar", "eval_weighted_f1", "eval_loss"):
            if key in row:
                entry[key.replace("eval", "dev")] = round(float(row[key]), 4)
    return [epochs[epoch] for epoch in sorted(epochs)]

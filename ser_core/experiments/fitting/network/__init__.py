"""Fine-tuning: how one fold of a cell trains an encoder, by transformers' Trainer, and predicts its test part."""

# The book is built without torch, whose classes stand in the annotations.
from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from transformers import Trainer, set_seed

from ser_core.data import transcripts
from ser_core.errors import SerError
from ser_core.experiments.cells import TrainingCell, classes, clips_of, division, parts, predictions
from ser_core.experiments.fitting.network import checkpoints, inputs
from ser_core.experiments.fitting.network.inputs import Part
from ser_core.experiments.fitting.network.trainer import make_trainer
from ser_core.systems import speaker_probe
from ser_core.systems.augmentation import assert_training_only
from ser_core.systems.encoders.base import Encoder
from ser_core.systems.networks import SpeechClassifier
from ser_core.systems.settings import Augmentation, Recipe


def fit_fold(cell: TrainingCell, seed: int, fold: int, *, folder: Path | None = None, progress: bool = False):
    """Train on one fold's train part, stop by its dev part, and predict dev and test.

    Args:
        cell: The system.
        seed: One of its seeds.
        fold: A fold of its Folds.
        folder: Where the Trainer keeps its checkpoints, to go on from the last whole one there, see
            `ser_core.experiments.fitting.network.checkpoints`; a temporary folder if None.
        progress: Show the Trainer's progress bar.

    Returns:
        The predictions of the test and dev clips, with the column ``part``, and of the speaker probe, see
        `ser_core.systems.speaker_probe.speakers`; of a network trained with modality dropout also those of the test
        clips with their words withheld (``without-words``) and with their sound withheld (``without-sound``). And the
        facts: clips of each part, learning curve, parameters and, of a network that reads, how many clips of the
        fold's parts are without text.

    Raises:
        SerError: If the test part holds a class that the train part does not, or the recipe does not fit the encoder.
    """
    if folder is None:
        with tempfile.TemporaryDirectory() as temporary:
            return fit_fold(cell, seed, fold, folder=Path(temporary), progress=progress)
    recipe, clips, part = cell.recipe, clips_of(cell.corpus, cell.labels), parts(cell, seed, fold)
    names = classes(cell, part)
    code = {name: i for i, name in enumerate(names)}
    encoder = inputs.frozen_encoder(recipe, seed)
    cached = _cached(recipe, encoder)
    # What has published weights is the same for every seed.
    drawn = seed if encoder.initialisation == "random initialisation" else 0
    own = inputs.prepared(cell.corpus, recipe.of_inputs(), drawn, cached, 0)
    encoder.calibrate([own[clip] for clip in part["train"]])
    reader = inputs.frozen_encoder(recipe.of_texts(), seed) if recipe.text else None
    text_cached = _cached(recipe.of_texts(), reader) if recipe.text else 0
    train, filled = _training_part(cell, seed, fold, code, encoder, cached, drawn, text_cached)
    said = _said(cell.corpus, recipe, text_cached)
    rest = {}
    for role in ("dev", "test"):
        if role in part:
            labels = clips.loc[part[role], "emotion"].map(code).tolist()
            texts = None if said is None else [said[clip] for clip in part[role]]
            rest[role] = Part([[own[clip]] for clip in part[role]], labels, texts=texts)

    weights = None
    if recipe.class_weights:
        counts = np.bincount(train.labels, minlength=len(names))
        weights = torch.tensor(counts.sum() / (len(names) * counts), dtype=torch.float32)
    # Whatever was drawn until here depends on what was kept from other folds.
    set_seed(seed)
    model = _model(recipe, encoder, reader, len(names), weights, cached, text_cached)
    before = _embeddings(model, rest["test"])
    trainer = make_trainer(model, recipe, train, rest.get("dev") if recipe.patience else None, seed, folder, progress)
    _train(trainer, folder)
    if recipe.modality_dropout:
        rest |= _withheld(rest["test"])
    tables = []
    for role, data in rest.items():
        scores = torch.as_tensor(trainer.predict(data).predictions, dtype=torch.float64).softmax(1).numpy()
        answers = [names[i] for i in scores.argmax(1)]
        which = part["dev" if role == "dev" else "test"]
        tables.append(predictions(cell, seed, fold, which, answers, scores, names).assign(part=role))
    test = clips.loc[part["test"]]
    for when, vectors in (("before", before), ("after", _embeddings(model, rest["test"]))):
        probe = speaker_probe.speakers(vectors, test)
        if probe is not None:
            tables.append(probe.assign(fold=fold, seed=seed, part=f"speakers-{when}"))
    trained = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    facts = {
        "n_train": len(part["train"]),
        "n_extra": len(train) - filled - len(part["train"]),
        "n_filled": filled,
        "n_dev": len(part.get("dev", ())),
        "n_test": len(part["test"]),
        "curve": _curve(trainer.state.log_history),
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "trained": trained,
        "initialisation": encoder.initialisation,
        "device": str(trainer.args.device),
    }
    if recipe.reads:
        read = transcripts.texts(cell.corpus, recipe.context, recipe.words)
        facts["n_without_text"] = sum(not read[clip][-1] for which in part.values() for clip in which)
        # Of dialogues not even the tokens may be kept.
        if recipe.text and recipe.fusion == "cross-attention" and cell.corpus not in transcripts.READERS:
            if any(read[clip][-1].strip() for clip in part["test"]):
                facts["attention"] = _attention(model, rest["test"], part["test"], read)
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


def _withheld(test: Part) -> dict[str, Part]:
    """Return a test part without the words of its clips, and one without the sound of those that have words."""
    unread = [(states, False) for states, _ in test.texts]
    return {
        "without-words": Part(test.versions, test.labels, texts=unread),
        "without-sound": Part(test.versions, test.labels, texts=test.texts, heard=False),
    }


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
        modality_dropout=recipe.modality_dropout,
        text_cached=text_cached,
        **shared,
    )


def _said(corpus: str, recipe: Recipe, text_cached: int) -> dict[str, tuple[torch.Tensor, bool]] | None:
    """Return the words of every clip that are read beside its sound, None if none are."""
    return inputs.spoken(corpus, recipe.of_texts(), text_cached) if recipe.text and recipe.reads else None


def _cached(recipe: Recipe, encoder: Encoder) -> int:
    """Return how many blocks each clip can go through once and for all epochs."""
    if encoder.calibrated or recipe.anew:
        return 0
    # The state of an early layer is gone once later blocks have been run.
    most = {"last": encoder.frozen, "weighted": 2}
    return min(encoder.frozen, most[recipe.layers] if recipe.layers in most else recipe.layers + 2)


def _training_part(
    cell: TrainingCell,
    seed: int,
    fold: int,
    code: dict[str, int],
    encoder: Encoder,
    cached: int,
    drawn: int,
    text_cached: int,
) -> tuple[Part, int]:
    """Return the training part of a fold, with the clips of other corpora, and how many more fill up its classes."""
    recipe, which = cell.recipe, parts(cell, seed, fold)["train"]
    how = Augmentation.from_mapping(recipe.augmentation) if recipe.augmentation else None
    if how is not None:
        assert_training_only(division(cell, seed), which, fold)
    clips, versions, labels, texts = [], [], [], []
    for corpus in (cell.corpus, *recipe.extra):
        words = clips_of(corpus, cell.labels)["emotion"]
        words = words[which] if corpus == cell.corpus else words[words.isin(list(code))]
        if not len(words):
            raise SerError(
                f"{cell.system}: no clip of '{corpus}' has one of the classes {sorted(code)}; "
                f"choose labels that both corpora share, such as common4, or leave it out of 'extra'"
            )
        if recipe.anew:
            samples = [inputs.recordings(corpus, recipe.trim, recipe.max_seconds)]
        else:
            copies = range(1 + recipe.copies)
            samples = [inputs.prepared(corpus, recipe.of_inputs(), drawn, cached, copy) for copy in copies]
        clips += [(corpus, clip) for clip in words.index]
        versions += [[version[clip] for version in samples] for clip in words.index]
        labels += words.map(code).tolist()
        if said := _said(corpus, recipe, text_cached):
            texts += [said[clip] for clip in words.index]
    fills = _fills(labels, seed) if recipe.balance else []
    for i, copy in fills:
        corpus, clip = clips[i]
        versions.append([inputs.prepared(corpus, recipe.of_inputs(), drawn, cached, copy)[clip]])
        labels.append(labels[i])
        texts += [texts[i]] if texts else []
    return Part(versions, labels, how, encoder, seed, texts or None), len(fills)


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


def _attention(model: torch.nn.Module, part: Part, clips: list[str], read: dict[str, tuple[str, ...]]) -> dict:
    """Return how frames attend to tokens: in the first clip that has words, and in all of them how evenly.

    Evenness is the entropy of a frame's weights in units of that of equal weights, the mean over frames and clips: 1
    if every frame attends to every token alike.
    """
    model.eval()
    weights = []
    with torch.no_grad():
        for batch in _batches(model, part):
            del batch["spoken"], batch["heard"]
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

"""Fine-tuning: how one fold of a cell trains an encoder, by transformers' Trainer, and predicts its test part."""

import functools
import math
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from ser_core import audio, corpora, encoders, metrics, probing, runs
from ser_core.augmentation import Augmentation, assert_training_only, augment_waveform, mask_image, mix
from ser_core.encoders.base import RATE, Encoder, pad
from ser_core.errors import SerError
from ser_core.experiments import TrainingCell, clips_of, division
from ser_core.models import SpeechClassifier
from ser_core.recipes import Recipe


@functools.lru_cache(maxsize=1)
def recordings(corpus: str, trim: bool, max_seconds: float | None) -> dict[str, np.ndarray]:
    """Return the samples of every clip of a corpus at `ser_core.encoders.base.RATE` Hz.

    Args:
        corpus: A corpus whose recordings are in ``SER_DATA``.
        trim: Cut the silence at both ends.
        max_seconds: Keep at most this much, the middle of a clip.

    Returns:
        float32 samples by clip.

    Raises:
        SerError: If a recording is not there or is another than the Clips table's.
    """
    folder = corpora.folder_of(corpus)
    found = {}
    for clip, row in corpora.table(corpus).iterrows():
        path = corpora.audio_path(row, folder)
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
    """

    def __init__(  # noqa: D107
        self,
        versions: Sequence[Sequence[torch.Tensor | np.ndarray]],
        labels: Sequence[int],
        augmentation: Augmentation | None = None,
        encoder: Encoder | None = None,
        seed: int = 0,
    ):
        self.versions = versions
        self.labels = labels
        self.augmentation = augmentation
        self.encoder = encoder
        self.seed = seed
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
        return item

    def collate(self, items: list[dict]) -> dict[str, torch.Tensor]:
        """Return a padded batch, with mixed clips if the part is augmented by mixup."""
        inputs, lengths = pad([item["inputs"] for item in items])
        labels = torch.tensor([item["labels"] for item in items])
        batch = {"inputs": inputs, "lengths": lengths, "labels": labels}
        # The Trainer collates the dev part with this too, whose items have no generator.
        if "rng" in items[0] and self.augmentation.mixup > 0:
            inputs, lengths, permutation, shares = mix(inputs.float(), lengths, self.augmentation, items[0]["rng"])
            batch |= {"inputs": inputs, "lengths": lengths, "others": labels[permutation], "shares": shares}
        return batch


def _prefixed(encoder: Encoder, inputs: Sequence[torch.Tensor], k: int, precision: str) -> list[torch.Tensor]:
    """Return what the first ``k`` blocks make of each clip; clips of like length go together."""
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


@functools.lru_cache(maxsize=16)
def _inputs(corpus: str, recipe: Recipe, seed: int, cached: int, copy: int) -> dict[str, torch.Tensor]:
    """Return the prepared inputs of a corpus, or what the first ``cached`` blocks make of them, for every fold.

    Copy 0 is the clips themselves, those above are changed by the recipe's waveform effects.
    """
    encoder = _encoder(recipe, seed)
    clips = recordings(corpus, recipe.trim, recipe.max_seconds)
    if copy:
        how = Augmentation.from_mapping(recipe.augmentation)
        rng = [np.random.default_rng([copy, i]) for i in range(len(clips))]
        clips = {clip: augment_waveform(x, RATE, how, r) for (clip, x), r in zip(clips.items(), rng, strict=True)}
    found = {clip: encoder.prepare(x) for clip, x in clips.items()}
    if cached:
        found = dict(zip(found, _prefixed(encoder, list(found.values()), cached, recipe.precision), strict=True))
    return found


def _encoder(recipe: Recipe, seed: int) -> Encoder:
    """Return the encoder of a recipe, frozen as it says; what has no published weights is drawn with the seed."""
    from transformers import set_seed

    set_seed(seed)
    encoder = encoders.load(recipe.encoder, revision=recipe.revision)
    n = len(encoder.blocks)
    if recipe.freeze != "all" and recipe.freeze > n:
        raise SerError(f"recipe: 'freeze' is {recipe.freeze}, but {recipe.encoder} has {n} blocks")
    encoder.freeze(n if recipe.freeze == "all" else recipe.freeze)
    return encoder


def parameter_groups(model: SpeechClassifier, recipe: Recipe) -> list[dict]:
    """Return the optimizer's groups: a learning rate for each block of the encoder, one for the rest.

    The last block has the recipe's ``learning_rate``, each before it ``layer_decay`` times that of the next;
    biases and normalisations are not decayed.

    Args:
        model: The classifier.
        recipe: Its recipe.

    Returns:
        Groups for a torch optimizer; parameters without gradients are in none.
    """
    blocks = model.encoder.blocks
    rates = {}
    for i, block in enumerate(blocks):
        for parameter in block.parameters():
            rates[parameter] = recipe.learning_rate * recipe.layer_decay ** (len(blocks) - 1 - i)
    groups: dict[tuple, list] = {}
    for parameter in model.parameters():
        if parameter.requires_grad:
            rate = rates.get(parameter, recipe.head_learning_rate)
            groups.setdefault((rate, recipe.weight_decay if parameter.ndim > 1 else 0.0), []).append(parameter)
    return [{"params": found, "lr": lr, "weight_decay": decay} for (lr, decay), found in groups.items()]


def _trainer(
    model: SpeechClassifier, recipe: Recipe, train: Part, dev: Part | None, seed: int, folder: Path, bar: bool
):
    """Return the Trainer of a fold."""
    import transformers
    from transformers.trainer_pt_utils import LengthGroupedSampler

    class SpeechTrainer(transformers.Trainer):
        def _get_train_sampler(self, train_dataset=None):
            # transformers would read every clip to learn its length.
            size = self.args.train_batch_size * self.args.gradient_accumulation_steps
            generator = torch.Generator().manual_seed(seed)
            return LengthGroupedSampler(size, lengths=train.lengths, generator=generator)

        def get_train_dataloader(self):
            self.data_collator = train.collate
            return super().get_train_dataloader()

    class Epochs(transformers.TrainerCallback):
        def on_epoch_begin(self, args, state, control, **_):
            train.epoch = round(state.epoch or 0)

    def scores(evaluated) -> dict[str, float]:
        matrix = metrics.confusion(evaluated.label_ids, evaluated.predictions.argmax(1), range(model.head.out_features))
        return {"uar": float(metrics.uar(matrix))}

    steps = math.ceil(math.ceil(len(train) / recipe.batch_size) / recipe.accumulation) * recipe.epochs
    every = "epoch" if dev is not None else "no"
    arguments = transformers.TrainingArguments(
        output_dir=str(folder),
        num_train_epochs=recipe.epochs,
        per_device_train_batch_size=recipe.batch_size,
        per_device_eval_batch_size=2 * recipe.batch_size,
        gradient_accumulation_steps=recipe.accumulation,
        lr_scheduler_type={"constant": "constant_with_warmup"}.get(recipe.schedule, recipe.schedule),
        warmup_steps=round(recipe.warmup * steps),
        bf16=recipe.precision == "bf16",
        eval_strategy=every,
        save_strategy=every,
        save_total_limit=1,
        load_best_model_at_end=dev is not None,
        metric_for_best_model="uar",
        logging_strategy="epoch",
        label_names=["labels"],
        remove_unused_columns=False,
        use_cpu=not torch.cuda.is_available(),
        seed=seed,
        report_to="none",
        disable_tqdm=not bar,
        log_level="error",
    )
    callbacks = [Epochs()]
    if dev is not None:
        callbacks.append(transformers.EarlyStoppingCallback(recipe.patience))
    trainer = SpeechTrainer(
        model,
        arguments,
        data_collator=train.collate,
        train_dataset=train,
        eval_dataset=dev,
        compute_metrics=scores,
        callbacks=callbacks,
        optimizers=(torch.optim.AdamW(parameter_groups(model, recipe)), None),
    )
    trainer.remove_callback(transformers.PrinterCallback)
    return trainer


def _embeddings(model: SpeechClassifier, part: Part) -> np.ndarray:
    """Return the pooled vectors of a part, shape (n_clips, dim)."""
    device = next(model.parameters()).device
    model.eval()
    found = []
    with torch.no_grad():
        for start in range(0, len(part), 16):
            inputs, lengths = pad([clip[0] for clip in part.versions[start : start + 16]])
            found.append(model.embed(inputs.float().to(device), lengths.to(device)))
    return torch.cat(found).float().cpu().numpy()


def fit_fold(cell: TrainingCell, seed: int, fold: int, *, folder: Path | None = None, progress: bool = False):
    """Train on one fold's train part, stop by its dev part, and predict dev and test.

    Args:
        cell: The system.
        seed: One of its seeds.
        fold: A fold of its Folds.
        folder: Where the Trainer keeps its checkpoints, to go on from the last one there; a temporary folder if None.
        progress: Show the Trainer's progress bar.

    Returns:
        The predictions of the test and dev clips, with the column ``part``, and of the speaker probe, see
        `ser_core.probing.speakers`; and the facts: clips of each part, learning curve, parameters.

    Raises:
        SerError: If the test part holds a class that the train part does not, or the recipe does not fit the encoder.
    """
    if folder is None:
        with tempfile.TemporaryDirectory() as temporary:
            return fit_fold(cell, seed, fold, folder=Path(temporary), progress=progress)
    from transformers import set_seed

    recipe, clips, folds = cell.recipe, clips_of(cell.corpus, cell.labels), division(cell, seed)
    part = {role: rows["clip"].tolist() for role, rows in folds[folds["fold"] == fold].groupby("role", observed=True)}
    names = sorted(clips.loc[part["train"], "emotion"].unique())
    if absent := sorted(set(clips.loc[part["test"], "emotion"]) - set(names)):
        raise SerError(f"{cell.system}: fold {fold} tests the classes {absent}, which its training part does not have")
    code = {name: i for i, name in enumerate(names)}
    label = {role: clips.loc[which, "emotion"].map(code).tolist() for role, which in part.items()}

    augmentation = Augmentation.from_mapping(recipe.augmentation) if recipe.augmentation else None
    if augmentation is not None:
        assert_training_only(folds, part["train"], fold)
    encoder = _encoder(recipe, seed)
    anew = augmentation is not None and augmentation.waveform and not recipe.copies
    # The state of an early layer is gone once later blocks have been run.
    kept = {"last": encoder.frozen, "weighted": 2}
    kept = kept[recipe.layers] if recipe.layers in kept else recipe.layers + 2
    cached = 0 if anew or encoder.calibrated else min(encoder.frozen, kept)
    # What has published weights is the same for every seed.
    drawn = seed if encoder.initialisation == "random initialisation" else 0
    copies = range(1 + recipe.copies)
    versions, labels = [], []
    for corpus in (cell.corpus, *recipe.extra):
        made = [_inputs(corpus, recipe.of_inputs(), drawn, cached, copy) for copy in copies]
        if corpus == cell.corpus:
            inputs, which, words = made[0], part["train"], clips.loc[part["train"], "emotion"]
            encoder.calibrate([inputs[clip] for clip in which])
        else:
            words = clips_of(corpus, cell.labels)["emotion"]
            words = words[words.isin(names)]
            which = words.index
        samples = [recordings(corpus, recipe.trim, recipe.max_seconds)] if anew else made
        versions += [[version[clip] for version in samples] for clip in which]
        labels += words.map(code).tolist()
    train = Part(versions, labels, augmentation, encoder, seed)
    rest = {
        role: Part([[inputs[clip]] for clip in part[role]], label[role]) for role in ("dev", "test") if role in part
    }

    weights = None
    if recipe.class_weights:
        counts = np.bincount(labels, minlength=len(names))
        weights = torch.tensor(counts.sum() / (len(names) * counts), dtype=torch.float32)
    # Whatever was drawn until here depends on what was kept from other folds.
    set_seed(seed)
    model = SpeechClassifier(
        encoder,
        len(names),
        layers=recipe.layers,
        pooling=recipe.pooling,
        dropout=recipe.dropout,
        class_weights=weights,
        label_smoothing=recipe.label_smoothing,
        cached=cached,
    )
    before = _embeddings(model, rest["test"])
    trainer = _trainer(model, recipe, train, rest.get("dev") if recipe.patience else None, seed, folder, progress)
    from transformers.trainer_utils import get_last_checkpoint

    trainer.train(resume_from_checkpoint=get_last_checkpoint(str(folder)))
    tables = []
    for role, data in rest.items():
        scores = torch.as_tensor(trainer.predict(data).predictions, dtype=torch.float64).softmax(1).numpy()
        who = clips.loc[part[role]]
        table = {
            "clip": part[role],
            "speaker": who["speaker"].to_numpy(),
            "fold": fold,
            "seed": seed,
            "truth": who["emotion"].to_numpy(),
            "prediction": [names[i] for i in scores.argmax(1)],
            "part": role,
        }
        probabilities = {runs.PROBABILITY + name: scores[:, i].astype("float32") for i, name in enumerate(names)}
        tables.append(pd.DataFrame(table | probabilities))
    test = clips.loc[part["test"]]
    for when, vectors in (("before", before), ("after", _embeddings(model, rest["test"]))):
        probe = probing.speakers(vectors, test)
        if probe is not None:
            tables.append(probe.assign(fold=fold, seed=seed, part=f"speakers-{when}"))
    trained = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    facts = {
        "n_train": len(part["train"]),
        "n_extra": len(train) - len(part["train"]),
        "n_dev": len(part.get("dev", ())),
        "n_test": len(part["test"]),
        "curve": _curve(trainer.state.log_history),
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "trained": trained,
        "initialisation": encoder.initialisation,
        "device": str(trainer.args.device),
    }
    return pd.concat(tables, ignore_index=True), facts


def _curve(history: list[dict]) -> list[dict]:
    """Return loss and dev UAR of each epoch from the Trainer's log."""
    epochs: dict[int, dict] = {}
    for row in history:
        entry = epochs.setdefault(round(row["epoch"]), {"epoch": round(row["epoch"])})
        for key, name in (("loss", "loss"), ("eval_uar", "dev_uar"), ("eval_loss", "dev_loss")):
            if key in row:
                entry[name] = round(float(row[key]), 4)
    return [epochs[epoch] for epoch in sorted(epochs)]

"""How many clips a second an encoder is fine-tuned on: by a plain recipe, and by `fitting.network`.

From the repository, in the environment of `make test`; SER_WEIGHTS, if set, gives BYOL-S its published weights:

    python benchmarks/finetuning.py --device cpu --size byol-s
    python benchmarks/finetuning.py --device cpu --size tiny
    python benchmarks/finetuning.py --device cuda --size byol-s
    python benchmarks/finetuning.py --device cuda --size base
    python benchmarks/finetuning.py --device cuda --size xls-r-300m

Each writes results/benchmarks/finetuning.<device>.<size>.json and takes about a minute on two idle cores. The plain
recipe computes in float32, pads every batch to the longest clip of all, draws batches at random, runs the frozen blocks
anew in every epoch, and attends by matrix products (transformers' ``eager``). Before anything is timed both sides train
from the same weights on the same batches in the same order, and their losses must agree step by step.
"""

import copy
import functools
import tempfile
from collections.abc import Sequence
from pathlib import Path

import measuring
import numpy as np
import side_by_side
import torch
import transformers
from torch import nn

from ser_core.experiments.fitting.network.inputs import Part, prefixed
from ser_core.experiments.fitting.network.trainer import make_trainer, parameter_groups
from ser_core.systems.encoders import pad
from ser_core.systems.encoders.hub.wave import WaveEncoder
from ser_core.systems.networks import SpeechClassifier
from ser_core.systems.settings import Recipe

N_CLASSES = 4
EPOCHS = 2
"""The first is the warm-up, the rest is timed."""

FROZEN = {
    "byol-s": {"last block": 3, "all blocks": 0},
    "tiny": {"upper half": 3, "all layers": 1},
    "base": {"upper half": 7, "all layers": 1},
    "xls-r-300m": {"upper half": 13, "all layers": 1},
}
"""What is trained, and so how many blocks are frozen; the first of wav2vec 2.0, its convolutions, always is."""

TOLERANCE = {"cpu": {"fp32": 1e-3, "bf16": 0.05}, "cuda": {"fp32": 0.01, "bf16": 0.05}}
"""How far the losses of a step may be apart; on a GPU torch rounds float32 convolutions to ten bits (TF32)."""


class Noted(Part):
    """A training part that notes in which order its clips are read."""

    def __init__(self, *arguments, **keywords):
        """Begin with an empty note."""
        super().__init__(*arguments, **keywords)
        self.read: list[int] = []

    def __getitem__(self, i: int) -> dict:
        """Return a clip as ever."""
        self.read.append(i)
        return super().__getitem__(i)


class Clock(transformers.TrainerCallback):
    """Notes the time at which each epoch begins and ends."""

    def __init__(self):
        """Begin with an empty note."""
        self.times: list[float] = []

    def on_epoch_begin(self, args, state, control, **_):
        """Note the time."""
        self.times.append(side_by_side.synchronised())

    def on_epoch_end(self, args, state, control, **_):
        """Note the time."""
        self.times.append(side_by_side.synchronised())


def ours(model: SpeechClassifier, recipe: Recipe, hidden: list[torch.Tensor], labels: list[int]) -> tuple:
    """Train by `ser_core.experiments.fitting.network` on what the frozen blocks made of the clips.

    Args:
        model: The classifier; a copy of it is trained.
        recipe: How.
        hidden: What the frozen blocks made of each clip.
        labels: Class of each clip.

    Returns:
        Seconds of each epoch, loss of each step, and the batches in their order.
    """
    part, clock = Noted([[clip] for clip in hidden], labels), Clock()
    with tempfile.TemporaryDirectory() as folder:
        trainer = make_trainer(copy.deepcopy(model), recipe, part, None, 0, Path(folder), False)
        trainer.args.logging_strategy, trainer.args.logging_steps = transformers.IntervalStrategy.STEPS, 1
        trainer.add_callback(clock)
        trainer.train()
    seconds = np.diff(clock.times)[::2].tolist()
    epochs = np.reshape(part.read[: recipe.epochs * len(part)], (recipe.epochs, len(part)))
    batches = [[e[i : i + recipe.batch_size] for i in range(0, len(part), recipe.batch_size)] for e in epochs]
    return seconds, [row["loss"] for row in trainer.state.log_history if "loss" in row], batches


def plain(
    model: SpeechClassifier,
    recipe: Recipe,
    inputs: tuple[torch.Tensor, torch.Tensor],
    labels: Sequence[int],
    batches: list[list[np.ndarray]],
) -> tuple[list[float], list[float]]:
    """Train by a loop as a script has it.

    Args:
        model: The classifier; a copy of it is trained, with the ordinary attention.
        recipe: How; its precision is not heeded.
        inputs: All clips, padded to the longest, and their lengths.
        labels: Class of each clip.
        batches: The clips of each batch of each epoch.

    Returns:
        Seconds of each epoch and loss of each step.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = copy.deepcopy(model).to(device).train()
    model.cached = 0
    if isinstance(model.encoder, WaveEncoder):
        model.encoder.model.set_attn_implementation("eager")
    batch, lengths, labels = *inputs, torch.tensor(labels)
    optimizer = torch.optim.AdamW(parameter_groups(model, recipe))
    steps = sum(map(len, batches))
    schedule = transformers.get_scheduler(recipe.schedule, optimizer, round(recipe.warmup * steps), steps)
    seconds, losses = [], []
    for epoch in batches:
        start = side_by_side.synchronised()
        for which in map(torch.as_tensor, epoch):
            loss = model(batch[which].to(device), lengths[which].to(device), labels[which].to(device))["loss"]
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
            losses.append(loss.item())
        seconds.append(side_by_side.synchronised() - start)
    return seconds, losses


def measure(given, clips: list[np.ndarray], encoder, frozen: int) -> dict:
    """Compare both sides with some blocks frozen.

    Args:
        given: The settings of the command line.
        clips: The sounds.
        encoder: The encoder; it is changed.
        frozen: How many blocks are.

    Returns:
        Greatest difference of the losses by precision, the losses, clips a second, and seconds for the frozen blocks.
    """
    torch.manual_seed(0)
    encoder.freeze(frozen)
    model = SpeechClassifier(encoder.to(given.device), N_CLASSES, cached=frozen)
    size = 32 if given.device == "cuda" and given.size != "xls-r-300m" else 8
    recipe = functools.partial(
        Recipe, freeze=frozen, epochs=EPOCHS, patience=None, batch_size=size, dropout=0.0, class_weights=False
    )
    inputs = [encoder.prepare(clip) for clip in clips]
    labels = np.random.default_rng(0).integers(N_CLASSES, size=len(clips)).tolist()
    padded = pad(inputs)

    def hidden_of(precision: str) -> list[torch.Tensor]:
        return prefixed(encoder, inputs, frozen, precision) if frozen else inputs

    losses, off = {}, {}
    for precision, tolerance in TOLERANCE[given.device].items():
        _, losses[precision], batches = ours(model, recipe(precision=precision), hidden_of(precision), labels)
        if "plain" not in losses:
            _, losses["plain"] = plain(model, recipe(), padded, labels, batches)
        off[precision] = float(np.abs(np.subtract(losses[precision], losses["plain"])).max())
        if not off[precision] <= tolerance:
            raise SystemExit(f"error: losses in {precision} are off by {off[precision]:.2g}, more than {tolerance:g}")

    start = side_by_side.synchronised()
    hidden = hidden_of("bf16")
    once = side_by_side.synchronised() - start
    rng = np.random.default_rng(0)

    def rate(seconds: list[float]) -> float:
        return len(clips) * (EPOCHS - 1) / sum(seconds[1:])

    def plain_turn() -> float:
        orders = [np.array_split(rng.permutation(len(clips)), range(size, len(clips), size)) for _ in range(EPOCHS)]
        return rate(plain(model, recipe(), padded, labels, orders)[0])

    rates = measuring.turns(
        {"plain": plain_turn, "ours": lambda: rate(ours(model, recipe(), hidden, labels)[0])}, given.repeats
    )
    return {
        "frozen_blocks": frozen,
        "batch_size": size,
        "off": off,
        "losses": {name: [round(loss, 4) for loss in values] for name, values in losses.items()},
        "clips_per_second": {name: side_by_side.spread(values) for name, values in rates.items()},
        "seconds_for_frozen_blocks_once": once if frozen else 0.0,
    }


def main() -> None:
    """Check that both sides have the same losses, time them, write the file."""
    given = side_by_side.arguments("finetuning", {"cpu": 24, "cuda": 256})
    clips = side_by_side.sounds(given.clips)
    found = {}
    for name, frozen in FROZEN[given.size].items():
        encoder = side_by_side.encoder(given.size)
        found[name] = measure(given, clips, encoder, frozen)
    side_by_side.write(given, clips, encoder, {"trained": found, "tolerance": TOLERANCE[given.device]})


if __name__ == "__main__":
    main()

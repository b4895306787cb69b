"""transformers' Trainer, as a recipe sets it: length groups, learning rates by block, stopping by the dev part."""

import math
import os
from pathlib import Path

import torch
import transformers
from transformers.trainer_pt_utils import LengthGroupedSampler

from ser_core.errors import SerError
from ser_core.evaluation import metrics
from ser_core.experiments.fitting.network import checkpoints
from ser_core.experiments.fitting.network.inputs import Part
from ser_core.systems.encoders.base import Encoder
from ser_core.systems.settings import Recipe


def parameter_groups(model: torch.nn.Module, recipe: Recipe) -> list[dict]:
    """Return the optimizer's groups: a learning rate for each block of an encoder, one for the rest.

    The last block of an encoder has the recipe's ``learning_rate``, each before it ``layer_decay`` times that of the
    next; biases and normalisations are not decayed.

    Args:
        model: The classifier.
        recipe: Its recipe.

    Returns:
        Groups for a torch optimizer; parameters without gradients are in none.
    """
    rates = {}
    for encoder in model.modules():
        if isinstance(encoder, Encoder):
            blocks = encoder.blocks
            for i, block in enumerate(blocks):
                for parameter in block.parameters():
                    rates[parameter] = recipe.learning_rate * recipe.layer_decay ** (len(blocks) - 1 - i)
    groups: dict[tuple, list] = {}
    for parameter in model.parameters():
        if parameter.requires_grad:
            rate = rates.get(parameter, recipe.head_learning_rate)
            groups.setdefault((rate, recipe.weight_decay if parameter.ndim > 1 else 0.0), []).append(parameter)
    return [{"params": found, "lr": lr, "weight_decay": decay} for (lr, decay), found in groups.items()]


def make_trainer(
    model: torch.nn.Module, recipe: Recipe, train: Part, dev: Part | None, seed: int, folder: Path, bar: bool
):
    """Return the Trainer of a fold.

    Args:
        model: The classifier.
        recipe: Its recipe.
        train: The training part.
        dev: The part that decides when to stop; None for all epochs of the recipe.
        seed: Of the order of the clips, and of all that the Trainer draws.
        folder: Where it keeps its checkpoints.
        bar: Show its progress bar.

    Raises:
        SerError: If the processes of ``accelerate launch`` cannot share a batch evenly.
    """
    steps = math.ceil(math.ceil(len(train) / recipe.batch_size) / recipe.accumulation) * recipe.epochs
    every = "epoch" if dev is not None else "no"
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    if recipe.batch_size % processes:
        raise SerError(f"{processes} processes cannot share a batch_size of {recipe.batch_size}; take a multiple")
    arguments = transformers.TrainingArguments(
        output_dir=str(folder),
        num_train_epochs=recipe.epochs,
        per_device_train_batch_size=recipe.batch_size // processes,
        per_device_eval_batch_size=2 * recipe.batch_size,
        gradient_accumulation_steps=recipe.accumulation,
        lr_scheduler_type={"constant": "constant_with_warmup"}.get(recipe.schedule, recipe.schedule),
        warmup_steps=round(recipe.warmup * steps),
        bf16=recipe.precision == "bf16",
        eval_strategy=every,
        save_strategy=every,
        load_best_model_at_end=dev is not None,
        metric_for_best_model=recipe.select,
        logging_strategy="epoch",
        label_names=["labels"],
        remove_unused_columns=False,
        use_cpu=not torch.cuda.is_available(),
        seed=seed,
        # On resume, restore the early-stopping counter as well.
        restore_callback_states_from_checkpoint=True,
        report_to="none",
        disable_tqdm=not bar,
        log_level="error",
    )
    size = arguments.train_batch_size * processes * arguments.gradient_accumulation_steps
    order = LengthGroupedSampler(size, lengths=train.lengths, generator=torch.Generator().manual_seed(seed))

    class SpeechTrainer(transformers.Trainer):
        # transformers would read every clip to learn its length.
        def _get_train_sampler(self, train_dataset=None):
            return order

    class Epochs(transformers.TrainerCallback):
        def on_train_begin(self, args, state, control, **_):
            # A training that goes on from a checkpoint has drawn the order of the epochs before it already.
            for _ in range(round(state.epoch or 0)):
                list(order)
            # The folder may have moved since, and the Trainer would then predict by the last epoch, not by the best.
            if state.best_global_step:
                state.best_model_checkpoint = str(checkpoints.at(folder, state.best_global_step))

        def on_epoch_begin(self, args, state, control, **_):
            train.epoch = round(state.epoch or 0)

        def on_save(self, args, state, control, **_):
            # Every process writes its own random state.
            trainer.accelerator.wait_for_everyone()
            if state.is_world_process_zero:
                saved = checkpoints.at(folder, state.global_step)
                checkpoints.seal(saved)
                # Not by the Trainer, which deletes the checkpoint before this one while this one is not whole yet.
                checkpoints.keep(folder, saved)

    def scores(evaluated) -> dict[str, float]:
        logits = evaluated.predictions
        matrix = metrics.confusion(evaluated.label_ids, logits.argmax(1), range(logits.shape[1]))
        return {recipe.select: float(metrics.METRICS[recipe.select](matrix))}

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

"""Checkpoints that count only when whole: each is sealed by a list of its files, written last."""

import json
import shutil
from pathlib import Path

from ser_core import files

SEAL = "whole.json"
"""The file in a checkpoint that lists the others, as sha256 by name; it is written after all of them."""


def at(folder: Path, step: int) -> Path:
    """Return where the Trainer keeps its checkpoint of a step.

    Args:
        folder: The Trainer's folder.
        step: Number of optimizer steps done, as the Trainer's ``state.global_step``.
    """
    return Path(folder) / f"checkpoint-{step}"


def seal(checkpoint: Path) -> None:
    """Write the list of a checkpoint's files: from then on it is whole.

    Args:
        checkpoint: Its folder, in which the Trainer has written everything.
    """
    files.write_json(_files(checkpoint), checkpoint / SEAL)


def whole(checkpoint: Path) -> bool:
    """Return whether a checkpoint has every file it was sealed with, byte for byte, and so has its best one.

    The Trainer goes on without the optimizer or the random state if their files are missing, and predicts by the last
    epoch if the best one is: both change the predictions without a word.

    Args:
        checkpoint: Its folder.

    Examples:
        >>> import tempfile
        >>> checkpoint = at(tempfile.mkdtemp(), 5)
        >>> checkpoint.mkdir()
        >>> _ = (checkpoint / "trainer_state.json").write_text('{"best_global_step": null}')
        >>> whole(checkpoint)
        False
        >>> seal(checkpoint)
        >>> whole(checkpoint)
        True
    """
    return _sealed(checkpoint) and all(_sealed(path) for path in _needed(checkpoint) - {checkpoint})


def last(folder: Path) -> Path | None:
    """Return the whole checkpoint of the most steps; None if no checkpoint is whole.

    Args:
        folder: The Trainer's folder; it need not exist.
    """
    found = sorted(Path(folder).glob("checkpoint-*"), key=lambda path: int(path.name.partition("-")[2]))
    return next((path for path in reversed(found) if whole(path)), None)


def keep(folder: Path, checkpoint: Path | None) -> None:
    """Delete all checkpoints but one and that of the best epoch until then.

    Args:
        folder: The Trainer's folder.
        checkpoint: The one to keep; None to keep none.
    """
    kept = set() if checkpoint is None else _needed(checkpoint)
    for path in Path(folder).glob("checkpoint-*"):
        if path not in kept:
            shutil.rmtree(path, ignore_errors=True)


def epochs_when_stopped(checkpoint: Path) -> int | None:
    """Return after how many epochs patience had run out by the time of a checkpoint; None if it had not.

    Args:
        checkpoint: A whole one.
    """
    state = _state(checkpoint)
    stopped = state["stateful_callbacks"]["TrainerControl"]["args"]["should_training_stop"]
    return round(state["epoch"]) if stopped else None


def _state(checkpoint: Path) -> dict:
    return json.loads((checkpoint / "trainer_state.json").read_text(encoding="utf-8"))


def _needed(checkpoint: Path) -> set[Path]:
    """Return a checkpoint and that of the best epoch until then, which may be the same."""
    best = _state(checkpoint).get("best_global_step")
    return {checkpoint, at(checkpoint.parent, best)} if best else {checkpoint}


def _sealed(checkpoint: Path) -> bool:
    """Return whether a checkpoint has exactly the files that its seal lists."""
    try:
        return json.loads((checkpoint / SEAL).read_text(encoding="utf-8")) == _files(checkpoint)
    # Another process may be deleting it.
    except (OSError, ValueError):
        return False


def _files(checkpoint: Path) -> dict[str, str]:
    """Return the sha256 of each file of a checkpoint by name, without its seal."""
    paths = sorted(path for path in checkpoint.rglob("*") if path.is_file() and path.name != SEAL)
    return {path.relative_to(checkpoint).as_posix(): files.sha256(path) for path in paths}

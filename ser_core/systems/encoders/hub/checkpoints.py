"""Where a checkpoint of transformers is, and how its model is read: with all its weights, or not at all."""

import contextlib
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import torch
from huggingface_hub import constants, snapshot_download
from transformers import AutoModel, PreTrainedConfig, PreTrainedModel
from transformers.utils import logging

from ser_core.errors import SerError

OFFLINE = {"local_files_only": True, "trust_remote_code": False}
"""What every reader of transformers is told: download nothing, run no code of a checkpoint."""


def folder_of(name: str, revision: str | None) -> Path:
    """Return where a checkpoint's files are.

    Args:
        name: A folder, or the Hub id of a checkpoint in the Hugging Face cache.
        revision: The commit of a Hub id.

    Returns:
        An existing folder.

    Raises:
        SerError: If there is no such folder, the commit is not named or not in the cache, or a folder has a revision.

    Examples:
        >>> folder_of("roberta-base", None)
        Traceback (most recent call last):
        ser_core.errors.SerError: roberta-base: no such folder, and no Hub id (owner/model); name one of them
    """
    folder = Path(name).expanduser()
    if folder.is_dir():
        if revision is not None:
            raise SerError(f"{name}: is a folder, which has no revision such as {revision}; leave the revision out")
        return folder
    if not re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", name):
        raise SerError(f"{name}: no such folder, and no Hub id (owner/model); name one of them")
    if not re.fullmatch(r"[0-9a-f]{40}", str(revision)):
        raise SerError(
            f"{name}: revision {revision} is no commit of 40 hex digits; pin one that "
            f"https://huggingface.co/{name}/commits/main lists, or name a folder with the checkpoint (none is here)"
        )
    try:
        return Path(snapshot_download(name, revision=revision, local_files_only=True))
    except (OSError, ValueError) as error:
        raise SerError(
            f"{name}: commit {revision} is not in the Hugging Face cache, {constants.HF_HUB_CACHE}; get it by "
            f"'hf download {name} --revision {revision}', or name a folder with the checkpoint"
        ) from error


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Yield with transformers' report on the keys and its bar silenced: what matters of them is checked here."""
    level, bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bar:
            logging.enable_progress_bar()


@contextlib.contextmanager
def reading(name: str, what: str, folder: Path) -> Iterator[None]:
    """Turn whatever transformers says of a broken file into one line.

    Args:
        name: The checkpoint, as it was asked for.
        what: What is read.
        folder: Where it is read.

    Yields:
        Nothing; the reading goes into the block.

    Raises:
        SerError: If anything in the block goes wrong.
    """
    try:
        yield
    except Exception as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise SerError(f"{name}: cannot read {what} in {folder} ({reason}); fetch the checkpoint again") from error


def read_model(name: str, folder: Path, config: PreTrainedConfig, attention: str) -> tuple[PreTrainedModel, set[str]]:
    """Return a checkpoint's model in float32, and which of its weights the checkpoint does not have.

    Args:
        name: The checkpoint, as it was asked for.
        folder: Where its files are.
        config: Its configuration.
        attention: Implementation of the attention, ``sdpa`` or ``eager``.

    Returns:
        The model, and the names of the weights that are missing or have another shape, which are random.

    Raises:
        SerError: If there are no weights, or they cannot be read.
    """
    # The commits of most base encoders that studies used have pytorch_model.bin alone.
    safe = any(folder.glob("*.safetensors"))
    if not safe and not any(folder.glob("pytorch_model*.bin")):
        raise SerError(f"{name}: no weights in {folder}, neither model.safetensors nor pytorch_model.bin; fetch them")
    with reading(name, "the weights", folder):
        model, report = AutoModel.from_pretrained(
            folder,
            config=config,
            dtype=torch.float32,
            attn_implementation=attention,
            use_safetensors=safe,
            weights_only=True,  # torch's reader that runs no code, where there are no safetensors
            output_loading_info=True,
            ignore_mismatched_sizes=True,
            **OFFLINE,
        )
    return model, {*report["missing_keys"], *(key for key, *_ in report["mismatched_keys"])}


def refuse_missing(name: str, folder: Path, missing: Iterable[str]) -> None:
    """Refuse a checkpoint that lacks weights.

    Args:
        name: The checkpoint, as it was asked for.
        folder: Where its files are.
        missing: Names of the weights that it should have and does not.

    Raises:
        SerError: If there are any.

    Examples:
        >>> refuse_missing("mine", Path("mine"), [])
    """
    if missing := sorted(missing):
        raise SerError(
            f"{name}: {len(missing)} weights of the encoder are missing in {folder} or have another shape, such as "
            f"{missing[0]}; they would be random, so fetch the whole checkpoint"
        )

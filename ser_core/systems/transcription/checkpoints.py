"""Whisper's weights: where they are, what they can do, and how they are loaded without running what is in them."""

import difflib
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ser_core.data.corpora import Download, fetch
from ser_core.errors import SerError

if TYPE_CHECKING:
    from whisper import Whisper

TASKS = ("transcribe", "translate")


@dataclass(frozen=True)
class Checkpoint:
    """A file of weights in Whisper's own format.

    Attributes:
        label: Whisper's own name of the model, or the file's name and the start of its sha256.
        file: Where it is, or will be once downloaded.
        sha256: Of the file: as Whisper publishes it, or as found.
        url: Where Whisper publishes it; None for a checkpoint of one's own.
    """

    label: str
    file: Path
    sha256: str
    url: str | None = None


def find(model: str) -> Checkpoint:
    """Return the checkpoint of a model's name or path; one of Whisper's own need not be there yet.

    Args:
        model: A name such as ``base`` or ``base.en``, or the path of a file.

    Returns:
        The checkpoint; that of a name in Whisper's cache, ``$XDG_CACHE_HOME/whisper`` or ``~/.cache/whisper``.

    Raises:
        SerError: If there is neither such a name nor such a file.

    Examples:
        >>> find("large").file.name
        'large-v3.pt'
    """
    import whisper

    # Whisper's table of addresses is the only place that has them; the checksum is part of an address.
    if url := whisper._MODELS.get(str(model)):
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "whisper"
        *_, sha256, name = url.split("/")
        return Checkpoint(str(model), cache / name, sha256, url)
    file = Path(model)
    if not file.is_file():
        names = ", ".join(whisper.available_models())
        raise SerError(f"'{model}' is neither a checkpoint's file nor one of Whisper's models: {names}")
    sha256 = _sha256(file)
    return Checkpoint(f"{file.stem}-{sha256[:8]}", file, sha256)


def check(language: str | None, task: str) -> None:
    """Refuse a task or a language that no model of Whisper's has.

    Raises:
        SerError: If there is no such task, or the language is not one of Whisper's codes; it hints at one.

    Examples:
        >>> check("urdu", "transcribe")
        Traceback (most recent call last):
        ser_core.errors.SerError: 'urdu' is no code of whisper.tokenizer.LANGUAGES; did you mean 'ur' (urdu)?
    """
    from whisper.tokenizer import LANGUAGES, TO_LANGUAGE_CODE

    if task not in TASKS:
        raise SerError(f"there is no task '{task}'; expected one of {', '.join(TASKS)}")
    if language is None or language in LANGUAGES:
        return
    base = language.lower().split("-")[0]
    near = [TO_LANGUAGE_CODE[name] for name in difflib.get_close_matches(base, TO_LANGUAGE_CODE, n=1)]
    code = base if base in LANGUAGES else next(iter(near), None)
    hint = f"did you mean '{code}' ({LANGUAGES[code]})?" if code else f"there are {', '.join(sorted(LANGUAGES))}"
    raise SerError(f"'{language}' is no code of whisper.tokenizer.LANGUAGES; {hint}")


def network(
    checkpoint: Checkpoint, language: str | None, task: str, *, download: bool = False, progress: bool = True
) -> "Whisper":
    """Return Whisper with its weights, in float32, on the GPU if there is one.

    Args:
        checkpoint: The weights.
        language: What it is to hear, Whisper's code; None if that is to be detected.
        task: What it is to do, one of `TASKS`.
        download: Download weights of Whisper's own that are not there.
        progress: Show a progress bar for the download.

    Returns:
        A ``whisper.model.Whisper``.

    Raises:
        SerError: If the file is not there, is not the one that Whisper publishes, or is no checkpoint in Whisper's
            format, or if the model does not have the language or the task.

    Examples:
        >>> network(Checkpoint("mine", Path("mine.pt"), "0" * 64), "ur", "transcribe")
        Traceback (most recent call last):
        ser_core.errors.SerError: mine.pt: the weights of 'mine' are not there; name a file that is
    """
    import torch
    import whisper
    from whisper.tokenizer import LANGUAGES

    file, url = checkpoint.file, checkpoint.url
    if url and download:
        fetch.download(Download(url, file.name, sha256=checkpoint.sha256), file.parent, progress=progress)
    if not file.is_file():
        way_out = f"give download=True (--download), or put {url} there" if url else "name a file that is"
        raise SerError(f"{file}: the weights of '{checkpoint.label}' are not there; {way_out}")
    if url and (found := _sha256(file)) != checkpoint.sha256:
        raise SerError(
            f"{file}: sha256 {found[:12]}, expected {checkpoint.sha256[:12]} of '{checkpoint.label}'; "
            "delete it and get it again"
        )
    try:
        # By path: by name, Whisper would download on its own. It reads with weights_only=True.
        model = whisper.load_model(str(file), device="cuda" if torch.cuda.is_available() else "cpu")
    except Exception as error:  # as many kinds as there are files that are something else
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:120]
        raise SerError(f"{file}: not a checkpoint in Whisper's own format ({reason})") from error
    if not model.is_multilingual and (language not in (None, "en") or task != "transcribe"):
        raise SerError(
            f"'{checkpoint.label}' transcribes English only; it cannot {task} '{language or 'en'}': "
            "take a multilingual model"
        )
    if model.is_multilingual and language not in (None, *list(LANGUAGES)[: model.num_languages]):
        raise SerError(f"'{checkpoint.label}' does not have '{language}', only Whisper's first {model.num_languages}")
    return model


def _sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()

"""A working folder of one's own: experiments and results outside of the clone."""

import json
import os
import shlex
from pathlib import Path

from ser_core import files
from ser_core.data import corpora
from ser_core.data.corpora import local
from ser_core.errors import SerError

_EXPERIMENT = """\
name: first
question: How well are emotions recognised in speakers who were not trained on, and what does knowing the speakers add?
# A CSV with the columns path, emotion and speaker, or a corpus of the book, such as ravdess.
# Both as one corpus need labels that they share: [../mine.csv+ravdess] with 'labels: common4'.
corpora: [{csv}]
# 'clip' divides clips at random, so that speakers are known; 'speaker' tests people who were not trained on.
protocols: [clip, speaker]
features: [egemaps]
models: [logreg]
folds: 5
# Training parts are cut to one size, or the larger one alone would raise its score.
train_clips: match
"""


def make(folder: Path, csv: Path | None = None) -> list[str]:
    """Make a working folder: ``experiments/`` with a first experiment, ``results/``, and a CSV to fill where none is.

    Args:
        folder: The folder, which may be there already; what it holds is left as it is.
        csv: The CSV of a corpus, see `ser_core.data.corpora.local.read`.

    Returns:
        The commands that come next.

    Raises:
        SerError: If there is a working folder already, a file in its place, no such CSV, or one that names no corpus.
    """
    folder = Path(folder)
    if (folder / "experiments").exists() or (folder / "results").exists():
        raise SerError(f"{folder}: has experiments/ or results/ already; name another folder")
    if folder.exists() and not folder.is_dir():
        raise SerError(f"{folder}: is a file; name a folder")
    if csv is not None:
        corpora.own.name_of(Path(csv), corpora.KNOWN)
    (folder / "results").mkdir(parents=True)
    if csv is None and not (csv := folder / "mine.csv").exists():
        with files.replacing(csv) as temporary:
            temporary.write_text(",".join((*local.REQUIRED, *local.OPTIONAL)) + "\n", encoding="utf-8")
    here = Path(os.path.relpath(Path(csv).resolve(), folder.resolve())).as_posix()
    with files.replacing(folder / "experiments" / "first.yaml") as temporary:
        temporary.write_text(_EXPERIMENT.format(csv=json.dumps(f"../{here}", ensure_ascii=False)), encoding="utf-8")
    return [
        f"cd {shlex.quote(str(folder))}",
        f"ser audit {shlex.quote(here)}",
        f"ser features {shlex.quote(here)} egemaps",
        "ser run experiments/first.yaml",
        "ser score results/runs/first/*.speaker.*/predictions.parquet",
    ]

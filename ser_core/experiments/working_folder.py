"""A working folder of one's own: experiments and results outside of the clone."""

import dataclasses
import json
import os
import re
import shlex
import shutil
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from ser_core import files, paths
from ser_core.data import corpora
from ser_core.data.corpora import cutting, guessing, local
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
    _check(folder)
    if csv is not None:
        corpora.own.name_of(Path(csv), corpora.KNOWN)
        corpora.own.columns(Path(csv))
    (folder / "results").mkdir(parents=True)
    if csv is None and not (csv := folder / "mine.csv").exists():
        with files.replacing(csv) as temporary:
            temporary.write_text(",".join((*local.REQUIRED, *local.OPTIONAL)) + "\n", encoding="utf-8")
    here = Path(os.path.relpath(Path(csv).resolve(), folder.resolve())).as_posix()
    with files.replacing(folder / "experiments" / "first.yaml") as temporary:
        temporary.write_text(_EXPERIMENT.format(csv=json.dumps(f"../{here}", ensure_ascii=False)), encoding="utf-8")
    return [
        f"cd {shlex.quote(str(folder))}",
        f"ser study {shlex.quote(here)}",
        "or step by step:",
        f"ser audit {shlex.quote(here)}",
        f"ser features {shlex.quote(here)} egemaps",
        "ser run experiments/first.yaml",
        "ser score results/runs/first/*.speaker.*/predictions.parquet",
    ]


def make_from_recordings(
    folder: Path,
    recordings: Path,
    given: Mapping[str, str] | None = None,
    *,
    words: Mapping[str, str] | None = None,
    own_words: bool = False,
) -> tuple[guessing.Guess, Path, list[str]]:
    """Make a working folder for a folder of recordings, with a CSV of what they seem to be.

    If a sheet among them lists spans by start and end, each span becomes a file in the working folder.

    Args:
        folder: The working folder.
        recordings: The folder of recordings; nothing is written into it.
        given: See `ser_core.data.corpora.guessing.guess`.
        words: See there.
        own_words: See there.

    Returns:
        The guess, the CSV in the working folder, and the commands that come next.

    Raises:
        SerError: As `make`, `ser_core.data.corpora.guessing.guess` and `ser_core.data.corpora.cutting.cut`.
    """
    folder, recordings = Path(folder), Path(recordings)
    _check(folder)
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", recordings.resolve().name).strip("-_")
    csv = folder / f"{'my-' if name in corpora.KNOWN else ''}{name or 'mine'}.csv"
    if csv.exists():
        raise SerError(f"{csv}: there is such a file already; give it by --corpus, or name another folder")
    # Spans of long recordings become files, because a clip is a file everywhere else.
    spans = cutting.spans(recordings) if recordings.is_dir() else None
    cuts, there = folder / f"{csv.stem}-cut", folder.exists()
    done = cutting.cut(recordings, *spans, cuts) if spans else []
    recordings = cuts if spans else recordings
    try:
        guess = guessing.guess(recordings, given, words=words, own_words=own_words)
    except BaseException:
        if spans:
            shutil.rmtree(cuts if there else folder)
        raise
    guess = dataclasses.replace(guess, notes=(*done, *guess.notes))
    to = Path(os.path.relpath(recordings.resolve(), folder.resolve())).as_posix()
    # Clips are named by where they are among the recordings, wherever the working folder is.
    without = guess.table["path"].str.replace(r"\.\w+$", "", regex=True)
    clip = without.where(~without.duplicated(keep=False), guess.table["path"])
    table = pd.DataFrame({"path": to + "/" + guess.table["path"], "clip": clip}).join(guess.table.drop(columns="path"))
    with files.replacing(csv) as temporary:
        table.to_csv(temporary, index=False, encoding="utf-8")
    return guess, csv, make(folder, csv)


def corpus_of(csv: Path, *, progress: bool = False) -> tuple[str, str]:
    """Return the name of a corpus of one's own, and the path of its CSV as experiment files of the folder have it.

    Args:
        csv: A CSV as `ser_core.data.corpora.local.read` takes it, or the name of a corpus that is here.
        progress: Show a progress bar.

    Raises:
        SerError: If there is no working folder, or the CSV is not valid.
    """
    csv = corpora.own.csv_of(str(csv)) if corpora.own.is_here(str(csv)) else Path(csv)
    name, _ = corpora.own.add(csv, corpora.KNOWN, progress=progress)
    return name, Path(os.path.relpath(csv.resolve(), _experiments().resolve())).as_posix()


def write_experiment(name: str, content: str) -> Path:
    """Write an experiment file into the working folder, unless it says the same already, and return it.

    Args:
        name: Name of the experiment.
        content: The YAML.

    Returns:
        Its path.

    Raises:
        SerError: If there is no working folder of one's own.
    """
    path = _experiments() / f"{name}.yaml"
    if not path.is_file() or path.read_text(encoding="utf-8") != content:
        with files.replacing(path) as temporary:
            temporary.write_text(content, encoding="utf-8")
    return path


def _experiments() -> Path:
    folder = paths.working()
    if folder is None or folder.resolve() == paths.repository():
        raise SerError("this is no working folder; make one by `ser init FOLDER`, and run from there")
    return folder / "experiments"


def _check(folder: Path) -> None:
    if (folder / "experiments").exists() or (folder / "results").exists():
        raise SerError(f"{folder}: has experiments/ or results/ already; name another folder")
    if folder.exists() and not folder.is_dir():
        raise SerError(f"{folder}: is a file; name a folder")

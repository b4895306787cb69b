"""Anybody's corpus: a CSV table with path, emotion, speaker and, if known, the rest."""

from pathlib import Path

import pandas as pd

from ser_core.data import clips
from ser_core.data.corpora.base import Reading, read_csv
from ser_core.data.corpora.recordings import Problem, check
from ser_core.errors import SerError
from ser_core.files import csvfile, text

REQUIRED = ("path", "emotion", "speaker")
OPTIONAL = ("clip", "gender", "sentence", "transcript", "session", "split", "language")


def read(csv: Path, *, name: str = "local", language: str = "und", progress: bool = False) -> Reading:
    r"""Read and check a corpus of your own.

    Args:
        csv: A table with the columns of `REQUIRED` and any of `OPTIONAL`. Paths are relative to its folder, with
            forward slashes. Empty cells are unknown; ``gender`` is female or male.
        name: Short name of the corpus, which begins the ids of clips, speakers, sentences and sessions.
        language: BCP 47 tag for rows without one; ``und`` is the tag for undetermined.
        progress: Show a progress bar.

    Returns:
        The clips whose recordings can be read, and every problem: ``missing emotion`` and ``missing path`` (left
        out), ``missing speaker`` (kept), ``unknown column`` (not used), and those of
        `ser_core.data.corpora.recordings.check`. A clip is named by its path without extension, or by ``clip``.

    Raises:
        SerError: If the file is missing or no table, lacks a required column, holds a value that is not
            allowed, or none of its recordings can be read.

    Examples:
        >>> import tempfile, numpy, soundfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> soundfile.write(folder / "a.wav", numpy.ones(1600) / 2, 16000)
        >>> _ = (folder / "mine.csv").write_text("path,emotion,speaker\na.wav,sad,anna\n")
        >>> read(folder / "mine.csv", name="mine").clips["speaker"].to_dict()
        {'mine/a': 'mine/anna'}
    """
    csv = Path(csv)
    if not csv.is_file():
        raise SerError(f"{csv}: no such file; expected a CSV table with the columns {', '.join(REQUIRED)}")
    numbers = csvfile.lines(csv)
    table = read_csv(csv, REQUIRED).apply(lambda column: column.str.strip()).replace("", pd.NA)
    found: list[Problem] = [
        (csv.name, "unknown column", f"'{column}' is not used; known are {', '.join(REQUIRED + OPTIONAL)}")
        for column in table
        if column not in REQUIRED + OPTIONAL
    ]
    if {"start", "end"} <= set(table):
        raise SerError(
            f"{csv}: has the columns 'start' and 'end', and segments are not read; cut each into a file, as "
            "`ser init FOLDER RECORDINGS` does if this table lies among the recordings"
        )
    lines = "line " + pd.Series(numbers, index=table.index).astype("str")
    for column, consequence in (("path", "left out"), ("emotion", "left out"), ("speaker", "kept")):
        missing = table[column].isna()
        found += [(csv.name, f"missing {column}", f"{line}, {consequence}") for line in lines[missing]]
    table = table[table["path"].notna() & table["emotion"].notna()]
    if not len(table):
        raise SerError(f"{csv}: no row has both a path and an emotion")
    rows = table.reindex(columns=[*REQUIRED, *OPTIONAL]).astype("str")
    wrong = rows["gender"].dropna()[lambda gender: ~gender.isin(clips.GENDERS)]
    if len(wrong):
        raise SerError(f"{csv}: {lines[wrong.index[0]]}: gender '{wrong.iloc[0]}' is neither female nor male")
    found += _check_texts(csv, rows, lines)
    rows["clip"] = rows["clip"].fillna(rows["path"].str.replace(r"\.\w+$", "", regex=True))
    for column in ("clip", "speaker", "sentence", "session"):
        rows[column] = name + "/" + rows[column]
    rows["language"] = rows["language"].fillna(language)
    rows["corpus"] = name
    return check(csv.parent, rows.to_dict("records"), found, progress=progress)


def _check_texts(csv: Path, rows: pd.DataFrame, lines: pd.Series) -> list[Problem]:
    """Refuse labels and names that are one thing written in two ways; return what is odd and kept."""
    found: list[Problem] = []
    for column in ("emotion", "speaker", "sentence", "session", "clip", "language"):
        values = rows[column].dropna()
        for first, value in values.drop_duplicates().items():
            where = lines[first]
            if column != "clip" and text.acts(value):
                raise SerError(f"{csv}: {where}: {column} '{text.shown(value)}' holds control characters")
            if text.no_value(value):
                found.append((csv.name, f"odd {column}", f"{where}: '{value}' is taken as a word; empty is unknown"))
        if pair := text.alike(values, text.clip_key if column == "clip" else text.key):
            one, other = (lines[values.index[values == value][0]] for value in pair)
            raise SerError(
                f"{csv}: the {column}s '{pair[0]}' ({one}) and '{pair[1]}' ({other}) differ only in case, blanks, "
                f"coding or the format of a number; write them alike"
            )
    for speaker, counts in clips.of_two_genders(rows).iterrows():
        each = ", ".join(f"{n} {gender}" for gender, n in counts.items())
        found.append((csv.name, "contradicting gender", f"speaker '{speaker}' has clips of both: {each}; kept"))
    return found

"""Corpora of one's own in a working folder: the CSV that an experiment or a command names becomes a named corpus."""

import os
import re
from pathlib import Path

import pandas as pd

from ser_core import files, paths
from ser_core.data.corpora import local
from ser_core.data.corpora.base import Corpus, read_csv
from ser_core.errors import SerError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")


def is_path(entry: str) -> bool:
    """Return whether an entry where a corpus is named is a path instead, of a CSV or of the folder that holds one.

    Examples:
        >>> is_path("lab/mine.csv"), is_path("../lab"), is_path("ravdess")
        (True, True, False)
    """
    return entry.lower().endswith(".csv") or "/" in entry or entry.startswith(".")


def table_path(name: str) -> Path:
    """Return where the Clips table of a corpus of one's own is, or would be."""
    return paths.results() / "clips" / f"{name}.parquet"


def is_here(name: str) -> bool:
    """Return whether the working folder has a corpus of one's own of this name."""
    path = table_path(name)
    return bool(_NAME.fullmatch(name)) and path.is_file() and "csv" in files.read_metadata(path)


def can_be_kept() -> bool:
    """Return whether there is a working folder of one's own, or ``SER_RESULTS`` names one: not the clone's results."""
    root = paths.results()
    return root.is_dir() and root.resolve() != paths.repository() / "results"


def name_of(path: Path, taken: tuple[str, ...] = ()) -> str:
    """Return the name that a corpus of one's own has: that of its CSV without ending, or of the folder that holds it.

    Args:
        path: The CSV, or the folder.
        taken: Names that other corpora have.

    Raises:
        SerError: If there is no CSV, or the name is taken or no name.
    """
    csv = _csv(Path(path))
    name = Path(path).resolve().name if Path(path).is_dir() else csv.stem
    if not _NAME.fullmatch(name):
        raise SerError(f"{path}: '{name}' names the corpus, and has other than letters, digits, _ and -; rename it")
    if name in taken:
        raise SerError(f"{path}: a corpus of the book is called '{name}', too; rename the file")
    return name


def columns(path: Path) -> list[str]:
    """Return the columns of the CSV of a corpus of one's own, without a look at its recordings.

    Args:
        path: The CSV, or the folder that holds one.

    Raises:
        SerError: If it is no CSV table in UTF-8, or lacks a column that is required.
    """
    return list(read_csv(_csv(Path(path)), local.REQUIRED))


def add(path: Path, taken: tuple[str, ...] = (), *, progress: bool = False) -> tuple[str, pd.DataFrame]:
    """Read a corpus of one's own into the working folder, unless it is there and its files are the same.

    Args:
        path: A CSV as `ser_core.data.corpora.local.read` takes it, or a folder that holds one.
        taken: Names that other corpora have.
        progress: Show a progress bar.

    Returns:
        Its name, that of the CSV without ending or of the folder, and the problems of the reading.

    Raises:
        SerError: If the file is not there or not valid, its name is taken or no name, or there is no working folder.
    """
    csv, name = _csv(Path(path)), name_of(path, taken)
    target, root = table_path(name), paths.results()
    if not can_be_kept():
        raise SerError(
            f"{path}: nothing of your own is written into the clone or elsewhere unasked; make a working folder by "
            f"`ser init FOLDER`, with --corpus {path}, and run from there"
        )
    known = files.read_metadata(target) if target.is_file() else {}
    if known and "csv" not in known:
        raise SerError(f"{target}: there is a Clips table that is not of a CSV; rename {path}")
    was = root / known["csv"] if known else csv
    if was.resolve() != csv.resolve() and was.is_file():
        raise SerError(f"{path}: '{name}' is the corpus of {was}; rename one of them")
    state = _state(csv)
    if known.get("state") != state:
        reading = local.read(csv, name=name, progress=progress)
        known = {
            "csv": os.path.relpath(csv.resolve(), root.resolve()),
            "state": state,
            "problems": reading.problems.to_dict("list"),
        }
        files.write_parquet(reading.clips, target, known)
    return name, pd.DataFrame(known["problems"], columns=["path", "problem", "detail"])


def _csv(path: Path) -> Path:
    """Return a CSV, or the one that a folder holds."""
    if not path.is_dir():
        if not path.is_file():
            raise SerError(f"{path}: no such file; expected a CSV with the columns {', '.join(local.REQUIRED)}")
        return path
    there = sorted(found for found in path.iterdir() if found.suffix.lower() == ".csv")
    if len(there) != 1:
        names = [found.name for found in there]
        raise SerError(
            f"{path}: a folder in the place of a corpus holds one CSV with the columns {', '.join(local.REQUIRED)}; "
            f"it holds {names or 'none'}"
        )
    return there[0]


def _state(csv: Path) -> str:
    """Return a digest of a CSV's bytes and of the size and time of each recording that it names."""
    seen = []
    for name in read_csv(csv, local.REQUIRED)["path"].dropna():
        recording = csv.parent / name
        stat = recording.stat() if recording.is_file() else None
        seen.append([name, stat and stat.st_size, stat and stat.st_mtime_ns])
    return files.digest(files.sha256(csv), seen)


def csv_of(name: str) -> Path:
    """Return the CSV of a corpus that is here; the paths in it start from its folder."""
    return paths.results() / files.read_metadata(table_path(name))["csv"]


def info(name: str, emotions: tuple[str, ...]) -> Corpus:
    """Return what is known about a corpus of one's own.

    Args:
        name: Its name.
        emotions: Its words for emotions.
    """
    return Corpus(
        name=name,
        title=name,
        short=name,
        emotions=emotions,
        language="und",
        licence="your own",
        licence_url=None,
        citation="",
        homepage="",
        access="request",
        how_to_get="It is yours.",
        redistribute_features=True,
        declared={},
    )

"""Which corpora there are, how one is read from its folder, and the committed table of each."""

import functools
import os
from pathlib import Path, PurePosixPath
from types import ModuleType

import pandas as pd

from ser_core import files, paths
from ser_core.data import clips
from ser_core.data.corpora import (
    banglaser,
    crema_d,
    emodb,
    iemocap,
    iitkgp_sehsc,
    local,
    meld,
    own,
    punjabi_elc,
    punjabi_rasa,
    ravdess,
    recordings,
    savee,
    shemo,
    tess,
    urdu,
)
from ser_core.data.corpora.base import BadNameError, Corpus, Download, Reading, how_to
from ser_core.errors import RefusalError, SerError

_AT_HAND = (ravdess, emodb, urdu, savee, tess, banglaser, meld, punjabi_elc)
_NOT_AT_HAND = (crema_d, iemocap, punjabi_rasa, shemo, iitkgp_sehsc)
_MODULES = {m.INFO.name: m for m in (*_AT_HAND, *_NOT_AT_HAND)}
NAMES = tuple(m.INFO.name for m in _AT_HAND)
"""The corpora with a loader, a committed table, a card and results; for any other see `ser_core.data.corpora.local`."""
ABSENT = tuple(m.INFO.name for m in _NOT_AT_HAND)
"""Loaders for corpora whose recordings we did not have: no committed table, no card, no results. Whoever has them
writes table and card into the cache, by ``ser card <name> --write``."""
KNOWN = (*NAMES, *ABSENT)
"""Every corpus with a loader; a working folder may have others of its own, see `ser_core.data.corpora.own`."""

__all__ = [
    "ABSENT",
    "KNOWN",
    "NAMES",
    "Corpus",
    "Download",
    "Reading",
    "audio_path",
    "committed",
    "folder_of",
    "info",
    "is_known",
    "local",
    "own",
    "parts",
    "read",
    "table",
    "table_path",
    "write_table",
]


def is_known(name: str) -> bool:
    """Return whether there is a corpus of this name, with a loader or of one's own; not of a union.

    Examples:
        >>> is_known("ravdess"), is_known("atlantis")
        (True, False)
    """
    return name in _MODULES or own.is_here(name)


def _unknown(name: str) -> SerError:
    return SerError(
        f"unknown corpus '{name}'; there are {', '.join(NAMES)}, with a loader only {', '.join(ABSENT)}, and a .csv of "
        f"your own"
    )


def _module(name: str) -> ModuleType:
    if name not in _MODULES:
        raise _unknown(name)
    return _MODULES[name]


def parts(name: str) -> tuple[str, ...]:
    """Return the corpora that a name stands for: those of a union such as ``savee+tess``, else the name itself.

    Args:
        name: A corpus, or several joined by ``+``, sorted, each once.

    Raises:
        SerError: If a part of a union is no corpus, stands twice or out of order; the message has the right name.

    Examples:
        >>> parts("ravdess+savee"), parts("tess")
        (('ravdess', 'savee'), ('tess',))
    """
    names = tuple(name.split("+"))
    if len(names) == 1:
        return names
    for part in names:
        if not is_known(part):
            raise _unknown(part)
    if name != (canonical := "+".join(sorted(set(names)))):
        raise SerError(f"'{name}': a union names each of its corpora once, in alphabetical order; write '{canonical}'")
    return names


def info(name: str) -> Corpus:
    """Return what is known about a corpus: licence, citation, how to get it, what its authors declare.

    Raises:
        SerError: If there is no such corpus.

    Examples:
        >>> info("ravdess").licence
        'CC BY-NC-SA 4.0'
    """
    if name not in _MODULES and own.is_here(name):
        return own.info(name, tuple(sorted(table(name)["emotion"].unique())))
    return _module(name).INFO


def folder_of(name: str, folder: Path | None = None) -> Path:
    """Return the folder given, or the corpus's folder under ``SER_DATA``.

    Raises:
        SerError: If neither is there, or the name is that of a union, which has no folder of its own.
    """
    if len(names := parts(name)) > 1:
        raise SerError(f"{name} has no folder of its own; do this for each of {', '.join(names)}")
    if folder is None and name not in _MODULES and own.is_here(name):
        return own.csv_of(name).parent
    folder = Path(folder) if folder is not None else paths.data_folder(name)
    if folder is None:
        how = f"; {how_to(info(name))}" if name in _MODULES else ""
        root = os.environ.get("SER_DATA")
        found = f" ({Path(root, name)} is no folder)" if root else ""
        raise SerError(
            f"no recordings of {name}: set SER_DATA to the folder that holds {name}/{found}, or give the folder{how}"
        )
    if not folder.is_dir():
        raise SerError(f"{folder}: no such folder; expected that of {name}")
    return folder


def read(name: str, folder: Path | None = None, *, progress: bool = False) -> Reading:
    """Read and check a corpus in its official layout, as WAV or as FLAC of the same names.

    Args:
        name: One of `NAMES` or `ABSENT`, or one of your own.
        folder: Where it is; by default ``$SER_DATA/<name>``.
        progress: Show a progress bar.

    Returns:
        The clips and every problem found; nothing is dropped without a row in the problems.

    Raises:
        SerError: If there is no such corpus or folder, or nothing in it can be read.
    """
    if folder is None and name not in _MODULES and own.is_here(name):
        return local.read(own.csv_of(name), name=name, progress=progress)
    return _module(name).read(folder_of(name, folder), progress=progress)


def table(name: str) -> pd.DataFrame:
    """Return the stored Clips table of a corpus; no audio is needed.

    Args:
        name: One of `NAMES`; one of `ABSENT` once you have written its table; one of your own, see
            `ser_core.data.corpora.own`; or a union of them, see `parts`.

    Returns:
        The Clips table, of a union the clips of all its corpora; MELD has no transcripts, which may not be
        redistributed.

    Raises:
        SerError: If there is no such corpus, or its table is missing or damaged.
        RefusalError: If it is one of `ABSENT` and has no table yet.

    Examples:
        >>> len(table("ravdess"))
        1440
    """
    # pandas copies on write: what a caller sets, it sets in its own copy.
    return _checked(tuple(map(_as_stored, parts(name)))).copy(deep=False)


def _as_stored(name: str) -> tuple[Path, tuple[int, ...]]:
    """Return where the Clips table of a corpus is, with the stamp of its file."""
    if not is_known(name):
        raise _unknown(name)
    path = paths.stored(table_path(name))
    if name in ABSENT and not path.is_file():
        raise RefusalError(
            f"{name}: no recording of it was at hand, so it has no Clips table; {how_to(info(name))}, then read yours "
            f"by `ser card {name} --write`"
        )
    if name in _MODULES and not path.is_file():
        raise SerError(
            f"{name}: no Clips table here ({path}); read your copy of the corpus by `ser card {name} --write`"
        )
    return path, files.stamp(path)


@functools.lru_cache(maxsize=64)
def _checked(stored: tuple[tuple[Path, tuple[int, ...]], ...]) -> pd.DataFrame:
    """Return what is stored as one valid Clips table, read and checked once as long as the files stay."""
    if len(stored) > 1:
        return clips.join(_checked((one,)) for one in stored)
    ((path, _),) = stored
    return clips.validate(files.read_parquet(path, index="clip"))


def table_path(name: str) -> Path:
    """Return where the Clips table of a corpus is: with the results, or in the cache for one of `ABSENT`."""
    return (paths.cache() if name in ABSENT else paths.results()) / "clips" / f"{name}.parquet"


def committed(clips_read: pd.DataFrame) -> pd.DataFrame:
    """Return a Clips table without what its licence forbids to commit: the transcripts of MELD."""
    if (clips_read["corpus"] == "meld").any():
        return clips_read.assign(transcript=pd.Series(pd.NA, index=clips_read.index, dtype="str"))
    return clips_read


def write_table(reading: Reading) -> Path:
    """Write the Clips table that `table` returns.

    Args:
        reading: A corpus as read.

    Returns:
        The file written.
    """
    result = committed(reading.clips)
    name = result["corpus"].iloc[0]
    facts = files.read_metadata(table_path(name)) if own.is_here(name) else {"corpus": name, "clips": len(result)}
    files.write_parquet(result, table_path(name), facts)
    return table_path(name)


def audio_path(row: pd.Series, folder: Path | None = None) -> Path:
    """Return the recording of a clip, as WAV or FLAC, whichever is there.

    Args:
        row: A row of a Clips table.
        folder: The corpus's folder; by default ``$SER_DATA/<corpus>``.

    Returns:
        An existing file.

    Raises:
        SerError: If the corpus has no recordings or this one is not there.
    """
    name = row["corpus"]
    if pd.isna(row["path"]):
        raise SerError(f"{row.name}: {name} has no recordings here, only a table")
    folder = folder_of(name, folder)
    path = folder / row["path"]
    for candidate in (path, *(path.with_suffix(suffix) for suffix in recordings.SUFFIXES)):
        if candidate.is_file():
            return candidate
    if name in _MODULES and (elsewhere := _index(name, str(folder)).get(row.name)):
        return elsewhere
    raise SerError(f"{path}: the recording of {row.name} is not there, neither as .wav nor as .flac")


@functools.cache
def _index(name: str, folder: str) -> dict[str, Path]:
    """Return where each clip's recording is, for a copy nested otherwise than the one the table was made from."""
    found: dict[str, Path] = {}
    for path in recordings.find(Path(folder)):
        try:
            clip = _module(name).parse(PurePosixPath(path.relative_to(folder).as_posix()))["clip"]
        except BadNameError:
            continue
        found.setdefault(clip, path)
    return found

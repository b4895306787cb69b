"""The recordings of a corpus: finding them, and checking each of them and all of them together."""

import functools
from collections.abc import Callable, Iterable
from pathlib import Path, PurePosixPath

import pandas as pd

from ser_core import files
from ser_core.data import audio, clips
from ser_core.data.corpora.base import BadNameError, Corpus, Reading, how_to, problems_table
from ser_core.errors import SerError
from ser_core.files import text

SUFFIXES = (".wav", ".flac")
OTHER_SUFFIXES = (".mp3", ".m4a", ".ogg", ".aac", ".aiff", ".wma", ".opus")

Problem = tuple[str, str, str]
"""Path relative to the corpus folder, kind of problem, detail."""


def find(folder: Path) -> list[Path]:
    """Return the WAV and FLAC files under a folder: hidden ones last, shallow ones first, then by name."""
    return _ordered(path for path in files.walk(folder) if path.suffix.lower() in SUFFIXES and path.is_file())


def named(folder: Path, name: str) -> list[Path]:
    """Return the files of a name under a folder, in the order of `find`."""
    return _ordered(path for path in files.walk(folder) if path.name == name and path.is_file())


def _ordered(paths: Iterable[Path]) -> list[Path]:
    def hidden(path: Path) -> bool:
        return any(part.startswith(".") and part not in (".", "..") for part in path.parts)

    return sorted(paths, key=lambda path: (hidden(path), len(path.parts), path.as_posix()))


def _unusable(folder: Path) -> list[Problem]:
    """Return a problem for each file that is no WAV or FLAC, or is a link to nothing."""
    found = []
    for path in files.walk(folder):
        suffix, name = path.suffix.lower(), path.relative_to(folder).as_posix()
        if suffix in OTHER_SUFFIXES:
            found.append((name, "unsupported format", f"{path.suffix}; .wav or .flac is read"))
        elif suffix in SUFFIXES and not path.exists():
            found.append((name, "missing file", "a link to nothing; fetch what it points to"))
    return found


def read_recordings(
    folder: Path, info: Corpus, parse: Callable[[PurePosixPath], dict], *, progress: bool = False
) -> Reading:
    """Read and check every recording of a corpus.

    Args:
        folder: Where the corpus is; its WAV or FLAC files may be nested.
        info: The corpus.
        parse: From a path relative to the folder, the clip's row, with its id under ``clip`` and, under
            ``fault`` if at all, what is odd about a name that can be read all the same. It raises
            `BadNameError` for a name outside the grammar.
        progress: Show a progress bar.

    Returns:
        The clips that could be read, and every problem: ``unparsable name``, ``unsupported format``, ``missing file``
        of a link to nothing, ``odd name``, and those of `check`.

    Raises:
        SerError: If the folder holds no recording, or none that can be read.
    """
    folder = Path(folder)
    rows: list[dict] = []
    found: list[Problem] = []
    paths = find(folder)
    if not paths:
        raise SerError(f"{folder}: no .wav or .flac file of {info.title}; {how_to(info)}")
    for path in paths:
        relative = path.relative_to(folder).as_posix()
        if not is_utf8(relative):
            found.append((relative, "unparsable name", "not in UTF-8; rename the file"))
            continue
        try:
            row = parse(PurePosixPath(relative))
        except BadNameError as error:
            found.append((relative, "unparsable name", str(error)))
            continue
        if fault := row.pop("fault", None):
            found.append((relative, "odd name", fault))
        rows.append(row | {"path": relative, "corpus": info.name, "language": info.language})
    found += _unusable(folder)
    return check(folder, rows, found, progress=progress)


def check(folder: Path, rows: Iterable[dict], found: Iterable[Problem] = (), *, progress: bool = False) -> Reading:
    """Decode recordings, fill in what they hold, and look for faults of each and of all.

    Args:
        folder: What the rows' paths are relative to.
        rows: Columns of a Clips table, with ``clip`` and ``path``.
        found: Problems found so far.
        progress: Show a progress bar.

    Returns:
        The clips that could be read, and every problem: those found so far, ``missing file``,
        ``zero-byte file``, ``undecodable file``, those of `ser_core.data.audio.oddities` (kept), ``listed twice``
        (one is kept, which is named) and ``duplicate recording`` (the same samples under two ids; both are kept).

    Raises:
        SerError: If no recording can be read.
    """
    from joblib import Parallel, delayed
    from tqdm import tqdm

    rows, problems = list(rows), list(found)
    name = rows[0]["corpus"] if rows else "the corpus"
    bar = tqdm(rows, desc=f"read {name}", unit="file", disable=not progress)
    # Threads, because decoding is done outside the interpreter's lock.
    names = functools.cache(_names_by_key)
    results = Parallel(n_jobs=-1, prefer="threads")(delayed(_inspect)(folder, row, names) for row in bar)
    kept: dict[str, dict] = {}
    for row, found_here in results:
        problems += found_here
        if row is None:
            continue
        other = kept.setdefault(row["clip"], row)
        if other is not row:
            same = "the same samples" if other["sha256"] == row["sha256"] else "other samples"
            facts = [name for name in ("speaker", "emotion") if row.get(name) != other.get(name)]
            same += f", but another {' and '.join(facts)}: {other['emotion']} is kept" if facts else ""
            problems.append((row["path"], "listed twice", f"clip {row['clip']} is also {other['path']}, kept ({same})"))
    if not kept:
        path, problem, detail = problems_table(problems).iloc[0]
        raise SerError(f"{folder}: no recording can be read; the first of {len(problems)}: {path}: {problem}, {detail}")
    table = pd.DataFrame(kept.values()).set_index("clip")
    measured = table[["rate", "channels"]].sort_index()
    table = clips.validate(table.drop(columns=["rate", "channels"]))
    return Reading(table, problems_table(problems + _duplicates(table)), measured)


def _inspect(folder: Path, row: dict, names: Callable[[Path], dict[str, str]]) -> tuple[dict | None, list[Problem]]:
    """Return the row of one recording with what it holds, or None, and its problems."""
    path = folder / row["path"]
    if not path.is_file():
        return None, [(row["path"], "missing file", f"clip {row['clip']} left out{_hint(path, names)}")]
    if path.stat().st_size == 0:
        return None, [(row["path"], "zero-byte file", f"clip {row['clip']} left out")]
    try:
        samples, rate = audio.channels(path)
    except SerError as error:
        return None, [(row["path"], "undecodable file", str(error).removeprefix(f"{path}: "))]
    mono = samples.mean(axis=1, dtype="float32")
    measured = {
        "duration_s": len(mono) / rate,
        "sha256": audio.content_hash(mono, rate),
        "rate": rate,
        "channels": samples.shape[1],
    }
    return row | measured, [(row["path"], kind, detail) for kind, detail in audio.oddities(samples, rate)]


def is_utf8(name: str) -> bool:
    r"""Return whether a file's name is a text; bytes that are none come as lone surrogates.

    Examples:
        >>> is_utf8("a.wav"), is_utf8("a\udcff.wav")
        (True, False)
    """
    return not any(0xD800 <= ord(character) <= 0xDFFF for character in name)


def _names_by_key(folder: Path) -> dict[str, str]:
    """Return the names in a folder by what is left of them when case, blanks and coding do not count."""
    return {text.key(path.name): path.name for path in folder.iterdir()} if folder.is_dir() else {}


def _hint(path: Path, names: Callable[[Path], dict[str, str]]) -> str:
    """Return what a path that leads nowhere may mean, with a semicolon before it; empty if nothing is like it."""
    if "\\" in path.name and (path.parent / path.name.replace("\\", "/")).is_file():
        return "; write its path with forward slashes"
    like = names(path.parent).get(text.key(path.name))
    return f"; there is '{text.shown(like)}', which differs in case, blanks or coding" if like else ""


def _duplicates(table: pd.DataFrame) -> list[Problem]:
    """Return a problem for every clip whose samples were seen under an earlier id."""
    found = []
    for _, group in table[table["sha256"].duplicated(keep=False)].groupby("sha256", sort=False):
        facts = group[["speaker", "emotion", "sentence"]].astype("object").where(group.notna(), None)
        first = group.index[0]
        for clip in group.index[1:]:
            other = [column for column in facts if facts.at[clip, column] != facts.at[first, column]]
            detail = f"clip {clip} has the same samples as {first}"
            if other:
                detail += f", but another {' and '.join(other)}"
            found.append((group.at[clip, "path"], "duplicate recording", detail))
    return found

"""What every corpus module shares: its description, what reading it gives, and the checks of its recordings."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd

from ser_core import audio, clips
from ser_core.errors import SerError

AUDIO_SUFFIXES = (".wav", ".flac")
_OTHER_AUDIO = (".mp3", ".m4a", ".ogg", ".aac", ".aiff", ".wma", ".opus")


@dataclass(frozen=True)
class Download:
    """One file of a public corpus.

    Attributes:
        url: Where it is.
        filename: Its name once here.
        size: Bytes, if its publisher states them.
        md5: Checksum, if its publisher states one.
        sha256: Checksum, if known.
        unpack: Whether it is a zip to unpack.
        strip: Leading folders of the zip's members to leave out.
    """

    url: str
    filename: str
    size: int | None = None
    md5: str | None = None
    sha256: str | None = None
    unpack: bool = False
    strip: int = 0


@dataclass(frozen=True)
class Corpus:
    """What is known about a corpus before any file of it is read.

    Attributes:
        name: Short name, as in ``ravdess``.
        title: Its own name.
        language: BCP 47 tag.
        licence: The terms as its authors state them.
        licence_url: Where they state them.
        citation: Key in ``book/references.bib``.
        homepage: Where it lives.
        access: ``public`` (anybody may download), ``request`` (by asking) or ``gated`` (by agreement).
        how_to_get: Exact steps, one a line.
        redistribute_features: Whether the terms let us commit features computed from it.
        declared: What its authors say of it (clips, hours, speakers, ...).
        downloads: Its files, if public.
        has_audio: Whether it comes as recordings.
    """

    name: str
    title: str
    language: str
    licence: str
    licence_url: str | None
    citation: str
    homepage: str
    access: str
    how_to_get: str
    redistribute_features: bool
    declared: dict
    downloads: tuple[Download, ...] = ()
    has_audio: bool = True


@dataclass(frozen=True)
class Reading:
    """A corpus as read from a folder.

    Attributes:
        clips: The Clips table.
        problems: What was found wrong, columns path, problem, detail; sorted by path.
        files: Index clip; columns rate (Hz) and channels of the recording; empty for a corpus without audio.
    """

    clips: pd.DataFrame
    problems: pd.DataFrame
    files: pd.DataFrame = field(default_factory=lambda: pd.DataFrame({"rate": [], "channels": []}, dtype="int64"))


class NameError_(ValueError):
    """A file name that does not follow the corpus's grammar; the message says which part."""


def problems_table(rows: list[tuple[str, str, str]]) -> pd.DataFrame:
    """Return problems as a table with columns path, problem, detail, sorted."""
    table = pd.DataFrame(rows, columns=["path", "problem", "detail"], dtype="str")
    return table.sort_values(["path", "problem", "detail"], ignore_index=True)


def code(table: dict[str, str], key: str, what: str) -> str:
    """Return ``table[key]`` or say which field of a name has a code the corpus does not define."""
    if key not in table:
        raise NameError_(f"{what} code '{key}' is none of {', '.join(sorted(table))}")
    return table[key]


def audio_files(folder: Path) -> list[Path]:
    """Return the WAV and FLAC files under a folder: shallow ones first, then by name."""
    found = [path for path in Path(folder).rglob("*") if path.suffix.lower() in AUDIO_SUFFIXES and path.is_file()]
    return sorted(found, key=lambda path: (len(path.parts), path.as_posix()))


def read_recordings(
    folder: Path, info: Corpus, parse: Callable[[PurePosixPath], dict], *, progress: bool = False
) -> Reading:
    """Read and check every recording of a corpus.

    Args:
        folder: Where the corpus is; its WAV or FLAC files may be nested.
        info: The corpus.
        parse: From a path relative to the folder, the clip's row, with its id under ``clip`` and, under
            ``fault`` if at all, what is odd about a name that can be read all the same. It raises
            `NameError_` for a name outside the grammar.
        progress: Show a progress bar.

    Returns:
        The clips that could be read, and every problem: ``unparsable name``, ``zero-byte file``,
        ``undecodable file``, ``silent recording``, ``listed twice`` (one is kept, which is named),
        ``duplicate recording`` (the same samples under two ids; both are kept), ``odd name`` and
        ``unsupported format``.

    Raises:
        SerError: If the folder holds no recording, or none that can be read.
    """
    from joblib import Parallel, delayed
    from tqdm import tqdm

    folder = Path(folder)
    paths = audio_files(folder)
    if not paths:
        raise SerError(f"{folder}: no .wav or .flac file of {info.title}; {how_to(info)}")
    bar = tqdm(paths, desc=f"read {info.name}", unit="file", disable=not progress)
    results = Parallel(n_jobs=-1, prefer="threads")(delayed(_inspect)(path, folder, parse) for path in bar)

    found = [
        (path.relative_to(folder).as_posix(), "unsupported format", f"{path.suffix} is not read; expected .wav or .flac")
        for path in folder.rglob("*")
        if path.suffix.lower() in _OTHER_AUDIO
    ]
    rows: dict[str, dict] = {}
    for row, issues in results:
        found.extend(issues)
        if row is None:
            continue
        kept = rows.get(row["clip"])
        if kept is None:
            rows[row["clip"]] = row
        else:
            same = "the same samples" if kept["sha256"] == row["sha256"] else "other samples"
            found.append((row["path"], "listed twice", f"clip {row['clip']} is also {kept['path']} ({same}), kept"))
    if not rows:
        path, problem, detail = found[0]
        raise SerError(f"{folder}: no readable recording of {info.title}; the first of {len(found)}: {path}: {detail}")
    table = pd.DataFrame(rows.values()).set_index("clip").assign(corpus=info.name, language=info.language)
    files = table[["rate", "channels"]].sort_index()
    table = clips.validate(table.drop(columns=["rate", "channels"]))
    return Reading(table, problems_table(found + _duplicates(table)), files)


def _inspect(path: Path, folder: Path, parse: Callable) -> tuple[dict | None, list[tuple[str, str, str]]]:
    """Return the row of one recording, or None, and its problems."""
    import soundfile

    relative = PurePosixPath(path.relative_to(folder).as_posix())
    try:
        row = parse(relative)
    except NameError_ as error:
        return None, [(str(relative), "unparsable name", str(error))]
    if path.stat().st_size == 0:
        return None, [(str(relative), "zero-byte file", f"clip {row['clip']} left out")]
    try:
        samples, rate = audio.read(path)
    except SerError as error:
        return None, [(str(relative), "undecodable file", str(error).removeprefix(f"{path}: "))]
    issues = []
    if fault := row.pop("fault", None):
        issues.append((str(relative), "odd name", fault))
    if not np.any(samples):
        issues.append((str(relative), "silent recording", "every sample is zero"))
    row |= {
        "path": str(relative),
        "duration_s": len(samples) / rate,
        "sha256": audio.content_hash(samples, rate),
        "rate": rate,
        "channels": soundfile.info(path).channels,
    }
    return row, issues


def _duplicates(table: pd.DataFrame) -> list[tuple[str, str, str]]:
    """Return a problem for every clip whose samples were seen under an earlier id."""
    rows = []
    for _, group in table[table["sha256"].duplicated(keep=False)].groupby("sha256", sort=False):
        first = group.index[0]
        for clip in group.index[1:]:
            differs = [c for c in ("speaker", "emotion", "sentence") if _differ(group.at[clip, c], group.at[first, c])]
            detail = f"clip {clip} has the same samples as {first}"
            rows.append(
                (group.at[clip, "path"], "duplicate recording", detail + (f", other {', '.join(differs)}" * bool(differs)))
            )
    return rows


def _differ(a: object, b: object) -> bool:
    return not (a == b or (pd.isna(a) and pd.isna(b)))


def how_to(info: Corpus) -> str:
    """Return what to do to get a corpus, in half a line."""
    if info.access == "public":
        return f"run `ser fetch {info.name}`"
    return f"run `ser fetch {info.name}` for how to get it"

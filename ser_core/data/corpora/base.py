"""What every corpus module shares: its description, what reading it gives, and how its names are taken apart."""

from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from ser_core.errors import SerError
from ser_core.files import csvfile


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
        short: What figures and tables call it.
        emotions: Its own words for emotions, sorted.
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
    short: str
    emotions: tuple[str, ...]
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


class BadNameError(ValueError):
    """A file name that does not follow the corpus's grammar; the message says which part."""


def problems_table(rows: list[tuple[str, str, str]]) -> pd.DataFrame:
    """Return problems as a table with columns path, problem, detail, sorted."""
    # Names of files may hold bytes that are no text, which a table cannot hold.
    rows = [tuple(cell.encode("utf-8", "backslashreplace").decode() for cell in row) for row in rows]
    table = pd.DataFrame(rows, columns=["path", "problem", "detail"], dtype="str")
    return table.sort_values(["path", "problem", "detail"], ignore_index=True)


def code(table: dict[str, str], key: str, what: str) -> str:
    """Return what a code in a file's name stands for.

    Args:
        table: Code -> meaning.
        key: The code.
        what: Name of the field, for the message.

    Raises:
        BadNameError: If the corpus does not define the code.
    """
    if key not in table:
        raise BadNameError(f"{what} code '{key}' is none of {', '.join(sorted(table))}")
    return table[key]


def how_to(info: Corpus) -> str:
    """Return what to do to get a corpus, in half a line."""
    return f"see `ser fetch {info.name}` for how to get it"


def read_csv(path: Path, columns: tuple[str, ...]) -> pd.DataFrame:
    """Return a table of text, or say what is wrong with the file."""
    table = csvfile.read(path)
    if missing := [column for column in columns if column not in table]:
        raise SerError(f"{path}: lacks the columns {missing}; it has {list(table.columns)[:12]}")
    return table

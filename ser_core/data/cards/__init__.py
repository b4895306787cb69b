"""Data cards: what a corpus's authors declare, what its files measure, and whether the two agree."""

from collections.abc import Iterable
from pathlib import Path

import pandas as pd
import yaml

from ser_core import files
from ser_core.data import corpora
from ser_core.data.cards.card import Card, duplicates, load, path, target
from ser_core.data.cards.measuring import measure
from ser_core.data.cards.rendering import declared_versus_measured, render
from ser_core.data.corpora import Corpus, Reading
from ser_core.errors import SerError

__all__ = [
    "Card",
    "check",
    "declared_versus_measured",
    "differences",
    "duplicates",
    "load",
    "measure",
    "path",
    "render",
    "write",
]

HEADER = ("name", "title", "language", "licence", "licence_url", "citation", "homepage", "access", "how_to_get")
"""What a card repeats of a `ser_core.data.corpora.Corpus`, beside what its authors declare."""


def _measure_files(name: str, folder: Path | None, progress: bool) -> tuple[Reading, dict]:
    """Read a corpus, look for duplicates, and measure it."""
    from ser_core.data import audit

    info = corpora.info(name)
    reading = corpora.read(name, folder, progress=progress)
    duplicates = audit.near_duplicates(reading.clips, folder, progress=progress) if info.has_audio else None
    return reading, measure(reading, duplicates)


def check(name: str, folder: Path | None = None, *, progress: bool = False) -> None:
    """Compare the card of a corpus, and its committed Clips table, with its files.

    Args:
        name: One of `ser_core.data.corpora.NAMES` or `ser_core.data.corpora.ABSENT`.
        folder: Where it is; by default ``$SER_DATA/<name>``.
        progress: Show progress bars.

    Raises:
        SerError: If they differ; it lists every difference. Also if the card or the corpus cannot be read.
    """
    header = load(name).header
    reading, measured = _measure_files(name, folder, progress)
    # What was measured on is told in words and may be told better by hand.
    card = {key: value for key, value in header["measured"].items() if key != "copy"}
    files = {key: value for key, value in measured.items() if key != "copy"}
    found = list(differences(card, files, "measured"))
    expected = _head(corpora.info(name))
    found += differences({key: header.get(key) for key in expected}, expected, "", sides=("card", "ser_core"))
    table, read = corpora.table(name), corpora.committed(reading.clips)
    found += differences(_rows(table), _rows(read), "table")
    if found:
        where = f"the card says it was measured on: {header['measured'].get('copy')}"
        raise SerError(
            f"{name}: the card and the files disagree in {len(found)} places ({where}); if the files are right, run "
            f"`ser card {name} --write`. {'; '.join(found)}"
        )


def _rows(table: pd.DataFrame) -> dict[str, dict]:
    """Return a Clips table as clip -> column -> value, without the paths, whose ending depends on the copy."""
    table = table.drop(columns="path").astype("object")
    return table.where(table.notna(), None).to_dict("index")


def differences(a: object, b: object, where: str, sides: tuple[str, str] = ("card", "files")) -> Iterable[str]:
    """Give every place in which two nested values differ, as 'measured.clips: card 3, files 2'.

    Args:
        a: One value.
        b: The other.
        where: Name of the place of both, the first part of each difference.
        sides: What to call the two.

    Returns:
        One text a difference.

    Examples:
        >>> list(differences({"clips": 3, "emotions": {"sad": 1}}, {"clips": 2, "emotions": {"sad": 1}}, "measured"))
        ['measured.clips: card 3, files 2']
    """
    if isinstance(a, dict) and isinstance(b, dict):
        for key in [*a, *(key for key in b if key not in a)]:
            place = f"{where}.{key}" if where else str(key)
            if key not in a or key not in b:
                yield f"{place}: {sides[0]} {a.get(key, 'nothing')}, {sides[1]} {b.get(key, 'nothing')}"
            else:
                yield from differences(a[key], b[key], place, sides)
    elif isinstance(a, list) and isinstance(b, list):
        for only, side in ((a, sides[0]), (b, sides[1])):
            other = b if only is a else a
            yield from (f"{where}: {side} only: {value}" for value in only if value not in other)
    elif a != b:
        yield f"{where}: {sides[0]} {a}, {sides[1]} {b}"


def _head(info: Corpus) -> dict:
    """Return the part of a header that `ser_core.data.corpora` knows."""
    return {key: getattr(info, key) for key in HEADER} | {"declared": info.declared}


def write(name: str, folder: Path | None = None, *, progress: bool = True) -> Path:
    """Measure a corpus and write its card's header and its Clips table; the prose and ``measured.copy`` stay.

    Args:
        name: One of `ser_core.data.corpora.NAMES` or `ser_core.data.corpora.ABSENT`.
        folder: Where it is; by default ``$SER_DATA/<name>``.
        progress: Show progress bars.

    Returns:
        The card.

    Raises:
        SerError: If the corpus cannot be read.
    """
    file = target(name)
    reading, measured = _measure_files(name, folder, progress)
    prose = "What it is, who spoke and agreed to what, and its known faults are still to be written.\n"
    if path(name).is_file():
        card = load(name)
        prose = card.prose
        measured["copy"] = card.header["measured"].get("copy") or measured["copy"]
    header = yaml.safe_dump(
        _head(corpora.info(name)) | {"measured": measured},
        sort_keys=False,
        allow_unicode=True,
        default_flow_style=None,
        width=116,
    )
    with files.replacing(file) as temporary:
        temporary.write_text(f"---\n{header}---\n\n{prose}", encoding="utf-8")
    corpora.write_table(reading)
    return file

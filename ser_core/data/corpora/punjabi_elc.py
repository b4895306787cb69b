"""Punjabi-ELC: one table of features, with participant and emotion; its recordings are private."""

import re
from pathlib import Path

import pandas as pd

from ser_core.data import clips
from ser_core.data.corpora.base import Corpus, Download, Reading, how_to, problems_table, read_csv
from ser_core.data.corpora.recordings import named
from ser_core.errors import SerError

_FILE = "feature_ext_output_cleaned.csv"

EMOTIONS = ("anger", "fear", "happy", "neutral", "sad")

INFO = Corpus(
    name="punjabi_elc",
    title="Punjabi emotional speech of the ELC internship, Thapar Institute (features only)",
    short="Punjabi-ELC",
    emotions=EMOTIONS,
    language="pa",
    licence="MIT (features); the recordings are private",
    licence_url="https://github.com/Gagan2435/Punjabi-Speech-Emotion-Recognition",
    citation="gaganpunjabi",
    homepage="https://github.com/Gagan2435/Punjabi-Speech-Emotion-Recognition",
    access="public",
    downloads=(
        Download(
            url="https://raw.githubusercontent.com/Gagan2435/Punjabi-Speech-Emotion-Recognition/"
            f"8281a639331ab64c84bc30d7cb31c3be70d7b406/{_FILE}",
            filename=_FILE,
        ),
    ),
    how_to_get=f"Take {_FILE} from https://github.com/Gagan2435/Punjabi-Speech-Emotion-Recognition.",
    redistribute_features=False,
    has_audio=False,
    declared={"clips": 1125, "speakers": 15, "sentences": 15, "emotions": 5},
)

_KEYS = ("participant", "emotion", "filename", "relative_path")
FEATURES = (
    *(f"mfcc_{i}" for i in range(1, 14)),
    *(f"chroma_{i}" for i in range(1, 13)),
    "zcr",
    "rms",
    "spec_centroid",
    "f0_mean",
    "jitter",
    "shimmer",
)
"""The 31 columns of features, in the order of the file."""


def read(folder: Path, *, progress: bool = False) -> Reading:
    """Read ``feature_ext_output_cleaned.csv``.

    Args:
        folder: Where the table is, nested or not.
        progress: Not used; there is no audio to decode.

    Returns:
        Clips with speaker; no duration, no audio. Problems are ``unknown emotion``, ``unparsable name``,
        ``listed twice``, ``odd name`` (the file's number says another emotion than its folder) and
        ``duplicate recording`` (a row whose 31 features are those of another).

    Raises:
        SerError: If the table is missing, cannot be read, or lacks a column.
    """
    table, name = _table(folder)
    clip = _clip(table)
    found = []
    word = table["emotion"].str.replace(r"^\s*\d+\.\s*", "", regex=True).str.strip().str.lower()
    unknown, twice = ~word.isin(EMOTIONS), clip.duplicated()
    found += [
        (name, "unknown emotion", f"{c}: '{e}', left out") for c, e in zip(clip[unknown], word[unknown], strict=True)
    ]
    found += [(name, "listed twice", f"{c}: the first row is kept") for c in clip[twice]]
    for c, label, file in zip(clip, table["emotion"], table["filename"], strict=True):
        numbers = re.fullmatch(r"\d+\.(\d+)\.\w+", file)
        if not numbers:
            found.append((name, "unparsable name", f"{c}: '{file}' is not two numbers, as in 10.1.mp3; kept"))
        elif not label.strip().startswith(numbers[1] + "."):
            found.append((name, "odd name", f"{c}: the file says emotion {numbers[1]}, the label is '{label}', kept"))
    first = clip.groupby([table[feature] for feature in FEATURES]).transform("first")
    again = (first != clip) & ~twice
    found += [
        (name, "duplicate recording", f"clip {c} has the same 31 features as {f}")
        for c, f in zip(clip[again], first[again], strict=True)
    ]
    result = pd.DataFrame(
        {
            "clip": clip,
            "corpus": "punjabi_elc",
            "language": INFO.language,
            "speaker": "punjabi_elc/" + table["participant"].str.strip(),
            "emotion": word,
        }
    )
    return Reading(clips.validate(result[~unknown & ~twice].set_index("clip")), problems_table(found))


def _table(folder: Path) -> tuple[pd.DataFrame, str]:
    """Return the table as text and its path relative to the folder."""
    folder = Path(folder)
    path = next(iter(named(folder, _FILE)), None)
    if path is None:
        raise SerError(f"{folder}: no {_FILE} of {INFO.title}; {how_to(INFO)}")
    return read_csv(path, (*_KEYS, *FEATURES)), path.relative_to(folder).as_posix()


def _clip(table: pd.DataFrame) -> pd.Series:
    """Return the clip ids: the recordings' paths, with forward slashes and without extension."""
    path = table["relative_path"].str.replace("\\", "/", regex=False).str.replace(r"\.\w+$", "", regex=True)
    return ("punjabi_elc/" + path).rename("clip")

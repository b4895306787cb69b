"""What is odd in the table of a corpus: speakers of two genders, names nearly alike, labels that were left out."""

import difflib
import re

import pandas as pd

from ser_core.data.clips import of_two_genders
from ser_core.data.corpora.words import EMOTIONS, plain
from ser_core.files import text

_CLOSE = 0.8  # of difflib: surprise and surprised have 0.94, happy and unhappy 0.83, angry and hungry 0.73
_SHOWN = 3


def contradicting_genders(clips: pd.DataFrame) -> list[str]:
    """Return a line for the speakers whose clips are of both genders, none if there are none.

    Args:
        clips: A Clips table.

    Examples:
        >>> contradicting_genders(pd.DataFrame({"speaker": list("aab"), "gender": ["female", "male", "male"]}))
        ["1 of 2 speakers have clips of both genders, first 'a' (1 female, 1 male)"]
    """
    wrong = of_two_genders(clips)
    if wrong.empty:
        return []
    first = ", ".join(f"{n} {gender}" for gender, n in wrong.iloc[0].items())
    n_known = clips.dropna(subset=["speaker", "gender"])["speaker"].nunique()
    return [f"{len(wrong)} of {n_known} speakers have clips of both genders, first '{wrong.index[0]}' ({first})"]


def near_equal(clips: pd.DataFrame) -> list[tuple[str, str, str]]:
    """Return emotions and speakers whose names may be two writings of one, as (column, one, other).

    Names of speakers count as near if they differ in punctuation, case or leading zeros; emotions also if nearly all
    letters are the same, or if they are known words for the same emotion, in one language or two.

    Args:
        clips: A Clips table.

    Examples:
        >>> near_equal(pd.DataFrame({"speaker": ["a/Jo", "a/Jo."], "emotion": ["surprise", "surprised"]}))
        [('speaker', 'a/Jo', 'a/Jo.'), ('emotion', 'surprise', 'surprised')]
    """
    found = []
    for column in ("speaker", "emotion"):
        seen: dict[str, str] = {}
        for name in sorted(clips[column].dropna().unique()):
            other = seen.setdefault(_bare(name), name)
            if other != name:
                found.append((column, other, name))
    words = sorted(clips["emotion"].dropna().unique())
    for i, one in enumerate(words if len(words) <= 100 else ()):
        for other in words[i + 1 :]:
            meant = EMOTIONS.get(plain(one))
            same = meant is not None and meant == EMOTIONS.get(plain(other))
            close = same or difflib.SequenceMatcher(None, text.key(one), text.key(other)).ratio() >= _CLOSE
            if close and ("emotion", one, other) not in found:
                found.append(("emotion", one, other))
    return found


def _bare(name: str) -> str:
    """Return the letters and digits of a name, numbers without leading zeros."""
    parts = re.findall(r"\d+|[^\W\d_]+|/", text.key(name))
    # A blank between two numbers counts, or 1-11 would be 11-1.
    return " ".join(part.lstrip("0") or "0" if part.isdecimal() else part for part in parts)


def left_out(clips: pd.DataFrame) -> list[tuple[str, float]]:
    """Return a line, and the share of the clips, for what a label harmonisation left out of a corpus.

    Args:
        clips: As from `ser_core.data.labels.harmonise`, whose ``attrs`` say so.

    Examples:
        >>> from ser_core.data import corpora, labels
        >>> left_out(labels.harmonise(corpora.table("ravdess"), "common4"))[0][0]
        'ravdess: 768 of 1440 clips (53%) have no common word: calm 192, disgust 192, fearful 192, surprised 192'
    """
    coverage = pd.DataFrame(clips.attrs.get("coverage", []))
    found = []
    for corpus, rows in coverage.groupby("corpus") if len(coverage) else ():
        lost = rows[rows["common_word"].isna()].sort_values(["n", "own_word"], ascending=[False, True])
        if len(lost):
            n, of = int(lost["n"].sum()), int(rows["n"].sum())
            words = ", ".join(f"{row.own_word} {row.n}" for row in lost.itertuples())
            found.append((f"{corpus}: {n} of {of} clips ({n / of:.0%}) have no common word: {words}", n / of))
    return found


def findings(clips: pd.DataFrame) -> list[tuple]:
    """Return the findings of this module, as rows check, severity, fold, detail, value.

    Args:
        clips: A Clips table.

    Examples:
        >>> table = pd.DataFrame({"speaker": ["a", "a"], "gender": ["female", "male"], "emotion": "sad"})
        >>> [row[0] for row in findings(table)]
        ['contradicting genders']
    """
    rows = [("contradicting genders", "note", None, detail, None) for detail in contradicting_genders(clips)]
    pairs = near_equal(clips)
    for column in ("speaker", "emotion"):
        names = [(one, other) for of, one, other in pairs if of == column]
        if names:
            shown = ", ".join(f"'{one}' and '{other}'" for one, other in names[:_SHOWN])
            more = f", and {len(names) - _SHOWN} more pairs" if len(names) > _SHOWN else ""
            rows.append((f"near-equal {column}s", "note", None, f"{shown}{more} may be one", len(names)))
    rows += [("labels left out", "note", None, detail, share) for detail, share in left_out(clips)]
    return rows

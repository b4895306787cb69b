"""Emotion words: what each corpus uses, and named ways to make them common."""

import pandas as pd

from ser_core.data import corpora
from ser_core.errors import RefusalError, SerError

NATIVE = {name: corpora.info(name).emotions for name in corpora.KNOWN}
"""The own words of each corpus, sorted."""

_COMMON4 = {
    "anger": "angry",
    "angry": "angry",
    "happiness": "happy",
    "happy": "happy",
    "joy": "happy",
    "neutral": "neutral",
    "sad": "sad",
    "sadness": "sad",
}

# RAVDESS's words; calm is its own, and boredom is nobody else's.
_BASIC8 = _COMMON4 | {
    "calm": "calm",
    "disgust": "disgust",
    "fear": "fearful",
    "fearful": "fearful",
    "pleasant_surprise": "surprised",
    "surprise": "surprised",
    "surprised": "surprised",
}

KINDS = {
    "arousal": {"angry": "high", "happy": "high", "neutral": "low", "sad": "low"},
    "valence": {"angry": "negative", "sad": "negative", "neutral": "other", "happy": "other"},
}
"""The words of ``common4`` by arousal and by valence, two of each kind."""

HARMONISATIONS: dict[str, dict[str, dict[str, str]]] = {
    "native": {corpus: {word: word for word in words} for corpus, words in NATIVE.items()},
    "common4": {
        corpus: {word: _COMMON4[word] for word in words if word in _COMMON4} for corpus, words in NATIVE.items()
    },
    "basic8": {corpus: {word: _BASIC8[word] for word in words if word in _BASIC8} for corpus, words in NATIVE.items()},
    "sharma7": {
        corpus: {word: _BASIC8[word] for word in words if word in _BASIC8 and word != "neutral"}
        for corpus, words in NATIVE.items()
    },
}
"""Name -> corpus -> own word -> common word; a known own word that is not a key has no common word.

``native`` keeps every word. ``common4`` is angry, happy, neutral and sad; RAVDESS's calm is not made neutral,
nor IEMOCAP's excitement happy: of its usual four-class task (5,531 turns) ``common4`` keeps the 4,490 without it.
``basic8`` is the eight words of RAVDESS; a corpus has as many of them as it has.
``sharma7`` is ``basic8`` without neutral, as Sharma (2023) merges RAVDESS, SAVEE, TESS, CREMA-D and IEMOCAP. The paper
does not say where IEMOCAP's excitement goes; its 2,499 happy and 745 surprised clips leave no room for the 1,041 turns.
It leaves out short clips as well, see `SHORTEST`.
A corpus without an entry, such as a local one, is held to the words of all corpora together.
"""

SHORTEST = {"sharma7": 1.0}
"""Harmonisation -> the least that a clip lasts, in seconds, to be kept; where its length is not known, it is.

Sharma measures after silence is removed. Lengths here are those of the recordings, so that all feature sets have the
same clips, whatever is cut away for one of them.
"""


def _mapping(name: str, corpus: str) -> tuple[dict[str, str], set[str] | None]:
    """Return own word -> common word, and the words the corpus may use (None: any)."""
    if name not in HARMONISATIONS:
        raise SerError(f"unknown harmonisation '{name}'; there are {', '.join(HARMONISATIONS)}")
    if corpus in NATIVE:
        return HARMONISATIONS[name][corpus], set(NATIVE[corpus])
    if name == "native":
        return {}, None
    merged = {own: common for table in HARMONISATIONS[name].values() for own, common in table.items()}
    return merged, {word for words in NATIVE.values() for word in words}


def mapping(name: str, corpus: str) -> dict[str, str]:
    """Return what a harmonisation makes of a corpus's words, by its own word.

    Raises:
        SerError: If the harmonisation is unknown.

    Examples:
        >>> mapping("common4", "urdu")
        {'angry': 'angry', 'happy': 'happy', 'neutral': 'neutral', 'sad': 'sad'}
    """
    return _mapping(name, corpus)[0]


def _common_words(clips: pd.DataFrame, name: str) -> pd.Series:
    """Return the common word of every clip, missing where there is none or the clip is too short."""
    parts = []
    for corpus, emotion in clips.groupby("corpus", sort=True)["emotion"]:
        mapping, allowed = _mapping(name, corpus)
        if allowed is None:
            parts.append(emotion)
            continue
        unknown = emotion[~emotion.isin(allowed)]
        if len(unknown):
            raise SerError(
                f"{corpus}: emotion '{unknown.iloc[0]}' of clip {unknown.index[0]} is not known to '{name}'; "
                f"allowed: {', '.join(sorted(allowed))}"
            )
        parts.append(emotion.map(mapping))
    words = pd.concat(parts).reindex(clips.index).astype("str")
    return words.mask(clips["duration_s"] < SHORTEST.get(name, 0.0))


def harmonise(clips: pd.DataFrame, name: str) -> pd.DataFrame:
    """Return the clips that have a common word, with that word as their emotion.

    Args:
        clips: A Clips table of one or more corpora.
        name: One of `HARMONISATIONS`.

    Returns:
        A Clips table; ``attrs["coverage"]`` is the table of `coverage`, so that what is left out is seen.

    Raises:
        SerError: If the name is unknown, a corpus uses a word that it does not define, or no clip is left.
        RefusalError: If the clips are of several corpora, whose own words are not the same, and the name is ``native``.

    Examples:
        >>> from ser_core.data.clips import validate
        >>> row = {"corpus": "emodb", "language": "de"}
        >>> rows = [row | {"emotion": "anger"}, row | {"emotion": "boredom"}]
        >>> clips = validate(pd.DataFrame(rows, index=["emodb/1", "emodb/2"]))
        >>> harmonise(clips, "common4")["emotion"].to_dict()
        {'emodb/1': 'angry'}
    """
    if name == "native" and clips["corpus"].nunique() > 1:
        others = ", ".join(other for other in HARMONISATIONS if other != "native")
        raise RefusalError(
            f"{'+'.join(sorted(clips['corpus'].unique()))}: each corpus has words of its own under 'native'; choose "
            f"one of the harmonisations {others}"
        )
    words = _common_words(clips, name)
    result = clips.assign(emotion=words)[words.notna()]
    if not len(result):
        least = f" and lasts {SHORTEST[name]:g} s" if name in SHORTEST else ""
        raise SerError(f"no clip of {', '.join(sorted(clips['corpus'].unique()))} has a word of '{name}'{least}")
    # As plain records: pandas compares attrs when tables are joined, and a table cannot be compared to True or False.
    result.attrs["coverage"] = coverage(clips, name).to_dict("records")
    return result


def coverage(clips: pd.DataFrame, name: str) -> pd.DataFrame:
    """Return which own words a harmonisation keeps, and how many clips each has.

    Args:
        clips: A Clips table of one or more corpora.
        name: One of `HARMONISATIONS`.

    Returns:
        Columns corpus, own_word, common_word (missing: left out) and n (clips), sorted by the first two; a word of
        which only the short clips are left out (see `SHORTEST`) has two rows.

    Raises:
        SerError: If the name is unknown or a corpus uses a word that it does not define.
    """
    table = pd.DataFrame({"corpus": clips["corpus"], "own_word": clips["emotion"]})
    table["common_word"] = _common_words(clips, name)
    counts = table.groupby(["corpus", "own_word", "common_word"], dropna=False).size()
    return counts.rename("n").reset_index().sort_values(["corpus", "own_word"], ignore_index=True)

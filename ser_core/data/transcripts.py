"""What is said in each clip of a corpus and, in a dialogue, by whom before it; as it is, or with errors put in."""

import functools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from ser_core import files, paths
from ser_core.data import corpora
from ser_core.errors import SerError

COLUMNS = ("dialogue", "turn", "speaker", "text")
ERROR_SHARES = {"substitution": 0.6, "deletion": 0.2, "insertion": 0.2}
"""Of the errors of `corrupt`: a convention of ours. As many deletions as insertions keep the expected length."""

WORDS = {
    "own": "what is said in the clip",
    "heard": "what Whisper base heard in the clip, errors included",
    "constant": "one sentence for every clip",
    "other": "of each clip, what is said in another",
    "random": "noise in the place of each of the clip's own tokens",
}


def dialogue_inputs(table: pd.DataFrame, context: int, *, name_target: bool = True) -> dict[str, tuple[str, ...]]:
    """Return each clip's text with the turns before it, oldest first, the clip's own last.

    The turns before are those numbered one to ``context`` lower in the same dialogue. One that is not in the table is
    left out and none further back takes its place, so that what is said of a clip does not hang on which others were
    dropped, except that these are absent. So is a turn without text.

    Args:
        table: Index clip; columns dialogue, turn (whole numbers, in the order of speaking), speaker and text, the last
            two missing where not known.
        context: How many turns before; 0 for none.
        name_target: Whether the clip's own turn names its speaker too.

    Returns:
        Clip -> turns, each "Speaker: text"; without the name if the speaker is missing. A clip without text ends in
        an empty turn.

    Raises:
        SerError: If columns are missing, context is no whole number from 0, a turn is no whole number or in no
            dialogue, or a clip or a turn of a dialogue stands twice.

    Examples:
        >>> rows = {"a": ("d", 0, "Ann", "Hi."), "b": ("d", 1, "Ben", "Oh!"), "c": ("e", 0, "Cy", "So?")}
        >>> table = pd.DataFrame.from_dict(rows, orient="index", columns=list(COLUMNS))
        >>> dialogue_inputs(table, 2, name_target=False)
        {'a': ('Hi.',), 'b': ('Ann: Hi.', 'Oh!'), 'c': ('So?',)}
    """
    if missing := [name for name in COLUMNS if name not in table]:
        raise SerError(f"the table of dialogues lacks the columns {missing}; it has {list(table.columns)}")
    if type(context) is not int or context < 0:
        raise SerError(f"context must be a whole number of turns from 0, not {context!r}")
    turns = pd.to_numeric(table["turn"], errors="coerce")
    if (bad := ~(turns % 1 == 0) | table["dialogue"].isna()).any():
        row = table[bad].iloc[0]
        raise SerError(
            f"{row.name}: its dialogue is {row['dialogue']}, its turn {row['turn']}; expected an id and a whole number"
        )
    keys = list(zip(table["dialogue"], turns.astype(int), strict=True))
    for what, found in (("clip", table.index), ("turn", pd.Index(keys, tupleize_cols=False))):
        if found.has_duplicates:
            raise SerError(f"the {what} {found[found.duplicated()][0]} stands twice in the table; keep one of them")
    bare = [text.strip() for text in table["text"].astype("str").where(table["text"].notna(), "")]
    named = [
        f"{speaker}: {text}" if text and pd.notna(speaker) else text
        for speaker, text in zip(table["speaker"], bare, strict=True)
    ]
    said = {key: text for key, text in zip(keys, named, strict=True) if text}
    own = named if name_target else bare
    return {
        clip: (*(said[dialogue, i] for i in range(turn - context, turn) if (dialogue, i) in said), text)
        for clip, (dialogue, turn), text in zip(table.index, keys, own, strict=True)
    }


def meld_texts(folder: Path | None = None) -> pd.DataFrame:
    """Read the dialogues of MELD, whose transcripts may not be redistributed: keep no copy beside its own tables.

    Args:
        folder: Where its three tables are; by default ``$SER_DATA/meld``.

    Returns:
        Index clip as in ``corpora.table("meld")``; columns dialogue, turn, speaker (the character's name) and text.

    Raises:
        SerError: If a table is missing or cannot be read.
    """
    clips = corpora.read("meld", folder).clips
    return pd.DataFrame(
        {
            "dialogue": clips["session"],
            "turn": [int(clip.rpartition("_utt")[2]) for clip in clips.index],
            "speaker": clips["speaker"].str.removeprefix("meld/"),
            "text": clips["transcript"],
        }
    )


READERS = {"meld": meld_texts}
"""The corpora that are of dialogues, and how theirs are read."""


def refusal(corpus: str, context: int = 0, words: str = "own") -> str | None:
    """Return why the texts of a corpus cannot be read, None if they can.

    Args:
        corpus: One of `ser_core.data.corpora.NAMES`, or a union of them.
        context: Turns before the clip's own.
        words: A key of `WORDS`.

    Examples:
        >>> refusal("urdu")
        "no clip of 'urdu' has a transcript"
    """
    if len(names := corpora.parts(corpus)) > 1:
        return next(filter(None, (refusal(name, context, words) for name in names)), None)
    if words == "heard":
        # The script is not asked for.
        unheard = why_unheard(corpus, corpora.table(corpus))
        return unheard or (f"of '{corpus}' Whisper heard single clips, no turns before them" if context else None)
    if corpus in READERS:
        return None
    if context:
        return _no_turns(corpus, context)
    return None if corpora.table(corpus)["transcript"].notna().any() else f"no clip of '{corpus}' has a transcript"


def _no_turns(corpus: str, context: int) -> str:
    return f"'{corpus}' has no dialogues, so no {context} turns before a clip"


def said(
    clips: pd.DataFrame, corpus: str, context: int = 0, *, named: bool = True, folder: Path | None = None
) -> dict[str, tuple[str, ...]]:
    """Return what is said in each clip, after what was said before it.

    Args:
        clips: A Clips table.
        corpus: Name of its corpus; for those of `READERS` the transcripts come from the corpus's own tables.
        context: Turns before the clip's own.
        named: Whether the turns before name their speakers; the clip's own does not.
        folder: Of the corpus's own tables; ``$SER_DATA/<corpus>`` if None.

    Returns:
        Clip -> turns, oldest first, the clip's own last; without text, its own is empty.

    Raises:
        SerError: If the corpus's tables are not at hand, or lack a clip, or it has no dialogues to take turns from.

    Examples:
        >>> said(corpora.table("ravdess"), "ravdess")["ravdess/03-01-05-01-02-02-07"]
        ('Dogs are sitting by the door',)
    """
    if corpus not in READERS:
        if context:
            raise SerError(f"{_no_turns(corpus, context)}; leave the context out")
        return {clip: ("" if pd.isna(text) else text.strip(),) for clip, text in clips["transcript"].items()}
    table = READERS[corpus](folder)
    if absent := clips.index.difference(table.index).tolist():
        raise SerError(f"{corpus}: its transcripts lack {len(absent)} clips of the Clips table, such as {absent[0]}")
    found = dialogue_inputs(table if named else table.assign(speaker=pd.NA), context, name_target=False)
    return {clip: found[clip] for clip in clips.index}


@functools.lru_cache(maxsize=8)
def texts(corpus: str, context: int = 0, words: str = "own") -> dict[str, tuple[str, ...]]:
    """Return what a network reads of each clip of a corpus.

    Transcripts are those of the Clips table, those of MELD come from its own tables in ``SER_DATA``, and what Whisper
    heard from the results. The turns before name their speakers, the clip's own does not. A clip without text is left
    without, whichever control ``words`` names.

    Args:
        corpus: A corpus of which `refusal` says nothing, or a union of such.
        context: Turns before the clip's own.
        words: A key of `WORDS`. ``heard`` gives each clip what Whisper base heard in it, which may be nothing, whether
            or not it has a script. ``constant`` gives every clip the first of the corpus's sentences in alphabetical
            order; ``other`` gives each clip one of its other sentences, drawn once and for all, each sentence as
            probable as any; in both the turns before go with it. The rest leave each clip its own.

    Returns:
        Clip -> turns, oldest first, the clip's own last; without text, its own is empty.

    Raises:
        SerError: If ``words`` is no such key, the corpus has no such texts, no second sentence where another is wanted,
            or its tables are not at hand.

    Examples:
        >>> texts("ravdess")["ravdess/03-01-05-01-02-02-07"]
        ('Dogs are sitting by the door',)
        >>> texts("ravdess", words="other")["ravdess/03-01-05-01-02-02-07"]
        ('Kids are talking by the door',)
    """
    if words not in WORDS:
        raise SerError(f"unknown words '{words}'; expected one of {list(WORDS)}")
    if reason := refusal(corpus, context, words):
        raise SerError(f"{reason}; choose another corpus or setting")
    found = {}
    for name in corpora.parts(corpus):
        clips = corpora.table(name)
        found |= heard_in(clips, name) if words == "heard" else said(clips, name, context)
    if words not in ("constant", "other"):
        return found
    # The first clip that says a sentence lends its turns.
    lenders = {turns[-1]: turns for _, turns in sorted(found.items(), reverse=True) if turns[-1]}
    sentences = sorted(lenders)
    if words == "constant":
        return {clip: lenders[sentences[0]] if turns[-1] else turns for clip, turns in found.items()}
    if len(sentences) < 2:
        raise SerError(f"all clips of '{corpus}' say the same, so none can say what another does; leave 'other' out")
    places = {sentence: i for i, sentence in enumerate(sentences)}
    drawn = np.random.default_rng(0).integers(len(sentences) - 1, size=len(found))
    return {
        # Of all sentences but the clip's own, which the one at the end stands in for.
        clip: lenders[sentences[-1 if i == places[turns[-1]] else i]] if turns[-1] else turns
        for (clip, turns), i in zip(sorted(found.items()), drawn.tolist(), strict=True)
    }


def heard_path(corpus: str, model: str) -> Path:
    """Return where what a recogniser heard of a corpus is kept."""
    return paths.results() / "transcripts" / f"{corpus}.{model}.parquet"


def heard(corpus: str, model: str = "whisper-base") -> pd.DataFrame:
    """Return what is kept of what Whisper heard in a corpus, or in a sample of its clips.

    It is made by ``ser transcribe CORPUS --model FILE --keep``, see `ser_core.systems.transcription.keep`.

    Args:
        corpus: Name of the corpus.
        model: The model that heard it.

    Returns:
        Indexed by clip: ``language``, as detected; ``no_speech_prob``; ``avg_logprob``; ``status``; where the corpus
        says what is read, ``words``, ``errors`` and their kinds; and ``transcript``, where its terms allow it.

    Raises:
        SerError: If nothing is kept.

    Examples:
        >>> heard("meld")
        Traceback (most recent call last):
        ser_core.errors.SerError: meld: nothing is kept of what whisper-base hears; see ser transcribe --keep
    """
    path = paths.stored(heard_path(corpus, model))
    if not path.is_file():
        raise SerError(f"{corpus}: nothing is kept of what {model} hears; see ser transcribe --keep")
    return files.read_parquet(path, index="clip")


def heard_in(clips: pd.DataFrame, corpus: str) -> dict[str, tuple[str, ...]]:
    """Return what Whisper base heard in each clip, in the form of `said`.

    Args:
        clips: A Clips table of which `why_unheard` says nothing.
        corpus: Name of its corpus.

    Returns:
        Clip -> one turn, empty where Whisper heard no words.

    Examples:
        >>> heard_in(corpora.table("ravdess"), "ravdess")["ravdess/03-01-05-01-02-02-07"]
        ('Dogs are sitting by the door.',)
    """
    kept = heard(corpus)["transcript"].fillna("")
    return {clip: (kept[clip].strip(),) for clip in clips.index}


def why_unheard(corpus: str, clips: pd.DataFrame) -> str | None:
    """Return why the words that Whisper heard cannot be had for all clips of a corpus, or None if they can.

    Examples:
        >>> why_unheard("meld", corpora.table("meld"))
        'meld: nothing is kept of what whisper-base hears; see ser transcribe --keep'
    """
    try:
        found = heard(corpus)
    except SerError as error:
        return str(error)
    if "transcript" not in found:
        return f"{corpus}: of what was heard in it, the words are not kept"
    absent = clips.index.difference(found.index)
    return (
        f"{corpus}: only {len(found)} of {len(clips)} clips are transcribed, {absent[0]} is not"
        if len(absent)
        else None
    )


def dialogue_of(corpus: str) -> pd.Series:
    """Return the dialogue of each clip, from the committed Clips table: for intervals over dialogues.

    Args:
        corpus: Name of the corpus.

    Returns:
        Ids, indexed by clip.

    Raises:
        SerError: If the corpus is not of dialogues.

    Examples:
        >>> dialogue_of("meld")["meld/dev_dia3_utt0"]
        'meld/dev_dia3'
    """
    if corpus not in READERS:
        raise SerError(f"{corpus} is not of dialogues, as {', '.join(READERS)} is; resample another unit, as 'speaker'")
    return corpora.table(corpus)["session"].rename("dialogue")


def corrupt(text: str, wer: float, rng: np.random.Generator, vocabulary: Sequence[str]) -> str:
    """Return a text with about the errors that a recogniser of this word error rate makes.

    Each word, by itself, bears an error with probability ``wer``: it is replaced (60 %), left out (20 %) or
    followed by a word too many (20 %, see `ERROR_SHARES`). Words to put in are drawn from the vocabulary at
    random. A recogniser's errors are others: they sound like what was said, and they come in runs.

    Counted by alignment the rate is a little less, because an insertion and a deletion near each other are one
    substitution: about 0.295 of 0.3, 0.48 of 0.5, 0.9 of 1.

    Args:
        text: Words between white space.
        wer: The error rate, in [0, 1].
        rng: Source of chance; the same state gives the same text.
        vocabulary: Words to put in, spelt as those of the text; at least two different ones.

    Returns:
        The text, one space between words; it may be empty.

    Raises:
        SerError: If the rate is not in [0, 1], or the vocabulary has fewer than two words.

    Examples:
        >>> corrupt("dogs are sitting by the door", 0.5, np.random.default_rng(1), ["kids", "talking", "the"])
        'the are sitting the by the'
    """
    if not 0 <= wer <= 1:
        raise SerError(f"a word error rate of {wer} cannot be made; expected one in [0, 1]")
    if all(word == vocabulary[0] for word in vocabulary):
        raise SerError(f"the vocabulary has {len(set(vocabulary))} different words; expected at least 2")
    words = []
    for word in text.split():
        error = rng.choice(["", *ERROR_SHARES], p=[1 - wer, *(wer * share for share in ERROR_SHARES.values())])
        if error in ("", "insertion"):
            words.append(word)
        if error in ("substitution", "insertion"):
            drawn = vocabulary[rng.integers(len(vocabulary))]
            while error == "substitution" and drawn == word:
                drawn = vocabulary[rng.integers(len(vocabulary))]
            words.append(drawn)
    return " ".join(words)

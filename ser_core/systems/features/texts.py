"""What is said in each clip, alone or after the turns before it: read whenever it is needed, and never kept."""

from pathlib import Path

import numpy as np
import pandas as pd

from ser_core.data import corpora, transcripts
from ser_core.errors import SerError

WER = {f"{name}-wer{percent}": percent / 100 for name in ("words", "minilm") for percent in (10, 20, 40)}
"""Feature sets of what is said with errors put in, and the word error rate of each, see `dialogues.corrupt`."""

ASR = {"words-asr", "minilm-asr"}
"""Feature sets of what Whisper base heard, see `ser_core.data.transcripts.heard`, in the place of what was said."""

WORDS = {"words": 0, "words-2": 2, "words-5": 5, "words-asr": 0} | {name: 0 for name in WER if name.startswith("words")}
"""Feature sets that are texts, and how many turns of the dialogue before the clip's own each has."""

SENTENCES = {"minilm": 0, "minilm-2": 2, "minilm-5": 5, "minilm-asr": 0}
SENTENCES |= {name: 0 for name in WER if name.startswith("minilm")}
"""Feature sets that an encoder of text computes, and how many turns before the clip's own it reads."""


def refusal(corpus: str, name: str, clips: pd.DataFrame) -> str | None:
    """Return why a corpus cannot have a feature set of texts, or None.

    Args:
        corpus: Name of the corpus.
        name: Name of the feature set, of `WORDS` or `SENTENCES`.
        clips: Its Clips table.

    Examples:
        >>> refusal("emodb", "words-2", corpora.table("emodb"))
        "emodb has no dialogues, and 'words-2' reads the 2 turns before a clip"
    """
    if name in ASR:
        return transcripts.why_unheard(corpus, clips)
    context = (WORDS | SENTENCES)[name]
    if corpus not in transcripts.READERS and context:
        return f"{corpus} has no dialogues, and '{name}' reads the {context} turns before a clip"
    if corpus in transcripts.READERS or clips["transcript"].notna().all():
        return None
    if clips["sentence"].isna().any():
        return f"{corpus} does not say for every clip what is said in it; '{name}' needs that"
    if name in WER:
        return f"{corpus} says which sentences are the same, not what they are; '{name}' puts errors into their words"
    # Which sentence it is can be looked up by its number, but a number has no meaning that could be encoded.
    return None if name in WORDS else f"{corpus} says which sentences are the same, not what they are: use 'words'"


def turns(
    corpus: str, name: str, *, clips: pd.DataFrame | None = None, folder: Path | None = None
) -> dict[str, tuple[str, ...]]:
    """Return what is said in each clip, after what was said before it.

    Who speaks is not named, so that these are words alone. A corpus that numbers its sentences and does not write
    them down has one made-up word for each. Words that are put in by error are drawn from those of the corpus, the
    common ones more often.

    Args:
        corpus: Name of the corpus.
        name: Name of the feature set, of `WORDS` or `SENTENCES`.
        clips: The Clips table, for a corpus of your own; the committed one if not given.
        folder: Of a corpus whose transcripts are not in its Clips table; ``$SER_DATA/<corpus>`` if not given.

    Returns:
        Clip -> turns on one line each, the oldest first and the clip's own last.

    Raises:
        SerError: If the corpus does not have what the feature set reads, or a clip is not in its transcripts.

    Examples:
        >>> turns("ravdess", "words")["ravdess/03-01-05-01-02-02-07"]
        ('Dogs are sitting by the door',)
        >>> turns("savee", "words")["savee/DC_a01"]
        ('savee_common_1',)
    """
    clips = (corpora.table(corpus) if clips is None else clips).sort_index()
    if reason := refusal(corpus, name, clips):
        raise SerError(reason)
    if name in ASR:
        found = transcripts.heard_in(clips, corpus)
    elif corpus in transcripts.READERS or clips["transcript"].notna().all():
        found = transcripts.said(clips, corpus, (WORDS | SENTENCES)[name], named=False, folder=folder)
    else:
        found = {clip: (text,) for clip, text in clips["sentence"].str.replace(r"\W", "_", regex=True).items()}
    found = {clip: tuple(" ".join(turn.split()) for turn in found[clip]) for clip in clips.index}
    if name not in WER:
        return found
    spoken = [word for (line,) in found.values() for word in line.split()]
    return {
        clip: (transcripts.corrupt(line, WER[name], np.random.default_rng([6, i]), spoken),)
        for i, (clip, (line,)) in enumerate(found.items())
    }


def words(corpus: str, name: str, clips: pd.DataFrame | None = None) -> pd.DataFrame:
    """Return `turns` as a table of features.

    Args:
        corpus: Name of the corpus.
        name: Name of the feature set, of `WORDS`.
        clips: The Clips table, for a corpus of your own; the committed one if not given.

    Returns:
        Index clip; one column ``text``, a line a turn, the clip's own last.

    Raises:
        SerError: As `turns`.
    """
    found = turns(corpus, name, clips=clips)
    texts = pd.Series({clip: "\n".join(lines) for clip, lines in found.items()}, dtype="str", name="text")
    return texts.rename_axis("clip").to_frame()

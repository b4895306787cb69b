"""Word errors of transcripts: counted by alignment, and made on purpose at a given rate."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from ser_core.errors import SerError

ERROR_SHARES = {"substitution": 0.6, "deletion": 0.2, "insertion": 0.2}
"""Of the errors of `corrupt`: a convention of ours. As many deletions as insertions keep the expected length."""


def wer(references: pd.Series, hypotheses: pd.Series, *, language: str) -> pd.DataFrame:
    """Count the word errors of transcripts, clip by clip, by the alignment with the fewest.

    Both sides are normalised first, by Whisper's own ``EnglishTextNormalizer`` (case, punctuation, contractions,
    spelling, numbers) if the language is English and by its ``BasicTextNormalizer`` (case, punctuation) otherwise.
    They are used as published, faults and all: an ellipsis leaves a full stop in English that counts as a word, and
    combining vowel signs become spaces, which cuts words of Bangla, Punjabi or Hindi into pieces, so that
    their rate is one of pieces. The rate of a corpus is ``errors.sum() / words.sum()``, not the mean.

    Args:
        references: What is said, indexed by clip.
        hypotheses: The transcripts of the same clips; an empty one counts every word as deleted.
        language: BCP 47 tag or Whisper's code, such as ``en-GB``.

    Returns:
        Indexed as the references: ``substitutions``, ``deletions``, ``insertions`` and ``errors``, their sum; ``words``
        of the normalised reference; ``wer``, their ratio, which may be above 1 and is NaN if there are no words.

    Raises:
        SerError: If the two have not the same clips, or a clip has no text or more than one.

    Examples:
        >>> said = pd.Series({"a": "Dogs are sitting by the door.", "b": "It's eleven o'clock."})
        >>> heard = pd.Series({"a": "dogs sit in by the door", "b": "It is 11 o'clock"})
        >>> counted = wer(said, heard, language="en")
        >>> counted["errors"].to_dict(), float(counted["errors"].sum() / counted["words"].sum())
        ({'a': 2, 'b': 0}, 0.2)
    """
    import jiwer
    from whisper.normalizers import BasicTextNormalizer, EnglishTextNormalizer

    for name, texts in (("reference", references), ("hypothesis", hypotheses)):
        if (twice := texts.index[texts.index.duplicated()]).size:
            raise SerError(f"clip '{twice[0]}' has more than one {name}; expected one")
        if texts.isna().any():
            raise SerError(f"clip '{texts.index[texts.isna()][0]}' has no {name}; leave it out of both")
    if differing := references.index.symmetric_difference(hypotheses.index).tolist():
        raise SerError(f"references and hypotheses are not of the same clips: only one has '{differing[0]}'")
    normalise = EnglishTextNormalizer() if language.lower().split("-")[0] == "en" else BasicTextNormalizer()
    rows = []
    for clip, reference in references.items():
        found = jiwer.process_words(normalise(reference), normalise(hypotheses[clip]))
        rows.append((found.substitutions, found.deletions, found.insertions, len(found.references[0])))
    kinds = ["substitutions", "deletions", "insertions"]
    table = pd.DataFrame(rows, index=references.index, columns=[*kinds, "words"], dtype="int64")
    table.insert(3, "errors", table[kinds].sum(axis=1))
    return table.assign(wer=table["errors"] / table["words"].where(table["words"] > 0))


def corrupt(text: str, wer: float, rng: np.random.Generator, vocabulary: Sequence[str]) -> str:
    """Return a text with about the errors that a recogniser of this word error rate makes.

    Each word, by itself, bears an error with probability ``wer``: it is replaced (60 %), left out (20 %) or
    followed by a word too many (20 %, see `ERROR_SHARES`). Words to put in are drawn from the vocabulary at
    random. A recogniser's errors are others: they sound like what was said, and they come in runs.

    `wer` counts an insertion and a deletion near each other as one substitution, and so finds a little less: about
    0.295 of 0.3, 0.48 of 0.5, 0.9 of 1.

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
    if len(set(vocabulary)) < 2:
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

"""Word errors of transcripts, counted by alignment."""

import pandas as pd

from ser_core.errors import SerError


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
        SerError: If the two have not the same clips, or a clip has no text or more than one, or no language is given.

    Examples:
        >>> said = pd.Series({"a": "Dogs are sitting by the door.", "b": "It's eleven o'clock."})
        >>> heard = pd.Series({"a": "dogs sit in by the door", "b": "It is 11 o'clock"})
        >>> counted = wer(said, heard, language="en")
        >>> counted["errors"].to_dict(), float(counted["errors"].sum() / counted["words"].sum())
        ({'a': 2, 'b': 0}, 0.2)
        >>> wer(said, heard, language=None)
        Traceback (most recent call last):
        ser_core.errors.SerError: language=None: expected a BCP 47 tag or Whisper's code, such as 'en-GB'
    """
    if not isinstance(language, str):
        raise SerError(f"language={language!r}: expected a BCP 47 tag or Whisper's code, such as 'en-GB'")
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

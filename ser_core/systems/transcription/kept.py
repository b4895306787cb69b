"""What is kept of transcripts with the results: their word errors, and the words where a corpus's terms allow it."""

from pathlib import Path

import pandas as pd

from ser_core import files
from ser_core.data import corpora, transcripts
from ser_core.errors import SerError
from ser_core.systems.transcription import words

OPEN = ("ravdess", "emodb")
"""Corpora of read sentences whose terms allow to pass on what Whisper heard; of others the counts alone are kept."""


def keep(corpus: str, heard: pd.DataFrame, model: str) -> Path:
    """Write the word errors of transcripts into the results, as `ser_core.data.transcripts.heard` reads them.

    Args:
        corpus: Name of a corpus whose Clips table says what is read in each clip.
        heard: Transcripts of its clips, or of a sample, as of `ser_core.systems.transcription.load`.
        model: What heard them, as ``base``.

    Returns:
        The file. Its columns are ``language``, ``no_speech_prob``, ``avg_logprob``, ``status``, the counts of
        `ser_core.systems.transcription.wer` and, for the corpora `OPEN`, ``transcript``.

    Raises:
        SerError: If the corpus does not say what is read.

    Examples:
        >>> keep("savee", pd.DataFrame({"transcript": "She had"}, index=["savee/DC_a01"]), "base")
        Traceback (most recent call last):
        ser_core.errors.SerError: savee: no clip says what is read, so word errors cannot be counted; keep nothing of it
    """
    clips = corpora.table(corpus).loc[heard.index]
    if clips["transcript"].isna().all():
        raise SerError(f"{corpus}: no clip says what is read, so word errors cannot be counted; keep nothing of it")
    counts = words.wer(clips["transcript"], heard["transcript"], language=corpora.info(corpus).language)
    table = (heard if corpus in OPEN else heard.drop(columns="transcript")).join(counts.drop(columns="wer"))
    path = transcripts.heard_path(corpus, f"whisper-{model}")
    files.write_parquet(table.rename_axis("clip").sort_index(), path, {"corpus": corpus, "model": f"whisper-{model}"})
    return path

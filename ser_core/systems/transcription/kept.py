"""What is kept of transcripts with the results: languages, word errors, and the words where the terms allow it."""

from pathlib import Path

import pandas as pd

from ser_core import files
from ser_core.data import corpora, transcripts
from ser_core.systems.transcription import words

OPEN = ("ravdess", "emodb")
"""Corpora of read sentences whose terms allow to pass on what Whisper heard; of others all but the words is kept."""


def keep(corpus: str, heard: pd.DataFrame, model: str) -> Path:
    """Write what is kept of transcripts into the results, as `ser_core.data.transcripts.heard` reads it.

    Args:
        corpus: Name of a corpus.
        heard: Transcripts of its clips, or of a sample, as of `ser_core.systems.transcription.load`.
        model: What heard them, as ``base``.

    Returns:
        The file. Its columns are ``language``, ``no_speech_prob``, ``avg_logprob`` and ``status``; where the Clips
        table says what is read, the counts of `ser_core.systems.transcription.wer`; and for the corpora `OPEN`
        ``transcript``.
    """
    read = corpora.table(corpus)["transcript"]
    table = heard if corpus in OPEN else heard.drop(columns="transcript")
    if read.notna().any():
        read = read.loc[heard.index].dropna()
        counts = words.wer(read, heard.loc[read.index, "transcript"], language=corpora.info(corpus).language)
        table = table.join(counts.drop(columns="wer"))
    path = transcripts.heard_path(corpus, f"whisper-{model}")
    files.write_parquet(table.rename_axis("clip").sort_index(), path, {"corpus": corpus, "model": f"whisper-{model}"})
    return path

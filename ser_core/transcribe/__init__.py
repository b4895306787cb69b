"""Transcripts of clips by Whisper, kept by recording, and the word errors of transcripts."""

from ser_core.transcribe.checkpoints import TASKS, Checkpoint, find
from ser_core.transcribe.decoding import FLOOR_DB, SHORTEST_S
from ser_core.transcribe.transcription import load, summary, transcribe
from ser_core.transcribe.words import wer

__all__ = [
    "FLOOR_DB",
    "SHORTEST_S",
    "TASKS",
    "Checkpoint",
    "find",
    "load",
    "summary",
    "transcribe",
    "wer",
]

"""Transcripts of clips by Whisper, kept by recording, and the word errors of transcripts."""

from ser_core.systems.transcription.checkpoints import TASKS, Checkpoint, find
from ser_core.systems.transcription.decoding import SHORTEST_S, hear
from ser_core.systems.transcription.kept import OPEN, keep
from ser_core.systems.transcription.transcription import load, summary, transcribe
from ser_core.systems.transcription.words import wer

__all__ = [
    "OPEN",
    "SHORTEST_S",
    "TASKS",
    "Checkpoint",
    "find",
    "hear",
    "keep",
    "load",
    "summary",
    "transcribe",
    "wer",
]

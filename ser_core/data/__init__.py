"""Corpora as tables of clips: recordings, labels, transcripts, splits, audits and data cards."""

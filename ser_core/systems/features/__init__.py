"""Feature sets of clips: how each is computed, and the store that keeps one table per corpus and extractor."""

from ser_core.systems.features.extraction import extract, refusal
from ser_core.systems.features.extractors import EXTRACTORS, Extractor, columns, get, whole_of
from ser_core.systems.features.punjabi import import_punjabi
from ser_core.systems.features.tables import load, location
from ser_core.systems.features.texts import WORDS

__all__ = [
    "EXTRACTORS",
    "WORDS",
    "Extractor",
    "columns",
    "extract",
    "get",
    "import_punjabi",
    "load",
    "location",
    "refusal",
    "whole_of",
]

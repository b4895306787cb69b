"""Feature sets of clips: how each is computed, and the store that keeps one table per corpus and extractor."""

from ser_core.features.extraction import extract, refusal
from ser_core.features.extractors import EXTRACTORS, Extractor, columns, get
from ser_core.features.files import load, location
from ser_core.features.punjabi import import_punjabi
from ser_core.features.texts import WORDS

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
]

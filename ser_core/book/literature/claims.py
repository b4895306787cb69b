"""The ledger of claims: what the four sources claim of data, scores and systems, and what became of each claim."""

import re
from collections.abc import Mapping
from pathlib import Path
from string import Formatter

import pandas as pd

from ser_core import paths
from ser_core.book.literature.sources import file_of
from ser_core.errors import SerError
from ser_core.files import yamlfile

VERDICTS = (
    "reproduced",
    "reproduced differently",
    "not testable here",
    "artefact",
    "contradicted by its own figures",
)
"""What can become of a claim; ``book/ledger.yaml`` says what each means."""

SOURCES = {
    "readme": "README of Khan's repository",
    "paper": "Sharma's paper",
    "article": "Khan's article",
    "tutorial": "tutorial on VGG16",
}
"""The four documents whose claims are listed."""

TOPICS = ("leakage", "fusion", "encoders", "dialogue", "across languages", "merged corpus", "data", "novelty")
"""What a claim is about."""

CLAIM = ("claim", "citation", "source", "where", "topic", "needs", "verdict", "because", "credit", "see")
"""What `ledger` must know of a claim."""

_SENTENCES = ("claim", "needs", "because", "credit")
_TYPED = re.compile(r"(?<![\w.])\d+(?:[.,]\d+)*")


def ledger(
    values: Mapping[str, object] | None = None, path: Path | None = None, *, topic: str | None = None
) -> pd.DataFrame:
    """Return the claims of the four sources, in the order of the file, with what became of each.

    Args:
        values: What the keys in braces stand for, as from `ser_core.book.literature.from_sources` and
            `ser_core.book.literature.from_runs`; without them the sentences are returned with their keys.
        path: The file; ``book/ledger.yaml`` if not given.
        topic: One of `TOPICS`, to return its claims only; the values then need not have the keys of the others.

    Returns:
        One row a claim, indexed by its key: claim, citation, source (one of `SOURCES`), where, topic (one of
        `TOPICS`), needs (what would decide it), verdict (one of `VERDICTS`), because, credit (what was good about it)
        and see (the chapter that shows more); the last two may be empty.

    Raises:
        SerError: If a claim lacks a field or has an unknown one, a word is not among those above, a chapter does not
            exist, a sentence has a typed number, or a key in braces is not among the values.

    Examples:
        >>> ledger().loc["held-out-shows", "verdict"]
        'artefact'
    """
    path = file_of(path, "ledger.yaml")
    chapters = [file.stem for file in (paths.repository() / "notebooks").glob("[0-9]*.md")]
    words = {"verdict": VERDICTS, "source": tuple(SOURCES), "topic": TOPICS, "see": ("", *sorted(chapters))}
    if topic is not None and topic not in TOPICS:
        raise SerError(f"no claim is about '{topic}'; topics are {list(TOPICS)}")
    rows = {}
    for name, claim in yamlfile.read(path).items():
        if wrong := sorted(set(claim) ^ set(CLAIM)):
            raise SerError(f"{path}: '{name}' lacks or should not have {wrong}; expected {list(CLAIM)}")
        for field, known in words.items():
            if claim[field] not in known:
                raise SerError(f"{path}: '{name}' has the {field} '{claim[field]}'; expected one of {list(known)}")
        for field in _SENTENCES:
            pieces = list(Formatter().parse(claim[field]))
            if typed := _TYPED.findall(" ".join(text for text, *_ in pieces)):
                raise SerError(f"{path}: '{name}', {field}: {typed} is typed; write a key in braces")
            if values is not None and topic in (None, claim["topic"]):
                keys = {key for _, key, *_ in pieces if key is not None}
                if missing := sorted(keys - set(values)):
                    raise SerError(f"{path}: '{name}', {field}: no value for {missing}; there are {sorted(values)}")
                claim[field] = claim[field].format_map(values)
        if topic in (None, claim["topic"]):
            rows[name] = {field: claim[field] for field in CLAIM}
    return pd.DataFrame.from_dict(rows, orient="index", columns=list(CLAIM)).rename_axis("key")

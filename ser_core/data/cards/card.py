"""Where a data card is, and how its header and its prose are told apart."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from ser_core import paths
from ser_core.data import corpora
from ser_core.errors import SerError
from ser_core.files import yamlfile


@dataclass(frozen=True)
class Card:
    """A data card.

    Attributes:
        header: What stands between the ``---`` lines: who and how (as in `ser_core.data.corpora.info`), ``declared``
            and ``measured``.
        prose: Markdown after it.
    """

    header: dict
    prose: str


def target(name: str) -> Path:
    """Return where a corpus's card is written: the working folder, or the cache for one of `corpora.ABSENT`.

    Raises:
        SerError: If there is no such corpus.
    """
    root = paths.cache() if name in corpora.ABSENT else paths.working() or Path.cwd()
    return root / "data_cards" / f"{corpora.info(name).name}.md"


def path(name: str) -> Path:
    """Return where a corpus's card is read from: its `target`, or else the clone.

    Raises:
        SerError: If there is no such corpus.
    """
    file = target(name)
    shared = paths.repository() / "data_cards" / file.name
    return shared if shared.is_file() and not file.is_file() else file


def load(name: str) -> Card:
    """Return the card of a corpus.

    Raises:
        SerError: If there is no such corpus or card, or its YAML header is missing or not valid.

    Examples:
        >>> load("urdu").header["declared"]["speakers"]
        38
    """
    file = path(name)
    if not file.is_file():
        raise SerError(f"{file}: no such card; run `ser card {name} --write`")
    try:
        start, header, prose = file.read_text(encoding="utf-8").split("---\n", 2)
    except ValueError as error:
        reason = " ".join(str(error).split())
        raise SerError(f"{file}: no YAML header between two lines of '---' at its start ({reason})") from error
    header = yamlfile.parse(header, file, above=1)
    if start or not isinstance(header, dict) or not {"declared", "measured"} <= header.keys():
        raise SerError(f"{file}: its header lacks 'declared' or 'measured'; run `ser card {name} --write`")
    for part in ("declared", "measured"):
        if not isinstance(header[part], dict):
            raise SerError(f"{file}: '{part}' is no mapping of facts by name; run `ser card {name} --write`")
    return Card(header, prose.strip() + "\n")


def duplicates(name: str) -> pd.DataFrame:
    """Return the pairs of recordings that hold the same sound, as measured in a card.

    Args:
        name: One of `ser_core.data.corpora.NAMES`, or a union: the pairs within each of its corpora.

    Returns:
        Columns clip_a, clip_b, kind (``exact`` or ``near``) and similarity, as `ser_core.data.audit.near_duplicates`.

    Raises:
        SerError: As `load`.

    Examples:
        >>> len(duplicates("tess"))
        0
    """
    rows = [row for part in corpora.parts(name) for row in load(part).header["measured"].get("duplicates", [])]
    pairs = [(*row["clips"], row["kind"], row["similarity"]) for row in rows]
    return pd.DataFrame(pairs, columns=["clip_a", "clip_b", "kind", "similarity"])

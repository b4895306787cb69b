"""A card as a reader sees it: what is declared beside what is measured, and the page of the book."""

import re
from collections.abc import Iterable

import pandas as pd

from ser_core.data import corpora
from ser_core.data.cards.card import load
from ser_core.errors import SerError
from ser_core.files import text

_FACTS = {
    "clips": "clips",
    "clips_by_split": "clips in the part",
    "clips_by_emotion": "clips of the emotion",
    "clips_per_speaker": "clips of each speaker",
    "hours": "hours",
    "speakers": "speakers",
    "speakers_by_gender": "speakers by gender",
    "emotions": "emotions",
    "sentences": "sentences",
    "sessions": "sessions",
    "sample_rate": "sample rate in Hz",
    "channels": "channels",
}
"""What can be declared, and how it is called in a table."""

_OF_THE_COPY = ("sample_rate", "channels")
"""What changes when recordings are encoded anew, so that a difference says nothing about what is declared."""


def declared_versus_measured(names: Iterable[str] = corpora.NAMES) -> pd.DataFrame:
    """Compare what the authors of each corpus declare with what its files measure, from the cards.

    Args:
        names: Which corpora.

    Returns:
        One row a declared fact: corpus, fact, declared, measured (both text; missing if the files cannot say),
        agrees (True, False, or missing) and copy (what was measured on).

    Examples:
        >>> table = declared_versus_measured(["urdu"]).set_index("fact")
        >>> table.loc["speakers", ["declared", "measured"]].to_list()
        ['38', '29']
    """
    rows = []
    for name in names:
        header = load(name).header
        if unknown := set(header["declared"]) - set(_FACTS):
            raise SerError(f"the card of '{name}' declares {sorted(unknown)}; what can be declared is {list(_FACTS)}")
        for fact, value in header["declared"].items():
            found = _measured(fact, header["measured"])
            parts = [(_FACTS[fact], value, found)]
            if isinstance(value, dict):
                found = found or {}
                parts = [(f"{_FACTS[fact]}: {key}", value.get(key, 0), found.get(key, 0)) for key in {**value, **found}]
            for label, declared, measured in parts:
                agrees = None if measured is None else bool(measured == declared)
                if fact in _OF_THE_COPY and not agrees:
                    agrees = None
                copy = header["measured"]["copy"]
                rows.append((name, label, str(declared), None if measured is None else str(measured), agrees, copy))
    table = pd.DataFrame(rows, columns=["corpus", "fact", "declared", "measured", "agrees", "copy"])
    return table.astype({"measured": "str", "agrees": "boolean"})


def _measured(fact: str, measured: dict) -> object:
    """Return the measured value of a declared fact; None if the files cannot say."""
    if fact == "emotions":
        return len(measured["emotions"])
    if fact == "clips_by_emotion":
        return measured["emotions"]
    if fact in ("sample_rate", "channels"):
        values = list(measured.get("sample_rates" if fact == "sample_rate" else fact, {}))
    elif fact == "clips_per_speaker":
        values = sorted({sum(words.values()) for words in measured["label_by_speaker"].values()})
    else:
        return measured.get(fact)
    return values[0] if len(values) == 1 else (" and ".join(map(str, values)) or None)


def render(name: str) -> str:
    """Return the card of a corpus as MyST Markdown for the book: facts, prose, faults that the files show.

    Raises:
        SerError: If the card cannot be read.
    """
    card = load(name)
    header, measured = card.header, card.header["measured"]
    facts = declared_versus_measured([name])
    lines = [
        f"**{header['title']}** {{cite:p}}`{header['citation']}`. Language: {header['language']}. "
        f"Licence: {header['licence']}. Access: {header['access']}, <{header['homepage']}>.",
        "",
        f"Measured on: {measured['copy']}.",
        "",
        "| fact | declared | measured |",
        "|---|---|---|",
    ]
    shown = set(facts["fact"])
    for row in facts.itertuples():
        found = "not known" if pd.isna(row.measured) else row.measured
        differ = not pd.isna(row.agrees) and not row.agrees
        lines.append(f"| {row.fact} | {row.declared} | {f'**{found}**' if differ else found} |")
    for key in ("clips", "hours", "speakers", "sentences", "sessions"):
        if key in measured and _FACTS[key] not in shown:
            lines.append(f"| {_FACTS[key]} | | {measured[key]} |")
    if "durations" in measured:
        seconds = measured["durations"]
        lines.append(f"| seconds of a clip | | {seconds['min']} to {seconds['max']}, median {seconds['median']} |")
    words = ", ".join(f"{word} {n}" for word, n in measured["emotions"].items())
    lines.append(f"| clips by emotion | | {words} |")
    if "one_emotion_speakers" in measured:
        lines.append(f"| speakers with one emotion only | | {measured['one_emotion_speakers']} |")
    lines += ["", card.prose]
    if faults := [*_pairs(measured.get("duplicates", [])), *map(_code, measured["problems"])]:
        what = f"Found by our checks: {len(faults)} fault{'s' * (len(faults) > 1)}"
        # The class keeps the list, which can be long, off paper.
        lines += [f":::{{dropdown}} {what}", ":class-container: ser-files", "", *(f"- {fault}" for fault in faults)]
        lines += [":::", ""]
    return "\n".join(lines)


def _pairs(duplicates: list[dict]) -> list[str]:
    """Return one line for each pair of recordings that hold the same sound."""
    kinds = {"exact": "the same recording", "near": "the same sound in part or re-encoded"}
    return [f"{kinds[pair['kind']]}: {_code(pair['clips'][0])} and {_code(pair['clips'][1])}" for pair in duplicates]


def _code(words: str) -> str:
    """Return a text as code, with as many backticks around it as it takes."""
    words = text.shown(words)
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", words)), default=0))
    return f"{fence} {words} {fence}" if "`" in words else f"`{words}`"

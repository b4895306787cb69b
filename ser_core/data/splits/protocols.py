"""The named protocols and what each promises to keep apart."""

import dataclasses
from collections.abc import Callable
from functools import partial

import pandas as pd

from ser_core.data.splits import grouped, published
from ser_core.errors import SerError


@dataclasses.dataclass(frozen=True)
class Protocol:
    """What a protocol promises.

    Attributes:
        test_grouping: Columns of which the test part shares no value with train and dev.
        dev_grouping: Columns of which dev shares no value with train.
        summary: One sentence.
        published: The function that gives a split of the literature; none for k-fold protocols.
        seed: The seed of a published split.
        shots: Of a protocol that tests a corpus by what was trained on others: how many of its own speakers are
            trained on, too. None for all other protocols.
    """

    test_grouping: tuple[str, ...]
    dev_grouping: tuple[str, ...]
    summary: str
    published: Callable[[pd.DataFrame], grouped.Parts] | None = None
    seed: int = 0
    shots: int | None = None


def _k_fold(*grouping: str, summary: str) -> Protocol:
    return Protocol(grouping, grouping, summary)


PROTOCOLS: dict[str, Protocol] = (
    {
        "clip": _k_fold(summary="Random clips, stratified by emotion; speakers and sentences are shared."),
        "speaker": _k_fold("speaker", summary="Speaker-independent: no test speaker in train or dev."),
        "sentence": _k_fold("sentence", summary="Sentence-independent: no test sentence in train or dev."),
        "speaker+sentence": _k_fold(
            "speaker", "sentence", summary="A group of speakers saying a group of sentences; neither in train or dev."
        ),
        "session": _k_fold("session", summary="Session-independent: no test session in train or dev."),
        "corpus": Protocol(
            ("corpus",), ("speaker",), "Each corpus of a union is tested by what was trained on the others.", shots=0
        ),
    }
    | {
        f"corpus+{shots}": Protocol(
            ("speaker",),
            ("speaker",),
            f"As 'corpus', with {shots} speakers of the tested corpus in train.",
            shots=shots,
        )
        for shots in (2, 5, 10)
    }
    | {
        "official": Protocol((), (), "The parts of the corpus's publisher.", published.official),
        "khan2026-si": Protocol(
            ("speaker",), ("speaker",), "RAVDESS, test actors 21-24, dev 19-20, train 1-18.", published.khan2026_si
        ),
        "khan2026-random": Protocol(
            (), (), "RAVDESS, unstratified random clips, 70/10/20, seed 42.", published.khan2026_random, 42
        ),
        "khan2026-urdu-random": Protocol(
            (), (), "URDU, stratified random clips, 320/40/40, seed 42.", published.khan2026_urdu_random, 42
        ),
    }
    | {
        f"khan2026-urdu-{speaker.lower()}": Protocol(
            ("speaker",),
            (),
            f"URDU, speaker {speaker} held out; dev is random clips of the other speakers.",
            partial(published.khan2026_urdu_holdout, speaker=speaker, seed=seed),
            seed,
        )
        for speaker, seed in (("SM2", 42), ("SM3", 123), ("SM4", 2024))
    }
)

# Folds that a user brings promise nothing; the audit says what they do.
GIVEN = Protocol((), (), "Folds from a file.")


def describe(protocol: str) -> dict[str, str]:
    """Return what a protocol promises, as words for a table.

    Args:
        protocol: One of `PROTOCOLS`.

    Returns:
        ``test grouping``, ``dev grouping`` ("none" if clips are divided at random) and ``summary``.

    Raises:
        SerError: If there is no such protocol.

    Examples:
        >>> describe("khan2026-urdu-sm2")["dev grouping"]
        'none'
    """
    rule = get(protocol)
    return {
        "test grouping": "+".join(rule.test_grouping) or "none",
        "dev grouping": "+".join(rule.dev_grouping) or "none",
        "summary": rule.summary,
    }


def get(name: str | None) -> Protocol:
    """Return a protocol by name.

    Raises:
        SerError: If there is no such protocol.
    """
    if name not in PROTOCOLS:
        raise SerError(f"no protocol {name!r}; there are {list(PROTOCOLS)}")
    return PROTOCOLS[name]

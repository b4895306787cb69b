"""The splits that others published, faults included, and the publishers' own parts.

"Khan 2026" is *Speech Emotion Recognition via Transfer Learning* (concept DOI 10.5281/zenodo.20709692). The sizes,
the seeds, the grouping and whether a split is stratified are documented. How its random splits call scikit-learn is
inferred: `train_test_split` on the files sorted by path, first the test part, then dev from the rest. For URDU this
is confirmed: it gives the documented sizes of all four splits, and look-up scores by speaker of 0.975 on the random
test part and 0.895, 0.923 and 0.972 on the dev parts of the three hold-outs, as stated for the original lists.
For RAVDESS there is no such witness; the same order of calls is assumed.
"""

import re

import pandas as pd

from ser_core.errors import RefusalError, SerError

Parts = tuple[pd.Index, pd.Index, pd.Index]

_N_RAVDESS, _N_URDU = 1440, 400


def official(clips: pd.DataFrame) -> Parts:
    """Return the parts of the corpus's publisher, from the column ``split``.

    Raises:
        RefusalError: If the publisher gives none for some clip, or none for testing or training.
    """
    parts = clips["split"]
    if parts.isna().any() or not {"train", "test"} <= set(parts) <= {"train", "dev", "test"}:
        found = parts.fillna("none").value_counts().to_dict()
        raise RefusalError(
            f"{_corpora(clips)} has no official split: column 'split' has {found}, expected train, dev and test for "
            f"all clips; choose another protocol"
        )
    return tuple(clips.index[parts == role] for role in ("train", "dev", "test"))


def khan2026_si(clips: pd.DataFrame) -> Parts:
    """Return RAVDESS with test actors 21-24 (240 clips), dev 19-20 (120), train 1-18 (1,080)."""
    _expect(clips, "ravdess", _N_RAVDESS)
    actor = clips["speaker"].map(_actor)
    return clips.index[actor <= 18], clips.index[actor.isin([19, 20])], clips.index[actor >= 21]


def khan2026_random(clips: pd.DataFrame) -> Parts:
    """Return RAVDESS at random, unstratified 70/10/20 (1,008, 144, 288 clips), seed 42; actors and sentences shared."""
    _expect(clips, "ravdess", _N_RAVDESS)
    return _train_test_split(_by_path(clips), test=288, dev=144, stratified=False, seed=42)


def khan2026_urdu_random(clips: pd.DataFrame) -> Parts:
    """Return URDU at random, stratified 320/40/40, seed 42; speakers shared."""
    _expect(clips, "urdu", _N_URDU)
    return _train_test_split(_by_path(clips), test=40, dev=40, stratified=True, seed=42)


def khan2026_urdu_holdout(clips: pd.DataFrame, speaker: str, seed: int) -> Parts:
    """Return URDU with one man held out as "a TV show"; dev is a stratified random tenth of the rest, speakers shared.

    The original uses the same seed for the dev part and for training, another one for each speaker.

    Args:
        clips: The corpus.
        speaker: ``SM2``, ``SM3`` or ``SM4``.
        seed: Seed of the dev part.
    """
    from sklearn.model_selection import train_test_split

    _expect(clips, "urdu", _N_URDU)
    held_out = clips["speaker"] == f"urdu/{speaker}"
    rest = _by_path(clips[~held_out])
    train, dev = train_test_split(rest, test_size=0.1, stratify=rest["emotion"], random_state=seed)
    return train.index, dev.index, clips.index[held_out]


def _train_test_split(clips: pd.DataFrame, *, test: int, dev: int, stratified: bool, seed: int) -> Parts:
    from sklearn.model_selection import train_test_split

    def labels(table: pd.DataFrame) -> pd.Series | None:
        return table["emotion"] if stratified else None

    rest, test_part = train_test_split(clips, test_size=test, stratify=labels(clips), random_state=seed)
    train, dev_part = train_test_split(rest, test_size=dev, stratify=labels(rest), random_state=seed)
    return train.index, dev_part.index, test_part.index


def _by_path(clips: pd.DataFrame) -> pd.DataFrame:
    # Without the extension, so that .wav and .flac give the same order.
    return clips.loc[clips["path"].str.replace(r"\.\w+$", "", regex=True).sort_values(kind="stable").index]


def _actor(speaker: str) -> int:
    digits = re.search(r"(\d+)$", speaker)
    if not digits:
        raise SerError(f"speaker '{speaker}' of RAVDESS ends in no actor number")
    return int(digits.group())


def _expect(clips: pd.DataFrame, corpus: str, n: int) -> None:
    """Refuse another corpus, or a part of it: the published lists are of the whole."""
    if set(clips["corpus"]) != {corpus} or len(clips) != n:
        raise RefusalError(
            f"this split was published for all {n} clips of {corpus}; got {len(clips)} clips of {_corpora(clips)}"
        )


def _corpora(clips: pd.DataFrame) -> str:
    return "+".join(sorted(set(clips["corpus"])))

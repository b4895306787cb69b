"""What a voice encoder can and cannot tell of corpora: errors on sure speakers, pseudo-speakers, speakers erased."""

import sys
from collections.abc import Iterable

import numpy as np
import pandas as pd

from ser_core import files, paths
from ser_core.data import corpora, splits
from ser_core.data.audit import voices
from ser_core.evaluation import metrics
from ser_core.experiments import fold as folds
from ser_core.systems import classifiers, features, speaker_probe

EXTRACTOR = "ge2e"
SURE = ("ravdess", "emodb", "savee", "tess")
"""Corpora whose speakers are sure: recorded one by one, in a studio."""

SIZES = (4, 16, None)
"""Clips that each half of a speaker is cut to; None for all."""

FOLDS = {"urdu": 5, "emodb": "loo"}
"""Corpora whose speakers are erased, and their folds, as in the experiment 'whisper-layers': in the first most speakers
have one emotion, in the second all have several."""

LAYERED = "whisper-base"
_GROUPS, _DIVISIONS, _PREMIUM = 5, 3, ("ravdess", "emodb")


def path(name: str):
    """Return where a table of this module is, by its name in `TABLES`."""
    return paths.results() / "voices" / f"{name}.parquet"


def read(name: str) -> pd.DataFrame:
    """Return a table that `main` has written.

    Args:
        name: As for `path`.
    """
    return files.read_parquet(path(name))


def trials() -> pd.DataFrame:
    """Return `ser_core.data.audit.voices.trials` of sure speakers by corpus and ``n_clips``, which is 0 for all."""
    found = []
    for corpus in SURE:
        vectors, clips = features.load(corpus, EXTRACTOR), corpora.table(corpus)
        for n in SIZES:
            table = voices.trials(vectors, clips, n_clips=n)
            found.append(table.assign(corpus=corpus, n_clips=n or 0))
    return pd.concat(found, ignore_index=True)


def mixtures() -> pd.DataFrame:
    """Return how alike the clips under one name are, see `ser_core.data.audit.voices.mixtures`, by corpus."""
    found = [voices.mixtures(features.load(name, EXTRACTOR), corpora.table(name)).assign(corpus=name) for name in SURE]
    return pd.concat(found, ignore_index=True)


def pseudo_speakers() -> pd.DataFrame:
    """Test the same clips with known speakers, with unknown pseudo-speakers, and with unknown speakers.

    A linear SVM on eGeMAPS, as on the ladder, trains on equally many clips under the three divisions.

    Returns:
        Predictions, with ``corpus`` and ``protocol``: ``clip``, ``voice`` or ``speaker``.
    """
    found = []
    for corpus in _PREMIUM:
        clips = folds.clips_of(corpus, "native")
        table = classifiers.normalise(features.load(corpus, "egemaps").loc[clips.index], clips, "train")
        grouped = clips.assign(speaker=voices.pseudo_speakers(features.load(corpus, EXTRACTOR).loc[clips.index]))
        # Voices have no gender to balance groups by, for nobody has named them.
        how = {
            "clip": (clips, "clip"),
            "voice": (grouped.assign(gender=None), "speaker"),
            "speaker": (clips, "speaker"),
        }
        for seed in range(_DIVISIONS):
            whole = [splits.make(who, rule, n_folds=_GROUPS, seed=seed, dev=False) for who, rule in how.values()]
            least = min(int(made.loc[made["role"] == "train", "fold"].value_counts().min()) for made in whole)
            for protocol, (who, rule) in how.items():
                made = splits.make(who, rule, n_folds=_GROUPS, seed=seed, dev=False, train_clips=least)
                for number, part in made.groupby("fold"):
                    fold = _fold(clips, int(number), seed, part)
                    model = classifiers.pipeline("svm-linear", "train", seed=seed)
                    model.fit(table.loc[list(fold.train)].to_numpy(), fold.targets(fold.train))
                    answers = model.predict(table.loc[list(fold.test)].to_numpy())
                    found.append(fold.predictions(fold.test, answers).assign(corpus=corpus, protocol=protocol))
    return pd.concat(found, ignore_index=True)


def _fold(clips: pd.DataFrame, number: int, seed: int, part: pd.DataFrame) -> folds.Fold:
    """Return a fold from its rows of a division."""
    train, test = (tuple(part.loc[part["role"] == role, "clip"]) for role in ("train", "test"))
    return folds.Fold(clips, number, seed, train, (), test)


def erased(names: Iterable[str] = tuple(FOLDS)) -> pd.DataFrame:
    """Classify emotions of new speakers from features of which speakers were taken away, on the training side alone.

    Everything is fitted on standardised training clips, and nothing knows a test speaker. What is taken away is
    what tells the training speakers apart; in which directions a new voice lies is unknown, and stays:

    - ``none``: nothing.
    - ``centred``: the mean of each speaker from each training clip; the mean over training speakers from test clips.
    - ``erased``: what a linear classifier could tell the speakers by (LEACE, Belrose et al. 2023), from all clips.
    - ``shuffled``: the same of as many made-up speakers, by the names of the clips shuffled: what losing so many
      directions costs.
    - ``within``: LEACE of what is left of speakers and features within each emotion, so that no direction is chosen
      because a speaker has one mood.

    Args:
        names: Some of `FOLDS`.

    Returns:
        Predictions by ``corpus``, ``features`` and ``how``.
    """
    found = []
    for corpus in names:
        clips = folds.clips_of(corpus, "native")
        division = folds.divide(corpus, "native", "speaker", FOLDS[corpus], 0, None, False)
        for name in _sets(corpus):
            table = features.load(corpus, name)
            for number, part in division.groupby("fold"):
                fold = _fold(clips, int(number), 0, part)
                found += [
                    predictions.assign(corpus=corpus, features=name, how=how)
                    for how, predictions in erased_fold(fold, table).items()
                ]
    return pd.concat(found, ignore_index=True)


def _sets(corpus: str) -> list[str]:
    layers = dict.fromkeys(column.partition("_")[0] for column in features.columns(LAYERED))
    named = [f"{LAYERED}.{layer}" for layer in layers]
    return [EXTRACTOR, *(named if corpus == "urdu" else named[3:4])]


def erased_fold(fold: folds.Fold, table: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return the predictions of one fold's test part by what was taken away, see `erased`.

    Args:
        fold: The fold.
        table: Features of every clip.
    """
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler().fit(table.loc[list(fold.train)].to_numpy("float64"))
    train, test = (scaler.transform(table.loc[list(part)].to_numpy("float64")) for part in (fold.train, fold.test))
    speakers = fold.clips["speaker"][list(fold.train)]
    emotions = fold.clips["emotion"][list(fold.train)]
    is_speaker = pd.get_dummies(speakers).to_numpy("float64")
    shuffled = np.random.default_rng(0).permutation(is_speaker)
    means = pd.DataFrame(train).groupby(speakers.to_numpy()).mean()
    everybody = _eraser(train, is_speaker)
    nobody = _eraser(train, shuffled)
    within = _eraser(_centred(train, emotions), _centred(is_speaker, emotions))
    given = {
        "none": (train, test),
        "centred": (_centred(train, speakers), test - means.mean().to_numpy()),
        "erased": (everybody(train), everybody(test)),
        "shuffled": (nobody(train), nobody(test)),
        "within": (within(train), within(test)),
    }
    made = {}
    for how, (x, tested) in given.items():
        model = classifiers.model("logreg").make(fold.seed).fit(x, fold.targets(fold.train))
        made[how] = fold.predictions(fold.test, model.predict(tested))
    return made


def _centred(x: np.ndarray, groups: pd.Series) -> np.ndarray:
    return x - pd.DataFrame(x).groupby(groups.to_numpy()).transform("mean").to_numpy()


def _eraser(x: np.ndarray, concept: np.ndarray):
    """Return the function that takes from rows what tells a concept in ``x``."""
    import torch
    from concept_erasure import LeaceEraser

    eraser = LeaceEraser.fit(torch.tensor(x), torch.tensor(concept))
    return lambda rows: eraser(torch.tensor(rows)).numpy()


def probe() -> pd.DataFrame:
    """Return what a linear probe says who speaks, see `ser_core.systems.speaker_probe`, by corpus and feature set."""
    found = []
    for corpus in FOLDS:
        clips = folds.clips_of(corpus, "native")
        clips = clips[clips["speaker"].map(clips["speaker"].value_counts()) >= 2]
        for name in _sets(corpus):
            table = speaker_probe.speakers(features.load(corpus, name).loc[clips.index].to_numpy(), clips)
            found.append(table.assign(corpus=corpus, features=name))
    return pd.concat(found, ignore_index=True)


def scores(table: pd.DataFrame, by: list[str]) -> pd.Series:
    """Return the UAR of predictions in [0, 1], the mean over seeds, by the columns that name a system.

    Args:
        table: Predictions, as `erased` and `pseudo_speakers` give them.
        by: The columns.
    """
    predictions = table.groupby(by, sort=False)[["clip", "speaker", "fold", "seed", "truth", "prediction"]]
    return predictions.apply(lambda rows: metrics.scores(rows)["uar"])


TABLES = {"trials": trials, "mixtures": mixtures, "pseudo-speakers": pseudo_speakers, "erased": erased, "probe": probe}
"""The tables, in ``results/voices``, and what makes each."""


def main(names: Iterable[str] = ()) -> None:
    """Make tables, all if none is named, and write them.

    Args:
        names: Some of `TABLES`.
    """
    for name in names or TABLES:
        made = TABLES[name]()
        files.write_parquet(made, path(name), {"extractor": EXTRACTOR, "rows": len(made)})
        print(path(name))


if __name__ == "__main__":
    main(sys.argv[1:])

"""Transfer of one's own corpus: train on a corpus of the book and test on one's own, and back."""

import json
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from ser_core.data import corpora
from ser_core.errors import SerError
from ser_core.experiments import configuration, cross_corpus, scoring, working_folder
from ser_core.experiments.configuration import Experiment
from ser_core.systems import features

_FILE = """\
# Made by `ser transfer`; a copy under another name is yours to change.
name: {name}
question: What does a system that was trained on one corpus score on another?
corpora: [{corpora}]
protocols: [corpus]
features: [{features}]
models: [logreg]
# 'corpus' has heard the test clips, without their labels, to take off what the recordings of a corpus have in common.
normalisations: [train, corpus]
labels: {labels}
"""


def prepare(
    csv: Path,
    others: Sequence[str] = (),
    feature_set: str = "egemaps",
    labels: str = "common4",
    *,
    progress: bool = False,
) -> Experiment:
    """Return the experiment of a transfer, and write its file into the working folder.

    Args:
        csv: A CSV as `ser_core.data.corpora.local.read` takes it, or the name of a corpus in the working folder.
        others: Corpora; those of the book whose features are here, if none is given.
        feature_set: Feature set.
        labels: Label harmonisation, as the words must be shared.
        progress: Show a progress bar.

    Returns:
        The experiment; pairs that share too little are in ``refused``.

    Raises:
        SerError: If there is no working folder, the CSV is not valid, a corpus is unknown, or no pair can be made.
    """
    corpus, here = working_folder.corpus_of(csv, progress=progress)
    if unknown := [name for name in others if not corpora.is_known(name) or name == corpus]:
        raise SerError(f"'{unknown[0]}' is no corpus to transfer from; there are {', '.join(corpora.NAMES)}")
    others = list(others) or [name for name in corpora.NAMES if features.location(name, feature_set).is_file()]
    if not others:
        raise SerError(f"no corpus has '{feature_set}' features here; make them by: ser features NAME {feature_set}")
    name = f"transfer-{corpus}"
    content = _FILE.format(
        name=name,
        corpora=", ".join(json.dumps(f"{here}+{other}", ensure_ascii=False) for other in others),
        features=feature_set,
        labels=labels,
    )
    return configuration.load(working_folder.write_experiment(name, content))


def scores(experiment: Experiment) -> pd.DataFrame:
    """Return what each transfer of an experiment scores, with its interval over the tested speakers.

    Args:
        experiment: From `prepare`, whose Runs are made.

    Returns:
        One row a pair, direction and normalisation: ``trained``, ``tested``, ``normalisation``, ``UAR`` (text with its
        interval, or the reason why it has none).
    """
    table = cross_corpus.matrix(experiment.name)
    there = {f"{experiment.name}/{system.folder}" for system in experiment.systems}
    table = table[table["run"].str.partition("@")[0].isin(there)]
    return table[["trained", "tested", "normalisation"]].assign(UAR=[scoring.score(run).text() for run in table["run"]])

"""Every committed Run is held against the clips, the folds and the code it names."""

import functools

import numpy as np
import pandas as pd
import pytest

from ser_core import corpora, experiments, features, fitting, labels, runner, runs, splits, store
from ser_core.errors import SerError

FILES = sorted((store.results() / "runs").glob("*/*/run.json"))
NAMES = [f"{path.parent.parent.name}/{path.parent.name}" for path in FILES]


@functools.cache
def checked_folds(corpus, harmonisation, protocol, n_folds, split_seed, train_clips, tune):
    """Make folds once for all the Runs that share them; `make_folds` checks what the protocol promises."""
    return experiments.make_folds(corpus, harmonisation, protocol, n_folds, split_seed, train_clips, tune)


@functools.cache
def clips_of(corpus, harmonisation):
    return labels.harmonise(corpora.table(corpus), harmonisation)


def cell_of(run):
    return experiments.Cell(**{**run.info["cell"], "seeds": tuple(run.info["cell"]["seeds"])})


def test_there_are_runs():
    assert len(NAMES) > 300


@pytest.mark.parametrize("name", NAMES)
def test_run_keeps_its_promises(name):
    run = runs.read(*name.split("/"))
    cell = cell_of(run)
    assert name == f"{run.info['experiment']}/{cell.system}"
    clips = clips_of(cell.corpus, cell.labels)
    table = run.predictions
    assert table["truth"].tolist() == clips.loc[table["clip"], "emotion"].tolist()
    assert table["speaker"].tolist() == clips.loc[table["clip"], "speaker"].tolist()
    assert sorted(table["seed"].unique()) == sorted(cell.seeds)
    # The folds are made again by today's code: they must be those of the Run, and keep what the protocol promises.
    seed = cell.seeds[-1]
    split_seed = seed if cell.splits == "per-seed" else 0
    folds = checked_folds(cell.corpus, cell.labels, cell.protocol, cell.folds, split_seed, cell.train_clips, cell.tune)
    test = folds[folds["role"] == "test"].set_index("clip")["fold"]
    here = table[table["seed"] == seed].set_index("clip")["fold"]
    pd.testing.assert_series_equal(here.sort_index(), test.sort_index(), check_dtype=False)
    for column in splits.PROTOCOLS[cell.protocol].test_grouping:
        for _, part in folds.groupby("fold"):
            groups = {role: set(clips.loc[rows["clip"], column]) for role, rows in part.groupby("role")}
            assert not groups["test"] & (groups["train"] | groups.get("dev", set()))
    facts = pd.DataFrame(run.info["folds"])
    sizes = folds.groupby(["fold", "role"]).size().unstack(fill_value=0)
    recorded = facts[facts["seed"] == seed].set_index("fold")
    assert recorded["n_train"].tolist() == sizes["train"].tolist()
    assert recorded["n_test"].tolist() == sizes["test"].tolist()


@pytest.mark.parametrize("experiment", sorted({name.split("/")[0] for name in NAMES}))
def test_experiment_is_complete_and_nothing_else_is_there(experiment):
    loaded = experiments.load(store.repository() / "experiments" / f"{experiment}.yaml")
    made = {name.split("/")[1] for name in NAMES if name.startswith(f"{experiment}/")}
    assert made == {cell.system for cell in loaded.cells}
    for cell in loaded.cells:
        assert cell_of(runs.read(experiment, cell.system)) == cell


@pytest.mark.parametrize("name", NAMES)
def test_run_was_made_from_the_features_that_are_there(name):
    run = runs.read(*name.split("/"))
    cell = cell_of(run)
    try:
        features.load(cell.corpus, cell.features)
    except SerError:
        pytest.skip(f"the {cell.features} features of {cell.corpus} are not committed")
    assert runner.data_hash(cell.corpus, cell.features) == run.info["data"]


@pytest.mark.parametrize(
    "name",
    [
        "ladder/emodb.speaker.egemaps.svm-linear.train",
        "ladder/urdu.clip.egemaps.svm-linear.train",
        "baselines/emodb.speaker.praat31.logreg.train.tuned",
        "published-splits/ravdess.khan2026-si.egemaps.svm-linear.train",
    ],
)
def test_a_fold_fitted_again_gives_the_committed_predictions(name):
    run = runs.read(*name.split("/"))
    cell = cell_of(run)
    predictions, facts = fitting.fit_fold(cell, cell.seeds[-1], 0)
    table = run.predictions
    committed = table[(table["seed"] == cell.seeds[-1]) & (table["fold"] == 0)].set_index("clip")["prediction"]
    again = predictions.set_index("clip")["prediction"].reindex(committed.index)
    # Another processor may round a tie differently; more than a few clips would be another system.
    assert np.mean(again == committed) > 0.98
    recorded = next(f for f in run.info["folds"] if (f["seed"], f["fold"]) == (cell.seeds[-1], 0))
    assert facts["chosen"] == recorded["chosen"]

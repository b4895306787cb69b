import numpy as np
import pandas as pd
import pytest

from ser_core import files
from ser_core.evaluation import bootstrap
from ser_core.experiments import trained_coverage as trained


def people(n=8, seed=0, name="moderate"):
    return trained.population(trained.WORLDS[name]).people(n, np.random.default_rng(seed))


def by_hand(x, folds):
    """The same classifier and cross-validation, one fold at a time, by least squares on rows."""
    n, k, clips, p = x.shape
    right = np.empty(n)
    for fold in np.unique(folds):
        rows = x[folds != fold].astype(float).reshape(-1, p)
        truth = np.tile(np.repeat(np.eye(k), clips, axis=0), (int((folds != fold).sum()), 1))
        ridge = np.sqrt(trained._RIDGE * np.square(rows[:, :-1]).sum() / (p - 1))
        penalty = ridge * np.eye(p)[: p - 1]
        weights = np.linalg.lstsq(np.vstack([rows, penalty]), np.vstack([truth, np.zeros((p - 1, k))]), rcond=None)[0]
        for speaker in np.flatnonzero(folds == fold):
            answers = (x[speaker].astype(float) @ weights).argmax(axis=-1)
            right[speaker] = (answers == np.arange(k)[:, None]).mean()
    return right


def test_cross_validation_is_that_of_a_loop_over_folds():
    x, folds = people(), trained.divisions(8, 4, 3, np.random.default_rng(1))
    expected = np.stack([by_hand(x, each) for each in folds])
    assert trained.cross_validated(x, folds) == pytest.approx(expected, abs=0.011)  # one clip of 48 is 0.021


def test_nobody_of_the_other_half_is_trained_on():
    x = people()
    half = np.array([True, False] * 4)
    folds = np.array([0, 0, 1, 1, 2, 2, 3, 3])
    found = trained.cross_validated(x, folds[None], half[None])[0]
    assert found[half] == pytest.approx(by_hand(x[half], folds[half]), abs=0.011)
    assert found[~half] == pytest.approx(by_hand(x[~half], folds[~half]), abs=0.011)


def test_divisions_are_even_and_random():
    found = trained.divisions(34, 5, 50, np.random.default_rng(0))
    assert {tuple(np.bincount(each)) for each in found} == {(7, 7, 7, 7, 6)}
    assert len(np.unique(found, axis=0)) == 50


@pytest.mark.parametrize("n, folds, times", [(8, 8, 1), (10, 10, 1), (16, 5, 2)])
def test_halves_have_each_speaker_once_and_their_variance_is_that_of_speakers(n, folds, times):
    x = people(n)
    scores, variances = trained.halves([x, x], folds, np.random.default_rng(2), halvings=6)
    assert scores.shape == (2, 6, 2, times) and variances.shape == (2, 6, 2)
    assert (scores[0] == scores[1]).all() and (variances > 0).all()
    assert scores.mean() == pytest.approx(0.58, abs=0.1)


def test_the_swap_test_is_that_of_the_scorer():
    rng = np.random.default_rng(3)
    right = rng.integers(0, 21, (2, 9))
    counts = [np.stack([np.stack([r, 20 - r], -1), np.zeros((9, 2), int)], axis=1) for r in right]
    p, exact = bootstrap.swap_test(*counts, lambda c: c[..., 0, 0] / c.sum((-1, -2)), 2_000, rng)
    assert exact and trained.swap_p((right[0] - right[1]) / 20, rng) == pytest.approx(p)


def test_without_speakers_who_differ_all_intervals_hold_the_truth():
    alike = trained.population(trained.World(15, 3.0, 6, 0.0, 0.0))
    rng = np.random.default_rng(4)
    rows = pd.DataFrame([row for _ in range(150) for row in trained.experiment(alike, 16, rng)])
    score = rows[rows["what"] == "score"]
    truth = score["value"].mean()
    held = (score["low"] <= truth) & (truth <= score["high"])
    assert held.groupby(score["method"]).mean().min() > 0.88


def test_a_row_does_not_depend_on_the_other_rows():
    few = trained.coverage("strong", [8], repetitions=4)
    more = trained.coverage("strong", [10, 8], repetitions=4)
    pd.testing.assert_frame_equal(few, more[more["n_speakers"] == 8].reset_index(drop=True))


def test_the_committed_table_holds_what_the_method_promises():
    table = files.read_parquet(trained.path())
    assert set(table["world"]) == set(trained.WORLDS) and table["repetitions"].min() >= 1_000
    assert not table.duplicated(["world", "n_speakers", "what", "method"]).any()
    ours = table[(table["what"] == "score") & (table["method"] == "widened, pooled factor")]
    old = table[(table["what"] == "score") & (table["method"] == "one division")]
    assert (ours["coverage"].to_numpy() > old["coverage"].to_numpy()).all()
    assert ours.loc[ours["world"] != "training", "coverage"].between(0.93, 0.97).all()


def test_the_committed_table_is_reproduced_within_its_error():
    table = files.read_parquet(trained.path())
    row = ["world", "n_speakers", "what", "method"]
    both = trained.coverage("moderate", [8], repetitions=150).merge(table, on=row, suffixes=("", "_committed"))
    assert len(both) == 12
    assert both["mean_width"].to_numpy() == pytest.approx(both["mean_width_committed"].to_numpy(), rel=0.1)
    assert both["coverage"].to_numpy() == pytest.approx(both["coverage_committed"].to_numpy(), abs=0.08)

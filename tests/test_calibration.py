import numpy as np
import pandas as pd
import pytest
from predictions import CLASSES, frame, with_probabilities
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss

from ser_core.errors import SerError
from ser_core.evaluation import calibration


def test_brier_equals_scikit_learn():
    table = with_probabilities()
    p = table[[f"p_{name}" for name in CLASSES]].to_numpy(dtype=float)
    expected = brier_score_loss(table["truth"], p, labels=CLASSES, scale_by_half=False)
    assert calibration.brier(table) == pytest.approx(expected, abs=1e-6)
    shuffled = table[table.columns[::-1]]
    assert calibration.brier(shuffled) == pytest.approx(expected, abs=1e-6)


def test_calibration_equals_scikit_learn():
    table = with_probabilities()
    confidence = table[[f"p_{name}" for name in CLASSES]].to_numpy().max(axis=1).astype(float)
    right = table["truth"] == table["prediction"]
    accuracy, mean_confidence = calibration_curve(right, confidence, n_bins=10)
    bins = calibration.calibration(table, n_bins=10)
    assert bins["n"].sum() == len(table)
    np.testing.assert_allclose(bins["accuracy"].dropna(), accuracy)
    np.testing.assert_allclose(bins["confidence"].dropna(), mean_confidence)
    expected = np.average(np.abs(accuracy - mean_confidence), weights=bins.loc[bins["n"] > 0, "n"])
    assert calibration.ece(table) == pytest.approx(expected)


def test_ece_is_averaged_over_seeds_and_not_pooled():
    p = {"p_a": [0.8] * 4, "p_b": [0.2] * 4}
    sure = frame(["a"] * 4, ["a"] * 4, seed=0, **p)  # accuracy 1.0 at confidence 0.8
    poor = frame(["b"] * 4, ["a"] * 4, seed=1, **p)  # accuracy 0.0 at confidence 0.8
    assert calibration.ece(pd.concat([sure, poor])) == pytest.approx((0.2 + 0.8) / 2)


def test_a_confidence_on_an_edge_is_in_the_lower_bin():
    table = frame(["a", "a"], ["a", "a"], p_a=[0.5, 1.0], p_b=[0.5, 0.0])
    assert calibration.calibration(table, n_bins=2)["n"].tolist() == [1, 1]


def test_without_probabilities_there_is_no_calibration():
    with pytest.raises(SerError, match="lack .*'p_a'"):
        calibration.brier(frame(["a"], ["a"]))


EQUAL = dict.fromkeys(CLASSES, 0.25)


def shifted(frequencies, *, seed=0, n=20_000):
    """Posteriors under equal priors of a known model, one Gaussian a class, for clips drawn with other frequencies."""
    rng = np.random.default_rng(seed)
    truth = rng.choice(len(CLASSES), n, p=frequencies)
    x = rng.normal(2.0 * np.arange(4)[truth], 1.5)
    density = np.exp(-0.5 * ((x[:, None] - 2.0 * np.arange(4)) / 1.5) ** 2)
    p = density / density.sum(axis=1, keepdims=True)
    words = np.array(CLASSES)
    return frame(words[truth], words[p.argmax(1)], **{f"p_{name}": p[:, i] for i, name in enumerate(CLASSES)})


def estimated(table):
    return table[[f"p_{name}" for name in CLASSES]].mean().to_numpy()


def test_prior_shift_finds_planted_frequencies():
    frequencies = [0.1, 0.6, 0.25, 0.05]
    table = shifted(frequencies)
    adapted = calibration.prior_shift(table, EQUAL)
    # The standard error of a share among 20,000 clips, of classes that overlap, is about 0.005.
    np.testing.assert_allclose(estimated(adapted), frequencies, atol=0.02)
    assert np.abs(estimated(table) - frequencies).max() > 0.1
    right = [(each["truth"] == each["prediction"]).mean() for each in (table, adapted)]
    assert right[1] > right[0] + 0.05
    assert calibration.ece(adapted) < 0.01 < 0.05 < calibration.ece(table)


def test_prior_shift_changes_next_to_nothing_where_nothing_shifted():
    table = shifted([0.25] * 4)
    adapted = calibration.prior_shift(table, EQUAL)
    columns = [f"p_{name}" for name in CLASSES]
    assert np.abs(adapted[columns] - table[columns]).to_numpy().max() < 0.03
    assert (adapted["prediction"] == table["prediction"]).mean() > 0.98


def test_prior_shift_of_two_clips_is_that_of_a_hand_calculation():
    # The likelihood (0.2 + 0.6 q)(0.7 - 0.4 q) of a share q of class a is largest at q = 17/24.
    table = frame(["a", "b"], ["a", "b"], p_a=[0.8, 0.3], p_b=[0.2, 0.7])
    adapted = calibration.prior_shift(table, {"a": 0.5, "b": 0.5})
    np.testing.assert_allclose(adapted["p_a"], [0.8 * 17 / 24 / 0.625, 0.3 * 17 / 24 / (5 / 12)], atol=1e-5)
    np.testing.assert_allclose(adapted["p_a"] + adapted["p_b"], 1)
    assert adapted["prediction"].tolist() == ["a", "a"]
    # The same by iterating the two steps, from other priors than equal ones.
    share, p = 0.6, np.array([0.8, 0.3])
    for _ in range(10_000):
        q = p * share / 0.6 / (p * share / 0.6 + (1 - p) * (1 - share) / 0.4)
        share = q.mean()
    found = calibration.prior_shift(table, {"b": 0.4, "a": 0.6})
    np.testing.assert_allclose(found["p_a"], q, atol=1e-5)


def test_prior_shift_is_of_each_seed_and_fold_and_reads_no_label():
    tables = [
        shifted(frequencies, seed=i, n=500).assign(seed=i // 2, fold=i % 2, clip=lambda x, i=i: f"{i % 2}" + x["clip"])
        for i, frequencies in enumerate(([0.7, 0.1, 0.1, 0.1], [0.1, 0.7, 0.1, 0.1], [0.25] * 4, [0.1, 0.1, 0.1, 0.7]))
    ]
    together = pd.concat(tables).sample(frac=1, random_state=0)
    together.index = together.index + 7  # with gaps and twice the same
    adapted = calibration.prior_shift(together, EQUAL)
    assert list(adapted.columns) == list(together.columns) and adapted.index.equals(together.index)
    keys = ["seed", "fold", "clip"]
    alone = pd.concat([calibration.prior_shift(table, EQUAL) for table in tables])
    pd.testing.assert_frame_equal(*(each.sort_values(keys, ignore_index=True) for each in (adapted, alone)))
    blind = calibration.prior_shift(together.assign(truth="sad"), EQUAL)
    pd.testing.assert_frame_equal(adapted.drop(columns="truth"), blind.drop(columns="truth"))


@pytest.mark.parametrize("priors", [{"a": 0.5, "c": 0.5}, {"a": 1.0, "b": 0.0}, {"a": 0.5, "b": 0.4}, {"a": 1.0}])
def test_priors_that_are_not_those_of_the_classes_are_said(priors):
    table = frame(["a", "b"], ["a", "b"], p_a=[0.8, 0.3], p_b=[0.2, 0.7])
    with pytest.raises(SerError, match=r"are not a share above 0 of each of \['a', 'b'\], with sum 1"):
        calibration.prior_shift(table, priors)

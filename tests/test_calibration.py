import numpy as np
import pandas as pd
import pytest
from predictions import CLASSES, frame, with_probabilities
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss

from ser_core import calibration
from ser_core.errors import SerError


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

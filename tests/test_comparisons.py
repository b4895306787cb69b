import numpy as np
import pytest
from predictions import scipy_interval, system
from scipy import stats

from ser_core import comparisons, intervals, metrics
from ser_core.errors import SerError


def test_difference_equals_that_of_scipy():
    a, b = system(0.5, seed=1), system(0.4, seed=2)
    both = np.stack([intervals.counts(a)[0], intervals.counts(b)[0]], axis=1)
    theirs = scipy_interval(both, lambda c: metrics.uar(c[..., 0, :, :]) - metrics.uar(c[..., 1, :, :]))
    mine = comparisons.difference(a, b, method="percentile")
    width = theirs.high - theirs.low
    assert (mine.interval.low, mine.interval.high) == pytest.approx((theirs.low, theirs.high), abs=0.05 * width)
    assert mine.interval.value == pytest.approx(metrics.scores(a)["uar"] - metrics.scores(b)["uar"])
    assert comparisons.difference(b, a).p_value == pytest.approx(mine.p_value)


def test_the_default_is_expanded_and_wider_than_percentiles():
    a, b = system(0.5, seed=1), system(0.4, seed=2)
    result = comparisons.difference(a, b)
    assert result == comparisons.difference(a, b, method="expanded") and result.interval.method == "expanded"
    plain = comparisons.difference(a, b, method="percentile")
    assert result.interval.low < plain.interval.low < plain.interval.high < result.interval.high
    assert result.p_value == plain.p_value


@pytest.mark.parametrize(("speakers", "method"), [(8, "exact permutation"), (24, "random permutation")])
def test_permutation_test_equals_that_of_scipy(speakers, method):
    a, b = system(0.45, speakers=speakers, seed=1), system(0.40, speakers=speakers, seed=2)
    # With equally many clips a speaker, the difference of accuracies is the mean of the speakers' differences.
    right = [table["truth"].eq(table["prediction"]).groupby(table["speaker"]).mean() for table in (a, b)]
    theirs = stats.permutation_test(
        right, lambda x, y, axis: np.mean(x - y, axis=axis), permutation_type="samples", n_resamples=9_999,
        rng=np.random.default_rng(5),
    )  # fmt: skip
    mine = comparisons.difference(a, b, "wa")
    assert mine.method == method
    assert mine.p_value == pytest.approx(theirs.pvalue, abs=1e-9 if speakers == 8 else 0.02)


def test_permutation_p_values_are_uniform_when_the_systems_are_alike():
    p = [
        comparisons.difference(system(seed=2 * i, clips=96), system(seed=2 * i + 1, clips=96)).p_value
        for i in range(60)
    ]
    assert stats.kstest(p, "uniform").pvalue > 0.01


def test_same_seed_same_difference_in_any_row_order():
    table, other = system(seeds=2), system(0.6, seed=4, seeds=2)
    shuffled = table.sample(frac=1, random_state=3)
    assert comparisons.difference(table, other) == comparisons.difference(shuffled, other)


def test_a_refused_interval_leaves_the_p_value():
    table = system()
    few = table[(table["truth"] != "sad") | table["speaker"].isin(["toy/s00", "toy/s01"])]
    result = comparisons.difference(few, few.assign(prediction="sad"))
    assert result.interval.refusal == intervals.interval(few).refusal is not None
    assert np.isnan([result.interval.low, result.interval.high]).all() and 0 < result.p_value <= 1


def test_differences_of_unlike_predictions_state_both_sides():
    a = system()
    with pytest.raises(SerError, match="different clips: 480 and 470, 10 only in the first and 0 only in the second"):
        comparisons.difference(a, a.iloc[10:])
    with pytest.raises(SerError, match="differ in truth in 1 rows, first clip 'toy/0' of seed 0"):
        comparisons.difference(a, a.assign(truth=["bored", *a["truth"].iloc[1:]]))
    with pytest.raises(SerError, match="differ in speaker in 480 rows"):
        comparisons.difference(a, a.assign(speaker="toy/one"))
    b = system(seeds=2)
    with pytest.raises(SerError, match=r"different seeds, \[0, 1\] and \[0\], and not every seed covers"):
        comparisons.difference(b.iloc[1:], a)


def test_systems_with_different_seeds_are_each_averaged_over_their_own():
    a, b = system(0.6, seeds=3, seed=1), system(0.4, seeds=2, seed=2)
    result = comparisons.difference(a, b)
    assert result.interval.value == pytest.approx(metrics.scores(a)["uar"] - metrics.scores(b)["uar"])
    assert result.interval.low < result.interval.value < result.interval.high


def test_texts():
    score = intervals.Interval(0.6123, 0.5708, 0.6502, 0.95, "expanded", "speaker", 24, note="absent class: sad")
    assert str(comparisons.Difference(score, 0.0001, "exact")).endswith(", p < 0.001 (absent class: sad)")


def test_holm_by_hand():
    # Sorted 0.005 0.01 0.03 0.04 times 4 3 2 1 gives 0.02 0.03 0.06 0.04, made increasing: 0.02 0.03 0.06 0.06.
    np.testing.assert_allclose(comparisons.holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02])
    np.testing.assert_allclose(comparisons.holm([0.6, 0.7]), [1.0, 1.0])
    assert comparisons.holm([]).shape == (0,)
    with pytest.raises(SerError, match="in .0, 1., got"):
        comparisons.holm([0.5, np.nan])


def test_small_p_values_are_said_to_be_small():
    assert [comparisons.p_text(p) for p in (0.0, 0.00099, 0.001, 1.0)] == ["< 0.001", "< 0.001", "0.001", "1.000"]
    assert [comparisons.p_text(p, "p") for p in (0.00099, 0.5)] == ["p < 0.001", "p = 0.500"]

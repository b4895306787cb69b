import itertools

import numpy as np
import pytest
from predictions import system
from scipy import stats
from sklearn.metrics import f1_score

from ser_core.errors import SerError
from ser_core.evaluation import comparisons, intervals, power
from ser_core.evaluation.comparisons import Difference
from ser_core.evaluation.pairing import Paired


def speakers_differ(rng, speakers, mean, sd, clips=2_000):
    """Counts of two systems of which one recognises each speaker better by a normal difference."""
    shift = rng.normal(mean, sd, speakers)
    tables = []
    for sign in (1, -1):
        right = np.round(clips * (0.5 + sign * shift[:, None] / 2 + np.zeros(2))).astype(int)
        counts = np.zeros((1, speakers, 2, 2), int)
        counts[0, :, [0, 1], [0, 1]], counts[0, :, [0, 1], [1, 0]] = right.T, clips - right.T
        tables.append(counts)
    names = [f"s{number}" for number in range(speakers)]
    return Paired(tuple(tables), names, ["happy", "sad"], "uar", "speaker", True, True, (None, None))


@pytest.mark.parametrize("speakers", [8, 24])
def test_the_minimal_detectable_difference_is_found_four_times_in_five(speakers):
    rng, sd = np.random.default_rng(4), 0.05
    mean = power.detectable(sd / np.sqrt(speakers), speakers - 1)
    found = [comparisons.of_paired(speakers_differ(rng, speakers, mean, sd), n_resamples=512) for _ in range(500)]
    by_swaps = np.mean([one.p_value < 0.05 for one in found])
    by_interval = np.mean([one.interval.low > 0 or one.interval.high < 0 for one in found])
    assert by_swaps == pytest.approx(0.8, abs=0.05) and by_interval == pytest.approx(0.8, abs=0.06)
    nothing = [comparisons.of_paired(speakers_differ(rng, speakers, 0, sd), n_resamples=512) for _ in range(500)]
    assert np.mean([one.p_value < 0.05 for one in nothing]) < 0.08
    assert np.mean([one.error for one in found]) == pytest.approx(sd / np.sqrt(speakers), rel=0.1)


def test_detectable_differences_agree_with_the_power_of_scipys_t_test():
    rng = np.random.default_rng(0)
    mean = power.detectable(1 / np.sqrt(12), 11)
    p = stats.ttest_1samp(rng.normal(mean, 1, (20_000, 12)), 0, axis=1).pvalue
    assert (p < 0.05).mean() == pytest.approx(0.8, abs=0.01)
    # The sum of two quantiles is close to it unless there are very few speakers.
    assert mean == pytest.approx((stats.t.ppf(0.975, 11) + stats.t.ppf(0.8, 11)) / np.sqrt(12), rel=0.02)
    assert power.detectable(0.0, 11) == 0.0 and np.isnan(power.detectable(np.nan, 11))


def test_as_many_speakers_as_needed_make_a_difference_detectable():
    for difference in (2.0, 5.0, 10.0):
        n = power.speakers_needed(3.5, 10, difference)
        assert power.detectable(3.5 * np.sqrt(10 / n), n - 1) <= difference
        assert n == 3 or power.detectable(3.5 * np.sqrt(10 / (n - 1)), n - 2) > difference
    assert power.speakers_needed(1.0, 24, power.detectable(1.0, 23) * 1.000001) == 24


def test_equivalence_is_two_one_sided_tests():
    scores = np.random.default_rng(1).normal(0.004, 0.02, 16)
    one = intervals.Interval(float(scores.mean()), -1, 1, 0.95, "expanded", "speaker", 16)
    found = Difference(one, 0.5, "exact permutation", float(stats.sem(scores)), 15)
    sides = [stats.ttest_1samp(scores, at, alternative=of).pvalue for at, of in ((-0.015, "greater"), (0.015, "less"))]
    assert power.equivalence(found, 0.015) == pytest.approx(max(sides))
    assert power.equivalence(found, power.ruled_out(found)) == pytest.approx(0.05)
    refused = Difference(one, 0.5, "exact permutation")
    assert np.isnan(power.equivalence(refused, 0.015)) and np.isnan(power.detectable_in(refused))


def test_errors_of_all_pairs_are_those_of_single_differences():
    systems = [system(0.3 + 0.1 * number, seed=number) for number in range(3)]
    errors = power.paired_errors(systems, n_resamples=4_000)
    single = [comparisons.difference(a, b, n_resamples=4_000).error for a, b in itertools.combinations(systems, 2)]
    assert errors == pytest.approx(single, rel=0.06)
    with pytest.raises(SerError, match="2 seeds of 960 answers; expected 1 of 480"):
        power.paired_errors([systems[0], system(seeds=2)])
    with pytest.raises(SerError, match="1 seeds of 470 answers; expected 1 of 480"):
        power.paired_errors([systems[0], systems[1].iloc[10:]])


def test_median_detectable_difference_leaves_out_what_is_refused():
    one = intervals.Interval(0.02, 0.0, 0.04, 0.95, "expanded", "speaker", 10)
    found = [Difference(one, 0.5, "exact permutation", error, 9) for error in (0.01, 0.03, 0.02)]
    refused = Difference(one, 0.5, "exact permutation")
    assert power.median_detectable([*found, refused]) == power.detectable(0.02, 9)
    assert np.isnan(power.median_detectable([refused]))


def test_scores_of_four_speakers_are_those_of_their_clips_alone():
    table = system(0.5, speakers=6, clips=120, seeds=2, seed=1)
    found = power.scores_of_some(table)
    assert len(found) == 15
    some = tuple(sorted(table["speaker"].unique())[1:5])
    part = table[table["speaker"].isin(some)]
    by_seed = [f1_score(rows["truth"], rows["prediction"], average="macro") for _, rows in part.groupby("seed")]
    assert found[some] == pytest.approx(np.mean(by_seed))


def test_what_four_speakers_would_say_is_counted_over_all_sets_and_pairs_of_seeds():
    a, b = system(0.5, speakers=6, clips=120, seeds=2, seed=1), system(0.4, speakers=6, clips=120, seeds=2, seed=2)
    found = power.of_some(a, b)
    assert found.shape == (15, 4)
    speakers = sorted(a["speaker"].unique())

    def weighted_f1(table, seed, some):
        part = table[(table["seed"] == seed) & table["speaker"].isin(some)]
        return f1_score(part["truth"], part["prediction"], average="weighted", zero_division=0)

    for row, some in enumerate(itertools.combinations(speakers, 4)):
        expected = [weighted_f1(a, i, some) - weighted_f1(b, j, some) for i in (0, 1) for j in (0, 1)]
        assert found[row] == pytest.approx(expected)
    own = power.of_some(a, a)
    assert own.shape == (15, 1)
    assert own[0, 0] == pytest.approx(weighted_f1(a, 0, speakers[:4]) - weighted_f1(a, 1, speakers[:4]))

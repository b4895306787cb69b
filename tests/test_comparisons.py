import numpy as np
import pandas as pd
import pytest
from predictions import scipy_interval, system
from scipy import stats
from sklearn.metrics import balanced_accuracy_score, recall_score

from ser_core.data import labels
from ser_core.errors import SerError
from ser_core.evaluation import comparisons, intervals, metrics


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


def kinds_of(table):
    """Predictions of arousal and of valence from those of emotions."""
    return [metrics.merge_classes(table, kinds) for kinds in labels.KINDS.values()]


def test_the_difference_of_two_tasks_on_the_same_clips_equals_that_of_scipy():
    table = system(0.4, seed=1)
    arousal, valence = kinds_of(table)
    mine = comparisons.difference(arousal, valence, same_truth=False, method="percentile")
    expected = [
        recall_score(table["truth"].map(kinds), table["prediction"].map(kinds), average="macro")
        for kinds in labels.KINDS.values()
    ]
    assert mine.interval.value == pytest.approx(expected[0] - expected[1])
    both = np.stack([intervals.counts(arousal)[0], intervals.counts(valence)[0]], axis=1)
    theirs = scipy_interval(both, lambda c: metrics.uar(c[..., 0, :, :]) - metrics.uar(c[..., 1, :, :]))
    width = theirs.high - theirs.low
    assert (mine.interval.low, mine.interval.high) == pytest.approx((theirs.low, theirs.high), abs=0.05 * width)
    assert mine.interval.n_clusters == 12 and 0 < mine.p_value <= 1


def test_p_values_of_two_tasks_that_are_as_hard_are_uniform_whatever_their_classes_are_called():
    # Both have the recalls 0.9 and 0.5, the one of its common class first in the alphabet, the other last.
    recalls, p = np.array([0.9, 0.5]), []
    for seed in range(80):
        rng = np.random.default_rng(seed)
        clips = {"clip": [f"toy/{i}" for i in range(400)], "speaker": [f"toy/s{i % 20:02}" for i in range(400)]}
        tasks = []
        for common, names in ((0, ["high", "low"]), (1, ["negative", "other"])):
            truth = np.where(rng.random(400) < 0.8, common, 1 - common)
            right = rng.random(400) < (recalls if common == 0 else recalls[::-1])[truth]
            answers = np.where(right, truth, 1 - truth)
            tasks.append(pd.DataFrame(clips | {"truth": np.take(names, truth), "prediction": np.take(names, answers)}))
        p.append(comparisons.difference(*tasks, same_truth=False, n_resamples=500).p_value)
    assert stats.kstest(p, "uniform").pvalue > 0.01


def test_two_tasks_have_equally_many_classes_and_the_same_clips_and_speakers():
    table = system()
    arousal, valence = kinds_of(table)
    cases = {
        r"different numbers of classes, \['high', 'low'\] and \['angry', .*, 'sad'\]": table,
        "different clips: 480 and 470": valence.iloc[10:],
        "differ in speaker in 480 rows": valence.assign(speaker="toy/one"),
    }
    for message, other in cases.items():
        with pytest.raises(SerError, match=message) as error:
            comparisons.difference(arousal, other, same_truth=False)
        assert "\n" not in str(error.value)
    with pytest.raises(SerError, match="differ in truth in 480 rows"):
        comparisons.difference(arousal, valence)


def elsewhere(table):
    """The same predictions for clips and speakers of other names."""
    return table.assign(clip="other/" + table["clip"], speaker="other/" + table["speaker"])


def two_parts(seed, sizes=(12, 12), **options):
    """A system and a worse one on clips of some speakers, and two such systems on clips of others."""
    first, second = (
        tuple(
            system(skill, speakers=n, seed=4 * seed + 2 * part + i, truth_seed=part, **options)
            for i, skill in enumerate((0.5, 0.4))
        )
        for part, n in enumerate(sizes)
    )
    return first, tuple(map(elsewhere, second))


def test_an_asymmetry_by_hand():
    clips = {"clip": [f"c{i:02}" for i in range(12)], "speaker": [f"s{i // 2}" for i in range(12)]}
    right = pd.DataFrame(clips | {"truth": ["happy", "sad"] * 6, "prediction": ["happy", "sad"] * 6})
    swapped = right["truth"].map({"happy": "sad", "sad": "happy"})

    def missing(rows):
        return right.assign(prediction=right["prediction"].where(~right.index.isin(rows), swapped))

    # 1 minus (1 + 4/6) / 2 is 1/6; (3/6 + 1) / 2 minus (0 + 1) / 2 is 1/4.
    first, second = (right, missing([1, 5])), (missing([0, 4, 8]), missing([0, 2, 4, 6, 8, 10]))
    second = tuple(map(elsewhere, second))
    assert comparisons.asymmetry(first, second).interval.value == pytest.approx(1 / 6 - 1 / 4)
    assert comparisons.asymmetry(second, first).interval.value == pytest.approx(1 / 4 - 1 / 6)
    same = comparisons.asymmetry((right, right), tuple(map(elsewhere, (right, right))))
    assert (same.interval.value, same.interval.low, same.interval.high, same.p_value) == (0, 0, 0, 1)


def test_an_asymmetry_is_the_mean_over_seeds_and_the_same_each_time():
    parts = two_parts(0, sizes=(12, 20), seeds=2)
    result = comparisons.asymmetry(*parts, n_resamples=500)
    assert result == comparisons.asymmetry(*parts, n_resamples=500)
    uar = [
        np.mean([balanced_accuracy_score(of["truth"], of["prediction"]) for _, of in table.groupby("seed")])
        for part in parts
        for table in part
    ]
    assert result.interval.value == pytest.approx(uar[0] - uar[1] - uar[2] + uar[3])
    assert result.interval.n_clusters == 12


def test_the_interval_of_an_asymmetry_equals_that_of_scipy():
    sizes = (12, 20)
    parts = two_parts(3, sizes=sizes)
    # Right answers and clips of each speaker and class: (2, speakers, systems, classes).
    tables = []
    for part in parts:
        long = pd.concat(part, keys=[0, 1], names=["system"]).reset_index("system")
        long["right"] = long["truth"] == long["prediction"]
        cells = long.groupby(["speaker", "system", "truth"])["right"].agg(["sum", "size"]).unstack(["system", "truth"])
        tables.append(cells.fillna(0).to_numpy().reshape(len(cells), 2, 2, 4).swapaxes(0, 1))

    def lost(table, drawn, axis):
        right, clips = (counts[drawn].sum(axis=axis if axis >= 0 else drawn.ndim + axis) for counts in table)
        uar = (right / clips).mean(axis=-1)
        return uar[..., 0] - uar[..., 1]

    # An expanded interval has the percentiles at which a normal distribution has the ends of Student's t.
    tail = stats.norm.cdf(np.sqrt(12 / 11) * stats.t.ppf(0.025, 11))
    theirs = stats.bootstrap(
        [np.arange(n) for n in sizes],
        lambda first, second, axis: lost(tables[0], first, axis) - lost(tables[1], second, axis),
        n_resamples=20_000, batch=500, method="percentile", confidence_level=1 - 2 * tail, rng=np.random.default_rng(5),
    )  # fmt: skip
    mine = comparisons.asymmetry(*parts, n_resamples=20_000)
    ends = theirs.confidence_interval
    assert (mine.interval.low, mine.interval.high) == pytest.approx(tuple(ends), abs=0.05 * (ends.high - ends.low))
    t = abs(mine.interval.value) / theirs.standard_error / np.sqrt(12 / 11)
    assert mine.p_value == pytest.approx(2 * stats.t.sf(t, 11), abs=0.02)


def test_like_parts_are_resampled_independently():
    first, _ = two_parts(1)
    both = comparisons.asymmetry(first, tuple(map(elsewhere, first))).interval
    one = comparisons.difference(*first).interval
    assert both.value == 0
    # The variance of a difference of two independent parts is the sum of theirs.
    assert both.high - both.low == pytest.approx(np.sqrt(2) * (one.high - one.low), rel=0.05)


def test_p_values_of_asymmetries_are_uniform_where_both_parts_lose_the_same():
    p = [comparisons.asymmetry(*two_parts(i, clips=240), n_resamples=500).p_value for i in range(60)]
    assert stats.kstest(p, "uniform").pvalue > 0.01


def test_a_refused_asymmetry_has_no_p_value():
    for sizes in ((4, 12), (12, 4)):
        result = comparisons.asymmetry(*two_parts(0, sizes=sizes))
        assert result.interval.refusal == "4 speakers, fewer than 5" and result.interval.n_clusters == 4
        assert np.isnan([result.interval.low, result.interval.high, result.p_value]).all()
        assert np.isfinite(result.interval.value)


def test_the_parts_of_an_asymmetry_share_no_speakers_and_each_is_paired():
    first, second = two_parts(0)
    shared = tuple(table.assign(speaker=first[0]["speaker"]) for table in second)
    cases = {
        "both parts have the speaker 'toy/s00'": (first, shared),
        "different clips: 480 and 470": (first, (second[0], second[1].iloc[10:])),
        "differ in truth in": ((first[0], first[1].assign(truth="sad")), second),
    }
    for message, parts in cases.items():
        with pytest.raises(SerError, match=message) as error:
            comparisons.asymmetry(*parts)
        assert "\n" not in str(error.value)


def test_texts():
    score = intervals.Interval(0.6123, 0.5708, 0.6502, 0.95, "expanded", "speaker", 24, note="absent class: sad")
    assert str(comparisons.Difference(score, 0.0001, "exact")).endswith(", p < 0.001 (absent class: sad)")


def test_small_p_values_are_said_to_be_small():
    assert [comparisons.p_text(p) for p in (0.0, 0.00099, 0.001, 1.0)] == ["< 0.001", "< 0.001", "0.001", "1.000"]
    assert [comparisons.p_text(p, "p") for p in (0.00099, 0.5)] == ["p < 0.001", "p = 0.500"]
    assert comparisons.p_text(np.nan, "p") == "not tested"

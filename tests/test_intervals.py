import time
from itertools import product

import numpy as np
import pandas as pd
import pytest
from predictions import CLASSES, scipy_interval, system
from scipy import stats
from sklearn import metrics as sklearn_metrics

from ser_core.errors import SerError
from ser_core.evaluation import intervals, metrics


def test_counts_are_those_of_each_seed_and_speaker():
    table = system(seeds=2)
    counts = intervals.counts(table)
    assert counts.shape == (2, 12, 4, 4)
    for seed, speaker in product(range(2), range(12)):
        rows = table.query(f"seed == {seed} and speaker == 'toy/s{speaker:02}'")
        expected = sklearn_metrics.confusion_matrix(rows["truth"], rows["prediction"], labels=CLASSES)
        assert (counts[seed, speaker] == expected).all()
    assert intervals.counts(table, "clip").shape == (2, 480, 4, 4)


@pytest.mark.parametrize("unit", ["speaker", "clip"])
@pytest.mark.parametrize("metric", ["uar", "macro_f1", "recall:sad", "f1:sad"])
def test_interval_equals_that_of_scipy(unit, metric):
    table = system(clips=240)
    mine = intervals.interval(table, metric, unit=unit, method="percentile")
    theirs = scipy_interval(intervals.counts(table, unit)[0], metrics.metric(metric, CLASSES))
    width = theirs.high - theirs.low
    assert mine.low == pytest.approx(theirs.low, abs=0.05 * width)
    assert mine.high == pytest.approx(theirs.high, abs=0.05 * width)
    assert mine.value == pytest.approx(float(metrics.metric(metric, CLASSES)(metrics.confusions(table)[0])))


def test_clip_interval_equals_that_of_scipy_on_the_answers_themselves():
    table = system(clips=200)
    theirs = stats.bootstrap(
        (table["truth"].to_numpy(), table["prediction"].to_numpy()),
        lambda truth, prediction, axis: (truth == prediction).mean(axis=axis),
        paired=True,
        vectorized=True,
        method="percentile",
        n_resamples=10_000,
        rng=np.random.default_rng(5),
    ).confidence_interval
    mine = intervals.interval(table, "wa", unit="clip", method="percentile")
    assert (mine.low, mine.high) == pytest.approx((theirs.low, theirs.high), abs=0.006)


def test_expanded_interval_is_a_t_interval_where_that_is_right():
    table = system(0.5, speakers=10, clips=4000)
    speakers = table["truth"].eq(table["prediction"]).groupby(table["speaker"]).mean()
    low, high = stats.t.interval(0.95, 9, speakers.mean(), stats.sem(speakers))
    mine = intervals.interval(table, "wa", method="expanded")
    assert mine.high - mine.low == pytest.approx(high - low, rel=0.08)
    plain = intervals.interval(table, "wa", method="percentile")
    assert plain.high - plain.low < 0.9 * (high - low)


def test_the_default_is_expanded_and_wider_than_percentiles():
    table = system()
    result = intervals.interval(table)
    assert result == intervals.interval(table, method="expanded") and result.method == "expanded"
    plain = intervals.interval(table, method="percentile")
    assert result.low < plain.low < plain.high < result.high


def test_seeds_are_not_more_clips():
    one = system()
    copies = pd.concat([one.assign(seed=seed) for seed in range(5)])
    single, repeated = intervals.interval(one), intervals.interval(copies)
    assert repeated.value == pytest.approx(single.value)
    assert repeated.high - repeated.low == pytest.approx(single.high - single.low, rel=0.05)
    pooled = intervals.interval(copies.assign(clip=copies["clip"] + copies["seed"].astype(str)), unit="clip")
    assert pooled.high - pooled.low < 0.6 * (repeated.high - repeated.low)


def test_seeds_that_differ_widen_the_interval():
    good, bad = system(0.7), system(0.2)
    apart = pd.concat([good.assign(seed=0), bad.assign(seed=1)])
    result = intervals.interval(apart)
    assert result.value == pytest.approx((metrics.scores(good)["uar"] + metrics.scores(bad)["uar"]) / 2)
    assert result.low < metrics.scores(bad)["uar"] + 0.05 and result.high > metrics.scores(good)["uar"] - 0.05


def test_same_seed_same_interval_in_any_row_order():
    table = system(seeds=2)
    shuffled = table.sample(frac=1, random_state=3)
    renamed = table.assign(speaker=table["speaker"].map(lambda name: name[::-1]))
    first = intervals.interval(table)
    assert first == intervals.interval(shuffled) == intervals.interval(renamed)
    assert first != intervals.interval(table, seed=1)


def test_resampling_a_corpus_of_1440_clips_takes_well_under_a_second():
    table = system(speakers=24, clips=1440)
    start = time.perf_counter()
    intervals.interval(table)
    assert time.perf_counter() - start < 1.0


@pytest.mark.parametrize(("speakers", "clips"), [(1, 48), (2, 48), (4, 48)])
def test_too_few_speakers_are_refused(speakers, clips):
    result = intervals.interval(system(speakers=speakers, clips=clips))
    assert np.isnan([result.low, result.high]).all() and np.isfinite(result.value)
    assert result.refusal == f"{speakers} speaker{'s' if speakers > 1 else ''}, fewer than 5"
    assert result.text().endswith(f"(no interval: {result.refusal})")


def test_a_class_from_too_few_speakers_is_refused():
    table = system()
    few = table[(table["truth"] != "sad") | table["speaker"].isin(["toy/s00", "toy/s01"])]
    clips = few[few["truth"] == "sad"].groupby("speaker").size()
    expected = clips.sum() ** 2 / (clips**2).sum()
    result = intervals.interval(few)
    assert result.refusal == f"sad: {expected:.1f} effective speakers, fewer than 3"
    assert intervals.effective(intervals.counts(few))[3] == pytest.approx(expected)
    assert intervals.interval(few, min_effective=1).refusal == "sad: absent from 11% of resamples, more than 5%"
    assert intervals.interval(few, "recall:happy").refusal is None
    assert intervals.interval(few, "f1:happy").refusal is None
    assert intervals.interval(few, "recall:sad").refusal == result.refusal


def test_an_absent_class_is_noted_and_left_out():
    table = system()
    table = table[table["truth"] != "sad"]
    result = intervals.interval(table, classes=CLASSES)
    assert result.note == "absent class: sad" and result.refusal is None
    assert str(result).endswith("(absent class: sad)")
    assert intervals.interval(table, "recall:sad", classes=CLASSES).refusal == "no clip of the class"
    some = pd.concat([system().assign(seed=0), table.assign(seed=1)])
    assert intervals.interval(some).note == "absent in 1 of 2 seeds: sad"


def test_texts():
    result = intervals.Interval(0.6123, 0.5708, 0.6502, 0.95, "expanded", "speaker", 24)
    assert str(result) == "0.612 [0.571, 0.650]"
    assert result.text(percent=True) == "61.2 [57.1, 65.0]"
    assert result.text(percent=True, digits=0, signed=True) == "+61 [+57, +65]"
    assert intervals.Interval(-0.0001, -0.1, 0.1, 0.95, "expanded", "speaker", 24).text(digits=2)[:4] == "0.00"


def test_bad_arguments_say_what_to_do():
    table = system()
    with pytest.raises(SerError, match=r"no column 'session' to resample; add it, as in predictions.assign\(session="):
        intervals.interval(table, unit="session")
    with pytest.raises(SerError, match="480 of 480 predictions have no speaker"):
        intervals.interval(table.assign(speaker=None))
    with pytest.raises(SerError, match="no interval method 'bca'; there are"):
        intervals.interval(table, method="bca")


def test_crossed_draws_and_seeds_are_two_ways_in_which_trainings_differ():
    draws = [system(0.3 + 0.3 * number, seeds=2, seed=5 * number).assign(draw=number) for number in range(2)]
    table = pd.concat([one.assign(seed=one["seed"] + 2 * number) for number, one in enumerate(draws)])
    assert intervals.design(table) == (2, 2) and intervals.design(table.drop(columns="draw")) is None
    assert intervals.design(table[table["seed"] != 3]) is None
    crossed, independent = intervals.interval(table), intervals.interval(table.drop(columns="draw"))
    assert crossed.value == independent.value
    # Draws that differ by thirty points are two, not four, trainings.
    assert crossed.high - crossed.low > 1.2 * (independent.high - independent.low)


def test_an_end_within_the_error_of_the_random_numbers_touches_zero():
    def of(low, high, slack):
        return intervals.Interval(0.035, low, high, 0.95, "expanded", "speaker", 24, slack=slack)

    assert of(0.001, 0.07, 0.002).text(percent=True, signed=True) == "+3.5 [±0.0, +7.0]"
    assert of(-0.001, 0.07, 0.002).text(percent=True, signed=True) == "+3.5 [±0.0, +7.0]"
    assert of(0.003, 0.07, 0.002).text(percent=True, signed=True) == "+3.5 [+0.3, +7.0]"
    assert of(0.001, 0.07, 0.002).text(percent=True) == "3.5 [0.1, 7.0]"
    signs = [
        of(*ends).side() for ends in ((0.003, 0.07, 0.002), (0.001, 0.07, 0.002), (-0.07, -0.003, 0.002), (-1, 1, 0))
    ]
    assert signs == [1, 0, -1, 0]
    assert [of(0.251, 0.4, 0.002).side(chance) for chance in (0.2, 0.25, 0.3, 0.5)] == [1, 0, 0, -1]
    assert intervals.Interval(0.5, np.nan, np.nan, 0.95, "expanded", "speaker", 4, "few").side() == 0


def test_half_of_its_width_is_how_far_an_interval_goes():
    found = intervals.Interval(0.62, 0.5, 0.75, 0.95, "expanded", "speaker", 24)
    assert found.half_width == 0.125
    assert np.isnan(intervals.Interval(0.62, np.nan, np.nan, 0.95, "", "speaker", 4, "few").half_width)

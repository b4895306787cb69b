import numpy as np
import pandas as pd
import pytest
from scipy import stats

from ser_core.errors import SerError
from ser_core.evaluation import intervals, metrics, procedure

CLASSES = ("angry", "happy", "sad")


def predictions(divisions=4, seeds=1, speakers=12, right=0.6, seed=0):
    """Answers that are right with a chance that differs by speaker, division and seed."""
    rng = np.random.default_rng(seed)
    speaker, of_division, of_seed = (
        rng.normal(0, 0.15, speakers),
        rng.normal(0, 0.03, divisions),
        rng.normal(0, 0.03, seeds),
    )
    rows = []
    for division, run, who, truth, take in np.ndindex(divisions, seeds, speakers, len(CLASSES), 5):
        chance = np.clip(right + speaker[who] + of_division[division] + of_seed[run], 0, 1)
        answer = truth if rng.random() < chance else (truth + 1) % len(CLASSES)
        rows.append((f"{who}-{truth}-{take}", f"s{who:02}", run, division, CLASSES[truth], CLASSES[answer]))
    return pd.DataFrame(rows, columns=["clip", "speaker", "seed", "division", "truth", "prediction"])


def uars(table):
    """UAR of each division and seed, by pandas."""
    right = (table["truth"] == table["prediction"]).groupby([table["division"], table["seed"], table["truth"]]).mean()
    return right.groupby(level=[0, 1]).mean().unstack().to_numpy()


def test_no_widening_where_halves_differ_as_their_test_speakers_say():
    rng = np.random.default_rng(1)
    people = rng.normal(0.6, 0.1, (20_000, 2, 16))
    scores, variances = people.mean(axis=2)[..., None], people.var(axis=2, ddof=1) / 16
    assert procedure.widening(scores, variances) == pytest.approx(1, abs=0.02)


def test_halves_that_differ_less_than_their_test_speakers_say_narrow_nothing():
    assert procedure.widening(np.full((5, 2, 1), 0.5), np.full((5, 2), 0.01)) == 1


def test_what_a_division_adds_to_halves_is_no_people():
    rng = np.random.default_rng(2)
    people = rng.normal(0.6, np.sqrt(2 * 0.05**2), (40_000, 2, 1))
    noisy = people + rng.normal(0, 0.08, (40_000, 2, 3))
    expected = np.sqrt(2)
    assert procedure.widening(noisy, np.full((40_000, 2), 0.05**2)) == pytest.approx(expected, abs=0.02)


def test_widening_by_hand():
    scores = np.array([[[0.5, 0.6], [0.7, 0.7]], [[0.4, 0.4], [0.7, 0.8]]])
    squares = ((0.7 - 0.55) ** 2 - 0.005 / 2 + (0.75 - 0.4) ** 2 - 0.005 / 2) / 2
    found = procedure.widening(scores, np.full((2, 2), 0.01))
    assert found == pytest.approx(np.sqrt(squares / 0.02))


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(SerError, match=r"scores of shape \(4, 2\) and variances of \(4, 2\)"):
        procedure.widening(np.ones((4, 2)), np.ones((4, 2)))


def test_crossed_variance_is_that_of_the_mean_over_crossed_random_divisions_and_seeds():
    rng = np.random.default_rng(3)
    d, s, n = 3, 3, 40_000
    scores = rng.normal(0, 2, (n, d, 1)) + rng.normal(0, 1, (n, 1, s)) + rng.normal(0, 1.5, (n, d, s))
    # Floored at 0, so its mean is a little above the variance of the mean.
    assert np.mean([procedure.crossed_variance(each) for each in scores[:4_000]]) == pytest.approx(
        scores.mean(axis=(1, 2)).var(), rel=0.05
    )


def test_one_division_and_factor_one_is_the_interval_over_test_speakers():
    table = predictions(divisions=1)
    found = procedure.interval(table, 1.0)
    old = intervals.interval(table.drop(columns="division"))
    assert found.value == old.value
    assert (found.low, found.high) == pytest.approx((old.low, old.high), abs=0.006)
    assert (found.unit, found.n_clusters) == ("speaker", 12)


def test_the_score_is_the_mean_over_divisions_and_seeds():
    table = predictions(divisions=3, seeds=2)
    found = procedure.interval(table, 1.3)
    assert found.value == pytest.approx(uars(table).mean())
    assert found.method == "expanded, widened by 1.30"


def test_a_seed_that_made_its_own_division_is_a_division():
    table = predictions(divisions=5)
    by_seed = table.assign(seed=table["division"]).drop(columns="division")
    assert procedure.interval(by_seed, 1.2, division="seed") == procedure.interval(table, 1.2)


def test_width_is_that_of_speakers_widened_and_of_divisions_and_seeds():
    table, factor = predictions(divisions=3, seeds=3, speakers=20), 1.4
    found = procedure.interval(table, factor)
    right = (table["truth"] == table["prediction"]).groupby(table["speaker"]).mean()  # classes are equally many
    variance = factor**2 * right.var(ddof=1) / 20 + procedure.crossed_variance(uars(table))
    expected = 2 * stats.t.ppf(0.975, 19) * np.sqrt(variance)
    assert found.high - found.low == pytest.approx(expected, rel=0.03)


def test_rows_may_come_in_any_order():
    table = predictions(divisions=2, seeds=2)
    assert procedure.interval(table, 1.1) == procedure.interval(table.sample(frac=1, random_state=0), 1.1)


def test_ends_stay_in_the_range_of_the_metric():
    found = procedure.interval(predictions(right=0.97, speakers=6), 3.0)
    assert found.high == 1.0


def test_few_speakers_have_no_interval():
    found = procedure.interval(predictions(speakers=4), 1.2)
    assert found.refusal == "4 speakers, fewer than 5" and np.isnan(found.low)


def test_a_difference_turns_its_sign_with_the_systems():
    a, b = predictions(seed=4, right=0.7), predictions(seed=5, right=0.5)
    one, other = procedure.difference(a, b, 1.2), procedure.difference(b, a, 1.2)
    assert one.interval.value == pytest.approx(uars(a).mean() - uars(b).mean())
    assert (one.interval.low, one.interval.high) == pytest.approx((-other.interval.high, -other.interval.low), abs=0.01)
    assert one.p_value == pytest.approx(other.p_value)


@pytest.mark.parametrize("gap", [0.0, 0.05, 0.1, 0.15, 0.2, 0.3])
def test_p_value_and_interval_of_a_difference_agree(gap):
    found = procedure.difference(predictions(seed=6, right=0.5 + gap), predictions(seed=7, right=0.5), 1.3)
    excludes_zero = not found.interval.low <= 0 <= found.interval.high
    assert excludes_zero == (found.p_value < 0.05) or 0.03 < found.p_value < 0.07


def test_a_system_does_not_differ_from_itself():
    found = procedure.difference(predictions(), predictions(), 1.2)
    assert (found.interval.low, found.interval.value, found.interval.high, found.p_value) == (0, 0, 0, 1)


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda t: t.drop(columns="division"), "no column 'division'"),
        (lambda t: t[~((t["division"] == 1) & (t["speaker"] == "s03"))], "do not all have the same seeds and speakers"),
        (lambda t: t[~((t["division"] == 1) & (t["seed"] == 1))], "do not all have the same seeds and speakers"),
        (lambda t: pd.concat([t, t]), "predicted more than once"),
    ],
)
def test_divisions_that_do_not_fit_are_refused(change, message):
    with pytest.raises(SerError, match=message):
        procedure.interval(change(predictions(divisions=3, seeds=2)), 1.2)


def test_systems_on_other_clips_are_refused():
    table = predictions()
    with pytest.raises(SerError, match="not tested on the same clips"):
        procedure.difference(table, table[table["clip"] != "0-0-0"], 1.2)
    with pytest.raises(SerError, match="factor=0.8: expected 1 or more"):
        procedure.interval(table, 0.8)


def test_any_metric_has_an_interval():
    table = predictions(divisions=2)
    for metric in (*metrics.METRICS, "recall:sad"):
        found = procedure.interval(table, 1.2, metric, n_resamples=500)
        assert found.low < found.value < found.high

import itertools

import numpy as np
import pandas as pd
import pytest
from predictions import CLASSES, system
from scipy import stats
from sklearn.metrics import balanced_accuracy_score

from ser_core.errors import SerError
from ser_core.evaluation import comparisons, families
from ser_core.evaluation.comparisons import Difference
from ser_core.evaluation.intervals import Interval
from ser_core.evaluation.pairing import Paired


def elsewhere(table):
    """The same predictions for clips and speakers of another corpus."""
    return table.assign(clip="other/" + table["clip"], speaker="other/" + table["speaker"])


def swaps_of(pairs):
    """All differences of UAR when the answers of the same speakers are swapped in every pair, by pandas and sklearn."""
    speakers, rows = sorted(pairs[0][0]["speaker"].unique()), []
    for flips in itertools.product([False, True], repeat=len(speakers)):
        flipped = [speaker for speaker, flip in zip(speakers, flips, strict=True) if flip]
        row = []
        for a, b in pairs:
            swap = a["speaker"].isin(flipped)
            answers = a["prediction"].where(~swap, b["prediction"]), b["prediction"].where(~swap, a["prediction"])
            row.append(abs(np.subtract(*(balanced_accuracy_score(a["truth"], answer) for answer in answers))))
        rows.append(row)
    return np.array(rows)  # the first row is the observed one


def step_down(swaps):
    """Westfall and Young's algorithm, as it is written, for all swaps and the statistic of the book."""
    t = swaps / np.sqrt((swaps**2).mean(axis=0))
    order = np.argsort(-t[0])
    p = [(t[:, order[rank:]].max(axis=1) >= t[0, order[rank]] - 1e-9).mean() for rank in range(len(order))]
    adjusted = np.empty(len(order))
    adjusted[order] = np.maximum.accumulate(p)
    return adjusted


@pytest.fixture(scope="module")
def tiny():
    """A system held against three others, six speakers."""
    best = system(0.7, speakers=6, clips=60, seed=1)
    return [(best, system(skill, speakers=6, clips=60, seed=2 + i)) for i, skill in enumerate((0.2, 0.5, 0.65))]


def test_max_t_agrees_with_all_swaps_counted_one_by_one(tiny):
    swaps = swaps_of(tiny)
    assert families.max_t(tiny) == pytest.approx(step_down(swaps))
    assert families.max_t(tiny[::-1]) == pytest.approx(step_down(swaps)[::-1])
    # Random swaps give the same, but for their error.
    assert families.max_t(tiny, n_permutations=63) == pytest.approx(step_down(swaps), abs=0.15)


def test_max_t_of_two_corpora_agrees_with_all_swaps_of_both(tiny):
    skills = [(0.6, 7), (0.3, 16)], [(0.6, 8), (0.3, 17)]
    other = [
        tuple(elsewhere(system(skill, speakers=5, clips=60, seed=seed)) for skill, seed in pair) for pair in skills
    ]
    first, second = swaps_of(tiny), swaps_of(other)
    joint = np.hstack([np.repeat(first, len(second), axis=0), np.tile(second, (len(first), 1))])
    mixed = [tiny[0], other[0], tiny[1], other[1], tiny[2]]
    assert families.max_t(mixed) == pytest.approx(step_down(joint)[[0, 3, 1, 4, 2]])


@pytest.mark.parametrize("speakers", [8, 24])
def test_max_t_of_one_comparison_is_its_p_value(speakers):
    a, b = system(0.45, speakers=speakers, seed=1), system(0.40, speakers=speakers, seed=2)
    assert families.max_t([(a, b)], seed=3) == pytest.approx([comparisons.difference(a, b, seed=3).p_value])


def test_speakers_of_several_comparisons_are_swapped_in_all_of_them_at_once():
    a, b = system(0.5, speakers=6, seed=1), system(0.3, speakers=6, seed=2)
    few = a["speaker"] <= "toy/s03"
    # A comparison of some of the speakers is one part with that of all of them; a copy adds nothing.
    assert families._blocks([["u", "v"], ["x"], ["v", "w"], ["w", "y"]]) == [(1,), (0, 2, 3)]
    both = families.max_t([(a, b), (a[few], b[few])])
    assert both[0] < families.max_t([(a, b), tuple(map(elsewhere, (a[few], b[few])))])[0]
    assert families.max_t([(a, b), (a, b)]) == pytest.approx(families.max_t([(a, b)]).repeat(2))


def counted(rng, shifts, speakers):
    """Counts of a system and of others, each with its own ease of each speaker; shifts are of their skill."""
    clips, tables = 16, []
    for shift in (0.0, *shifts):
        right = rng.binomial(clips, rng.normal(0.5 - shift, 0.12, (speakers, 4)).clip(0, 1))
        counts = np.zeros((speakers, 4, 4))
        counts[:, range(4), range(4)], counts[:, range(4), [1, 2, 3, 0]] = right, clips - right
        tables.append(counts)
    names = [f"s{number}" for number in range(speakers)]
    facts = (names, list(CLASSES), "uar", "speaker", True, True, (None, None))
    return [Paired((tables[0][None], other[None]), *facts) for other in tables[1:]]


@pytest.mark.parametrize("shifts", [(0, 0, 0, 0), (0.35, 0.35, 0, 0)])
def test_false_findings_are_no_more_than_five_percent_of_families(shifts):
    rng, alike, n = np.random.default_rng(7), [number for number, shift in enumerate(shifts) if not shift], 1_000
    false = right = 0
    for _ in range(n):
        p = families.step_down(counted(rng, shifts, speakers=8), n_permutations=256)
        false += int((p[alike] < 0.05).any())
        right += sum(p[number] < 0.05 for number, shift in enumerate(shifts) if shift)
    # No more than chance allows; nor far fewer, as would be if nothing could ever be found.
    assert stats.binomtest(false, n, 0.05, alternative="greater").pvalue > 0.01 and false > 0.02 * n
    assert right == 0 or right > 0.95 * n * 2


def test_max_t_is_no_larger_than_bonferronis_and_no_smaller_than_the_p_value():
    rng = np.random.default_rng(3)
    for _ in range(50):
        compared = counted(rng, (0.05, 0.1, 0.15, 0.2, 0.25, 0.3), speakers=9)
        single = np.array([families.step_down([one], n_permutations=512)[0] for one in compared])
        adjusted = families.step_down(compared, n_permutations=512)
        assert ((single - 1e-9 <= adjusted) & (adjusted <= 1)).all()
        # Tails of the six differ a little, so Bonferroni's is the bound but for that.
        assert (adjusted <= np.minimum(1, 6 * single) + 0.02).all()


def test_what_has_no_interval_is_in_no_family():
    a, b = system(0.5, seed=1), system(0.45, seed=2)
    few = tuple(elsewhere(system(skill, speakers=4, seed=3)) for skill in (0.9, 0.1))
    table = families.differences([(a, b), few], n_resamples=500)
    alone = families.differences([(a, b)], n_resamples=500)
    assert table["p_adjusted"].iloc[0] == alone["p_adjusted"].iloc[0] == pytest.approx(alone["p"].iloc[0])
    assert np.isnan(table["p_adjusted"].iloc[1]) and not table["clear"].iloc[1] and table["p"].iloc[1] == 0.125
    none = families.differences([few], n_resamples=500)
    assert np.isnan(none["p_adjusted"]).all()


def test_a_family_has_the_names_of_its_comparisons(tiny):
    named = families.differences(dict(zip([("x", 1), ("x", 2), ("y", 1)], tiny, strict=True)), n_resamples=64)
    assert named.index.tolist() == [("x", 1), ("x", 2), ("y", 1)]
    assert named.reset_index(drop=True).equals(families.differences(tiny, n_resamples=64))


def test_a_family_with_several_seeds_is_corrected_by_holm():
    a, b = system(0.6, seed=1, seeds=3), system(0.4, seed=2, seeds=3)
    one = (system(0.6, speakers=8, seed=3), system(0.4, speakers=8, seed=4))
    table = families.differences([(a, b), one], n_resamples=500)
    assert table["correction"].tolist() == ["Holm"] * 2
    assert table["p_adjusted"].tolist() == families.holm(table["p"]).tolist()
    assert [found.method for found in table["difference"]] == [comparisons.STUDENT, "exact permutation"]


def test_seeds_taken_as_they_are_leave_other_speakers_only():
    a, b = system(0.5, speakers=8, seed=1, seeds=3), system(0.4, speakers=8, seed=2, seeds=3)
    one = families.differences([(a, b), (a, b)], n_resamples=500, as_trained=[True, False])
    held, drawn = one["difference"]
    assert (held.method, drawn.method) == ("exact permutation", comparisons.STUDENT)
    assert held.interval.value == pytest.approx(drawn.interval.value)
    assert held.error < drawn.error
    assert held == comparisons.difference(a, b, as_trained=True, n_resamples=500)
    assert held.p_value == pytest.approx(families.max_t([(a, b)])[0])


def test_clear_is_a_small_p_value_and_an_interval_that_does_not_touch_zero():
    def found(low, high, slack=0.0, refusal=None):
        return Difference(
            Interval(0.03, low, high, 0.95, "expanded", "speaker", 24, refusal, slack=slack), 0.01, "exact"
        )

    assert families.clear(found(0.01, 0.05), 0.049) and families.clear(found(-0.05, -0.01), 0.049)
    assert not families.clear(found(0.01, 0.05), 0.05)
    assert not families.clear(found(-0.01, 0.05), 0.01)
    assert not families.clear(found(0.001, 0.05, slack=0.002), 0.01)
    assert not families.clear(found(np.nan, np.nan, refusal="4 speakers, fewer than 5"), 0.01)
    assert not families.clear(found(0.01, 0.05), np.nan)


def test_differences_that_are_there_already_become_a_family():
    def difference(p, low, refusal=None):
        return comparisons.Difference(Interval(0.03, low, 0.05, 0.95, "", "speaker", 20, refusal), p, "Student's t")

    found = {"a": difference(0.01, 0.01), "b": difference(0.04, -0.01), "c": difference(0.001, np.nan, "few speakers")}
    table = families.corrected(pd.Series(found))
    # Two of them are in the family: 2 * 0.01, and 0.04.
    assert table["p_adjusted"].to_dict() == {"a": 0.02, "b": 0.04, "c": pytest.approx(np.nan, nan_ok=True)}
    assert table["clear"].to_dict() == {"a": True, "b": False, "c": False}
    assert list(table["difference"]) == list(found.values()) and set(table["correction"]) == {"Holm"}


def test_holm_by_hand():
    # Sorted 0.005 0.01 0.03 0.04 times 4 3 2 1 gives 0.02 0.03 0.06 0.04, made increasing: 0.02 0.03 0.06 0.06.
    np.testing.assert_allclose(families.holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02])
    np.testing.assert_allclose(families.holm([0.6, 0.7]), [1.0, 1.0])
    assert families.holm([]).shape == (0,)
    with pytest.raises(SerError, match="in .0, 1., got"):
        families.holm([0.5, np.nan])

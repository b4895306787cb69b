import numpy as np
import pandas as pd
import pytest
from predictions import scipy_interval, with_probabilities
from sklearn.metrics import balanced_accuracy_score

from ser_core.data import labels
from ser_core.errors import SerError
from ser_core.evaluation import intervals, metrics, minimal_pairs, pairing


def heard(n=600, speakers=12, seed=0):
    """Clips of four emotions whose system tells them apart somewhat."""
    table = with_probabilities(seed, n).drop(columns="seed")
    for name in ("angry", "sad"):
        table[f"p_{name}"] += 0.4 * (table["truth"] == name)
    columns = [name for name in table if name.startswith("p_")]
    table[columns] = table[columns].div(table[columns].sum(axis=1), axis=0)
    return table.assign(speaker=[f"toy/s{i % speakers:02}" for i in range(n)])


def balanced(table, pair):
    """The same by scikit-learn, from the two columns of probabilities."""
    rows = table[table["truth"].isin(pair)]
    answers = np.where(rows[f"p_{pair[0]}"] > rows[f"p_{pair[1]}"], *pair)
    return balanced_accuracy_score(rows["truth"], answers)


@pytest.mark.parametrize("pair", minimal_pairs.PAIRS.values())
def test_the_uar_of_a_pair_equals_that_of_scikit_learn(pair):
    table = heard()
    chosen = minimal_pairs.forced_choice(table, pair)
    assert metrics.scores(chosen)["uar"] == pytest.approx(balanced(table, pair))
    assert metrics.class_names(chosen) == tuple(sorted(pair))
    np.testing.assert_allclose(chosen[[f"p_{name}" for name in pair]].sum(axis=1), 1)


def test_the_answer_counts_neither_what_was_predicted_nor_what_other_classes_got():
    table = heard()
    other = table.assign(prediction="happy", p_neutral=0.5 + table["p_neutral"] / 2)
    for name in ("angry", "happy", "sad"):
        other[f"p_{name}"] /= 2
    for pair in minimal_pairs.PAIRS.values():
        answers = [minimal_pairs.forced_choice(rows, pair)["prediction"].tolist() for rows in (table, other)]
        assert answers[0] == answers[1]


def test_a_tie_goes_to_the_first_class_in_the_alphabet():
    table = pd.DataFrame({"clip": ["a", "b"], "truth": ["sad", "angry"], "prediction": "happy", "p_happy": 1.0})
    chosen = minimal_pairs.forced_choice(table.assign(p_angry=0.0, p_sad=0.0), ("sad", "angry"))
    assert chosen["prediction"].tolist() == ["angry", "angry"] and (chosen["p_sad"] == 0.5).all()


def test_both_emotions_of_a_pair_are_of_one_kind_in_the_other_respect():
    for name, pair in minimal_pairs.PAIRS.items():
        for kind, of in labels.KINDS.items():
            assert (len({of[word] for word in pair}) == 2) == (kind == name)


def test_the_difference_of_two_pairs_equals_an_independent_bootstrap_over_speakers():
    table = heard()
    pairs = list(minimal_pairs.PAIRS.values())
    found = minimal_pairs.difference(table, method="percentile", n_resamples=10_000)
    assert found.interval.value == pytest.approx(balanced(table, pairs[0]) - balanced(table, pairs[1]))
    assert found.method == "Student's t of the resamples" and found.interval.n_clusters == 12
    each = [intervals.counts(minimal_pairs.forced_choice(table, pair))[0] for pair in pairs]
    ends = scipy_interval(np.stack(each, axis=1), lambda drawn: np.diff(metrics.uar(drawn))[..., 0] * -1)
    assert (found.interval.low, found.interval.high) == pytest.approx((ends.low, ends.high), abs=0.006)


def test_a_speaker_of_one_pair_only_is_counted_once():
    table = heard(240, speakers=8)
    table.loc[table["truth"].isin(["sad"]) & (table["speaker"] == "toy/s00"), "truth"] = "neutral"
    table.loc[table["truth"].isin(["angry", "happy"]) & (table["speaker"] == "toy/s00"), "truth"] = "neutral"
    table.loc[table["truth"].isin(["happy", "angry"]) & (table["speaker"] == "toy/s01"), "truth"] = "sad"
    found = minimal_pairs.difference(table, n_resamples=200)
    assert found.interval.n_clusters == 7
    pairs = list(minimal_pairs.PAIRS.values())
    assert found.interval.value == pytest.approx(balanced(table, pairs[0]) - balanced(table, pairs[1]))


def test_a_pair_that_few_speakers_have_is_refused_an_interval():
    table = heard(240, speakers=8)
    few = table[(table["truth"] != "happy") | table["speaker"].isin(["toy/s00", "toy/s01"])]
    found = minimal_pairs.difference(few, n_resamples=200)
    assert "effective speakers" in found.interval.refusal and np.isnan(found.p_value)


@pytest.mark.filterwarnings("ignore:y_pred contains classes")
def test_two_parts_of_a_corpus_are_compared_over_the_same_speakers():
    table = heard()
    loud, soft = table.iloc[::2], table.iloc[1::2]
    soft = soft[soft["truth"] != "neutral"]
    both = pairing.of_parts(loud, soft)
    expected = [balanced_accuracy_score(part["truth"], part["prediction"]) for part in (loud, soft)]
    assert both.value == pytest.approx(expected[0] - expected[1]) and len(both.clusters) == 12
    with pytest.raises(SerError, match=r"the seeds \[0\] and \[1\]; compare parts of the same trainings"):
        pairing.of_parts(loud, soft.assign(seed=1))


def test_what_has_no_answer_is_refused_in_words():
    table = heard(60)
    one = pd.DataFrame({"clip": ["a"], "truth": ["angry"], "prediction": ["angry"], "p_angry": [1.0]})
    with pytest.raises(SerError, match="expected two different classes"):
        minimal_pairs.forced_choice(table, ("sad", "sad"))
    with pytest.raises(SerError, match=r"lack the columns \['p_sad'\]"):
        minimal_pairs.forced_choice(one, ("angry", "sad"))
    with pytest.raises(SerError, match="no clip is sad; there are those of"):
        minimal_pairs.forced_choice(table[table["truth"] != "sad"], ("angry", "sad"))


def test_both_pairs_and_their_difference_are_those_of_each_alone():
    table = heard()
    found = minimal_pairs.compared(table, n_resamples=200)
    assert list(found) == ["arousal", "valence", "difference"]
    for name, pair in minimal_pairs.PAIRS.items():
        assert found[name].value == pytest.approx(balanced(table, pair)) and found[name].refusal is None
    assert found["difference"] == minimal_pairs.difference(table, n_resamples=200)

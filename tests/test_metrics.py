import numpy as np
import pandas as pd
import pytest
from predictions import CLASSES, frame, system, with_probabilities
from sklearn import metrics as sklearn_metrics

from ser_core.data import labels
from ser_core.errors import SerError
from ser_core.evaluation import metrics


def answers(seed, n=60, true_classes=CLASSES, predicted_classes=CLASSES):
    rng = np.random.default_rng(seed)
    truth, prediction = rng.choice(true_classes, n), rng.choice(predicted_classes, n)
    return truth, np.where(rng.random(n) < 0.4, truth, prediction)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("true_classes", [CLASSES, CLASSES[:3], ["sad"]])
@pytest.mark.parametrize("predicted_classes", [CLASSES, ["happy", "sad"]])
def test_metrics_equal_those_of_scikit_learn(true_classes, predicted_classes):
    for seed in range(5):
        truth, prediction = answers(seed, 60, true_classes, predicted_classes)
        matrix = metrics.confusion(truth, prediction, CLASSES)
        assert (matrix == sklearn_metrics.confusion_matrix(truth, prediction, labels=CLASSES)).all()
        present = sorted(set(truth))
        recall = sklearn_metrics.recall_score(truth, prediction, labels=present, average="macro", zero_division=0)
        assert metrics.uar(matrix) == pytest.approx(recall)
        assert metrics.uar(matrix) == pytest.approx(sklearn_metrics.balanced_accuracy_score(truth, prediction))
        assert metrics.wa(matrix) == pytest.approx(sklearn_metrics.accuracy_score(truth, prediction))
        for average, function in (("macro", metrics.macro_f1), ("weighted", metrics.weighted_f1)):
            expected = sklearn_metrics.f1_score(truth, prediction, average=average, zero_division=0)
            assert function(matrix) == pytest.approx(expected)


def test_leading_axes_are_scored_one_by_one():
    stack = np.random.default_rng(0).integers(0, 4, (5, 3, 4, 4))
    stack[0, 0, 2] = 0
    functions = [*metrics.METRICS.values(), metrics.recalls, metrics.precisions, metrics.f1s]
    for function in functions:
        whole = function(stack)
        for i, j in np.ndindex(5, 3):
            np.testing.assert_allclose(whole[i, j], function(stack[i, j]))


def test_per_class_equals_scikit_learn():
    truth, prediction = answers(3)
    table = metrics.per_class(frame(truth, prediction))
    expected = sklearn_metrics.precision_recall_fscore_support(truth, prediction, labels=CLASSES)
    np.testing.assert_allclose(table[["precision", "recall", "f1", "support"]].to_numpy().T, expected)
    assert table.index.tolist() == CLASSES


def test_an_absent_class_has_no_recall_and_is_named():
    matrix = np.array([[3, 1, 0], [0, 0, 0], [1, 0, 1]])
    assert np.isnan(metrics.recalls(matrix)[1])
    assert metrics.uar(matrix) == pytest.approx((0.75 + 0.5) / 2)
    result = metrics.scores(frame(["a", "c"], ["a", "a"]), classes=["a", "b", "c"])
    assert result["absent"] == ("b",) and result["n_classes"] == 2


def test_published_urdu_pool_is_0137_over_present_classes_not_0103():
    # Angry 78, happy 2, neutral 8, sad 0 with 32, 0 and 0 right; the absent class was scored as recall 0.
    matrix = np.array([[32, 42, 0, 4], [0, 0, 0, 2], [0, 1, 0, 7], [0, 0, 0, 0]])
    assert metrics.uar(matrix) == pytest.approx(32 / 78 / 3)
    assert np.nan_to_num(metrics.recalls(matrix)).mean() == pytest.approx(0.103, abs=5e-4)
    assert metrics.wa(matrix) == pytest.approx(0.364, abs=5e-4)
    assert metrics.weighted_f1(matrix) == pytest.approx(0.516, abs=5e-4)


def test_scores_are_the_mean_over_seeds():
    first, second = answers(1), answers(2)
    second = (first[0], second[1])
    both = pd.concat([frame(*first, seed=0), frame(*second, seed=7)])
    expected = [sklearn_metrics.balanced_accuracy_score(*pair) for pair in (first, second)]
    result = metrics.scores(both.assign(speaker="toy/a"))
    assert result["uar"] == pytest.approx(np.mean(expected))
    assert (result["n_seeds"], result["n_clips"], result["n_speakers"]) == (2, 60, 1)


def test_groups_are_counted_apart():
    truth, prediction = answers(0)
    groups = np.arange(60) % 3
    stacked = metrics.confusion(truth, prediction, CLASSES, groups=groups, n_groups=4)
    assert stacked.shape == (4, 4, 4) and stacked[3].sum() == 0
    for group in range(3):
        here = groups == group
        assert (stacked[group] == metrics.confusion(truth[here], prediction[here], CLASSES)).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.drop(columns="truth"), r"lack the columns \['truth'\]"),
        (lambda t: t.iloc[:0], "empty"),
        (lambda t: t.assign(truth=None), "column 'truth' is empty in 200 rows, first at clip 'toy/0'"),
        (lambda t: pd.concat([t, t.iloc[:1]]), "clip 'toy/0' is predicted more than once for seed 0"),
        (lambda t: t.assign(p_sad=t["p_sad"] + 1), "not in .0, 1. with sum 1 in 200 rows, first at clip 'toy/0'"),
        (lambda t: t.assign(p_sad=np.nan), "not in .0, 1. with sum 1"),
        (lambda t: t.assign(prediction="bored"), r"classes \['bored'\] have no probability column"),
    ],
)
def test_bad_predictions_are_refused_in_one_line(change, message):
    with pytest.raises(SerError, match=message) as error:
        metrics.validate(change(with_probabilities()))
    assert "\n" not in str(error.value)


def test_messages_state_both_sides():
    with pytest.raises(SerError, match="differ in length: 3 != 2"):
        metrics.confusion(["a"] * 3, ["a"] * 2, ["a"])
    with pytest.raises(SerError, match="prediction has the class 'x'; expected one of"):
        metrics.confusion(["a"], ["x"], ["a", "b"])
    with pytest.raises(SerError, match="no metric 'f1'; there are .*'uar'"):
        metrics.metric("f1", CLASSES)


@pytest.mark.parametrize("name", CLASSES)
def test_metrics_of_one_class_are_scikit_learns(name):
    rng = np.random.default_rng(4)
    truth, prediction = (rng.choice(CLASSES, 200).tolist() for _ in range(2))
    matrix = metrics.confusion(truth, prediction, CLASSES)
    for kind, theirs in (("recall", sklearn_metrics.recall_score), ("f1", sklearn_metrics.f1_score)):
        expected = theirs(truth, prediction, labels=[name], average="macro")
        assert float(metrics.metric(f"{kind}:{name}", CLASSES)(matrix)) == pytest.approx(expected)


@pytest.mark.parametrize("kinds", labels.KINDS.values(), ids=list(labels.KINDS))
def test_scores_of_merged_classes_are_scikit_learns_of_renamed_labels(kinds):
    table = with_probabilities(seed=2)
    merged = metrics.merge_classes(table, kinds)
    truth, prediction = ([kinds[word] for word in table[column]] for column in ("truth", "prediction"))
    expected = sklearn_metrics.recall_score(truth, prediction, average="macro")
    assert metrics.scores(merged)["uar"] == pytest.approx(expected)
    assert merged.columns.tolist() == ["clip", "seed", "truth", "prediction"]
    assert metrics.class_names(table) == tuple(CLASSES)


def test_a_class_without_a_kind_is_named_in_one_line():
    kinds = {"angry": "high", "happy": "high"}
    with pytest.raises(SerError, match=r"no kind is given for \['sad'\]; .* \['angry', 'happy'\]") as error:
        metrics.merge_classes(frame(["angry", "happy"], ["angry", "sad"]), kinds)
    assert "\n" not in str(error.value)


def test_scores_of_groups_are_scikit_learns_of_their_clips():
    table = system(speakers=6, seeds=2)
    by = metrics.scores_by(table, "speaker")
    assert by.index.name == "speaker" and sorted(by.index) == sorted(table["speaker"].unique())
    by_seed = metrics.scores_by(table, ["speaker", "seed"], "wa")
    assert by_seed.index.names == ["speaker", "seed"]
    for (speaker, seed), part in table.groupby(["speaker", "seed"]):
        assert by_seed[speaker, seed] == pytest.approx(np.mean(part["truth"] == part["prediction"]))
    for speaker, part in table.groupby("speaker"):
        seeds = [rows for _, rows in part.groupby("seed")]
        uar = [sklearn_metrics.balanced_accuracy_score(rows["truth"], rows["prediction"]) for rows in seeds]
        assert by[speaker] == pytest.approx(np.mean(uar))

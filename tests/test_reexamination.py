"""The published counts and tables, computed again: by hand, by scikit-learn, and against what was printed."""

import itertools

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.metrics import accuracy_score, f1_score, recall_score

from ser_core.book import literature
from ser_core.data import corpora, labels
from ser_core.errors import SerError
from ser_core.evaluation import intervals

FOUR = ["angry", "happy", "neutral", "sad"]
PUBLISHED = literature.published()
CONFUSIONS = {key: literature.published_confusions(study) for key, study in literature.STUDIES.items()}
ONCE_BACK = literature.published_confusions("punjabi-khan-urdu-single")
SYSTEM = "XLS-R 300M"


def pairs(confusion):
    """Truth and answer of every clip."""
    cells = [(truth, answer, n) for truth, row in confusion.iterrows() for answer, n in row.items()]
    truth, answer, n = zip(*cells, strict=True)
    return np.repeat(truth, n), np.repeat(answer, n)


def uar(study):
    return PUBLISHED.xs("uar", level="metric")["value"].loc[study]


# -- The counts themselves ---------------------------------------------------------------------------------------------


def test_the_held_out_shows_are_the_clips_of_three_speakers():
    clips = corpora.table("urdu")
    for key in ("shows", "to_urdu"):
        for name, table in CONFUSIONS[key].groupby(level="part"):
            emotions = clips.loc[clips["speaker"] == f"urdu/{name}", "emotion"].value_counts()
            assert table.droplevel("part").sum(axis=1).to_dict() == emotions.reindex(FOUR, fill_value=0).to_dict()


def test_printed_matrices_give_the_printed_scores_by_scikit_learn():
    checked = 0
    for key, study in [*literature.STUDIES.items(), ("once back", "punjabi-khan-urdu-single")]:
        for name, table in CONFUSIONS.get(key, ONCE_BACK).groupby(level="part"):
            table = table.droplevel("part")
            truth, answer = pairs(table)
            ours = {
                "wa": accuracy_score(truth, answer),
                "weighted_f1": f1_score(truth, answer, average="weighted", zero_division=0),
                "macro_f1": f1_score(truth, answer, average="macro", zero_division=0),
                # As published for one training: over the classes in truth or answers.
                "uar": recall_score(truth, answer, average="macro", zero_division=0),
            }
            assert literature.uar_seen(table.to_numpy()) == pytest.approx(ours["uar"])
            printed = PUBLISHED.loc[study].loc[SYSTEM if name == "test" else f"{SYSTEM}, {name}", "value"]
            for metric, value in printed.items():
                # Half a unit of the last printed digit: four digits, of the README's single runs three.
                assert ours[metric] == pytest.approx(value, abs=5.001e-5 if round(value, 3) != value else 5.001e-4)
                checked += 1
    # Twelve matrices of the trainings, of which two have no printed accuracy, and two single runs with macro F1.
    assert checked == 3 * 12 - 2 + 2 * 4


def test_pooled_counts_give_the_printed_pooled_scores():
    for key, metric, name in itertools.product(("shows", "to_urdu", "punjabi", "to_punjabi"), ("uar", "wa"), (SYSTEM,)):
        ways = literature.uar_conventions(CONFUSIONS[key]).loc["pooled"]
        printed = PUBLISHED.loc[(literature.STUDIES[key], name, metric), "value"]
        assert ways["uar_all" if metric == "uar" else "wa"] == pytest.approx(printed, abs=5.001e-4)
    # Pooled recalls as printed, with the absent class as 0.
    recalls = {"shows": [0.410, 0, 0, 0], "to_urdu": [0.744, 1, 0.125, 0], "to_punjabi": [0.319, 0.340, 0, 0.333]}
    for key, expected in recalls.items():
        ours = literature.exact_recalls(literature.pool(CONFUSIONS[key]))["recall"].fillna(0)
        assert ours.tolist() == pytest.approx(expected, abs=5.001e-4)


# -- UAR and its floors ------------------------------------------------------------------------------------------------


def test_an_absent_class_lowers_the_published_uar():
    shows = literature.uar_conventions(CONFUSIONS["shows"])
    # By hand: recalls 32/78, 0/2 and 0/8; sad has no clip.
    assert shows.loc["pooled", ["uar", "uar_all"]].tolist() == pytest.approx([32 / 78 / 3, 32 / 78 / 4])
    assert shows.loc["pooled", ["clips", "present", "attainable", "guessing"]].tolist() == [88, 3, 0.75, 0.1875]
    # One speaker each: angry alone is present for SM2, and two answers of happy halve what was published.
    assert shows.loc["SM2", ["present", "uar", "uar_seen", "uar_all"]].tolist() == pytest.approx(
        [1, 26 / 28, 26 / 28 / 2, 26 / 28 / 4]
    )
    back = literature.uar_conventions(CONFUSIONS["to_urdu"]).loc["pooled"]
    assert back[["uar", "uar_all"]].tolist() == pytest.approx([(58 / 78 + 1 + 1 / 8) / 3, (58 / 78 + 1 + 1 / 8) / 4])


def test_uar_conventions_are_scikit_learns_with_and_without_labels():
    truth, answer = pairs(CONFUSIONS["to_urdu"].loc["SM4"])
    counts = CONFUSIONS["to_urdu"].loc["SM4"].to_numpy()
    with_labels = recall_score(truth, answer, average="macro", labels=FOUR, zero_division=0)
    assert literature.uar_all(counts) == pytest.approx(with_labels)
    assert literature.uar_seen(counts) == pytest.approx(recall_score(truth, answer, average="macro", zero_division=0))


def test_floors_of_the_pooled_urdu_clips():
    floors = literature.constant_answers(literature.pool(CONFUSIONS["shows"]))
    assert floors.loc["angry", ["uar_all", "uar", "wa"]].tolist() == pytest.approx([0.25, 1 / 3, 78 / 88])
    # Precision 78/88 and recall 1 give F1 156/166, weighted with 78/88.
    assert floors.loc["angry", "weighted_f1"] == pytest.approx(156 / 166 * 78 / 88)
    assert floors.loc["sad"].tolist() == [0, 0, 0, 0]
    assert floors["wa"].sum() == pytest.approx(1)


def test_classes_are_merged_by_kind():
    once = literature.pool(CONFUSIONS["to_urdu_once"])
    arousal = literature.merge_classes(once, labels.KINDS["arousal"])
    # By hand from 8,0,2,0 / 6,2,2,0 / 0,1,9,0 / 1,1,7,1.
    assert arousal.to_numpy().tolist() == [[16, 4], [3, 17]]
    valence = literature.merge_classes(once, labels.KINDS["valence"])
    assert valence.loc["negative", ["negative", "other"]].tolist() == [10, 10]
    assert valence.loc["other", ["negative", "other"]].tolist() == [6, 14]
    with pytest.raises(SerError, match=r"no kind is given for \['sad'\]"):
        literature.merge_classes(once, {"angry": "a", "happy": "a", "neutral": "b"})


def test_matrices_that_are_none_are_refused():
    table = literature.pool(CONFUSIONS["shows"])
    with pytest.raises(SerError, match="expected the same classes in the same order"):
        literature.constant_answers(table[FOUR[::-1]])
    with pytest.raises(SerError, match="has no clips"):
        literature.constant_answers(table * 0)


# -- Intervals ---------------------------------------------------------------------------------------------------------


def test_exact_intervals_of_two_and_of_seventy_eight_clips():
    table = literature.exact_recalls(literature.pool(CONFUSIONS["to_urdu"]))
    assert table.loc["happy", ["right", "clips", "recall"]].tolist() == [2, 2, 1]
    # All of n right: the lower end is (alpha / 2) to the power 1 / n.
    assert table.loc["happy", ["low", "high"]].tolist() == pytest.approx([0.025**0.5, 1])
    assert table.loc["angry", ["low", "high"]].tolist() == pytest.approx(
        [stats.beta.ppf(0.025, 58, 21), stats.beta.ppf(0.975, 59, 20)]
    )
    assert table.loc["sad", ["recall", "low", "high"]].isna().all()
    # Two clips fewer: only angry and neutral are left of the sum.
    assert table.loc["happy", "uar_all_if_missed"] == pytest.approx((58 / 78 + 1 / 8) / 4)
    assert table.loc["happy", "uar_if_missed"] == pytest.approx((58 / 78 + 1 / 8) / 3)
    with pytest.raises(SerError, match="3 of 2 clips are right"):
        literature.exact_interval(3, 2)


def test_three_speakers_carry_no_interval():
    counts = CONFUSIONS["to_urdu"].to_numpy().reshape(1, 3, 4, 4)
    assert intervals.from_counts(counts, classes=FOUR).refusal == "3 speakers, fewer than 5"


@pytest.mark.parametrize("key", ["shows", "to_urdu", "punjabi", "to_punjabi"])
@pytest.mark.parametrize("metric", ["uar_all", "wa", "weighted_f1"])
def test_pooled_bootstrap_gives_the_printed_intervals(key, metric):
    ours = literature.pooled_bootstrap(literature.pool(CONFUSIONS[key]), metric)
    name = {"uar_all": "uar", "weighted_f1": "weighted_f1"}.get(metric, metric)
    printed = PUBLISHED.loc[(literature.STUDIES[key], SYSTEM, name)]
    assert ours.value == pytest.approx(printed["value"], abs=5.001e-4)
    # Two sets of ten thousand resamples: each end has a standard error of some 0.027 of the score's.
    spread = (printed["high"] - printed["low"]) / 4
    assert [ours.low, ours.high] == pytest.approx(printed[["low", "high"]].tolist(), abs=0.08 * spread + 5e-4)


def test_pooled_bootstrap_is_that_of_pairs_drawn_one_by_one():
    confusion = literature.pool(CONFUSIONS["to_urdu"])
    truth, answer = (np.array([FOUR.index(word) for word in words]) for words in pairs(confusion))
    rng = np.random.default_rng(1)
    drawn = rng.integers(len(truth), size=(10_000, len(truth)))
    values = []
    for rows in drawn:
        clips = np.bincount(truth[rows], minlength=4)
        right = np.bincount(truth[rows][truth[rows] == answer[rows]], minlength=4)
        values.append(np.divide(right, clips, out=np.zeros(4), where=clips > 0).mean())
    ours = literature.pooled_bootstrap(confusion)
    assert [ours.low, ours.high] == pytest.approx(np.quantile(values, [0.025, 0.975]), abs=0.01)
    assert ours == literature.pooled_bootstrap(confusion)


def test_clips_counted_thrice_make_intervals_too_narrow_by_the_root_of_three():
    confusion = literature.pool(CONFUSIONS["to_punjabi"])
    thrice = literature.pooled_bootstrap(confusion)
    once = literature.pooled_bootstrap(confusion, drawn=962)
    assert (once.high - once.low) / (thrice.high - thrice.low) == pytest.approx(3**0.5, rel=0.05)


def test_a_metric_that_was_not_published_is_refused():
    confusion = literature.pool(CONFUSIONS["punjabi"])
    with pytest.raises(SerError, match="no metric 'uar'"):
        literature.pooled_bootstrap(confusion, "uar")


def test_three_scores_bootstrap_to_their_lowest_and_highest():
    for scores in ([0.1, 0.2, 0.9], [0.4643, 0.0, 0.0417]):
        ours = literature.seed_bootstrap(scores)
        assert [ours.low, ours.high] == pytest.approx([min(scores), max(scores)])
        assert ours.n_resamples == 27 and ours.lowest == pytest.approx(1 / 27)
        # A random bootstrap says the same.
        drawn = np.random.default_rng(0).choice(scores, size=(10_000, 3)).mean(axis=1)
        assert np.quantile(drawn, [0.025, 0.975]) == pytest.approx([min(scores), max(scores)])
    # Of four different scores the lowest alone is 1/256 of all resamples; the level decides, too.
    assert literature.seed_bootstrap([0.1, 0.2, 0.3, 0.9]).low > 0.1
    assert literature.seed_bootstrap([0.1, 0.2, 0.9], level=0.9).low > 0.1
    # Two equal lowest scores of three: 8 of 27 resamples.
    assert literature.seed_bootstrap([0.1, 0.1, 0.9]).lowest == pytest.approx(8 / 27)
    with pytest.raises(SerError, match="1 scores"):
        literature.seed_bootstrap([0.5])


@pytest.mark.parametrize("study", ["urdu-khan-shows", "urdu-khan-punjabi", "punjabi-khan", "punjabi-khan-urdu"])
@pytest.mark.parametrize("metric", ["uar", "weighted_f1"])
def test_printed_intervals_over_trainings_are_lowest_and_highest(study, metric):
    table = PUBLISHED.xs(metric, level="metric").loc[study]
    parts = table[table.index.str.contains("seed|SM")]["value"]
    ours = literature.seed_bootstrap(parts.tolist())
    printed = table.loc[f"{SYSTEM}, mean of three trainings"]
    assert [ours.mean, ours.low, ours.high] == pytest.approx(printed[["value", "low", "high"]].tolist(), abs=6e-4)


# -- Tables of scores --------------------------------------------------------------------------------------------------


def test_transfer_gaps_by_hand():
    sindhi = literature.transfer_gaps(uar("sindhi-khan-classical"), uar("urdu-to-sindhi-khan"), 1 / 7)
    # The best of IS10 within Sindhi is the SVM's 0.5699, of eGeMAPS 0.4915.
    assert sindhi.loc[("IS10", "SVM"), "gap_of_set"] == pytest.approx(0.5699 - 0.2600)
    assert sindhi.loc[("eGeMAPS", "random forest"), "gap_of_set"] == pytest.approx(0.4915 - 0.2687)
    assert sindhi.loc[("eGeMAPS", "random forest"), "gap"] == pytest.approx(0.4427 - 0.2687)
    assert sindhi.loc[("prosody", "MLP"), "above_chance"] == pytest.approx(0.1885 - 1 / 7)
    urdu = literature.transfer_gaps(uar("urdu-khan-classical"), uar("sindhi-to-urdu-khan"), 1 / 7)
    both = pd.concat([sindhi, urdu])
    assert len(both) == 30 and (both["above_chance"] > 0).all()
    assert both["gap_of_set"].agg(["min", "max", "mean"]).round(3).tolist() == [0.131, 0.345, 0.262]
    assert (both["gap_of_set"] >= 0.29).sum() == 14
    with pytest.raises(SerError, match="are in one of them only"):
        literature.transfer_gaps(uar("urdu-khan-classical").iloc[:-1], uar("sindhi-to-urdu-khan"), 1 / 7)


@pytest.mark.parametrize(("language", "other"), [("sindhi", "urdu"), ("urdu", "sindhi")])
def test_rank_correlations_are_scipys(language, other):
    within, transfer = uar(f"{language}-khan-classical"), uar(f"{other}-to-{language}-khan")
    ours = literature.rank_correlations(within, transfer)
    for name in ("SVM", "random forest", "MLP"):
        x, y = (scores[scores.index.str.endswith(name)] for scores in (within, transfer))
        y = y[x.index].to_numpy()
        assert ours.loc[name, "rho"] == pytest.approx(stats.spearmanr(x, y).statistic)
        exact = stats.permutation_test(
            (x.to_numpy(),),
            lambda a, y=y: stats.spearmanr(a, y).statistic,
            permutation_type="pairings",
            n_resamples=200,
            alternative="less",
        )
        assert ours.loc[name, "p_inverted"] == pytest.approx(exact.pvalue)
    assert ours.loc["best of all", "rho"] == pytest.approx({"sindhi": 0.0, "urdu": 0.1}[language], abs=1e-9)


def test_a_planted_inversion_is_found_exactly():
    within = pd.Series([0.5, 0.4, 0.3, 0.2, 0.1], index=[f"{name} + SVM" for name in "abcde"])
    ours = literature.rank_correlations(within, 1 - within).loc["SVM"]
    assert ours.tolist() == pytest.approx([-1, 1 / 120, 2 / 120])
    # One neighbouring pair the other way round: -0.9, which 1 + 4 of 120 pairings reach.
    swapped = pd.Series([0.1, 0.2, 0.3, 0.5, 0.4], index=within.index)
    assert literature.rank_correlations(within, swapped).loc["SVM"].tolist()[:2] == pytest.approx([-0.9, 5 / 120])


def test_the_gain_over_the_paper_in_standard_errors():
    sindhi = literature.in_standard_errors(0.5699, 0.5529, 0.0522)
    assert sindhi.error == pytest.approx(0.0522 / 2)
    assert sindhi.ratio == pytest.approx(0.0170 / 0.0261)
    # Sample deviation 0.0522 * sqrt(5/4), variance times (1/5 + 1/4).
    assert sindhi.corrected == pytest.approx(0.0522 * (5 / 4 * 0.45) ** 0.5)
    assert sindhi.p_value == pytest.approx(2 * stats.t.sf(0.0170 / sindhi.corrected, 4))
    urdu = literature.in_standard_errors(0.5526, 0.5696, 0.0144)
    assert urdu.ratio == pytest.approx(-0.0170 / 0.0072)
    with pytest.raises(SerError, match="expected a deviation above 0"):
        literature.in_standard_errors(0.5, 0.4, 0.0)


def test_the_plain_standard_error_is_that_of_the_mean_of_folds():
    folds = np.array([0.5, 0.6, 0.55, 0.7, 0.4])
    ours = literature.in_standard_errors(folds.mean(), 0.5, folds.std())
    assert ours.error == pytest.approx(stats.sem(folds))
    assert ours.ratio == pytest.approx(stats.ttest_1samp(folds, 0.5).statistic)


def test_the_best_of_fifteen_gains_by_being_chosen():
    # The expected maximum of fifteen standard normal numbers is 1.7359 (Teichroew 1956).
    ours = literature.best_of_many([0.04] * 15, 0.02)
    assert ours.gain == pytest.approx(1.7359 * 0.02, rel=0.01)
    assert ours.share == pytest.approx(1 - stats.norm.cdf(1) ** 15, abs=0.01)
    with pytest.raises(SerError, match="best of none"):
        literature.best_of_many([], 0.02)


# -- Verdicts ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def values():
    return literature.decisive(PUBLISHED, CONFUSIONS, literature.published_answers(literature.STUDIES["to_punjabi"]))


def test_deciding_values_are_those_of_the_hand(values):
    expected = {
        "seed_lowest": 1 / 27,
        "shows_one_class": 2,
        "shows_rare_clips": 10,
        "to_urdu_all_if_missed": (58 / 78 + 1 / 8) / 4,
        "to_urdu_once_arousal": 33 / 40,
        "to_urdu_once_valence": 24 / 40,
        # High arousal: 28 + 2 + 2 + 45 of 80; low: 1 of 8. Negative: 28 + 30 of 78; other: 2 + 7 of 10.
        "to_urdu_arousal": (77 / 80 + 1 / 8) / 2,
        "to_urdu_valence": (58 / 78 + 9 / 10) / 2,
        "to_punjabi_least": 927 / 962,
        "sindhi_gap_of_best": 0.5699 - 0.2734,
        "urdu_gap_of_best": 0.5526 - 0.2622,
        "transfer_above": 30,
    }
    assert {key: values[key] for key in expected} == pytest.approx(expected)
    assert values["sindhi_gap_cell"] == values["urdu_gap_cell"] == "IS10 + SVM"
    assert values["to_punjabi_answers"] == "sad, happy, angry"
    assert values["punjabi_wider"] == pytest.approx(3**0.5, rel=0.05)


def test_a_constant_answer_beats_what_the_verdict_says_it_beats(values):
    assert values["to_urdu_all_if_missed"] < values["to_urdu_constant_uar_all"]
    assert values["to_urdu_if_missed"] < values["to_urdu_constant_uar"]
    assert values["to_urdu_wa"] < values["to_urdu_constant_wa"]
    assert values["shows_uar"] < values["shows_constant_uar"]

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score

from ser_core.errors import RefusalError, SerError
from ser_core.evaluation import score_sheet
from ser_core.evaluation.predictions import read
from ser_core.experiments import runs, scoring


@pytest.fixture
def predictions():
    rng = np.random.default_rng(0)
    n = 240
    table = pd.DataFrame({"clip": [f"c{i:03}" for i in range(n)], "speaker": [f"s{i % 12:02}" for i in range(n)]})
    table["truth"] = rng.choice(["angry", "happy", "sad"], n, p=[0.5, 0.3, 0.2])
    table["prediction"] = np.where(rng.random(n) < 0.6, table["truth"], "sad")
    return table


def test_headline_agrees_with_scikit_learn(predictions):
    table = score_sheet.headline(predictions, n_resamples=200)["interval"]
    truth, prediction = predictions["truth"], predictions["prediction"]
    assert table["UAR"].value == pytest.approx(balanced_accuracy_score(truth, prediction))
    assert table["WA (accuracy)"].value == pytest.approx(accuracy_score(truth, prediction))
    assert table["macro F1"].value == pytest.approx(f1_score(truth, prediction, average="macro"))
    assert table["weighted F1"].value == pytest.approx(f1_score(truth, prediction, average="weighted"))
    assert all(score.low < score.value < score.high for score in table)


def test_without_speakers_there_is_a_value_and_a_refusal(predictions):
    table = score_sheet.headline(predictions.drop(columns="speaker"))["interval"]
    assert table["UAR"].value == pytest.approx(balanced_accuracy_score(predictions["truth"], predictions["prediction"]))
    assert all("name no speakers" in score.refusal for score in table)


def test_floors_by_hand():
    table = pd.DataFrame(
        {"clip": list("abcd"), "speaker": ["x", "x", "y", "y"], "truth": ["sad", "sad", "sad", "happy"]}
    ).assign(prediction="sad")
    floors = score_sheet.floors(table)
    assert floors.loc["always the commonest class"].tolist() == [0.5, 0.75]
    assert floors.loc["chance, in proportion to the classes", "wa"] == pytest.approx(0.75**2 + 0.25**2)
    # Speaker y is tied; the corpus's commoner class, sad, answers for both: 3 of 4 right.
    assert floors.loc["speaker look-up (in-sample)"].tolist() == [0.5, 0.75]


def test_sheet_names_what_there_is(predictions, tmp_path):
    path = tmp_path / "predictions.csv"
    predictions.assign(p_angry=0.2, p_happy=0.3, p_sad=0.5).to_csv(path, index=False)
    text = score_sheet.sheet(read(path), n_resamples=200)
    for expected in ("240 clips, 12 speakers, 3 classes, 1 seed", "95% intervals", "angry", "Calibration"):
        assert expected in text


def test_experiment_scores_and_differences(predictions, tmp_path, monkeypatch):
    monkeypatch.setenv("SER_RESULTS", str(tmp_path))
    better = predictions.assign(prediction=predictions["truth"])
    for system, table in {"a": predictions, "b": better}.items():
        folds = [{"fold": 0, "dev_uar": 0.5}, {"fold": 1, "dev_uar": 0.75}]
        info = {"cell": {"corpus": "toy", "model": system}, "key": "k", "measured": {"seconds": 1.5}, "folds": folds}
        runs.write(runs.Run("toy", system, table, info))
        runs.write(runs.Run("other", system, table, info))
    table = scoring.experiment("toy", n_resamples=200).set_index("system")
    assert table["run"].to_dict() == {"a": "toy/a", "b": "toy/b"} and table["dev"].tolist() == [0.625, 0.625]
    both = scoring.experiment(("toy", "other"), n_resamples=200)
    assert both["run"].tolist() == ["toy/a", "toy/b", "other/a", "other/b"]
    assert both["value"].tolist() == [*table["value"], *table["value"]]
    assert table.loc["b", "value"] == 1.0
    # 1.5 seconds for two folds.
    assert table.loc["a", "seconds"] == 0.75
    assert scoring.score("toy/a", n_resamples=200) == table.loc["a", "interval"]
    assert scoring.score("toy/a", "wa").value == accuracy_score(predictions["truth"], predictions["prediction"])
    some = scoring.systems({("toy", "better"): "toy/b", ("toy", "poorer"): "toy/a"}, n_resamples=200)
    assert some["interval"]["toy", "poorer"] == table.loc["a", "interval"]
    assert some["run"].tolist() == ["toy/b", "toy/a"] and some["seconds"].tolist() == [0.75, 0.75]
    pairs = pd.DataFrame({"first": ["toy/b", "toy/a"], "second": ["toy/a", "toy/a"]})
    compared = scoring.differences(pairs, n_resamples=500)
    named = scoring.differences({"better": ("toy/b", "toy/a"), "itself": ("toy/a", "toy/a")}, n_resamples=500)
    assert named.index.tolist() == ["better", "itself"]
    pd.testing.assert_frame_equal(named.reset_index(drop=True), compared)
    assert compared["value"].tolist() == pytest.approx([1 - table.loc["a", "value"], 0.0])
    # The other one of the family, a system against itself, differs in no swap, so that it costs nothing.
    assert compared["p_adjusted"].tolist() == pytest.approx([compared["p"].iloc[0], 1.0])
    assert compared["clear"].tolist() == [True, False] and set(compared["correction"]) == {"max-T"}


def test_dev_scores_and_seconds_of_grids_networks_and_fusions(predictions, tmp_path, monkeypatch):
    monkeypatch.setenv("SER_RESULTS", str(tmp_path))
    curve = [{"epoch": 1, "dev_uar": 0.6, "dev_weighted_f1": 0.2}, {"epoch": 2, "dev_uar": 0.5, "dev_weighted_f1": 0.4}]
    later = [{"epoch": 1, "dev_uar": 0.1, "dev_weighted_f1": 0.8}]
    facts = {
        "grid": (
            {},
            [{"fold": 0, "dev_uar": 0.25}, {"fold": 1, "dev_uar": None}],
            {"seconds": 9.0, "cpu_seconds": 6.0},
        ),
        "network": (
            {"recipe": {"select": "weighted_f1"}},
            [{"fold": 0, "seed": 0, "curve": curve}, {"fold": 0, "seed": 1, "curve": later}],
            {"seconds": 4.0},
        ),
        "fusion": ({"members": ["toy/grid", "toy/network", "mfcc/svm/train"]}, [{"fold": 0}], {"seconds": 1.0}),
    }
    for system, (cell, folds, measured) in facts.items():
        info = {"cell": {"corpus": "toy", "model": system} | cell, "key": "k", "measured": measured, "folds": folds}
        runs.write(runs.Run("toy", system, predictions, info))
    grid = scoring.dev_scores("toy/grid")
    assert grid[0] == 0.25
    assert np.isnan(grid[1])
    # The best epoch of each seed, by what the recipe selects: 0.4 and 0.8.
    assert scoring.dev_scores("toy/network").to_dict() == {0: pytest.approx(0.6)}
    # Processor seconds where they were measured, by the number of trainings.
    assert scoring.seconds("toy/grid") == 3.0
    assert scoring.seconds("toy/network") == 2.0
    # One fusion: its own second, and all that its two Runs took.
    assert scoring.seconds("toy/fusion") == 1.0 + 6.0 + 4.0


def test_dev_speakers_choose_one_system_of_each_group():
    systems = pd.DataFrame(
        {
            "corpus": ["b", "a", "b", "a", "b"],
            "features": ["x", "x", "y", "y", "y"],
            "dev": [0.5, np.nan, 0.7, 0.1, 0.7],
            "value": [0.9, 0.8, 0.2, 0.1, 0.3],
        }
    )
    # Of equals the last; what was not chosen by anything is never chosen.
    assert scoring.chosen(systems)["value"].to_dict() == {"a": 0.1, "b": 0.3}
    assert scoring.chosen(systems, of="value")["value"].to_dict() == {"a": 0.8, "b": 0.9}
    assert scoring.chosen(systems, ["corpus", "features"])["value"].to_dict() == {
        ("a", "x"): 0.8,
        ("a", "y"): 0.1,
        ("b", "x"): 0.9,
        ("b", "y"): 0.3,
    }


def test_fold_sizes_are_those_of_the_corpus_and_the_mean_of_the_folds():
    # 24 actors in six folds of 4, of whom 16 are trained on and 4 more are dev speakers; 60 clips each.
    run = runs.find("baselines", corpus="ravdess", features="egemaps", model="logreg")
    assert scoring.fold_sizes(run) == {
        "classes": 8,
        "clips": 1440,
        "speakers": 24,
        "folds": 6,
        "train": 960,
        "dev": 240,
        "test": 240,
    }


@pytest.fixture
def unions(tmp_path, monkeypatch):
    """Two Runs that test the same clips of urdu: one with two seeds, beside emodb, and one beside savee."""
    monkeypatch.setenv("SER_RESULTS", str(tmp_path))
    found = {}
    for number, (other, seeds) in enumerate({"emodb": 2, "savee": 1}.items()):
        rng, tables = np.random.default_rng(number), []
        for corpus, n in (("urdu", 160), (other, 120)):
            truth = np.random.default_rng(n).choice(["angry", "happy", "sad"], n)
            clips = {"clip": [f"{corpus}/{i:03}" for i in range(n)], "speaker": [f"{corpus}/{i % 8}" for i in range(n)]}
            for seed in range(seeds):
                answers = np.where(rng.random(n) < 0.5, truth, rng.choice(["angry", "happy", "sad"], n))
                tables.append(pd.DataFrame(clips).assign(seed=seed, truth=truth, prediction=answers))
        info = {"cell": {"corpus": "+".join(sorted([other, "urdu"]))}, "key": "k", "measured": {"seconds": 1.0}}
        runs.write(runs.Run("toy", other, pd.concat(tables), info))
        found[other] = pd.concat(tables[:seeds])
    return found


def mean_uar(*tables):
    """The mean over all trainings, by scikit-learn."""
    trainings = [training for table in tables for _, training in table.groupby("seed")]
    return np.mean([balanced_accuracy_score(of["truth"], of["prediction"]) for of in trainings])


def test_one_corpus_of_a_union_is_scored_by_its_clips_alone(unions):
    found = scoring.predictions_of("toy/emodb@urdu")
    assert len(found) == 320 and found["clip"].str.startswith("urdu/").all()
    assert found.index.tolist() == list(range(320))
    score = scoring.score("toy/emodb@urdu", n_resamples=200)
    assert score.value == pytest.approx(mean_uar(unions["emodb"]))
    assert score.low < score.value < score.high and score.n_clusters == 8
    assert len(scoring.predictions_of("toy/emodb")) == 560


def test_several_runs_on_the_same_clips_are_trainings_of_one(unions):
    names = ("toy/emodb@urdu", "toy/savee@urdu")
    together = scoring.predictions_of(names)
    assert together["seed"].nunique() == 3 and not together.duplicated(["seed", "clip"]).any()
    assert (together.groupby("seed")["clip"].nunique() == 160).all()
    assert scoring.score(names, n_resamples=200).value == pytest.approx(mean_uar(*unions.values()))
    assert scoring.score(names[:1], n_resamples=200) == scoring.score(names[0], n_resamples=200)


def test_differences_of_corpora_and_of_several_runs(unions):
    both = ("toy/emodb@urdu", "toy/savee@urdu")
    pairs = pd.DataFrame(
        {"first": [both, "toy/savee@urdu", both], "second": ["toy/emodb@urdu", "toy/emodb@urdu", both]}
    )
    compared = scoring.differences(pairs, n_resamples=200)
    uar = mean_uar(unions["emodb"])
    expected = [mean_uar(*unions.values()) - uar, mean_uar(unions["savee"]) - uar, 0.0]
    assert compared["value"].tolist() == pytest.approx(expected)
    assert compared["p"].iloc[2] == 1.0 and (compared["p_adjusted"] >= compared["p"]).all()
    # Two of them have several seeds, of which swaps say nothing.
    assert set(compared["correction"]) == {"Holm"}
    with pytest.raises(SerError, match="different clips: 280 and 160"):
        scoring.differences(pd.DataFrame({"first": ["toy/savee"], "second": ["toy/emodb@urdu"]}))


def test_merged_corpora_have_an_interval_only_if_each_of_them_has(unions):
    assert scoring.score("toy/emodb", n_resamples=200).refusal is None
    few = scoring.predictions_of("toy/emodb")
    few.loc[few["clip"].str.startswith("emodb/"), "speaker"] = "emodb/0"
    few.loc[few["clip"].isin(["emodb/000", "emodb/001"]), "speaker"] = "emodb/1"
    runs.write(runs.Run("toy", "few", few, runs.info("toy/emodb")))
    found = scoring.score("toy/few", n_resamples=200)
    assert found.refusal == "emodb alone: 2 speakers, fewer than 5" and np.isnan(found.low)
    assert found.value == pytest.approx(mean_uar(few))
    assert scoring.score("toy/few@urdu", n_resamples=200).refusal is None
    pairs = pd.DataFrame({"first": ["toy/few"], "second": ["toy/emodb"]})
    with pytest.raises(RefusalError, match="emodb alone: 2 speakers, fewer than 5.; compare on one of them"):
        scoring.differences(pairs, n_resamples=200)


def test_components_of_trainings_are_what_a_t_interval_and_numpy_say(predictions, tmp_path, monkeypatch):
    monkeypatch.setenv("SER_RESULTS", str(tmp_path))
    rng, uars = np.random.default_rng(1), np.empty((3, 2))
    for draw, system in enumerate("abc"):
        tables = []
        for seed in range(2):
            answers = np.where(rng.random(len(predictions)) < 0.7, predictions["truth"], "sad")
            uars[draw, seed] = balanced_accuracy_score(predictions["truth"], answers)
            tables.append(predictions.assign(seed=seed, prediction=answers))
        runs.write(runs.Run("toy", system, pd.concat(tables), {"cell": {"corpus": "toy"}, "key": "k"}))
    names = ("toy/a", "toy/b", "toy/c")
    found = scoring.components(names, n_resamples=4_000)
    assert found.each == pytest.approx(uars)
    assert found.seeds == pytest.approx(np.sqrt(np.square(uars[:, 0] - uars[:, 1]).mean() / 2))
    assert found.draws == pytest.approx(np.std(uars.mean(axis=1), ddof=1))
    assert found.error == pytest.approx(np.sqrt(uars.mean(axis=1).var(ddof=1) / 3 + uars.mean(axis=0).var(ddof=1) / 2))
    # The spread of plain resamples of twelve speakers, made as large as that of one speaker fewer.
    speakers, resampled = [part for _, part in predictions.groupby("speaker")], []
    for _ in range(400):
        table = pd.concat([speakers[i] for i in rng.integers(12, size=12)])
        answers = np.where(rng.random(len(table)) < 0.7, table["truth"], "sad")
        resampled.append(balanced_accuracy_score(table["truth"], answers))
    assert found.speakers == pytest.approx(np.std(resampled) * np.sqrt(12 / 11), rel=0.4)


def test_runs_on_other_clips_are_no_seeds_of_one_system(unions):
    with pytest.raises(SerError, match="'toy/emodb@emodb' and 'toy/emodb@urdu' are of different clips"):
        scoring.score(("toy/emodb@emodb", "toy/emodb@urdu"))


def test_a_corpus_that_a_run_does_not_test_is_named(unions):
    for name in ("toy/emodb@savee", ("toy/emodb@urdu", "toy/emodb@savee")):
        message = r"Run 'toy/emodb' tests no clip of 'savee'; it tests \['emodb', 'urdu'\]"
        with pytest.raises(SerError, match=message) as error:
            scoring.score(name)
        assert "\n" not in str(error.value)

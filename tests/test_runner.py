"""Experiments and the runner on a synthetic corpus that stands in for URDU: same words, made-up features."""

import json

import numpy as np
import pandas as pd
import pytest
import yaml
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from ser_core import corpora, experiments, features, fitting, runner, runs, splits, store, toy
from ser_core.errors import SerError
from ser_core.features import files


@pytest.fixture(autouse=True)
def stores(tmp_path, monkeypatch):
    monkeypatch.setenv("SER_RESULTS", str(tmp_path / "results"))
    monkeypatch.setenv("SER_CACHE", str(tmp_path / "cache"))
    caches = (experiments.clips_of, experiments.make_folds, fitting._features, runner.data_hash, runner.folds_hash)
    for function in caches:
        function.cache_clear()
    clips = toy.clips(speakers=8, sentences=3, repetitions=2).assign(corpus="urdu")
    store.write_parquet(clips, corpora.table_path("urdu"))
    rng = np.random.default_rng(0)
    spec = features.get("egemaps")
    shift = clips["emotion"].map({"angry": 0, "happy": 1, "neutral": 2, "sad": 3}).to_numpy()[:, None]
    values = rng.normal(size=(len(clips), len(spec.columns))) + 0.3 * shift * rng.normal(size=len(spec.columns))
    files.save(pd.DataFrame(values, index=clips.index, columns=list(spec.columns)), "urdu", spec, clips)
    yield tmp_path
    for function in caches:
        function.cache_clear()


@pytest.fixture
def write(tmp_path):
    def make(**changes):
        content = {
            "name": "trial",
            "question": "Does it work?",
            "corpora": ["urdu"],
            "protocols": ["speaker"],
            "features": ["egemaps"],
            "models": ["svm-linear"],
            "folds": 4,
        }
        path = tmp_path / "trial.yaml"
        path.write_text(yaml.safe_dump({**content, **changes}))
        return path

    return make


def test_a_run_is_what_scikit_learn_gives_fold_by_fold(write):
    (path,) = runner.run(experiments.load(write()), jobs=1, progress=False)
    run = runs.read("trial", path.name)
    clips, table = corpora.table("urdu"), features.load("urdu", "egemaps")
    folds = splits.make(clips, "speaker", n_folds=4, dev=False)
    for fold, rows in folds.groupby("fold"):
        train, test = (rows.loc[rows["role"] == role, "clip"] for role in ("train", "test"))
        # Our kernel divides by the number of features, theirs does not.
        svm = SVC(kernel="linear", C=1 / table.shape[1], class_weight="balanced")
        theirs = make_pipeline(StandardScaler(), svm).fit(table.loc[train], clips.loc[train, "emotion"])
        expected = pd.Series(theirs.predict(table.loc[test]), index=test)
        ours = run.predictions[run.predictions["fold"] == fold].set_index("clip")["prediction"]
        assert ours.to_dict() == expected.to_dict()
    assert run.predictions["truth"].tolist() == clips.loc[run.predictions["clip"], "emotion"].tolist()
    assert not (path / ".parts").exists()
    info = run.info
    assert info["cell"]["protocol"] == "speaker"
    assert {"python", "scikit-learn", "numpy"} <= set(info["versions"])
    assert info["measured"]["seconds"] > 0


def test_tuning_chooses_by_the_dev_part_alone(write):
    (path,) = runner.run(experiments.load(write(tune=True, models=["knn"])), jobs=1, progress=False)
    clips, table = corpora.table("urdu"), features.load("urdu", "egemaps")
    folds = splits.make(clips, "speaker", n_folds=4)
    for fact in runs.read("trial", path.name).info["folds"]:
        rows = folds[folds["fold"] == fact["fold"]]
        part = {role: table.loc[rows.loc[rows["role"] == role, "clip"]] for role in ("train", "dev")}
        y = {role: clips.loc[x.index, "emotion"] for role, x in part.items()}
        from sklearn.metrics import recall_score
        from sklearn.neighbors import KNeighborsClassifier

        scores = {}
        for k in (31, 15, 5):
            system = make_pipeline(StandardScaler(), KNeighborsClassifier(k)).fit(part["train"], y["train"])
            scores[k] = recall_score(y["dev"], system.predict(part["dev"]), average="macro")
        assert fact["dev_uar"] == pytest.approx(max(scores.values()))
        assert scores[fact["chosen"]["n_neighbors"]] == pytest.approx(max(scores.values()))


def test_a_killed_run_started_again_gives_the_same_files(write, monkeypatch):
    experiment = experiments.load(write(models=["forest"], seeds=[0, 1]))
    (path,) = runner.run(experiment, jobs=1, progress=False)
    whole = (path / "predictions.parquet").read_bytes()
    info = json.loads((path / "run.json").read_text())
    for file in path.iterdir():
        file.unlink()

    fitted = []
    original = runner.fit_fold

    def dies_at_the_third(cell, seed, fold):
        fitted.append((seed, fold))
        if len(fitted) == 3:
            raise KeyboardInterrupt
        return original(cell, seed, fold)

    monkeypatch.setattr(runner, "fit_fold", dies_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        runner.run(experiment, jobs=1, progress=False)
    assert not (path / "run.json").exists()
    runner.run(experiment, jobs=1, progress=False)
    assert len(fitted) == 2 + 1 + 6  # the two kept folds are not fitted again
    assert (path / "predictions.parquet").read_bytes() == whole
    again = json.loads((path / "run.json").read_text())
    assert {key: value for key, value in again.items() if key != "measured"} == {
        key: value for key, value in info.items() if key != "measured"
    }


def test_nothing_runs_twice_until_data_or_cell_change(write):
    assert len(runner.run(experiments.load(write()), jobs=1, progress=False)) == 1
    assert runner.run(experiments.load(write()), jobs=1, progress=False) == []
    table, clips, spec = features.load("urdu", "egemaps"), corpora.table("urdu"), features.get("egemaps")
    files.save(table + 1, "urdu", spec, clips)
    runner.data_hash.cache_clear()
    fitting._features.cache_clear()
    assert len(runner.run(experiments.load(write()), jobs=1, progress=False)) == 1


def test_equal_training_sizes(write):
    path = write(
        protocols=["clip", "speaker", "speaker+sentence"], folds={"urdu": 4}, train_clips="match", seeds=[0, 1]
    )
    experiment = experiments.load(path)
    sizes = set()
    for folder in runner.run(experiment, jobs=1, progress=False):
        sizes |= {fact["n_train"] for fact in runs.read("trial", folder.name).info["folds"]}
    assert len(sizes) == 1


def test_what_a_corpus_cannot_do_is_listed_with_the_reason(write):
    experiment = experiments.load(write(protocols=["speaker", "session"]))
    assert [cell.protocol for cell in experiment.cells] == ["speaker"]
    assert experiment.refused[["corpus", "what"]].to_numpy().tolist() == [["urdu", "session"]]
    assert "session" in experiment.refused["reason"].iloc[0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"corpora": ["urdoo"]}, "unknown corpora .*'urdoo'.*expected some of"),
        ({"features": []}, "'features' must be a list with at least one name"),
        ({"fold": 5}, "unknown fields .*'fold'"),
        ({"name": "other"}, "its name is 'other', not that of the file, 'trial'"),
        ({"splits": "random"}, "'splits' is 'fixed' or 'per-seed'"),
        ({"folds": {"ravdess": 6}}, "'folds' says nothing about .*'urdu'"),
    ],
)
def test_a_bad_experiment_gets_one_clear_line(write, changes, message):
    with pytest.raises(SerError, match=message) as error:
        experiments.load(write(**changes))
    assert "trial.yaml" in str(error.value)
    assert "\n" not in str(error.value)


def test_missing_features_and_unknown_systems_are_said(write):
    with pytest.raises(SerError, match="ser features urdu emobase"):
        runner.run(experiments.load(write(features=["emobase"])), jobs=1, progress=False)
    with pytest.raises(SerError, match="no system of 'trial' contains 'ravdess'"):
        runner.run(experiments.load(write()), only="ravdess", jobs=1, progress=False)
    with pytest.raises(SerError, match="no such experiment"):
        experiments.load("nowhere.yaml")


def test_a_class_absent_from_training_is_said(write):
    clips = corpora.table("urdu")
    only_one = clips["emotion"].where(clips["emotion"] != "angry", "sad").where(clips["speaker"] != "toy/s01", "angry")
    store.write_parquet(clips.assign(emotion=only_one), corpora.table_path("urdu"))
    experiments.clips_of.cache_clear()
    with pytest.raises(SerError, match=r"tests the classes \['angry'\], which its training part does not have"):
        runner.run(experiments.load(write(folds="loo")), jobs=1, progress=False)


def test_probabilities_that_are_no_numbers_are_left_out_and_noted(write, monkeypatch):
    original = runner.fit_fold

    def without_confidence(cell, seed, fold):
        predictions, facts = original(cell, seed, fold)
        columns = [name for name in predictions if name.startswith("p_")]
        predictions.loc[0, columns] = np.nan
        return predictions, facts

    monkeypatch.setattr(runner, "fit_fold", without_confidence)
    (path,) = runner.run(experiments.load(write(models=["bayes"])), jobs=1, progress=False)
    run = runs.read("trial", path.name)
    assert list(run.predictions) == list(runs.COLUMNS)
    assert run.info["notes"] == ["probabilities left out: 4 clips have none that sum to 1"]

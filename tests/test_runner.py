"""Experiments and the runner on a synthetic corpus that stands in for URDU: same words, made-up features."""

import dataclasses
import json
import subprocess
import sys
import threading
import time
from datetime import datetime

import numpy as np
import pandas as pd
import pytest
import yaml
from caches import forget
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from traced import unnoticed

from ser_core import files, paths
from ser_core.data import corpora, splits, synthetic
from ser_core.errors import SerError
from ser_core.evaluation.predictions import COLUMNS
from ser_core.experiments import configuration, fitting, keys, runner, runs, specs
from ser_core.experiments.fitting import classical
from ser_core.experiments.fold import clips_of, division, make
from ser_core.systems import features
from ser_core.systems.features import tables


@pytest.fixture(autouse=True)
def stores(tmp_path, monkeypatch):
    monkeypatch.setenv("SER_RESULTS", str(tmp_path / "results"))
    monkeypatch.setenv("SER_CACHE", str(tmp_path / "cache"))
    forget()
    clips = synthetic.clips(speakers=8, sentences=3, repetitions=2).assign(corpus="urdu")
    files.write_parquet(clips, corpora.table_path("urdu"))
    rng = np.random.default_rng(0)
    spec = features.get("egemaps")
    shift = clips["emotion"].map({"angry": 0, "happy": 1, "neutral": 2, "sad": 3}).to_numpy()[:, None]
    values = rng.normal(size=(len(clips), len(spec.columns))) + 0.3 * shift * rng.normal(size=len(spec.columns))
    tables.save(pd.DataFrame(values, index=clips.index, columns=list(spec.columns)), "urdu", spec, clips)
    yield tmp_path
    forget()


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
        path.write_text(yaml.safe_dump({key: x for key, x in (content | changes).items() if x is not None}))
        return path

    return make


def test_a_run_is_what_scikit_learn_gives_fold_by_fold(write):
    (path,) = runner.run(configuration.load(write()), jobs=1, progress=False)
    run = runs.read(f"trial/{path.name}")
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
    (path / ".parts").mkdir()  # as a kill leaves it that comes after the Run was written
    assert runner.run(configuration.load(write()), jobs=1, progress=False) == []
    assert not (path / ".parts").exists()
    info = run.info
    assert info["cell"]["protocol"] == "speaker"
    assert {"python", "scikit-learn", "numpy"} <= set(info["versions"])
    assert info["measured"]["seconds"] > 0


def test_tuning_chooses_by_the_dev_part_alone(write):
    (path,) = runner.run(configuration.load(write(tune=True, models=["knn"])), jobs=1, progress=False)
    clips, table = corpora.table("urdu"), features.load("urdu", "egemaps")
    folds = splits.make(clips, "speaker", n_folds=4)
    for fact in runs.info(f"trial/{path.name}")["folds"]:
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


def save_layers(change=None):
    """Store random features of five layers, of which layer 3 tells most; a change is of one layer."""
    clips, spec = corpora.table("urdu"), features.get("whisper-tiny.en")
    rng = np.random.default_rng(3)
    shift = clips["emotion"].map({"angry": 0, "happy": 1, "neutral": 2, "sad": 3}).to_numpy()
    values = rng.normal(size=(len(clips), 5, 384))
    values[:, [1, 3], :20] += np.array([0.2, 0.5])[:, None] * shift[:, None, None]
    if change is not None:
        values[:, change] += 1
    table = pd.DataFrame(values.reshape(len(clips), -1), index=clips.index, columns=list(spec.columns))
    tables.save(table, "urdu", spec, clips)
    keys.data_hash.cache_clear()
    fitting._features.cache_clear()


def test_dev_speakers_choose_layer_and_penalty_as_by_hand(write):
    save_layers()
    changes = {"features": ["whisper-tiny.en"], "models": ["logreg-layer"], "tune": True}
    (path,) = runner.run(configuration.load(write(**changes)), jobs=1, progress=False)
    run, clips, table = runs.read(f"trial/{path.name}"), corpora.table("urdu"), features.load("urdu", "whisper-tiny.en")
    folds = splits.make(clips, "speaker", n_folds=4)
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import recall_score

    def sliced(which, layer):
        return table.loc[which, [name for name in table if name.startswith(f"layer{layer}_")]]

    def fitted(which, layer, c):
        system = LogisticRegression(C=c, class_weight="balanced", max_iter=1000)
        return make_pipeline(StandardScaler(), system).fit(sliced(which, layer), clips.loc[which, "emotion"])

    for fact in run.info["folds"]:
        rows = folds[folds["fold"] == fact["fold"]]
        of = {role: rows.loc[rows["role"] == role, "clip"] for role in ("train", "dev", "test")}

        scores = {}
        for layer in range(5):
            for c in (1e-5, 1e-4, 1e-3, 1e-2, 1e-1):
                answers = fitted(of["train"], layer, c).predict(sliced(of["dev"], layer))
                scores[c, layer] = recall_score(clips.loc[of["dev"], "emotion"], answers, average="macro")
        # The smallest C of the best, and with it the last layer.
        c, layer = min(
            (key for key in scores if scores[key] == max(scores.values())), key=lambda key: (key[0], -key[1])
        )
        assert fact["chosen"] == {"C": c, "layer": layer - 5}
        assert fact["dev_uar"] == pytest.approx(scores[c, layer])
        system = fitted([*of["train"], *of["dev"]], layer, c)
        ours = run.predictions.set_index("clip").loc[of["test"]]
        columns = [f"p_{name}" for name in system.classes_]
        np.testing.assert_allclose(ours[columns], system.predict_proba(sliced(of["test"], layer)), atol=2e-4)


def test_a_layer_is_a_feature_set_whose_data_are_its_columns(write):
    save_layers()
    experiment = configuration.load(write(features=["whisper-tiny.en", "whisper-tiny.en.layer3"], models=["logreg"]))
    whole, view = experiment.systems
    assert view.folder == "urdu.speaker.whisper-tiny.en.layer3.logreg.train"
    before = {name: keys.data_hash("urdu", name) for name in ("whisper-tiny.en", "whisper-tiny.en.layer3")}
    assert len(set(before.values()) | {keys.data_hash("urdu", "whisper-tiny.en.layer2")}) == 3
    assert keys.code_of(view) == keys.code_of(whole)
    runner.run(experiment, jobs=1, progress=False)
    save_layers(change=2)
    assert [cell for cell, _ in runner.pending(experiment)] == [whole]
    save_layers(change=3)
    assert [cell for cell, _ in runner.pending(experiment)] == [whole, view]
    with pytest.raises(SerError, match="trial.yaml: 'whisper-tiny.en' has no 'layer5'; it has layer0 to layer4"):
        configuration.load(write(features=["whisper-tiny.en.layer5"]))
    with pytest.raises(SerError, match="urdu has no 'whisper-base' features .* ser features urdu whisper-base$"):
        runner.run(configuration.load(write(features=["whisper-base.layer3"])), jobs=1, progress=False)


def test_a_killed_run_started_again_gives_the_same_files(write, monkeypatch):
    experiment = configuration.load(write(models=["forest"], seeds=[0, 1]))
    (path,) = runner.run(experiment, jobs=1, progress=False)
    whole = (path / "predictions.parquet").read_bytes()
    info = json.loads((path / "run.json").read_text())
    for file in path.iterdir():
        file.unlink()

    fitted = []
    original = classical.fit_fold

    def dies_at_the_third(system, fold, *tables):
        fitted.append((fold.seed, fold.number))
        if len(fitted) == 3:
            raise KeyboardInterrupt
        return original(system, fold, *tables)

    monkeypatch.setattr(classical, "fit_fold", dies_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        runner.run(experiment, jobs=1, progress=False)
    assert not (path / "run.json").exists()
    runner.run(experiment, jobs=1, progress=False)
    assert len(fitted) == 2 + 1 + 6  # the two kept folds are not fitted again
    assert (path / "predictions.parquet").read_bytes() == whole
    again = json.loads((path / "run.json").read_text())
    day = {"measured", "made"}
    assert {key: value for key, value in again.items() if key not in day} == {
        key: value for key, value in info.items() if key not in day
    }


def test_nothing_runs_twice_until_data_or_cell_change(write):
    assert len(runner.run(configuration.load(write()), jobs=1, progress=False)) == 1
    assert runner.run(configuration.load(write()), jobs=1, progress=False) == []
    table, clips, spec = features.load("urdu", "egemaps"), corpora.table("urdu"), features.get("egemaps")
    tables.save(table + 1, "urdu", spec, clips)
    keys.data_hash.cache_clear()
    fitting._features.cache_clear()
    assert len(runner.run(configuration.load(write()), jobs=1, progress=False)) == 1


def test_of_two_runs_at_once_one_waits_for_the_other_and_says_so(write):
    experiment, lines = configuration.load(write()), []
    name = f"trial/{experiment.systems[0].folder}"
    with runner._held([name], print):
        other = threading.Thread(
            target=runner.run, args=(experiment,), kwargs={"jobs": 1, "progress": False, "note": lines.append}
        )
        other.start()
        deadline = time.monotonic() + 60
        while not lines and time.monotonic() < deadline:
            time.sleep(0.05)
        assert lines == [f"waiting for another 'ser run' that makes {name}"]
        assert not (runs.folder("trial", experiment.systems[0].folder) / "run.json").exists()
    other.join()
    assert runs.read(name).info["key"]
    assert list(runner.pending(experiment)) == []


def test_a_system_is_taken_by_its_whole_name(write):
    experiment = configuration.load(write(protocols=["speaker", "clip"], models=["svm-linear", "logreg"]))
    wanted = "urdu.speaker.egemaps.logreg.train"
    (path,) = runner.run(experiment, systems=[wanted], jobs=1, progress=False)
    assert path.name == wanted
    with pytest.raises(SerError, match="no system of 'trial' is called 'urdu.speaker.egemaps.logreg'; the first is"):
        runner.run(experiment, systems=["urdu.speaker.egemaps.logreg"], jobs=1, progress=False)


def test_a_run_that_was_cut_or_edited_is_made_again_and_keeps_its_facts(write):
    experiment, lines = configuration.load(write()), []
    (path,) = runner.run(experiment, jobs=1, progress=False)
    facts, table = (path / "run.json").read_bytes(), (path / "predictions.parquet").read_bytes()
    for damage in (table[:100], b"", None):
        (path / "predictions.parquet").unlink()
        if damage is not None:
            (path / "predictions.parquet").write_bytes(damage)
        assert runner.run(experiment, jobs=1, progress=False, note=lines.append) == [path]
        assert "is made again" in lines[-1] and "predictions.parquet" in lines[-1]
        assert (path / "predictions.parquet").read_bytes() == table
        assert (path / "run.json").read_bytes() == facts
    said = json.loads(facts)
    for damage, reason in (
        ("{", "not valid JSON"),
        ("{}", "expected a JSON object with 'tables'"),
        (json.dumps(said | {"cell": {}}), "its 'cell' is not the settings of a system"),
        (json.dumps(said | {"tables": {}}), "changed since it was made"),
        (json.dumps(said | {"key": "0" * 16}), "is not the digest of what it records"),
    ):
        (path / "run.json").write_text(damage)
        assert runner.run(experiment, jobs=1, progress=False, note=lines.append) == [path]
        assert "is made again" in lines[-1] and reason in lines[-1]
        assert list(runner.pending(experiment)) == []


def test_code_is_recorded_and_does_not_make_a_run_another(write, monkeypatch):
    experiment = configuration.load(write())
    (path,) = runner.run(experiment, jobs=1, progress=False)
    info = runs.info(f"trial/{path.name}")
    assert info["code"] == keys.code_of(experiment.systems[0])
    assert datetime.fromisoformat(info["made"]).tzinfo is not None
    monkeypatch.setattr(keys, "code_of", lambda cell: "f" * 16)
    assert runner.run(experiment, jobs=1, progress=False) == []


@pytest.mark.parametrize("changes", [{"tune": True, "models": ["knn"]}, {"normalisations": ["coral"]}])
def test_no_code_that_a_classical_fold_executes_goes_unnoticed(write, monkeypatch, changes):
    (cell,) = configuration.load(write(**changes)).systems
    forget()
    assert (
        unnoticed(cell, lambda: classical.fit_fold(cell, make(cell, 0, 0), *fitting.tables(cell)), monkeypatch) == set()
    )


def test_a_function_that_the_code_of_a_cell_leaves_out_is_found(write, monkeypatch):
    (cell,) = configuration.load(write()).systems
    assert "data.synthetic:clips" in unnoticed(cell, lambda: synthetic.clips(speakers=2), monkeypatch)


def test_equal_training_sizes(write):
    path = write(
        protocols=["clip", "speaker", "speaker+sentence"], folds={"urdu": 4}, train_clips="match", seeds=[0, 1]
    )
    experiment = configuration.load(path)
    sizes = set()
    for folder in runner.run(experiment, jobs=1, progress=False):
        sizes |= {fact["n_train"] for fact in runs.info(f"trial/{folder.name}")["folds"]}
    assert len(sizes) == 1


def test_what_a_corpus_cannot_do_is_listed_with_the_reason(write):
    experiment = configuration.load(write(protocols=["speaker", "session"]))
    assert [cell.protocol for cell in experiment.systems] == ["speaker"]
    assert experiment.refused[["corpus", "what"]].to_numpy().tolist() == [["urdu", "session"]]
    assert "session" in experiment.refused["reason"].iloc[0]


# In the place of features and models.
INSTEAD = {"features": None, "models": None}
FUSION = {"members": ["egemaps/logreg/train"], "rule": "mean", "average": True}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"corpora": ["urdoo"]}, "unknown corpora .*'urdoo'.*expected some of"),
        ({"features": []}, "'features' must be a list with at least one name"),
        ({"fold": 5}, "unknown fields .*'fold'"),
        ({"name": "other"}, "its name is 'other', not that of the file, 'trial'"),
        ({"splits": "random"}, "'splits' is 'fixed' or 'per-seed'"),
        ({"folds": {"ravdess": 6}}, "'folds' says nothing about .*'urdu'"),
        (INSTEAD | {"networks": {"x": "text"}}, "network 'x' is 'text'; expected a mapping"),
        (INSTEAD | {"fusions": {"x": None}}, "fusion 'x' has None; expected members, rule and average"),
        (INSTEAD | {"fusions": {"x": FUSION | {"members": []}}}, r"fusion 'x': 'members' is a list .*, not \[\]"),
        (INSTEAD | {"fusions": {"x": FUSION | {"members": "a"}}}, "fusion 'x': 'members' is a list .*, not 'a'"),
        (INSTEAD | {"fusions": {"x": FUSION | {"members": ["{corpsu}/a"]}}}, r"only \{corpus\} .*, not as in .*corpsu"),
        (INSTEAD | {"fusions": {"x": FUSION | {"members": ["a/{"]}}}, "fusion 'x': only .* stand in braces"),
        (INSTEAD | {"fusions": {"x": FUSION | {"rule": "vote"}}}, "fusion 'x': 'rule' is one of .*, not 'vote'"),
        (INSTEAD | {"fusions": {"x": FUSION | {"average": "yes"}}}, "'average' is true or false, not 'yes'"),
    ],
)
def test_a_bad_experiment_gets_one_clear_line(write, changes, message):
    with pytest.raises(SerError, match=message) as error:
        configuration.load(write(**changes))
    assert "trial.yaml" in str(error.value)
    assert "\n" not in str(error.value)


def test_missing_features_and_unknown_systems_are_said(write):
    with pytest.raises(SerError, match="ser features urdu emobase"):
        runner.run(configuration.load(write(features=["emobase"])), jobs=1, progress=False)
    with pytest.raises(SerError, match="no system of 'trial' contains 'ravdess'"):
        runner.run(configuration.load(write()), only="ravdess", jobs=1, progress=False)
    with pytest.raises(SerError, match="no such experiment"):
        configuration.load("nowhere.yaml")


def test_a_class_absent_from_training_is_said(write):
    clips = corpora.table("urdu")
    only_one = clips["emotion"].where(clips["emotion"] != "angry", "sad").where(clips["speaker"] != "toy/s01", "angry")
    files.write_parquet(clips.assign(emotion=only_one), corpora.table_path("urdu"))
    clips_of.cache_clear()
    with pytest.raises(SerError, match=r"tests the classes \['angry'\], which its training part does not have"):
        runner.run(configuration.load(write(folds="loo")), jobs=1, progress=False)


def test_probabilities_that_are_no_numbers_are_left_out_and_noted(write, monkeypatch):
    original = classical.fit_fold

    def without_confidence(*given):
        predictions, facts = original(*given)
        columns = [name for name in predictions if name.startswith("p_")]
        predictions.loc[0, columns] = np.nan
        return predictions, facts

    monkeypatch.setattr(classical, "fit_fold", without_confidence)
    (path,) = runner.run(configuration.load(write(models=["bayes"])), jobs=1, progress=False)
    run = runs.read(f"trial/{path.name}")
    assert list(run.predictions) == list(COLUMNS)
    assert run.info["notes"] == ["probabilities left out: 4 clips have none that sum to 1"]


# Networks: what is trained is tested in test_training.py; here, what a file of them means.


@pytest.fixture
def write_networks(tmp_path):
    def make(**changes):
        content = {"name": "trial", "question": "Does it work?", "corpora": ["urdu"], "protocols": ["speaker"]}
        content |= {"folds": 4, "networks": {"head": {"freeze": "all"}}}
        path = tmp_path / "trial.yaml"
        path.write_text(yaml.safe_dump({key: x for key, x in (content | changes).items() if x is not None}))
        return path

    return make


def test_a_network_takes_the_shared_recipe_and_then_its_own_settings(write_networks):
    path = write_networks(
        recipe={"epochs": 3, "dropout": 0.3},
        networks={"head": {"freeze": "all"}, "full": None, "longer": {"epochs": 30}},
        protocols=["clip", "speaker"],
        folds={"urdu": 4, "urdu.clip": 5},
        seeds=[0, 1],
        splits=[0, 7],
    )
    found = {cell.folder: cell for cell in configuration.load(path).systems}
    assert list(found) == [
        f"urdu.{protocol}.{name}{split}"
        for name in ("head", "full", "longer")
        for protocol in ("clip", "speaker")
        for split in ("", ".split7")
    ]
    assert [cell.seeds for cell in found.values()] == [(0, 1)] * 12
    assert {system.split(".")[1]: cell.folds for system, cell in found.items()} == {"clip": 5, "speaker": 4}
    recipe = found["urdu.speaker.longer"].recipe
    assert (recipe.epochs, recipe.dropout, recipe.freeze) == (30, 0.3, 0)
    assert found["urdu.speaker.head"].recipe.freeze == "all"
    # The split is the same for every seed, and that of its own seed.
    clips = corpora.table("urdu")
    for system, seed in (("urdu.speaker.full", 0), ("urdu.speaker.full.split7", 7)):
        expected = splits.make(clips, "speaker", n_folds=4, seed=seed)
        for of in (0, 1):
            pd.testing.assert_frame_equal(division(found[system], of), expected)


def test_a_network_is_trained_on_a_union_of_corpora_that_all_have_recordings(tmp_path, monkeypatch):
    monkeypatch.delenv("SER_RESULTS")
    content = {"name": "union", "question": "?", "protocols": ["clip"], "labels": "common4", "networks": {"plain": {}}}
    path = tmp_path / "union.yaml"
    path.write_text(yaml.safe_dump(content | {"corpora": ["savee+tess", "meld+savee"]}))
    loaded = configuration.load(path)
    assert [cell.corpus for cell in loaded.systems] == ["savee+tess"]
    assert loaded.refused["reason"].tolist() == ["'meld' has no recordings, which network 'plain' hears"]


def test_a_network_without_patience_has_no_dev_part(write_networks):
    path = write_networks(networks={"stops": {}, "goes-on": {"patience": None}})
    roles = {cell.name: set(division(cell, 0)["role"]) for cell in configuration.load(path).systems}
    assert roles == {"stops": {"train", "dev", "test"}, "goes-on": {"train", "test"}}


def test_cells_come_back_from_the_json_of_a_run(write, write_networks):
    augmentation = {"gain_db": [-6, 6], "time_masks": 2, "time_mask_frames": 10}
    networks = {"plain": {}, "changed": {"augmentation": augmentation, "copies": 2, "revision": "abc"}}
    for path in (write(seeds=[0, 1], models=["forest"]), write_networks(networks=networks, seeds=[2, 3])):
        for cell in configuration.load(path).systems:
            back = specs.read(json.loads(json.dumps(dataclasses.asdict(cell))))
            assert back == cell
            assert type(back) is type(cell)
            assert keys.identity(back)["key"] == keys.identity(cell)["key"]


def test_a_key_changes_with_all_that_decides_predictions(write_networks):
    (cell,) = configuration.load(write_networks()).systems
    found = {keys.identity(cell)["key"]}
    changes = [{"split_seed": 1}, {"seeds": (1,)}, {"folds": 3}, {"protocol": "clip"}, {"train_clips": 50}]
    for change in [*changes, {"recipe": dataclasses.replace(cell.recipe, dropout=0.2)}]:
        found.add(keys.identity(dataclasses.replace(cell, **change))["key"])
    assert len(found) == 7
    # What is heard in a clip counts, and not only who says what in it.
    hashes = {keys.audio_hash("urdu")}
    clips = corpora.table("urdu")
    for changed in (clips.assign(sha256="0" * 64), clips.assign(speaker="toy/s01"), clips.iloc[1:]):
        files.write_parquet(changed, corpora.table_path("urdu"))
        hashes.add(keys.audio_hash("urdu"))
    assert len(hashes) == 4


def test_a_key_is_made_without_torch(write_networks):
    code = (
        "import sys; from ser_core.experiments import configuration, keys; "
        f"cells = configuration.load({str(write_networks())!r}).systems; "
        "print(keys.identity(cells[0])['key'], 'torch' in sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    (cell,) = configuration.load(write_networks()).systems
    assert found == [keys.identity(cell)["key"], "False"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"networks": {"head": {"lr": 1}}}, "network 'head': recipe: unknown settings .*'lr'"),
        ({"recipe": {"learning_rate": "1e-4"}}, "network 'head': recipe: 'learning_rate' must be a number above 0"),
        ({"networks": ["head"]}, "'networks'.* are mappings from names to settings"),
        (
            {"features": ["egemaps"], "tune": True},
            r"'networks' stands for \['features', 'tune'\]; use one or the other",
        ),
        ({"train_clips": "match"}, "'train_clips' is a number for networks, not 'match'"),
        ({"splits": "per-seed"}, "'splits' is 'fixed' or a list of whole numbers below 4294967296, not 'per-seed'"),
        ({"splits": [1, 1]}, r"'splits' lists \['1'\] more than once; list each once"),
        ({"splits": []}, "'splits' is 'fixed' or a list of whole numbers"),
        ({"protocols": ["session"]}, "its corpora support nothing of it; the first reason of 1: "),
    ],
)
def test_a_bad_file_of_networks_gets_one_clear_line(write_networks, changes, message):
    with pytest.raises(SerError, match=message) as error:
        configuration.load(write_networks(**changes))
    assert "trial.yaml" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.fixture
def two(stores):
    """A second corpus, of which `tess+urdu` is the union with the first."""
    first = corpora.table("urdu")
    clips = first.assign(corpus="tess", speaker="tess/" + first["speaker"]).rename(index=lambda clip: f"tess/{clip}")
    clips = clips[clips["emotion"] != "neutral"]
    files.write_parquet(clips, corpora.table_path("tess"))
    spec = features.get("egemaps")
    values = features.load("urdu", "egemaps").loc[first.index[first["emotion"] != "neutral"]] + 1
    tables.save(values.set_axis(clips.index), "tess", spec, clips)
    return "tess+urdu"


def test_a_union_is_run_as_one_corpus(two, write):
    experiment = configuration.load(write(corpora=[two], labels="common4", protocols=["clip", "speaker"]))
    made = runner.run(experiment, jobs=1, progress=False)
    assert [path.name for path in made] == [
        f"tess+urdu.{name}.egemaps.svm-linear.train" for name in ("clip", "speaker")
    ]
    run, clips = runs.read(f"trial/{made[1].name}"), corpora.table(two)
    table = pd.concat([features.load(name, "egemaps") for name in ("urdu", "tess")]).loc[clips.index]
    folds = splits.make(clips, "speaker", n_folds=4, dev=False)
    assert sorted(run.predictions["clip"]) == sorted([*corpora.table("urdu").index, *corpora.table("tess").index])
    for fold, rows in folds.groupby("fold"):
        train, test = (rows.loc[rows["role"] == role, "clip"] for role in ("train", "test"))
        assert not set(clips.loc[train, "speaker"]) & set(clips.loc[test, "speaker"])
        svm = SVC(kernel="linear", C=1 / table.shape[1], class_weight="balanced")
        theirs = make_pipeline(StandardScaler(), svm).fit(table.loc[train], clips.loc[train, "emotion"])
        ours = run.predictions[run.predictions["fold"] == fold].set_index("clip")["prediction"]
        assert ours.to_dict() == dict(zip(test, theirs.predict(table.loc[test]), strict=True))
    assert not list(runner.pending(experiment))


def test_the_hash_of_a_union_hears_a_change_in_either_corpus(two):
    def hashes():
        keys.data_hash.cache_clear()
        return keys.data_hash(two, "egemaps"), keys.audio_hash(two)

    found = {hashes()}
    for name in ("tess", "urdu"):
        clips = corpora.table(name)
        files.write_parquet(clips.assign(emotion=[*clips["emotion"][1:], "sad"]), corpora.table_path(name))
        found.add(hashes())
    assert len({data for data, _ in found}) == len({audio for _, audio in found}) == 3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"corpora": ["urdu+tess"]}, "in alphabetical order; write 'tess[+]urdu'"),
        ({"corpora": ["urdu+tset"]}, "unknown corpus 'tset'; there are"),
        ({"corpora": ["crema_d+urdu"]}, "support nothing of it; .* crema_d: no recording of it was at hand"),
        ({"corpora": ["tess+urdu"]}, "tess[+]urdu: each corpus has words of its own under 'native'; choose one of"),
    ],
)
def test_a_union_that_cannot_be_gets_one_clear_line(two, write, changes, message):
    with pytest.raises(SerError, match=message) as error:
        configuration.load(write(**changes))
    assert "trial.yaml" in str(error.value) and "\n" not in str(error.value)


def test_the_merged_corpus_can_be_divided_as_its_experiment_asks(monkeypatch):
    monkeypatch.delenv("SER_RESULTS")
    experiment = configuration.load(paths.repository() / "experiments/merged-nus.yaml")
    assert len(experiment.systems) == 2 * 2 * 8
    assert set(experiment.refused["corpus"]) == {"crema_d+ravdess+savee+tess", "crema_d+iemocap+ravdess+savee+tess"}
    clips = clips_of("ravdess+savee+tess", "sharma7")
    assert len(clips) == 7 * 192 + 6 * 60 + 6 * 200
    for cell in {cell.protocol: cell for cell in experiment.systems}.values():
        for seed in cell.seeds:
            assert not splits.absent(division(cell, seed), clips)

"""From a Run to a model, and from recordings to predictions: values, abstention, and what is no recording of speech."""

import io
import json
import pickle
import re

import numpy as np
import pandas as pd
import pytest
import soundfile
from predictions import with_probabilities
from safetensors.numpy import load_file, save_file
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from spoken import FACTS, RATE, toy, voice

from ser_core import files, paths
from ser_core.data import corpora
from ser_core.errors import SerError
from ser_core.evaluation import calibration
from ser_core.experiments import models, predicting, runs
from ser_core.systems import features, linear
from ser_core.systems.layers import OneLayer
from ser_core.systems.linear import Linear

CLIP_RUN = "ladder/ravdess.clip.egemaps.svm-linear.train"


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "models" / "toy.safetensors"
    linear.save(toy(), path)
    return path


@pytest.fixture
def sounds(tmp_path):
    """A folder of every kind of file that one meets."""
    folder = tmp_path / "sounds"
    (folder / "inner").mkdir(parents=True)
    good = voice()
    soundfile.write(folder / "inner" / "good.wav", good, RATE)
    soundfile.write(folder / "silence.wav", np.zeros(RATE), RATE)
    soundfile.write(folder / "noise.wav", np.random.default_rng(0).normal(0, 0.1, RATE), RATE)
    soundfile.write(folder / "cancel.wav", np.stack([good, -good], axis=1), RATE)
    soundfile.write(folder / "blink.wav", good[:200], RATE)
    whole = (folder / "inner" / "good.wav").read_bytes()
    (folder / "cut.wav").write_bytes(whole[: len(whole) // 2])
    (folder / "empty.wav").write_bytes(b"")
    (folder / "fake.wav").write_text("no sound")
    (folder / "notes.txt").write_text("no sound")
    (folder / ".DS_Store").write_text("hidden")
    return folder


# Calibration


def test_no_other_temperature_is_likelier():
    """Answers are drawn from probabilities, which are then made surer by a known temperature."""
    rng, names = np.random.default_rng(0), ["angry", "happy", "sad"]
    p = rng.dirichlet(np.ones(3), 4000)
    truth = np.array(names)[(rng.random((4000, 1)) > p.cumsum(axis=1)).sum(axis=1)]
    sure = p**2.5 / (p**2.5).sum(axis=1, keepdims=True)
    row = {"clip": [f"c{i}" for i in range(4000)], "truth": truth, "prediction": np.array(names)[p.argmax(axis=1)]}
    table = pd.DataFrame(row | {f"p_{name}": sure[:, i] for i, name in enumerate(names)})
    found = calibration.temperature(table)
    assert found == pytest.approx(2.5, rel=0.1)

    def loss(temperature):
        return log_loss(truth, calibration.tempered(table, temperature)[[f"p_{name}" for name in names]])

    assert all(loss(found) <= loss(other) + 1e-9 for other in np.geomspace(0.5, 10, 30))
    assert calibration.ece(calibration.tempered(table, found)) < 0.03 < calibration.ece(table)


@pytest.mark.parametrize("accuracy", [0.25, 0.3, 0.5, 1.0])
def test_the_threshold_answers_as_much_as_the_accuracy_allows(accuracy):
    table = with_probabilities(n=60)
    confidence = table[[name for name in table if name.startswith("p_")]].max(axis=1)
    right = table["truth"] == table["prediction"]
    enough = [at for at in confidence if right[confidence >= at].mean() >= accuracy]
    found = calibration.threshold(table, accuracy)
    assert found == (min(enough) if enough else np.inf)
    assert len(calibration.answered(table, found)) == (confidence >= found).sum()


def test_a_share_that_is_met_exactly_is_enough():
    """55 of 100 are 55 %, though 0.55 * 100 is more than 55 by its last digit."""
    truth = ["sad"] * 55 + ["happy"] * 45
    table = pd.DataFrame({"clip": range(100), "truth": truth, "prediction": "sad", "p_sad": 0.9, "p_happy": 0.1})
    assert calibration.threshold(table.astype({"clip": "str"}), 0.55) == 0.9


def test_no_speaker_judges_what_was_fitted_on_them():
    """Fold 0 is as sure as fold 1, and always wrong: only fold 1 shows that, so that fold 0 is answered."""
    row = {"clip": list("abcd"), "speaker": list("stuv"), "seed": 0, "fold": [0, 0, 1, 1], "prediction": "sad"}
    table = pd.DataFrame(row | {"p_sad": 0.9, "p_happy": 0.1, "truth": ["happy", "happy", "sad", "sad"]})
    found = models.worth(table)
    assert (found["coverage"], found["accuracy_answered"], found["accuracy"]) == (0.5, 0.0, 0.5)


# The model and its file


@pytest.mark.parametrize("kind", ["four", "two", "layer", "plain"])
def test_probabilities_are_those_of_scikit_learn(kind):
    rng = np.random.default_rng(0)
    n = {"layer": 5 * 384}.get(kind, 5)
    x, y = rng.normal(3, 2, (60, n)), np.arange(60) % (2 if kind == "two" else 4)
    classifier = OneLayer(layer=2) if kind == "layer" else LogisticRegression()
    pipeline = make_pipeline(classifier) if kind == "plain" else make_pipeline(StandardScaler(), classifier)
    pipeline.fit(x, y)
    pipeline.steps = [(name.replace("standardscaler", "scaler"), step) for name, step in pipeline.steps]
    made = Linear("a", "levels", tuple("abcd")[: y.max() + 1], **models._numbers(pipeline, n))
    np.testing.assert_allclose(made.probabilities(x), pipeline.predict_proba(x), atol=1e-5)


def test_a_file_gives_back_the_model_and_holds_no_code(model, tmp_path):
    found, was = linear.load(model), toy()
    assert (found.name, found.features, found.classes, found.facts) == (was.name, was.features, was.classes, was.facts)
    x = np.random.default_rng(0).normal(size=(3, 5))
    np.testing.assert_array_equal(found.probabilities(x), was.probabilities(x))
    linear.save(found, tmp_path / "again.safetensors")
    assert (tmp_path / "again.safetensors").read_bytes() == model.read_bytes()
    linear.save(toy(threshold=np.inf), tmp_path / "never.safetensors")
    assert linear.load(tmp_path / "never.safetensors").threshold == np.inf


def spoil(path, change, **tensors):
    from safetensors import safe_open

    with safe_open(path, "numpy") as opened:
        facts = json.loads(opened.metadata()["ser_core"])
    change(facts)
    save_file(load_file(path) | tensors, path, {"ser_core": json.dumps(facts)})


SPOILT = {
    "cut short": (lambda path: path.write_bytes(path.read_bytes()[:-8]), "not a whole file"),
    "pickle": (lambda path: path.write_bytes(pickle.dumps([1])), "not a whole file"),
    "no facts": (lambda path: save_file(load_file(path), path), "nothing that `ser model` writes"),
    "old features": (lambda path: spoil(path, lambda facts: facts["features"].update(version=9)), "other 'levels'"),
    "unknown features": (lambda path: spoil(path, lambda facts: facts["features"].update(extractor="x")), "'x'"),
    "one class": (lambda path: spoil(path, lambda facts: facts.update(classes=["a", "a"])), "two or more"),
    "cold": (lambda path: spoil(path, lambda facts: facts.update(temperature=0)), "out of range"),
    "missing": (lambda path: spoil(path, lambda facts: facts.pop("temperature")), "temperature"),
    "nan": (lambda path: spoil(path, len, mean=np.full(5, np.nan, "float32")), "not finite"),
    "shape": (lambda path: spoil(path, len, mean=np.zeros(4, "float32")), "of shape"),
    "more": (lambda path: spoil(path, len, more=np.zeros(4, "float32")), "it holds"),
}


@pytest.mark.parametrize("how", SPOILT)
def test_a_spoilt_file_is_refused_in_one_line(model, sounds, ser, how):
    change, match = SPOILT[how]
    change(model)
    done = ser("predict", sounds / "inner", "--model", model)
    assert (done.code, done.out) == (2, "") and re.fullmatch(r"ser: [^\n]+\n", done.err)
    assert match in done.err and str(model) in done.err


@pytest.mark.parametrize("name", models.SHIPPED)
def test_the_shipped_model_is_small_and_what_today_is_fitted(name):
    path = models.location(name)
    assert path.stat().st_size < 2**20
    there, now = linear.load(path), models.shipped(name)
    assert (there.classes, there.features) == (now.classes, now.features) and there.facts.keys() == now.facts.keys()
    assert set(there.facts["corpora"]) == {"banglaser", "emodb", "ravdess"}
    # Another processor ends the fit a little elsewhere.
    assert there.temperature == pytest.approx(now.temperature, rel=1e-3)
    x = features.load("emodb", name).to_numpy()
    np.testing.assert_allclose(there.probabilities(x), now.probabilities(x), atol=5e-3)
    for facts in ("held_out", "elsewhere"):
        one, other = (
            json.loads(json.dumps(model.facts[facts]), parse_float=lambda x: round(float(x), 4))
            for model in (there, now)
        )
        assert one == other


@pytest.mark.parametrize("name", models.SHIPPED)
def test_the_card_is_read_by_the_hub_and_says_what_the_runs_say(name):
    hub = pytest.importorskip("huggingface_hub")
    from ser_core.book import model_card

    path = models.location(name).parent / "README.md"
    assert path.read_text(encoding="utf-8") == model_card.card(name, linear.load(models.location(name)))
    data = hub.ModelCard.load(path).data
    assert data.license == models.LICENCE and data.pipeline_tag == "audio-classification"
    assert {one.dataset_type for one in data.eval_results} == {"banglaser", "emodb", "ravdess", *models.UNHEARD}
    table = runs.read(models.run_of(name)).predictions
    table = table[table["clip"].str.startswith("emodb/")]
    recall = (table["truth"] == table["prediction"]).groupby(table["truth"]).mean().mean()
    assert f"{recall:.3f}" in path.read_text(encoding="utf-8")
    assert not {info for info in model_card.LEFT_OUT if info in linear.load(models.location(name)).facts["corpora"]}
    assert {*model_card.LEFT_OUT, "banglaser", "emodb", "ravdess"} == set(corpora.NAMES)


# What is predicted


@pytest.mark.needs_data
def test_a_recording_gets_what_its_stored_features_get():
    clips = corpora.table("emodb").iloc[:3]
    found = predicting.predict([paths.data_folder("emodb") / name for name in clips["path"]], models.find("egemaps"))
    x = features.load("emodb", "egemaps").loc[clips.index].to_numpy()
    columns = [f"p_{name}" for name in ("angry", "happy", "neutral", "sad")]
    np.testing.assert_allclose(found[columns], models.find("egemaps").probabilities(x), atol=1e-4)


@pytest.mark.needs_data
@pytest.mark.needs_fetched("whisper-base")
def test_whisper_gives_a_recording_what_its_stored_features_get():
    clips = corpora.table("emodb").iloc[:2]
    found = predicting.predict(
        [paths.data_folder("emodb") / name for name in clips["path"]], models.find("whisper-base")
    )
    x = features.load("emodb", "whisper-base").loc[clips.index].to_numpy()
    columns = [f"p_{name}" for name in ("angry", "happy", "neutral", "sad")]
    np.testing.assert_allclose(found[columns], models.find("whisper-base").probabilities(x), atol=5e-3)


def test_a_long_recording_is_cut_into_windows_with_their_times(tmp_path):
    sound = np.concatenate([voice(4), np.zeros(4 * RATE, "float32"), voice(4, 220)])
    soundfile.write(tmp_path / "long.wav", sound, RATE)
    table = predicting.predict([tmp_path], toy(), window_s=4)
    assert table[["start", "end"]].to_numpy().tolist() == [[0, 4], [4, 8], [8, 12]]
    assert table["status"].tolist() == ["answered", "no speech", "answered"] and predicting.problems(table).empty
    assert len(predicting.predict([tmp_path], toy(), window_s=6)) == 1
    # exp(4) to exp(1): what the model is told of duration.
    assert table["p_long"].iloc[0] == pytest.approx(1 / (1 + np.exp(1 - 4)), abs=1e-6)
    assert table["p_long"].isna().tolist() == [False, True, False]
    samples = predicting.predict_samples(sound, RATE, toy(), window_s=4)
    assert samples["p_long"].round(3).tolist() == pytest.approx(table["p_long"].round(3).tolist(), nan_ok=True)


def test_it_abstains_below_its_threshold(tmp_path):
    for seconds in (1, 4):
        soundfile.write(tmp_path / f"{seconds}.wav", voice(seconds), RATE)
    table = predicting.predict([tmp_path], toy(threshold=0.9)).set_index("path")
    assert table["status"].tolist() == ["abstained", "answered"]
    assert table["prediction"].tolist() == ["", "long"] and table["likeliest"].tolist() == ["long", "long"]
    assert predicting.predict([tmp_path], toy(threshold=np.inf))["prediction"].eq("").all()


def test_windows_of_many_files_are_answered_in_their_order(tmp_path):
    for number in range(40):
        soundfile.write(tmp_path / f"{number:02}.wav", voice(0.5 + number / 40), RATE)
    table = predicting.predict([tmp_path / "39.wav", tmp_path], toy())
    assert len(table) == 40 and table["path"].iloc[0].endswith("39.wav")  # once, though given twice
    assert table["p_long"].iloc[1:].is_monotonic_increasing


# The commands


def test_a_folder_with_everything_in_it(ser, sounds, model, tmp_path):
    done = ser("predict", sounds, tmp_path / "nowhere.wav", "--model", model)
    table = pd.read_csv(io.StringIO(done.out), keep_default_na=False).set_index("path")
    said = dict(line.removeprefix("ser: ").split(": ", 1) for line in done.err.splitlines()[:-1])
    bad = {
        "silence.wav": "silent",
        "noise.wav": "no speech found",
        "cancel.wav": "cancel each other",
        "blink.wav": "no speech found",
        "cut.wav": "cut short",
        "empty.wav": "zero-byte",
        "fake.wav": "cannot be decoded",
        "notes.txt": "not a recording",
    }
    assert done.code == 1 and len(table) == 10
    assert set(said) == {*(str(sounds / name) for name in bad), str(tmp_path / "nowhere.wav")}
    for name, match in bad.items():
        assert match in said[str(sounds / name)] and table.at[str(sounds / name), "prediction"] == ""
    assert table.at[str(sounds / "inner" / "good.wav"), "status"] == "answered"
    assert "1 answered" in done.err and "40%" in done.err and "80%" in done.err


def test_nothing_to_predict_writes_nothing(ser, sounds, model, tmp_path):
    for given in ([sounds / "silence.wav"], [sounds / "notes.txt", sounds / "cut.wav"], [tmp_path / "models"]):
        done = ser("predict", *given, "--model", model, "-o", tmp_path / "out.csv")
        assert done.code == 2 and done.out == "" and not (tmp_path / "out.csv").exists()
        assert len(done.err.splitlines()) == len(given) + 1 and "nothing to predict" in done.err
    (tmp_path / "hollow").mkdir()
    done = ser("predict", tmp_path / "hollow", "--model", model)
    assert done.code == 2 and "without files" in done.err


def test_a_recording_or_a_model_is_not_written_over(ser, sounds, model):
    for given, out in ((sounds / "inner" / "good.wav",) * 2, (sounds, sounds / "inner" / "good.wav"), (sounds, model)):
        was = out.read_bytes()
        done = ser("predict", given, "--model", model, "-o", out)
        assert done.code == 2 and "is what this command reads" in done.err and out.read_bytes() == was
    assert "is a folder" in ser("predict", sounds, "--model", model, "-o", sounds).err


def test_the_answer_of_last_time_is_written_anew(ser, sounds, model):
    out = sounds / "inner" / "predictions.csv"
    first = ser("predict", sounds / "inner", "--model", model, "-o", out)
    was = out.read_bytes()
    assert ser("predict", sounds / "inner", "--model", model, "-o", out) == first and out.read_bytes() == was
    assert ser("predict", sounds / "inner", out, "--model", model, "-o", out).code == 2


def test_json_says_what_the_model_is_worth(ser, sounds, model, tmp_path):
    done = ser("predict", sounds / "inner", "--model", model, "--format", "json", "-o", tmp_path / "out.json")
    assert (done.code, done.out) == (0, f"{tmp_path / 'out.json'}\n")
    found = json.loads((tmp_path / "out.json").read_text())
    assert found["model"]["held_out"] == FACTS["held_out"] and found["model"]["classes"] == ["long", "short"]
    (row,) = found["predictions"]
    assert row["status"] == "answered" and row["p_long"] + row["p_short"] == pytest.approx(1, abs=1e-3)


def test_names_that_act_or_are_no_text(ser, model, tmp_path):
    import os

    folder = tmp_path / "odd"
    folder.mkdir()
    soundfile.write(folder / "a.wav", voice(), RATE)
    sound = (folder / "a.wav").read_bytes()
    (folder / "b\x1b[2J.wav").write_bytes(sound)
    with open(os.fsencode(folder) + b"/caf\xe9.wav", "wb") as stream:
        stream.write(sound)
    done = ser("predict", folder, "--model", model)
    assert done.code == 0 and "\x1b" not in done.out and r"caf\xe9.wav" in done.out
    assert ser("predict", folder, "--model", model, "-o", tmp_path / "out.csv").code == 0
    assert len(pd.read_csv(tmp_path / "out.csv")) == 3


@pytest.mark.parametrize(
    ("words", "match"),
    [
        (["--model", "nothing"], "there is no model 'nothing'"),
        (["--model", "a.pkl"], "a.pkl: no such model"),
        (["--model", "results"], "no Run of"),
        (["--format", "xml"], "csv or json"),
    ],
)
def test_what_is_asked_wrongly(ser, sounds, words, match):
    done = ser("predict", sounds / "inner", *words)
    assert (done.code, done.out) == (2, "") and match in done.err and len(done.err.splitlines()) == 1


def test_a_model_of_ones_own_run(ser, sounds, tmp_path):
    """By file and by the folder of the Run; its probabilities are those of its own folds' classifier."""
    run = models.run_of("egemaps")
    done = ser("model", run, "-o", tmp_path / "mine.safetensors")
    assert (done.code, done.out) == (0, f"{tmp_path / 'mine.safetensors'}\n") and "speakers that it had not" in done.err
    by_file = ser("predict", sounds / "inner", "--model", tmp_path / "mine.safetensors")
    by_run = ser("predict", sounds / "inner", "--model", paths.results() / "runs" / run)
    assert by_file.code == by_run.code == 0 and by_file.out == by_run.out
    made, table = linear.load(tmp_path / "mine.safetensors"), runs.read(run).predictions
    assert made.temperature == pytest.approx(calibration.temperature(table), rel=1e-6)
    assert made.facts["clips"] == len(table) == 2171


@pytest.mark.parametrize(
    ("run", "match"),
    [
        (CLIP_RUN, "protocol clip"),
        ("baselines/emodb.speaker.egemaps.knn.train.tuned", "of 'knn'"),
        ("predict/nothing", "no Run"),
    ],
)
def test_what_is_no_model_of_new_speakers(ser, tmp_path, run, match):
    done = ser("model", run, "-o", tmp_path / "mine.safetensors")
    assert done.code == 2 and match in done.err and not any(tmp_path.iterdir())


def test_a_model_is_written_as_safetensors_or_not_at_all(ser, tmp_path, monkeypatch):
    """The name is refused before anything is fitted."""
    monkeypatch.setattr(models, "fit", lambda run: pytest.fail("fitted first"))
    done = ser("model", models.run_of("egemaps"), "-o", tmp_path / "mine.pkl")
    assert done.code == 2 and "mine.pkl" in done.err and not any(tmp_path.iterdir())
    with pytest.raises(SerError, match="safetensors"):
        linear.save(toy(), tmp_path / "mine.joblib")


def test_the_models_are_among_the_checksums():
    listed = (paths.results() / "SHA256SUMS").read_text()
    for name in models.SHIPPED:
        assert f"{files.sha256(models.location(name))}  models/{name}/model.safetensors" in listed

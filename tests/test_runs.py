import json

import numpy as np
import pandas as pd
import pytest

from ser_core import files
from ser_core.errors import SerError
from ser_core.evaluation.predictions import COLUMNS, read
from ser_core.experiments import runs


@pytest.fixture
def predictions():
    return pd.DataFrame(
        {
            "clip": ["b", "a"],
            "speaker": ["y", "x"],
            "fold": 0,
            "seed": 0,
            "truth": ["sad", "happy"],
            "prediction": ["sad", "sad"],
            "p_sad": [0.75, 0.5],
            "p_happy": [0.25, 0.5],
        }
    )


@pytest.fixture(autouse=True)
def results(tmp_path, monkeypatch):
    monkeypatch.setenv("SER_RESULTS", str(tmp_path))
    return tmp_path


def test_a_run_comes_back_as_it_went_and_the_same_bytes_each_time(predictions):
    run = runs.Run("e", "s", predictions, {"cell": {"corpus": "toy"}})
    path = runs.write(run) / "predictions.parquet"
    first = path.read_bytes()
    runs.write(runs.Run("e", "s", predictions.iloc[::-1], run.info))
    assert path.read_bytes() == first
    back = runs.read("e/s")
    assert back.info == runs.info("e/s") == run.info | {"tables": {"predictions": files.sha256(path)}}
    assert back.predictions["clip"].tolist() == ["a", "b"]
    assert list(back.predictions) == [*COLUMNS, "p_happy", "p_sad"]
    assert back.predictions["p_sad"].dtype == np.float32
    assert runs.catalogue()["corpus"].tolist() == ["toy"]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda t: t.drop(columns="truth"), "lack the columns"),
        (lambda t: t.assign(prediction=["sad", None]), "'prediction' is empty in 1 rows"),
        (lambda t: t.assign(clip="a"), "predicted more than once"),
        (lambda t: t.assign(p_sad=[0.9, 0.5]), "sum 1"),
        (lambda t: t.assign(truth=["bored", "sad"]), "no probability column"),
        (lambda t: t.iloc[:0], "empty"),
    ],
)
def test_bad_tables_get_one_line_with_the_file(predictions, tmp_path, spoil, message):
    path = tmp_path / "mine.csv"
    spoil(predictions).to_csv(path, index=False)
    with pytest.raises(SerError, match=message) as error:
        read(path)
    assert "mine.csv" in str(error.value)
    assert "\n" not in str(error.value)


def test_missing_and_truncated_runs_say_what_to_do(predictions):
    for run in ("e/s", "e"):
        with pytest.raises(SerError, match=f"no Run '{run}'.*ser run experiments/e.yaml"):
            runs.read(run)
    with pytest.raises(SerError, match="no Runs under"):
        runs.catalogue("e")
    path = runs.write(runs.Run("e", "s", predictions, {"cell": {}})) / "predictions.parquet"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(SerError, match="predictions.parquet: sha256 .* changed since it was made; make it again"):
        runs.read("e/s")
    path.unlink()
    with pytest.raises(SerError, match="predictions.parquet: no such file, which its run.json records"):
        runs.read("e/s")


def test_run_json_is_plain_json(predictions):
    path = runs.write(runs.Run("e", "s", predictions, {"cell": {"seeds": (0, 1)}, "key": "k"}))
    sums = {"predictions": files.sha256(path / "predictions.parquet")}
    assert json.loads((path / "run.json").read_text()) == {"cell": {"seeds": [0, 1]}, "key": "k", "tables": sums}


def test_further_tables_come_back_in_one_order_and_a_clip_may_be_in_the_dev_part_of_several_folds(predictions):
    again = predictions.assign(fold=1, prediction="happy")
    dev = pd.concat([again, predictions])
    probe = predictions[["clip", "speaker", "fold", "seed"]].assign(truth=["y", "x"], prediction="x")
    run = runs.Run("e", "s", predictions, {"cell": {}}, {"dev": dev, "speakers-before": probe})
    path = runs.write(run)
    first = (path / "dev.parquet").read_bytes()
    back = runs.other("e/s", "dev")
    assert list(back) == [*COLUMNS, "p_happy", "p_sad"]
    assert list(zip(back["fold"], back["clip"], strict=True)) == [(0, "a"), (0, "b"), (1, "a"), (1, "b")]
    assert back["prediction"].tolist() == ["sad", "sad", "happy", "happy"]
    assert list(runs.other("e/s", "speakers-before")) == list(COLUMNS)
    runs.write(runs.Run("e", "s", predictions, run.info, {"dev": dev.iloc[::-1]}))
    assert (path / "dev.parquet").read_bytes() == first
    assert runs.read(run.name).others == {}


def test_a_further_table_that_a_run_does_not_have_is_said(predictions):
    runs.write(runs.Run("e", "s", predictions, {"cell": {}}))
    with pytest.raises(SerError, match="Run 'e/s' has no table 'dev'; it has") as error:
        runs.other("e/s", "dev")
    assert "\n" not in str(error.value)


def test_a_run_is_found_by_what_its_system_is(predictions):
    for corpus, model in (("a", "knn"), ("a", "tree"), ("b", "knn")):
        cell = {"corpus": corpus, "model": model, "seeds": [0], "protocol": "speaker"}
        runs.write(runs.Run("e", f"{corpus}.{model}", predictions, {"cell": cell}))
    assert runs.find("e", corpus="a", model="tree", seeds=[0]) == "e/a.tree"
    assert runs.find("e", corpus="b") == "e/b.knn"
    for fields, message in (
        ({"corpus": "a"}, r"2 Runs of 'e' have corpus='a'; they differ in {'model': \['knn', 'tree'\]}"),
        ({"corpus": "b", "model": "tree"}, r"no Run of 'e' has corpus='b', model='tree'; .* is one of \['knn'\]"),
        ({"corpora": "b"}, r"have no field \['corpora'\]; they have \['corpus', 'experiment', 'model', "),
    ):
        with pytest.raises(SerError, match=message):
            runs.find("e", **fields)
    # A Run that was written since is found, too.
    runs.write(runs.Run("e", "c.knn", predictions, {"cell": {"corpus": "c", "model": "knn"}}))
    assert runs.find("e", corpus="c") == "e/c.knn"

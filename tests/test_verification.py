"""Folds of committed Runs fitted again, and the record of what came out."""

import json
import shutil
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from ser_core import cli, paths
from ser_core.errors import SerError
from ser_core.experiments import keys, runner, runs, specs, verification, verification_record

# Cheap, on committed features: a linear SVM, which gives no probabilities, and a tuned logistic regression.
SVM = "ladder/urdu.clip.egemaps.svm-linear.train"
LOGREG = "baselines/emodb.speaker.praat31.logreg.train.tuned"
RESULTS = paths.results()


@pytest.fixture
def copied(tmp_path, monkeypatch):
    """A copy of the results in which two Runs may be changed; the rest is linked."""
    root = tmp_path / "results"
    here = paths.results()
    for name in ("clips", "features"):
        root.mkdir(exist_ok=True)
        (root / name).symlink_to(here / name)
    for name in (SVM, LOGREG):
        path = root / "runs" / name
        path.mkdir(parents=True)
        for file in (here / "runs" / name).iterdir():
            (path / file.name).write_bytes(file.read_bytes())
    monkeypatch.setenv("SER_RESULTS", str(root))
    monkeypatch.setattr(verification, "committed", lambda cell: True)
    return root


def rewrite(name, change, **facts):
    """Change a Run's predictions, and its checksum with them, as somebody would who wants to hide it."""
    run = runs.read(name)
    table = run.predictions.copy()
    change(table)
    info = {key: value for key, value in run.info.items() if key != "tables"} | facts
    path = runs.folder(*name.split("/"))
    (path / "run.json").unlink()
    runs.write(runs.Run(run.experiment, run.system, table, info))


@pytest.mark.parametrize("name", [SVM, LOGREG])
def test_a_fold_fitted_again_gives_the_committed_predictions(copied, name):
    found = verification.verify(name, n_folds=1, seed=3)
    (fold,) = found.folds
    assert fold.outcome in (verification.IDENTICAL, verification.CLOSE)
    assert not found.failed and found.text().startswith(f"{name}: 1 ")


def test_all_folds_are_those_of_the_run(copied):
    found = verification.verify(LOGREG)
    facts = runs.info(LOGREG)["folds"]
    assert [(fold.seed, fold.fold) for fold in found.folds] == [(fact["seed"], fact["fold"]) for fact in facts]
    assert sum(fold.clips for fold in found.folds) == len(runs.read(LOGREG).predictions)


def test_answers_that_no_code_gave_are_different(copied):
    def cheat(table):
        wrong = table.index[table["prediction"] != table["truth"]]
        table.loc[wrong, "prediction"] = table.loc[wrong, "truth"]

    rewrite(SVM, cheat)
    found = verification.verify(SVM, n_folds=2)
    assert found.failed and {fold.outcome for fold in found.folds} == {verification.DIFFERENT}


def test_a_tolerance_is_kept_to_the_clip(copied, monkeypatch):
    def change(table):
        first = table.index[(table["seed"] == 0) & (table["fold"] == 0)][0]
        table.loc[first, "prediction"] = "angry" if table.loc[first, "prediction"] != "angry" else "sad"

    monkeypatch.setitem(runner.TOLERANCES, "classical", {"answers": 0.1, "probability": 0.1})
    rewrite(SVM, change, tolerance={"answers": 0.0, "probability": 0.0})
    assert verification.verify(SVM).failed
    n = len(runs.read(SVM).predictions.query("seed == 0 and fold == 0"))
    rewrite(SVM, lambda table: None, tolerance={"answers": 1.01 / n, "probability": 0.0})
    found = verification.verify(SVM)
    assert not found.failed
    assert [fold for fold in found.folds if (fold.seed, fold.fold) == (0, 0)][0].outcome == verification.CLOSE


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda path: (path / "predictions.parquet").write_bytes(b""), "changed since it was made"),
        (lambda path: (path / "predictions.parquet").unlink(), "no such file"),
        (lambda path: (path / "run.json").write_text("{"), "not valid JSON"),
        (lambda path: (path / "run.json").write_text("[]"), "expected a JSON object with 'tables'"),
        (lambda path: edit(path, tables={}), "records no table 'predictions'"),
        (lambda path: edit(path, folds=None, measured=[]), r"lacks \['measured', 'folds'\]"),
        (lambda path: edit(path, cell={"seeds": [0]}), "its 'cell' is not the settings of a system"),
        (lambda path: edit(path, cell={}), "its 'cell' is not the settings of a system: 'seeds' is missing"),
        (lambda path: edit(path, tolerance={"answers": 1, "probability": 1}), "its tolerance is .*, wider than"),
        (lambda path: edit(path, tolerance={"answers": float("nan"), "probability": 0}), "its tolerance is"),
        (lambda path: edit(path, tolerance={}), "its tolerance is {}"),
        (lambda path: edit(path, folds=[]), "its run.json says something of 0 folds, of [0-9]+ that it has"),
        (lambda path: edit(path, key="0" * 16), "its key .* is not the digest of what it records"),
        (lambda path: edit(path, divisions="0" * 16, rekey=True), "its folds changed since"),
        (lambda path: edit(path, data="0" * 16, rekey=True), "its data changed since"),
        (lambda path: edit(path, labels="0" * 16, rekey=True), "its label mapping changed since"),
    ],
)
def test_a_run_that_is_not_what_it_says_is_wrong_in_one_line(copied, change, message):
    change(copied / "runs" / SVM)
    found = verification.verify(SVM, n_folds=1)
    assert found.failed
    with pytest.raises(AssertionError, match=message):
        raise AssertionError(found.wrong)
    assert "\n" not in found.text()


def test_the_predictions_of_a_seed_that_is_not_the_system_s_are_wrong(copied):
    run = runs.read(SVM)
    more = pd.concat([run.predictions, run.predictions.query("seed == 0").assign(seed=7)])
    info = {name: value for name, value in run.info.items() if name != "tables"}
    runs.write(runs.Run(run.experiment, run.system, more, info))
    assert verification.verify(SVM).wrong == "its table 'predictions' has other seeds and folds than its system"


@pytest.mark.parametrize(
    "change",
    [
        lambda table: table.__setitem__("speaker", "one"),
        # The system gives probabilities; a Run without any would have fewer things to be compared.
        lambda table: [table.pop(name) for name in list(table) if name.startswith("p_")],
    ],
)
def test_what_is_recorded_beside_the_answers_is_compared(copied, change):
    rewrite(LOGREG, change)
    (fold,) = verification.verify(LOGREG, n_folds=1).folds
    assert fold.outcome == verification.DIFFERENT and fold.answers == 0


def test_a_probability_that_is_no_number_is_different(copied, monkeypatch):
    fit_fold = verification.fit_fold

    def broken(*arguments):
        table, facts = fit_fold(*arguments)
        columns = [name for name in table if name.startswith("p_")]
        table.loc[0, columns] = np.nan
        return table, facts

    monkeypatch.setattr(verification, "fit_fold", broken)
    (fold,) = verification.verify(LOGREG, n_folds=1).folds
    assert fold.outcome == verification.DIFFERENT and fold.probability == 1


def test_a_difference_says_what_dev_speakers_chose_otherwise(copied, monkeypatch):
    fit_fold = verification.fit_fold

    def other(*arguments):
        table, facts = fit_fold(*arguments)
        return table.assign(prediction=np.roll(table["prediction"], 1)), facts | {"chosen": {"weight": 0.6}}

    monkeypatch.setattr(verification, "fit_fold", other)
    rewrite(SVM, lambda table: None, folds=[fact | {"chosen": {"weight": 0.45}} for fact in runs.info(SVM)["folds"]])
    found = verification.verify(SVM, n_folds=1)
    assert "1 different" in found.text() and found.text().endswith("; dev speakers chose weight 0.6, recorded 0.45)")


def test_an_unscaled_fit_that_was_cut_off_is_neither_verified_nor_wrong(copied, tmp_path):
    def shift(table):
        table["prediction"] = np.roll(table["prediction"], 1)

    unscaled = "normalisation/emodb.speaker.egemaps.svm-linear.none"
    shutil.copytree(RESULTS / "runs" / unscaled, copied / "runs" / unscaled)
    facts = runs.info(unscaled)["folds"]
    assert not any(fact["converged"] for fact in facts)
    rewrite(unscaled, shift)
    found = verification.verify(unscaled, n_folds=2)
    assert not found.failed and {fold.outcome for fold in found.folds} == {verification.UNCONVERGED}
    assert "2 not converged" in verification.total([found])
    verification_record.append(found, tmp_path / "record.jsonl")
    row = verification_record.summary(tmp_path / "record.jsonl").set_index("experiment").loc["normalisation"]
    assert row["unconverged_folds"] == 2 and row["verified_folds"] == row["different_folds"] == 0
    rewrite(unscaled, lambda table: None, folds=[fact | {"converged": True} for fact in facts])
    assert verification.verify(unscaled, n_folds=1).failed
    # A perceptron is always cut off, and its answers are held all the same.
    rewrite(SVM, shift, folds=[fact | {"converged": False} for fact in runs.info(SVM)["folds"]])
    assert verification.verify(SVM, n_folds=2).failed


@pytest.mark.parametrize(
    ("error", "wrong", "missing"),
    [
        (IndexError("no\nsuch row"), "not fitted, IndexError: no such row", None),
        (ModuleNotFoundError("No module named 'lightgbm'", name="lightgbm"), None, "lightgbm is not installed"),
    ],
)
def test_a_fold_that_cannot_be_fitted_is_said_and_stops_nothing(copied, monkeypatch, error, wrong, missing):
    def broken(*arguments):
        raise error

    monkeypatch.setattr(verification, "fit_fold", broken)
    found = verification.verify(SVM, n_folds=1)
    assert (found.wrong, found.missing, found.folds) == (wrong, missing, ())


def edit(path, rekey=False, **fields):
    info = json.loads((path / "run.json").read_text()) | fields
    if rekey:
        info["key"] = keys.key(info)
    (path / "run.json").write_text(json.dumps(info))


def test_a_draw_is_the_same_for_a_seed_and_covers_all():
    names = verification.choose(n_runs=20, seed=1)
    assert names == verification.choose(n_runs=20, seed=1) != verification.choose(n_runs=20, seed=2)
    assert len(set(names)) == 20
    assert set(verification.choose(["ladder"])) == {
        name for name in verification.choose() if name.startswith("ladder/")
    }


def test_the_record_grows_and_says_what_came_out(copied):
    for seed in (0, 1):
        verification_record.append(verification.verify(SVM, n_folds=1, seed=seed))
    path = verification_record.record_path()
    first, *lines = map(json.loads, path.read_text().splitlines())
    assert set(first) == {"environment", "versions", "machine"}
    assert [line["run"] for line in lines] == [SVM, SVM]
    table = verification_record.record()
    assert table["environment"].unique().tolist() == [first["environment"]]
    assert table["code"].unique().tolist() == [keys.code_of(specs.read(runs.info(SVM)["cell"]))]
    before = path.read_text()
    verification_record.append(verification.Verified(SVM, missing="nothing"))
    assert path.read_text() == before


def test_the_summary_counts_what_today_s_code_gave(copied):
    nothing = verification_record.summary().set_index("experiment")
    assert nothing["verified_runs"].sum() == 0
    verification_record.append(verification.verify(LOGREG))
    verification_record.append(verification.verify(SVM, n_folds=1))
    found = verification_record.summary().set_index("experiment")
    assert found.loc["baselines", ["runs", "verified_runs", "all_folds_runs"]].tolist() == [1, 1, 1]
    assert found.loc["ladder", ["verified_runs", "all_folds_runs", "verified_folds"]].tolist() == [1, 0, 1]
    # Other code has verified nothing.
    path = verification_record.record_path()
    path.write_text(path.read_text().replace('"code": "', '"code": "0'))
    assert verification_record.summary()["verified_runs"].sum() == 0


def call(*words):
    return CliRunner().invoke(cli.app, ["verify", *words])


def test_the_command_says_what_it_did_and_records_it(copied, tmp_path):
    record = tmp_path / "record.jsonl"
    result = call("ladder", "--folds", "2", "--jobs", "1", "--record", str(record))
    assert result.exit_code == 0, result.output
    assert result.output.splitlines()[-1].startswith("1 Run, 2 folds: ")
    assert len(verification_record.record(record)) == 2


def test_the_command_fails_where_a_run_differs(copied):
    rewrite(SVM, lambda table: table.__setitem__("prediction", np.roll(table["prediction"], 1)))
    result = call("ladder", "--jobs", "1")
    assert result.exit_code == 1
    assert "1 different" in result.output


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nothing"], "no Runs of an experiment 'nothing'; there are those of .*'ladder'"),
        (["--jobs", "0"], "0 processes do nothing"),
        (["ladder", "--system", "x"], "no Run of a system 'x' in .*ladder"),
        (["ladder", "--max-seconds", "0.000001", "--jobs", "1"], "nothing was verified: .* a fold takes about"),
    ],
)
def test_bad_input_of_the_command_is_one_line(copied, words, message):
    result = call(*words)
    assert isinstance(result.exception, SerError)
    with pytest.raises(SerError, match=message):
        raise result.exception


def test_features_that_are_not_there_are_named(copied, monkeypatch, tmp_path):
    monkeypatch.setenv("SER_CACHE", str(tmp_path / "none"))
    (copied / "features").unlink()
    verification.lacks.cache_clear()
    found = verification.verify(SVM)
    assert found.missing == "the egemaps features of urdu are not committed" and not found.failed
    verification.lacks.cache_clear()


def test_a_fusion_whose_member_is_the_words_is_verified():
    found = verification.verify("words-late-fusion/ravdess.speaker.product", n_folds=1)
    # The probabilities, not the classes, may differ within the Run's tolerance: another processor rounds otherwise.
    (fold,) = found.folds
    assert fold.outcome in (verification.IDENTICAL, verification.CLOSE), found.text()
    assert (fold.answers, fold.chose) == (0, "")


def test_a_damaged_run_is_made_again_and_its_facts_stay(copied, monkeypatch):
    from ser_core.experiments import configuration

    experiment = configuration.load(paths.repository() / "experiments/ladder.yaml")
    path = copied / "runs" / SVM
    facts, lines = (path / "run.json").read_bytes(), []
    (path / "predictions.parquet").write_bytes(b"cut")
    runner.run(experiment, systems=[SVM.split("/")[1]], jobs=1, progress=False, note=lines.append)
    assert len(lines) == 1 and "is made again" in lines[0] and "changed since it was made" in lines[0]
    if runs.info(SVM)["tables"] == json.loads(facts)["tables"]:
        assert (path / "run.json").read_bytes() == facts
    assert not list(runner.pending(experiment, systems=[SVM.split("/")[1]]))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{}\n", "line 1: not a line of a record"),
        ("3\n", "line 1: not a line of a record"),
        ('{"versions": {}, "environment": "a"}\n{"run": "e/s", "ke', "line 2: not a line of .*cut .* delete it"),
        # Whole, but the next line would be written behind it.
        ('{"versions": {}, "environment": "a"}', "line 1: not a line of a record"),
    ],
)
def test_a_record_that_was_cut_is_said_before_anything_is_fitted(copied, tmp_path, monkeypatch, content, message):
    monkeypatch.setattr(verification, "fit_fold", None)
    path = tmp_path / "record.jsonl"
    path.write_text(content)
    result = call("ladder", "--jobs", "1", "--record", str(path))
    assert isinstance(result.exception, SerError) and "\n" not in str(result.exception)
    with pytest.raises(SerError, match=message):
        raise result.exception
    assert path.read_text() == content


@pytest.mark.parametrize("place", ["", "file/record.jsonl"])
def test_a_record_that_cannot_be_written_is_said_before_anything_is_fitted(copied, tmp_path, monkeypatch, place):
    monkeypatch.setattr(verification, "fit_fold", None)
    (tmp_path / "file").write_text("")
    result = call("ladder", "--jobs", "1", "--record", str(tmp_path / place))
    assert isinstance(result.exception, OSError)  # `ser_core.cli.main` makes one line of it


def test_lines_of_several_processes_do_not_mix(copied, tmp_path):
    fold = verification.Fold(0, 0, verification.DIFFERENT, 1, 9, 0.5)
    many = verification.Verified(SVM, (fold,) * 2000)
    path = tmp_path / "record.jsonl"
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: verification_record.append(many, path), range(40)))
    assert len(verification_record.record(path)) == 40 * 2000


def test_one_run_that_cannot_be_read_does_not_stop_the_others(copied):
    (copied / "runs" / LOGREG / "run.json").write_text("{")
    result = call("--jobs", "1", "--folds", "1")
    assert result.exit_code == 1
    assert f"{LOGREG}: WRONG" in result.output and f"{SVM}: 1 " in result.output

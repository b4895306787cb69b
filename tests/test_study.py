"""A study of one's own corpus, from a CSV to a page that stands alone; its learning curve, importance and claims."""

import dataclasses
import re
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from caches import forget
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from ser_core.data import synthetic
from ser_core.errors import SerError
from ser_core.evaluation import intervals, metrics
from ser_core.experiments import fold as folds
from ser_core.experiments import importance, learning_curve, own_transfer, runs, study, working_folder
from ser_core.experiments.fitting import classical, tables
from ser_core.systems import features

NAME = "mine"


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """A working folder with a studied corpus; a name in it is no good HTML."""
    with pytest.MonkeyPatch.context() as patch:
        for variable in ("SER_RESULTS", "SER_CACHE", "SER_DATA", "SER_WEIGHTS"):
            patch.delenv(variable, raising=False)
        patch.setattr(study, "_whisper", list)
        root = tmp_path_factory.mktemp("study")
        synthetic.corpus(root / "recordings", speakers=6, sentences=2, seed=1, copies=["gain"])
        table = pd.read_csv(root / "recordings/clips.csv")
        table["speaker"] = table["speaker"].replace({"s02": "<b>s02</b> $x$", "s03": "گل"})
        table.to_csv(root / "recordings" / f"{NAME}.csv", index=False)
        working_folder.make(root / "lab", root / "recordings" / f"{NAME}.csv")
        patch.chdir(root / "lab")
        forget()
        experiment = study.prepare(root / "recordings" / f"{NAME}.csv")
        study.run(experiment, jobs=1)
        yield root / "lab", experiment, study.gather(experiment)
        forget()


@pytest.fixture
def inside(lab, monkeypatch):
    for variable in ("SER_RESULTS", "SER_CACHE", "SER_DATA", "SER_WEIGHTS"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(study, "_whisper", list)
    monkeypatch.chdir(lab[0])
    forget()
    return lab


def test_a_study_has_both_divisions_and_their_difference(inside):
    _, experiment, found = inside
    assert set(found.scores["protocol"]) == {"clip", "speaker"} and list(found.premiums) == ["egemaps"]
    for row in found.scores.itertuples():
        table = runs.read(row.run).predictions
        assert row.interval.value == pytest.approx(balanced_accuracy_score(table["truth"], table["prediction"]))
    scores = found.scores.set_index("protocol")["interval"].map(lambda one: one.value)
    assert found.premiums["egemaps"].interval.value == pytest.approx(scores["clip"] - scores["speaker"])
    assert len(found.audits["clip"].leaks) > 0 and found.measured["speakers"] == 6
    assert found.measured["duplicates"][0]["kind"] == "near"
    assert 0 <= found.speaker_told <= 1


def test_a_second_study_makes_nothing_again(inside):
    _, experiment, _ = inside
    before = {path: path.stat().st_mtime_ns for path in (inside[0] / "results/runs").rglob("*.json")}
    again = study.prepare(NAME)
    study.run(again, jobs=1)
    assert again.systems == experiment.systems
    assert {path: path.stat().st_mtime_ns for path in (inside[0] / "results/runs").rglob("*.json")} == before


@pytest.fixture(scope="module")
def html(lab):
    from ser_core.book import study_report

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(lab[0])
        return study_report.html(lab[2])


def test_the_page_stands_alone_and_escapes_names(inside, html):
    assert "<b>s02" not in html and "&lt;b&gt;s02&lt;/b&gt; $x$" in html and "گل" in html
    assert "<td><bdi>گل</bdi></td>" in html or "<th><bdi>گل</bdi></th>" in html
    assert not re.search(r"<(script|img|link|iframe)\b", html)
    outside = set(re.findall(r"(?:https?:)?//[\w.]+", html)) - {"http://www.w3.org"}
    assert not outside
    assert html.count("<svg") >= 7 and html.count("<figcaption>") == html.count("<svg")
    for heading in (
        "What may be claimed",
        "What may not be claimed",
        "The premium of leakage",
        "How many more speakers?",
    ):
        assert heading in html
    assert f"UAR {inside[2].interval('speaker').text()} with eGeMAPS." in html


def test_the_command_writes_the_same_report_again_and_says_what_may_be_claimed(inside, ser, html):
    done = ser("study", NAME, "--jobs", 1)
    assert done.code == 0, done.err
    assert "without Whisper, whose weights are not here" in done.err
    assert "may not be claimed:" in done.out and done.out.strip().endswith("results/reports/study-mine.html")
    assert (inside[0] / "results/reports/study-mine.html").read_text() == html
    page = inside[0] / "results/reports/plain.html"
    assert ser("report", "study-mine", "--out", page).code == 0 and "mine.speaker.egemaps" in page.read_text()


def of(experiment, protocol):
    return next(system for system in experiment.systems if system.protocol == protocol)


def test_the_curve_ends_at_all_speakers_and_agrees_with_scikit_learn(inside):
    system = dataclasses.replace(
        of(inside[1], "speaker"), folds=3, train_clips=None
    )  # four speakers in each training part
    curve = learning_curve.curve(system, draws=2, n_resamples=200)
    assert curve.scores.index.tolist() == [2, 3, 4] and curve.half == 2
    table = tables(system)[0]
    found = []
    for _, number in folds.steps(system):
        fold = folds.make(dataclasses.replace(system, train_clips=None), 0, number)
        model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, class_weight="balanced", max_iter=1000))
        model.fit(classical.values(table, fold.train), fold.clips.loc[list(fold.train), "emotion"])
        said = model.predict(classical.values(table, fold.test))
        found.append(pd.DataFrame({"truth": fold.clips.loc[list(fold.test), "emotion"], "said": said}))
    expected = pd.concat(found)
    most = curve.scores["interval"].iloc[-1].value
    assert most == pytest.approx(balanced_accuracy_score(expected["truth"], expected["said"]))


def test_the_curve_needs_three_speakers(inside, monkeypatch):
    original = folds.make

    def few(*step):
        fold = original(*step)
        who = fold.clips["speaker"]
        names = sorted(who[list(fold.train)].unique())[:2]
        return dataclasses.replace(fold, train=tuple(clip for clip in fold.train if who[clip] in names))

    monkeypatch.setattr(learning_curve.folds, "make", few)
    with pytest.raises(SerError, match="a training part has 2 speakers; a learning curve needs 3"):
        learning_curve.curve(of(inside[1], "speaker"), draws=1)


def test_speakers_for_an_interval_grow_with_the_square():
    one = intervals.Interval(0.5, 0.45, 0.55, 0.95, "expanded", "speaker", 20)
    assert learning_curve.speakers_for(one, 0.025) == 80
    assert learning_curve.speakers_for(dataclasses.replace(one, refusal="few"), 0.025) is None


def test_importance_of_all_features_together_is_what_chance_leaves(inside):
    system = of(inside[1], "speaker")
    columns = features.columns("egemaps")
    found = importance.importance(system, {"all": columns, "none": []}, repeats=3, n_resamples=200)
    table = runs.read(study.prepare(NAME).name + "/" + system.folder).predictions
    uar = metrics.scores(table)["uar"]
    assert found["none"].interval.value == 0
    # With every feature exchanged among a speaker's clips the answers are as good as dealt out at random.
    assert found["all"].interval.value == pytest.approx(uar - 0.25, abs=0.12)


def test_groups_of_features_are_disjoint_and_have_all_of_egemaps():
    listed = [column for group in importance.groups(features.columns("egemaps")).values() for column in group]
    assert sorted(listed) == sorted(features.columns("egemaps"))


def test_clips_exchange_values_within_a_speaker_only():
    who = np.array(list("aabbbc"))
    order = importance._within(who, np.random.default_rng(0))
    assert sorted(order) == list(range(6)) and (who[order] == who).all()


def test_what_cannot_be_said_is_said(inside):
    found = inside[2]
    _, not_ = study.claims(found)
    assert any("as a result: its test speakers were trained on" in line for line in not_)
    assert any("pairs of clips hold the same sound" in line or "same sound in two parts" in line for line in not_)
    four = intervals.Interval(0.5, np.nan, np.nan, 0.95, "expanded", "speaker", 4, "4 speakers, fewer than 5")
    scores = found.scores.assign(interval=[four] * len(found.scores))
    may, not_ = study.claims(dataclasses.replace(found, scores=scores))
    assert "No interval, so nothing beyond these very people: 4 speakers, fewer than 5." in not_
    only = found.scores[found.scores["protocol"] == "clip"]
    _, not_ = study.claims(dataclasses.replace(found, scores=only, premiums={}))
    assert any("cannot be divided by speakers" in line for line in not_)


def test_split_writes_folds_that_audit_reads(inside, ser, tmp_path):
    csv = inside[0].parent / "recordings" / f"{NAME}.csv"
    done = ser("split", csv, "--n-folds", 3, "--no-dev", "--out", tmp_path / "folds.csv")
    assert done.code == 0 and "fold 0: train " in done.out and done.out.count("test ") == 3
    table = pd.read_csv(tmp_path / "folds.csv")
    assert list(table) == ["clip", "fold", "role"] and set(table["role"]) == {"train", "test"}
    assert "protocol 'given'" in ser("audit", csv, "--folds", tmp_path / "folds.csv").out


def test_transfer_goes_both_ways(inside, ser):
    done = ser("transfer", NAME, "--with", "emodb", "--jobs", 1)
    assert done.code == 0, done.err
    rows = [line.split() for line in done.out.splitlines()[1:5]]
    assert {(row[0], row[1]) for row in rows} == {(NAME, "emodb"), ("emodb", NAME)}
    assert {row[2] for row in rows} == {"train", "corpus"}
    page = ser("report", "transfer-mine")
    assert page.code == 0 and (inside[0] / "results/reports/transfer-mine.html").is_file()
    with pytest.raises(SerError, match="'nowhere' is no corpus to transfer from"):
        own_transfer.prepare(NAME, ["nowhere"])


def test_study_needs_a_working_folder(tmp_path, ser, monkeypatch):
    for variable in ("SER_RESULTS", "SER_CACHE"):
        monkeypatch.delenv(variable, raising=False)
    synthetic.corpus(tmp_path, speakers=2, sentences=1)
    monkeypatch.chdir(tmp_path)
    done = ser("study", "clips.csv")
    assert done.code == 2 and "ser init FOLDER" in done.err and done.err.count("\n") == 1


def test_scoring_needs_no_figures():
    code = (
        "import sys; from ser_core.evaluation import score_sheet, comparison_sheet; from ser_core.files import page\n"
    )
    code += "print(sorted({'matplotlib', 'seaborn', 'jinja2', 'sklearn'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"

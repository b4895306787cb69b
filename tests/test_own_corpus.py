"""A corpus of one's own in the place of a corpus's name, from `ser init` to a Run, outside of the clone."""

import os
import shutil

import pandas as pd
import pytest
import yaml
from caches import forget

from ser_core import files, paths
from ser_core.data import cards, corpora, synthetic
from ser_core.errors import SerError
from ser_core.experiments import configuration, runner, runs, working_folder
from ser_core.experiments.fold import clips_of, division
from ser_core.systems import features


@pytest.fixture
def lab(tmp_path, monkeypatch):
    """A working folder beside the recordings of a corpus called 'mine', and nothing set by the environment."""
    synthetic.corpus(tmp_path / "recordings", speakers=6, sentences=2, seed=1)
    (tmp_path / "recordings" / "clips.csv").rename(tmp_path / "recordings" / "mine.csv")
    for variable in ("SER_RESULTS", "SER_CACHE", "SER_DATA"):
        monkeypatch.delenv(variable, raising=False)
    working_folder.make(tmp_path / "lab", tmp_path / "recordings" / "mine.csv")
    monkeypatch.chdir(tmp_path / "lab")
    forget()
    yield tmp_path / "lab"
    forget()


def before():
    """What lies in the clone, but for caches: path, size and time of every file."""
    root = paths.repository()
    kept = [root / name for name in ("results", "experiments", "ser_core", "data_cards", "book", "notebooks")]
    found = (path for folder in kept for path in folder.rglob("*") if "__pycache__" not in path.parts)
    return {str(path): (path.stat().st_size, path.stat().st_mtime_ns) for path in found if path.is_file()}


def write(lab, name="trial", **fields):
    content = {"name": name, "question": "?", "corpora": ["../../recordings/mine.csv"], "protocols": ["speaker"]}
    if not {"networks", "fusions"} & set(fields):
        content |= {"features": ["egemaps"], "models": ["logreg"]}
    path = lab / "experiments" / f"{name}.yaml"
    path.write_text(yaml.safe_dump(content | {"folds": 3} | fields))
    return path


def test_from_init_to_runs_and_nothing_is_written_into_the_clone(lab, ser):
    untouched = before()
    assert corpora.is_known("mine") is False
    loaded = configuration.load(lab / "experiments/first.yaml")
    assert {system.corpus for system in loaded.systems} == {"mine"}
    assert ser("features", "../recordings/mine.csv", "egemaps").code == 0
    made = runner.run(loaded, jobs=1, progress=False)
    assert sorted(path.name for path in made) == ["mine.clip.egemaps.logreg.train", "mine.speaker.egemaps.logreg.train"]
    assert all(path.is_relative_to(lab / "results" / "runs" / "first") for path in made)
    table = runs.read("first/mine.speaker.egemaps.logreg.train").predictions
    assert set(table["clip"]) == set(corpora.table("mine").index) and len(table) == 48
    assert ser("score", made[1] / "predictions.parquet").code == 0
    assert before() == untouched


def test_features_that_are_missing_are_told_with_a_command_that_makes_them(lab, ser):
    with pytest.raises(SerError, match="make them, with the audio, by: ser features mine egemaps"):
        runner.run(configuration.load(lab / "experiments/first.yaml"), jobs=1, progress=False)
    assert ser("features", "mine", "egemaps").code == 0
    assert len(runner.run(configuration.load(lab / "experiments/first.yaml"), jobs=1, progress=False)) == 2


def test_across_corpora_with_one_of_the_book_and_few_shot(lab, ser):
    ser("features", "../recordings/mine.csv", "egemaps")
    path = write(
        lab,
        corpora=["../../recordings/mine.csv+ravdess"],
        protocols=["corpus", "corpus+2"],
        labels="common4",
        normalisations=["corpus"],
    )
    loaded = configuration.load(path)
    assert {system.corpus for system in loaded.systems} == {"mine+ravdess"}
    runner.run(loaded, jobs=1, progress=False)
    table = runs.read("trial/mine+ravdess.corpus.egemaps.logreg.corpus").predictions
    clips = clips_of("mine+ravdess", "common4")
    assert set(table["clip"]) == set(clips.index) and clips["corpus"].nunique() == 2
    # In few-shot, two of the six speakers are trained on.
    shot = next(system for system in loaded.systems if system.protocol == "corpus+2")
    folds = division(shot, 0)
    tested = folds[(folds["role"] == "test") & folds["clip"].str.startswith("mine/")]["clip"]
    assert clips.loc[tested, "speaker"].nunique() == 4


def test_in_a_fusion_and_in_a_network(lab, ser):
    ser("features", "../recordings/mine.csv", "egemaps")
    fused = {"both": {"members": ["egemaps/logreg/train", "egemaps/bayes/train"], "rule": "mean", "average": False}}
    (path,) = runner.run(configuration.load(write(lab, fusions=fused)), jobs=1, progress=False)
    assert len(files.read_parquet(path / "predictions.parquet")) == 48
    network = {"images": {"encoder": "cnn1d-librosa94", "freeze": "all", "epochs": 1, "patience": None}}
    (path,) = runner.run(
        configuration.load(write(lab, "trained", networks=network, recipe={"precision": "fp32"})),
        jobs=1,
        progress=False,
    )
    assert len(files.read_parquet(path / "predictions.parquet")) == 48


def test_a_classifier_that_few_clips_do_not_allow_is_one_line(lab, ser):
    ser("features", "../recordings/mine.csv", "egemaps")
    loaded = configuration.load(write(lab, models=["knn"], tune=True))
    with pytest.raises(
        SerError, match="mine.speaker.egemaps.knn.train.tuned, fold 0: not fitted: Expected n_neighbors"
    ):
        runner.run(loaded, jobs=1, progress=False)


def test_a_folder_stands_for_the_csv_that_it_holds(lab):
    loaded = configuration.load(write(lab, corpora=["../../recordings"]))
    assert {system.corpus for system in loaded.systems} == {"recordings"}
    shutil.copy(lab.parent / "recordings/mine.csv", lab.parent / "recordings/other.csv")
    with pytest.raises(SerError, match=r"a folder .* holds one CSV .*\['mine.csv', 'other.csv'\]"):
        configuration.load(write(lab, corpora=["../../recordings"]))


def test_a_changed_csv_or_recording_is_read_again_and_an_unchanged_one_is_not(lab, monkeypatch):
    csv, calls, original = lab.parent / "recordings/mine.csv", [], corpora.local.read
    monkeypatch.setattr(corpora.own.local, "read", lambda *a, **b: calls.append(1) or original(*a, **b))
    name, problems = corpora.own.add(csv)
    assert (name, len(problems), len(calls)) == ("mine", 0, 1)
    corpora.own.add(csv)
    assert len(calls) == 1
    table = pd.read_csv(csv)
    table.loc[0, "emotion"] = None
    table.to_csv(csv, index=False)
    _, problems = corpora.own.add(csv)
    assert len(calls) == 2 and problems["problem"].tolist() == ["missing emotion"]
    assert corpora.own.add(csv)[1].equals(problems) and len(calls) == 2
    recording = csv.parent / table.loc[1, "path"]
    os.utime(recording, (1, 1))
    corpora.own.add(csv)
    assert len(calls) == 3


def test_rows_that_are_left_out_are_told_by_run(lab):
    csv = lab.parent / "recordings/mine.csv"
    table = pd.read_csv(csv)
    table.loc[0, "path"] = "gone.wav"
    table.to_csv(csv, index=False)
    refused = configuration.load(write(lab)).refused
    assert refused["corpus"].tolist() == ["mine"] and "gone.wav" in refused["what"].iloc[0]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("ravdess.csv", "a corpus of the book is called 'ravdess', too; rename the file"),
        ("my corpus.csv", "'my corpus' names the corpus, and has other than letters, digits, _ and -"),
        ("nowhere/x.csv", "no such file; expected a CSV with the columns path, emotion, speaker"),
    ],
)
def test_a_name_that_cannot_be_is_refused(lab, name, message):
    if "/" not in name:
        shutil.copy(lab.parent / "recordings/mine.csv", lab.parent / "recordings" / name)
    with pytest.raises(SerError, match=message):
        configuration.load(write(lab, corpora=[f"../../recordings/{name}"]))


def test_two_csvs_of_one_name_are_refused(lab, tmp_path):
    corpora.own.add(lab.parent / "recordings/mine.csv")
    (tmp_path / "other").mkdir()
    shutil.copy(lab.parent / "recordings/mine.csv", tmp_path / "other/mine.csv")
    with pytest.raises(SerError, match="'mine' is the corpus of .*recordings/mine.csv; rename one of them"):
        corpora.own.add(tmp_path / "other/mine.csv")


def test_without_a_working_folder_nothing_is_written(lab, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path / "recordings")
    untouched = before()
    with pytest.raises(SerError, match="make a working folder by `ser init FOLDER`"):
        configuration.load(write(lab))
    assert before() == untouched


def test_what_the_clone_has_is_read_from_there_and_not_where_the_environment_names_stores(lab, monkeypatch):
    assert features.location("ravdess", "egemaps") == paths.repository() / "results/features/ravdess.egemaps.parquet"
    monkeypatch.setenv("SER_RESULTS", str(lab / "results"))
    assert features.location("ravdess", "egemaps") == lab / "results/features/ravdess.egemaps.parquet"


def test_init_writes_a_csv_to_fill_and_refuses_a_folder_that_is_one_already(tmp_path, ser):
    done = ser("init", tmp_path / "new")
    assert done.code == 0 and "ser run experiments/first.yaml" in done.out
    assert (tmp_path / "new/mine.csv").read_text().startswith("path,emotion,speaker,")
    assert yaml.safe_load((tmp_path / "new/experiments/first.yaml").read_text())["corpora"] == ["../mine.csv"]
    with pytest.raises(SerError, match="has experiments/ or results/ already"):
        working_folder.make(tmp_path / "new")
    with pytest.raises(SerError, match="no such file; expected a CSV with the columns"):
        working_folder.make(tmp_path / "newer", tmp_path / "none.csv")
    assert not (tmp_path / "newer").exists()


def test_a_card_that_is_written_does_not_replace_that_of_the_clone(lab):
    assert cards.path("emodb") == paths.repository() / "data_cards" / "emodb.md"
    assert cards.target("emodb") == lab / "data_cards" / "emodb.md"


def test_of_many_problems_ten_are_told_and_a_card_tells_all(lab, ser):
    path = lab.parent / "recordings/mine.csv"
    rows = pd.read_csv(path)
    gone = pd.DataFrame({"path": [f"gone{i}.wav" for i in range(15)], "emotion": "sad", "speaker": "s"})
    pd.concat([rows, gone]).to_csv(path, index=False)
    told = ser("features", path, "levels").err
    assert told.count("missing file: clip") == 10 and "missing file: 5 more; `ser card` lists all" in told
    told = ser("card", path).err
    assert told.count("missing file: clip") == 15 and "more;" not in told


def test_a_card_of_one_s_own_corpus_is_made_as_the_message_says(lab, ser):
    corpora.own.add(lab.parent / "recordings/mine.csv")
    assert "run `ser card mine --write`" in ser("card", "mine").err
    assert ser("card", "mine", "--write").code == 0
    assert (lab / "data_cards/mine.md").is_file() and ser("card", "mine", "--check").code == 0
    assert corpora.own.is_here("mine") and len(corpora.table("mine")) == 48
    assert "speakers: 6" in ser("card", lab.parent / "recordings/mine.csv").out


def test_init_quotes_paths_and_refuses_a_csv_that_names_no_corpus(tmp_path, ser):
    csv = tmp_path / "re [1], #2" / "mine.csv"
    csv.parent.mkdir()
    csv.write_text("path,emotion,speaker\n")
    done = ser("init", tmp_path / "a lab", "--corpus", csv)
    assert yaml.safe_load((tmp_path / "a lab/experiments/first.yaml").read_text())["corpora"] == [
        "../../re [1], #2/mine.csv"
    ]
    assert f"cd '{tmp_path}/a lab'" in done.out and "ser audit '../re [1], #2/mine.csv'" in done.out
    refused = ser("init", tmp_path / "other", "--corpus", csv.rename(csv.with_name("my corpus.csv")))
    assert refused.code == 2 and "'my corpus' names the corpus" in refused.err and not (tmp_path / "other").exists()

"""Every `ser` subcommand from the command line to what it prints, leaves behind and returns."""

import functools
import http.server
import io
import re
import subprocess
import sys
import threading
import tomllib
import zipfile
from dataclasses import replace

import numpy as np
import opensmile
import pandas as pd
import pytest
import soundfile
import typer.main
import yaml
from caches import forget
from predictions import system, with_probabilities
from sklearn.dummy import DummyClassifier
from sklearn.metrics import accuracy_score, balanced_accuracy_score, brier_score_loss, f1_score, recall_score

from ser_core import cli, files, paths
from ser_core.data import audit, cards, corpora, synthetic
from ser_core.data.corpora import Download
from ser_core.experiments import runs
from ser_core.experiments.fitting import classical
from ser_core.systems import features
from ser_core.systems.features import tables

HEAVY = {"librosa", "matplotlib", "numpy", "opensmile", "pandas", "pandera", "requests", "scipy", "sklearn", "torch"}


@pytest.fixture(autouse=True)
def alone(monkeypatch):
    """No recordings but the test's own, and no processes beside this one."""
    monkeypatch.delenv("SER_DATA", raising=False)
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "1")


@pytest.fixture
def stores(tmp_path, monkeypatch):
    monkeypatch.setenv("SER_RESULTS", str(tmp_path / "results"))
    monkeypatch.setenv("SER_CACHE", str(tmp_path / "cache"))
    return tmp_path


@pytest.fixture
def refused(ser, tmp_path):
    """Run `ser` on bad input: status 2, one line that matches, and the test's folder as it was."""

    def call(*words, match):
        before = everything(tmp_path)
        done = ser(*words)
        assert (done.code, done.out) == (2, "")
        assert re.fullmatch(r"ser: [^\n]+\n", done.err), done.err
        assert re.search(match, done.err), done.err
        assert everything(tmp_path) == before
        return done

    return call


def everything(folder):
    return {path: path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


def number(text, label):
    """The number that stands after a label at the start of a line."""
    return float(re.search(rf"^ *{re.escape(label)} +([\d.]+)", text, re.MULTILINE)[1])


def interval(text, label):
    found = re.search(rf"^ *{re.escape(label)} +([\d.]+) \[([\d.]+), ([\d.]+)\]", text, re.MULTILINE)
    return tuple(map(float, found.groups()))


# The command itself


def test_help_starts_without_what_the_commands_need():
    code = "import sys\nsys.argv = ['ser', '--help']\nfrom ser_core import cli\ntry:\n    cli.main()\nfinally:\n"
    code += f"    print(sorted({HEAVY} & {{name.split('.')[0] for name in sys.modules}}), file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == "[]\n"
    for name in ("fetch", "card", "audit", "features", "weights", "transcribe", "run", "score"):
        assert re.search(rf"\b{name}\b", done.stdout)


def test_every_option_is_explained():
    commands = typer.main.get_command(cli.app).commands
    names = {"init", "fetch", "weights", "card", "audit", "features", "transcribe", "run", "verify", "score"}
    names |= {"study", "split", "transfer", "report", "compare", "trace", "verify-bundle", "predict", "model", "demo"}
    names |= {"segment"}
    assert set(commands) == names and set(commands["weights"].commands) == {"get"}
    for name, command in [*commands.items(), *commands["weights"].commands.items()]:
        assert command.help.endswith(".")
        for parameter in command.params:
            assert parameter.help, f"ser {name}: {parameter.name}"


def test_the_script_is_the_command_and_a_fault_is_one_line(tmp_path):
    scripts = tomllib.loads((paths.repository() / "pyproject.toml").read_text())["project"]["scripts"]
    assert scripts == {"ser": "ser_core.cli:main"}
    words = [sys.executable, "-m", "ser_core.cli", "score", "nowhere.csv"]
    done = subprocess.run(words, capture_output=True, text=True, cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", "ser: nowhere.csv: no such file\n")


@pytest.mark.parametrize("words", [["scores"], ["score", "a.csv", "--fast"], ["score", "a.csv", "--level", "95"]])
def test_what_typer_refuses_has_the_same_status(ser, words):
    done = ser(*words)
    assert (done.code, done.out) == (2, "")
    assert "Traceback" not in done.err


# ser score


@pytest.fixture
def scored(ser, tmp_path):
    """Write predictions and score them."""

    def call(table, *options, name="predictions.csv"):
        path = tmp_path / name
        table.to_csv(path, index=False) if path.suffix == ".csv" else table.to_parquet(path, index=False)
        done = ser("score", path, "--resamples", 500, *options)
        assert (done.code, done.err) == (0, "")
        return done.out

    return call


def test_score_prints_what_scikit_learn_computes(scored):
    table = system(speakers=12)
    truth, prediction = table["truth"], table["prediction"]
    text = scored(table)
    assert text.startswith("480 clips, 12 speakers, 4 classes, 1 seed\n")
    expected = {
        "UAR": balanced_accuracy_score(truth, prediction),
        "WA (accuracy)": accuracy_score(truth, prediction),
        "macro F1": f1_score(truth, prediction, average="macro"),
        "weighted F1": f1_score(truth, prediction, average="weighted"),
    } | dict(zip(sorted(set(truth)), recall_score(truth, prediction, average=None), strict=True))
    for label, value in expected.items():
        shown, low, high = interval(text, label)
        assert shown == pytest.approx(value, abs=5e-4)
        assert low < shown < high
    by_speaker = table.groupby("speaker")[["truth", "prediction"]].apply(lambda t: accuracy_score(*t.to_numpy().T))
    assert f"lowest {by_speaker.min():.3f} ({by_speaker.idxmin()})" in text
    assert "Calibration" not in text


def test_score_floors_are_those_of_a_dummy_and_of_counts(scored):
    table = system()
    text, truth = scored(table), table["truth"]
    majority = DummyClassifier().fit(truth, truth).score(truth, truth)
    assert re.search(rf"always the commonest class +0\.250 {majority:.3f}\n", text)
    chance = (truth.value_counts(normalize=True) ** 2).sum()
    assert re.search(rf"chance, in proportion to the classes +0\.250 {chance:.3f}\n", text)
    looked_up = pd.crosstab(table["speaker"], truth).max(axis=1).sum() / len(table)
    assert re.search(rf"speaker look-up \(in-sample\) +\d\.\d{{3}} {looked_up:.3f}\n", text)


def test_score_of_several_seeds_is_the_mean_over_them(scored):
    table = system(seeds=3)
    text = scored(table)
    assert "480 clips, 12 speakers, 4 classes, 3 seeds" in text
    assert "resample speakers and seeds" in text
    each = [balanced_accuracy_score(rows["truth"], rows["prediction"]) for _, rows in table.groupby("seed")]
    assert number(text, "UAR") == pytest.approx(np.mean(each), abs=5e-4)


def test_score_without_speakers_says_once_why_there_is_no_interval(scored):
    table = system()
    whole = scored(table)
    text = scored(table.drop(columns="speaker"))
    assert text.startswith("480 clips, speakers not named, 4 classes")
    assert text.count("clips are not independent; add a column 'speaker'") == 1
    assert "[" not in text and "speaker look-up" not in text and "Accuracy by speaker" not in text
    for label in ("UAR", "macro F1", "angry"):
        assert number(text, label) == number(whole, label)
    some = scored(table.assign(speaker=table["speaker"].where(table.index >= 7)))
    assert "speakers not named for all" in some
    assert "without intervals: 7 of the clips have no speaker, the first is 'toy/0'" in some
    few = scored(table.assign(speaker="s" + (table.index % 4).astype(str)))
    assert few.count("4 speakers, fewer than 5") == 1


def test_score_of_probabilities_has_their_calibration(scored):
    table = with_probabilities()
    text = scored(table)
    expected = sum(brier_score_loss(table["truth"] == name, table[f"p_{name}"]) for name in set(table["truth"]))
    assert f"Brier score {expected:.3f} (guessing all classes alike: 0.750)" in text
    absent = table[table["truth"] != "sad"]
    assert "No clip has the class sad; UAR is over the others." in scored(absent)


def test_score_does_not_hear_file_type_or_row_order(scored):
    table = system()
    text = scored(table)
    assert scored(table.sample(frac=1, random_state=0)) == text
    assert scored(table, name="predictions.parquet") == text
    _, low, high = interval(text, "UAR")
    _, low_50, high_50 = interval(scored(table, "--level", 0.5), "UAR")
    assert low < low_50 < high_50 < high


def test_score_takes_numbers_for_classes_an_index_and_na_for_a_name(scored, ser, tmp_path):
    table = system()
    text = scored(table)
    numbered = {"angry": 0, "happy": 1, "neutral": 2, "sad": 3}
    as_numbers = table.assign(truth=table["truth"].map(numbered), prediction=table["prediction"].map(numbered))
    for name in ("numbers.csv", "numbers.parquet"):
        assert interval(scored(as_numbers, name=name), "UAR") == interval(text, "UAR")
    table.set_index("clip").to_parquet(tmp_path / "indexed.parquet")
    assert ser("score", tmp_path / "indexed.parquet", "--resamples", 500).out == text
    assert "480 clips, 12 speakers" in scored(table.replace({"speaker": {"toy/s00": "NA"}}))


def test_score_keeps_long_names_and_their_numbers_apart(scored):
    long = {"happy": "pleasantly_surprised"}
    table = system().replace({"truth": long, "prediction": long})
    assert interval(scored(table), "pleasantly_surprised")


@pytest.mark.parametrize(
    ("name", "content", "match"),
    [
        ("empty.csv", "", "empty.csv: not a readable CSV table"),
        ("header.csv", "clip,truth,prediction\n", "the predictions are empty"),
        ("column.csv", "clip,truth\na,sad\n", r"lack the columns \['prediction'\]; they have \['clip', 'truth'\]"),
        ("twice.csv", "clip,truth,prediction\na,sad,sad\na,sad,sad\n", "clip 'a' is predicted more than once"),
        ("nan.csv", "clip,truth,prediction\na,sad,\n", "column 'prediction' is empty in 1 rows, first at clip 'a'"),
        ("sum.csv", "clip,truth,prediction,p_sad\na,sad,sad,0.5\n", "sum 1 in 1 rows, first at clip 'a'"),
        ("class.csv", "clip,truth,prediction,p_sad\na,sad,bored,1\n", r"classes \['bored'\] have no probability"),
        ("ragged.csv", "clip,truth,prediction\na,sad,sad\nb,sad,sad,sad,1\n", "ragged.csv: not a readable CSV table"),
        ("latin.csv", "clip,truth,prediction\na,wütend,sad\n".encode("latin-1"), "latin.csv: not a readable CSV table"),
        (
            "tabs.tsv",
            "clip\ttruth\na\tsad\n",
            r"tabs.tsv: the predictions lack the columns \['prediction'\]; they have",
        ),
        ("book.xlsx", b"PK\x03\x04\xff\xfe", "are read from .csv, .tsv, .* not from '.xlsx'"),
        ("seed.csv", "clip,truth,prediction,seed\na,sad,sad,x\n", "'seed' is no whole number in 1 rows, first 'x'"),
        ("half.csv", "clip,truth,prediction,seed\na,sad,sad,1.5\n", "'seed' is no whole number in 1 rows"),
        ("fold.csv", "clip,truth,prediction,fold\na,sad,sad,\nb,sad,sad,1\n", "'fold' is no whole number in 1 rows"),
        ("high.csv", "clip,truth,prediction,p_sad\na,sad,sad,high\n", "sum 1 in 1 rows, first at clip 'a'"),
        ("text.parquet", "clip,truth,prediction\n", "text.parquet: not a readable parquet file"),
    ],
)
def test_score_of_a_bad_file_is_one_line(refused, tmp_path, name, content, match):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    refused("score", path, match=match)


def test_score_of_a_truncated_or_missing_file_is_one_line(refused, tmp_path):
    path = tmp_path / "cut.parquet"
    system().to_parquet(path)
    path.write_bytes(path.read_bytes()[:500])
    refused("score", path, match="cut.parquet: not a readable parquet file .*; delete it and make it again")
    refused("score", tmp_path / "nowhere.csv", match="nowhere.csv: no such file")
    (tmp_path / "folder").mkdir()
    refused("score", tmp_path / "folder", match="no .parquet and no .arrow file in this folder")


# ser audit


@pytest.fixture(scope="module")
def clean(tmp_path_factory):
    return synthetic.corpus(tmp_path_factory.mktemp("clean"), speakers=6, sentences=2) / "clips.csv"


@pytest.fixture(scope="module")
def leaky(tmp_path_factory):
    folder = tmp_path_factory.mktemp("leaky")
    return synthetic.corpus(folder, speakers=6, sentences=2, confounded=True, copies=("exact", "ogg")) / "clips.csv"


def test_audit_of_a_clean_corpus_finds_no_leak(ser, stores, clean):
    done = ser("audit", clean)
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("local: 48 clips, 6 speakers; protocol 'speaker'\n")
    assert "leaks: none" in done.out and "confounds: none" in done.out
    for shortcut in ("speaker", "gender", "sentence", "duration", "loudness", "silence"):
        assert re.search(rf"{shortcut} \d\.\d{{3}}", done.out)
    assert "(and in 5 more folds)" in ser("audit", clean, "--n-folds", "loo").out
    done = ser("audit", clean, "--protocol", "clip", "--no-dev", "--n-folds", 2)
    assert done.code == 1
    assert "speaker overlap: fold 0: 6 of 6 speakers of test are also in train (and in 1 more folds)" in done.out


def test_audit_finds_what_was_planted(ser, stores, leaky):
    done = ser("audit", leaky, "--n-folds", 3)
    assert done.code == 1
    assert "duplicate recording: clip local/s01_t01_angry_r1 has the same samples as local/copy_exact_1" in done.err
    leaks = done.out.split("confounds:")[0]
    assert "recording overlap: fold 0:" in leaks
    assert "emotion told by speaker" in done.out
    assert "2 pairs of clips hold the same sound (1 exact), 2 of them under two speakers" in done.out


def test_audit_of_ones_own_folds(ser, stores, clean):
    clips = corpora.local.read(clean).clips
    path = stores / "folds.csv"
    role = clips["speaker"].isin(["local/s01", "local/s02"]).map({True: "test", False: "train"})
    folds = role.rename("role").reset_index()
    folds.to_csv(path, index=False)
    done = ser("audit", clean, "--folds", path)
    assert (done.code, "protocol 'given'" in done.out) == (0, True)
    folds.loc[folds["clip"].str.contains("s01_t01"), "role"] = "train"
    folds.to_csv(path, index=False)
    done = ser("audit", clean, "--folds", path)
    assert done.code == 1
    assert "speaker overlap: fold 0: 1 of 2 speakers of test are also in train" in done.out


def test_audit_of_committed_corpora_needs_no_recordings(ser):
    done = ser("audit", "ravdess")
    assert (done.code, done.err) == (0, "")
    assert "ravdess: 1440 clips, 24 speakers" in done.out and "loudness" in done.out
    assert ser("audit", "ravdess", "--protocol", "khan2026-si").code == 0
    assert ser("audit", "ravdess", "--protocol", "khan2026-random").code == 1
    assert ser("audit", "savee", "--n-folds", "loo").code == 0


def test_audit_of_a_union_needs_common_labels(ser, refused):
    done = ser("audit", "ravdess+savee+tess", "--labels", "sharma7")
    assert (done.code, done.err) == (0, "")
    assert "ravdess+savee+tess: 2904 clips, 30 speakers" in done.out and "fold 0: no calm" not in done.out
    refused("audit", "ravdess+savee+tess", match="own under 'native'; choose one of the harmonisations common4")


@pytest.mark.parametrize(
    ("words", "match"),
    [
        (["ravdes"], "unknown corpus 'ravdes'; there are ravdess, emodb"),
        (["ravdess", "--protocol", "speakers"], r"no protocol 'speakers'; there are \['clip', 'speaker'"),
        (["ravdess", "--protocol", "session"], "ravdess states no session for 1440 of 1440 clips"),
        (["ravdess", "--protocol", "khan2026-urdu-sm2"], "published for all 400 clips of urdu; got 1440 clips"),
        (["ravdess", "--n-folds", "1"], "n_folds=1: expected an integer of 2 or more, or 'loo'"),
        (["ravdess", "--n-folds", "many"], "n_folds='many': expected"),
        (["ravdess", "--seed", "-1"], "seed=-1: expected an integer from 0 to 4294967295"),
        (["ravdess", "--folds", "nowhere.csv"], "nowhere.csv: no such file; expected a CSV or parquet"),
        (["tess"], "tess has 2 speakers, too few for 5 speaker-disjoint folds"),
        (["nowhere.csv"], "nowhere.csv: no such file; expected a CSV table with the columns path, emotion, speaker"),
    ],
)
def test_audit_of_what_cannot_be_is_one_line(refused, words, match):
    refused("audit", *words, match=match)


@pytest.mark.parametrize(
    ("content", "match"),
    [
        ("clip,fold\nlocal/s01_t01_angry_r1,0\n", r"lacks the columns \['role'\]"),
        ("clip,role\nlocal/s01_t01_angry_r1,train\nmine,test\n", "clip 'mine' .* is not in the Clips table"),
        ("clip,role\nlocal/s01_t01_angry_r1,tset\n", "role that is none of"),
        ("clip,role\nlocal/s01_t01_angry_r1,test\nlocal/s01_t01_angry_r1,train\n", "more than one role"),
        ("clip,role\nlocal/s01_t01_angry_r1,\n", "1 rows have an empty clip, fold or role"),
        ("clip,role\nlocal/s01_t01_angry_r1,test\n", "fold 0 has no train clip"),
        ("clip,fold,role\nlocal/s01_t01_angry_r1,a,test\n", "folds.csv: fold 'a' is no whole number"),
        ("clip,fold,role\n", "the folds are empty"),
        ("", "folds.csv: not a readable CSV table"),
        (b"\xff\xfe", "folds.csv: not a readable CSV table"),
    ],
)
def test_audit_of_bad_folds_is_one_line(refused, stores, clean, content, match):
    path = stores / "folds.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    refused("audit", clean, "--folds", path, match=match)


def test_audit_tells_a_wrong_protocol_before_it_listens(refused, stores, clean, monkeypatch):
    monkeypatch.setattr(audit, "near_duplicates", lambda *_, **__: pytest.fail("listened to the recordings"))
    refused("audit", clean, "--protocol", "speakers", match="no protocol 'speakers'")


def test_audit_of_bad_tables_of_ones_own(ser, refused, stores):
    path = stores / "mine.csv"
    for content, match in (
        ("", "mine.csv: not a readable CSV table"),
        ("path,emotion\na.wav,sad\n", r"lacks the columns \['speaker'\]; it has \['path', 'emotion'\]"),
        ("path,emotion,speaker\na.wav,sad,x\n", "no recording can be read; .* a.wav: missing file"),
        ("path,emotion,speaker,gender\na.wav,sad,x,f\n", "line 2: gender 'f' is neither female nor male"),
    ):
        path.write_text(content)
        refused("audit", path, match=match)
    rows = ["path,emotion,speaker"]
    for i in range(10):
        noise = np.random.default_rng(i).uniform(-0.5, 0.5, 8_000)
        soundfile.write(stores / f"{i}.wav", noise, 16_000)
        rows.append(f"{i}.wav,{'sad' if i % 2 else 'happy'},s{i // 2}")
    (stores / "empty.wav").touch()
    path.write_text("\n".join([*rows, "empty.wav,sad,s0", "gone.wav,sad,s0", ""]))
    done = ser("audit", path)
    assert done.code == 0 and "local: 10 clips, 5 speakers" in done.out
    assert "empty.wav: zero-byte file" in done.err and "gone.wav: missing file" in done.err


def test_what_is_not_at_hand_says_how_to_ask_for_it(refused, stores, monkeypatch):
    content = {"name": "trial", "question": "?", "corpora": ["iemocap"], "protocols": ["session"], "folds": "loo"}
    (stores / "trial.yaml").write_text(yaml.safe_dump(content | {"features": ["levels"], "models": ["logreg"]}))
    for words in (("audit", "iemocap"), ("features", "iemocap", "levels"), ("run", stores / "trial.yaml")):
        refused(*words, match="iemocap: no recording .* `ser fetch iemocap` .* `ser card iemocap --write`")
    refused("card", "iemocap", "--write", match="no recordings of iemocap: set SER_DATA .* `ser fetch iemocap`")
    clips = synthetic.clips(speakers=6, sentences=1, emotions=("anger", "sadness")).assign(corpus="iemocap")
    files.write_parquet(clips, corpora.table_path("iemocap"))
    refused("audit", "iemocap", match="iemocap.md: no such card; run `ser card iemocap --write`")


# ser card


@pytest.fixture
def urdu(tmp_path, monkeypatch):
    """A small URDU in its own repository, with its card; returns the corpus's folder."""
    monkeypatch.setattr(paths, "repository", lambda: tmp_path)
    monkeypatch.setattr(paths, "working", lambda: tmp_path)
    monkeypatch.delenv("SER_RESULTS", raising=False)
    folder = tmp_path / "data" / "urdu"
    for i, name in enumerate(("Angry/SM1_F1_A01", "Angry/SF2_F1_A02", "Sad/SM1_F1_S01", "Happy/SF2_F1_H01")):
        path = folder / f"{name}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, np.random.default_rng(i).uniform(-0.5, 0.5, 8_000), 16_000)
    monkeypatch.setenv("SER_DATA", str(tmp_path / "data"))
    cards.write("urdu", progress=False)
    return folder


def test_card_is_printed_as_it_is(ser):
    done = ser("card", "emodb")
    assert done == (0, (paths.repository() / "data_cards" / "emodb.md").read_text(), "")


def test_card_check_lists_what_differs_and_write_mends_it(ser, refused, urdu):
    assert ser("card", "urdu", "--check") == (0, "urdu: the card and the files agree\n", "")
    card = cards.path("urdu")
    good = card.read_text()
    card.write_text(good.replace("\n  clips: 4\n", "\n  clips: 5\n").replace("  speakers: 38", "  speakers: 29"))
    done = refused("card", "urdu", "--check", match="urdu: the card and the files disagree in 2 places")
    assert "measured.clips: card 5, files 4" in done.err and "declared.speakers: card 29, ser_core 38" in done.err
    assert ser("card", "urdu", "--write") == (0, f"{card}\n", "")
    assert card.read_text() == good

    table = corpora.table("urdu")
    files.write_parquet(table.assign(emotion=["sad", *table["emotion"][1:]]), corpora.table_path("urdu"))
    refused("card", "urdu", "--check", match=f"table.{table.index[0]}.emotion: card sad, files angry")
    corpora.table_path("urdu").rename(urdu.parent / "elsewhere.parquet")
    refused(
        "card",
        "urdu",
        "--check",
        match="urdu: no Clips table here .*; read your copy of the corpus by `ser card urdu --write`",
    )
    soundfile.write(urdu / "Sad/SM1_F1_S01.wav", np.ones(8_000) / 2, 16_000)
    ser("card", "urdu", "--write")
    assert ser("card", "urdu", "--check", "--folder", urdu).code == 0


def test_card_of_what_is_not_there_is_one_line(refused, urdu, monkeypatch):
    refused("card", "nothing", match="unknown corpus 'nothing'; there are ravdess")
    refused("card", "ravdess", match="data_cards/ravdess.md: no such card; run `ser card ravdess --write`")
    refused("card", "urdu", "--check", "--write", match="give --check or --write")
    (urdu.parent / "empty").mkdir()
    for word in ("--check", "--write"):
        refused("card", "urdu", word, "--folder", urdu.parent / "empty", match="empty: no .wav or .flac file of URDU")
        refused("card", "urdu", word, "--folder", urdu.parent / "gone", match="gone: no such folder")
    monkeypatch.delenv("SER_DATA")
    refused("card", "urdu", "--check", match="no recordings of urdu: set SER_DATA")
    cards.path("urdu").write_text("---\na: [\n---\n")
    refused("card", "urdu", match="urdu.md: not valid YAML")


# ser features


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return synthetic.corpus(tmp_path_factory.mktemp("small"), speakers=2, sentences=1, emotions=("happy", "sad"))


def test_features_of_a_corpus_of_ones_own(ser, stores, small):
    done = ser("features", small / "clips.csv", "egemaps", "--out", stores / "mine.parquet")
    assert done == (0, f"{stores / 'mine.parquet'}\n", "")
    table = files.read_parquet(stores / "mine.parquet", index="clip")
    assert table.shape == (4, 88)
    smile = opensmile.Smile(opensmile.FeatureSet.eGeMAPSv02, opensmile.FeatureLevel.Functionals)
    for clip, row in table.iterrows():
        theirs = smile.process_file(small / f"{clip.removeprefix('local/')}.wav").iloc[0]
        pd.testing.assert_series_equal(row, theirs, check_names=False, rtol=1e-6)

    (kept,) = (stores / "cache" / "features").iterdir()
    made = kept.stat().st_mtime_ns
    assert ser("features", small / "clips.csv", "egemaps") == (0, f"{kept}\n", "")
    assert kept.stat().st_mtime_ns == made
    ser("features", small / "clips.csv", "egemaps", "--out", stores / "mine.csv")
    read = pd.read_csv(stores / "mine.csv", index_col="clip").astype("float32")
    pd.testing.assert_frame_equal(read, table, check_index_type=False)


def test_features_of_one_csv_do_not_replace_those_of_another(ser, stores):
    kept = {}
    for name, seed in (("a", 0), ("b", 1)):
        soundfile.write(stores / f"{name}.wav", np.random.default_rng(seed).uniform(-0.5, 0.5, 8_000), 16_000)
        (stores / f"{name}.csv").write_text(f"path,emotion,speaker\n{name}.wav,sad,anna\n")
        kept[name] = ser("features", stores / f"{name}.csv", "levels").out.strip()
    clips = {name: files.read_parquet(path, index="clip").index.tolist() for name, path in kept.items()}
    assert clips == {"a": ["local/a"], "b": ["local/b"]}


def test_features_of_a_corpus_by_name(ser, refused, stores, urdu, monkeypatch):
    monkeypatch.setenv("SER_RESULTS", str(stores / "results"))
    path = stores / "results" / "features" / "urdu.levels.parquet"
    corpora.table_path("urdu").parent.mkdir(parents=True, exist_ok=True)
    corpora.write_table(corpora.read("urdu"))
    assert ser("features", "urdu", "levels") == (0, f"{path}\n", "")
    assert len(features.load("urdu", "levels")) == 4
    soundfile.write(urdu / "Sad/SM1_F1_S01.wav", np.ones(8_000) / 2, 16_000)
    refused("features", "urdu", "praat31", match="urdu/SM1_F1_S01: .* is another recording .* than the Clips table's")


def test_features_of_what_cannot_be_is_one_line(refused, stores, small, monkeypatch):
    monkeypatch.chdir(stores)
    csv = small / "clips.csv"
    refused("features", csv, "egemap", match="no feature set 'egemap'; expected one of")
    refused("features", csv, "levels", "--out", "a.xlsx", match="a.xlsx: a table is written as .csv or .parquet")
    refused("features", csv, "levels", "--folder", small, match="--folder is for a corpus's name")
    refused("features", "nothing", "levels", match="unknown corpus 'nothing'")
    refused("features", "gone.csv", "levels", match="gone.csv: no such file")
    monkeypatch.delenv("SER_RESULTS")
    refused("features", "meld", "egemaps", match="meld has no recordings to compute 'egemaps' from")
    refused("features", "savee", "levels", match="no recordings of savee: set SER_DATA")
    refused("features", "savee", "levels", "--folder", stores, match="the recording of savee/DC_a01 is not there")


def test_features_leave_nothing_when_a_clip_gives_none(ser, stores):
    soundfile.write(stores / "short.wav", np.ones(80) / 2, 16_000)
    (stores / "mine.csv").write_text("path,emotion,speaker\nshort.wav,sad,anna\n")
    before = everything(stores)
    done = ser("features", stores / "mine.csv", "egemaps", "--out", stores / "out.csv")
    assert (done.code, done.out) == (2, "") and everything(stores) == before
    odd, wrong = done.err.splitlines()
    assert odd == "short.wav: very short recording: 0.005 s; features of it are of no use"
    assert re.fullmatch("ser: .*local/short: .* the clip lasts 0.005 s", wrong)


# ser fetch


@pytest.fixture
def public(tmp_path_factory, monkeypatch):
    """A server of a small URDU; returns a function that changes what is known of its file."""
    folder = tmp_path_factory.mktemp("served")
    sound = io.BytesIO()
    soundfile.write(sound, np.random.default_rng(0).uniform(-0.5, 0.5, 8_000), 16_000, format="WAV")
    with zipfile.ZipFile(folder / "urdu.zip", "w") as archive:
        archive.writestr("top/Angry/SM1_F10_A010.wav", sound.getvalue())
    handler = functools.partial(Quiet, directory=str(folder))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=functools.partial(server.serve_forever, poll_interval=0.01), daemon=True).start()
    size = (folder / "urdu.zip").stat().st_size
    original = corpora.info("urdu")

    def offer(name="urdu.zip", **known):
        url = f"http://127.0.0.1:{server.server_port}/{name}"
        item = Download(url=url, filename="urdu.zip", **{"size": size, "unpack": True, "strip": 1} | known)
        monkeypatch.setattr(corpora, "info", lambda _: replace(original, downloads=(item,)))

    offer()
    yield offer
    server.shutdown()
    server.server_close()


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


def test_fetch_of_a_public_corpus_can_be_read(ser, public, tmp_path, monkeypatch):
    done = ser("fetch", "urdu", "--to", tmp_path / "given")
    assert (done.code, done.err) == (0, "")
    assert f"set SER_DATA={tmp_path / 'given'}" in done.out and "Licence: " in done.out
    assert corpora.read("urdu", tmp_path / "given" / "urdu").clips.index.to_list() == ["urdu/SM1_F10_A010"]
    monkeypatch.chdir(tmp_path)
    assert "set SER_DATA=data." in ser("fetch", "urdu").out
    monkeypatch.setenv("SER_DATA", str(tmp_path / "mine"))
    ser("fetch", "urdu")
    for folder in ("data", "mine"):
        assert (tmp_path / folder / "urdu" / "Angry" / "SM1_F10_A010.wav").is_file()


def test_fetch_of_what_is_not_the_file_is_one_line(ser, refused, public, tmp_path):
    (tmp_path / "urdu").mkdir()
    for known, match in (
        ({"md5": "0" * 32}, "wrong checksum: md5 .*, expected 0{32}; the download was removed"),
        ({"size": 7}, "wrong size: [0-9]+ bytes, expected 7"),
        ({"name": "gone.zip"}, "gone.zip: the server answers 404"),
    ):
        public(**known)
        refused("fetch", "urdu", "--to", tmp_path, match=match)
    (tmp_path / "file").touch()
    refused("fetch", "urdu", "--to", tmp_path / "file", match="file/urdu: Not a directory")
    refused("fetch", "urdu", "--to", tmp_path / "file" / "deeper", match="Not a directory")


@pytest.mark.parametrize("corpus", [name for name in corpora.NAMES if corpora.info(name).access != "public"])
def test_fetch_of_others_prints_the_steps(ser, tmp_path, corpus):
    done = ser("fetch", corpus, "--to", tmp_path)
    info = corpora.info(corpus)
    assert (done.code, done.err) == (0, "")
    assert info.how_to_get in done.out and info.licence in done.out and f"Put it into {tmp_path / corpus}" in done.out
    assert not any(tmp_path.iterdir())


def test_fetch_of_an_unknown_corpus_is_one_line(refused):
    refused("fetch", "nothing", match="unknown corpus 'nothing'; there are ravdess")


# ser run


@pytest.fixture
def trial(stores):
    """An experiment on a synthetic corpus that stands in for URDU, with made-up features; returns its file."""
    forget()
    clips = synthetic.clips(speakers=8, sentences=2).assign(corpus="urdu")
    files.write_parquet(clips, corpora.table_path("urdu"))
    spec, rng = features.get("egemaps"), np.random.default_rng(0)
    means = clips["emotion"].map(dict(zip(synthetic.EMOTIONS, range(4), strict=True))).to_numpy()[:, None]
    values = rng.normal(size=(len(clips), len(spec.columns))) + 0.3 * means * rng.normal(size=len(spec.columns))
    tables.save(pd.DataFrame(values, index=clips.index, columns=list(spec.columns)), "urdu", spec, clips)
    content = {
        "name": "trial",
        "question": "Does it work?",
        "corpora": ["urdu"],
        "protocols": ["speaker", "session"],
        "features": ["egemaps"],
        "models": ["svm-linear", "knn"],
        "folds": 4,
    }
    path = stores / "trial.yaml"
    path.write_text(yaml.safe_dump(content))
    yield path
    forget()


def test_run_makes_what_is_missing_and_its_runs_can_be_scored(ser, trial):
    done = ser("run", trial, "--jobs", 1, "--only", "knn")
    assert (done.code, done.out) == (0, "trial: 1 Runs made, 2 systems in the experiment\n")
    assert done.err.startswith("refused: urdu session: urdu states no session") and done.err.count("\n") == 1
    assert runs.catalogue("trial")["model"].to_list() == ["knn"]
    assert ser("run", trial, "--jobs", 1).out.startswith("trial: 1 Runs made")
    before = everything(trial.parent)
    assert ser("run", trial, "--jobs", 1).out.startswith("trial: 0 Runs made")
    assert everything(trial.parent) == before
    run = runs.read("trial/urdu.speaker.egemaps.svm-linear.train")
    done = ser("score", runs.folder("trial", run.system) / "predictions.parquet", "--resamples", 200)
    expected = balanced_accuracy_score(run.predictions["truth"], run.predictions["prediction"])
    assert "64 clips, 8 speakers, 4 classes, 1 seed" in done.out
    assert number(done.out, "UAR") == pytest.approx(expected, abs=5e-4)


def test_run_goes_on_where_it_was_interrupted(ser, trial, monkeypatch):
    folder = trial.parent / "results" / "runs" / "trial" / "urdu.speaker.egemaps.svm-linear.train"
    ser("run", trial, "--jobs", 1, "--only", "svm")
    whole = (folder / "predictions.parquet").read_bytes()
    for file in folder.iterdir():
        file.unlink()
    fitted, original = [], classical.fit_fold

    def interrupted_at_the_third(cell, seed, fold):
        fitted.append(fold)
        if len(fitted) == 3:
            raise KeyboardInterrupt
        return original(cell, seed, fold)

    monkeypatch.setattr(classical, "fit_fold", interrupted_at_the_third)
    done = ser("run", trial, "--jobs", 1, "--only", "svm")
    assert (done.code, done.out) == (130, "")
    assert done.err.endswith("\nser: interrupted; fetch, features, transcribe and run go on where they stopped\n")
    assert [path.name for path in folder.iterdir()] == [".parts"]
    assert ser("run", trial, "--jobs", 1, "--only", "svm").out.startswith("trial: 1 Runs made")
    assert len(fitted) == 3 + 2
    assert (folder / "predictions.parquet").read_bytes() == whole
    assert sorted(path.name for path in folder.iterdir()) == ["predictions.parquet", "run.json"]


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"corpora": ["urdoo"]}, r"trial.yaml: unknown corpora \['urdoo'\]; expected some of"),
        ({"seed": 1}, r"trial.yaml: unknown fields \['seed'\]"),
        ({"name": "other"}, "trial.yaml: its name is 'other', not that of the file, 'trial'"),
        ({"protocols": "speaker"}, "trial.yaml: 'protocols' must be a list"),
        ({"seeds": 3}, "trial.yaml: 'seeds' must be a list of whole numbers below 4294967296, not 3"),
        ({"seeds": [2**32]}, r"'seeds' must be a list of whole numbers below 4294967296, not \[4294967296\]"),
        ({"seeds": [0, 1, 0]}, r"trial.yaml: 'seeds' lists \['0'\] more than once; list each once"),
        ({"models": ["logreg", "logreg"]}, r"'models' lists \['logreg'\] more than once; list each once"),
        ({"corpora": ["emodb", "emodb"]}, r"'corpora' lists \['emodb'\] more than once; list each once"),
        ({"seeds": []}, "trial.yaml: 'seeds' must be a list"),
        ({"seeds": ["a"]}, "trial.yaml: 'seeds' must be a list"),
        ({"tune": "perhaps"}, "trial.yaml: 'tune' is true or false, not 'perhaps'"),
        ({"train_clips": "few"}, "trial.yaml: 'train_clips' is null, a number, or 'match', not 'few'"),
        (
            {"protocols": ["session"]},
            "trial.yaml: its corpora support nothing of it; the first reason of 1: urdu states",
        ),
        ({"labels": "common5"}, "unknown harmonisation 'common5'"),
        ({"folds": 1}, "n_folds=1: expected an integer of 2 or more, or 'loo'"),
        (
            {"protocols": ["speaker"], "train_clips": 1000},
            "support nothing of it; the first reason of 1: .* training clips under .*, fewer than 1000",
        ),
        ({"protocols": ["speaker"], "features": ["emobase"]}, "urdu has no 'emobase' features .*: ser features urdu"),
    ],
)
def test_run_of_a_bad_experiment_is_one_line(refused, trial, changes, match):
    trial.write_text(yaml.safe_dump(yaml.safe_load(trial.read_text()) | changes))
    refused("run", trial, "--jobs", 1, match=match)


def test_run_of_no_experiment_is_one_line(refused, trial):
    refused("run", trial.with_name("other.yaml"), match=r"no such experiment; there are \['trial.yaml'\]")
    trial.write_text(trial.read_text().replace("- session\n", ""))
    refused("run", trial, "--only", "forest", match="no system of 'trial' contains 'forest'; the first is 'urdu.spea")
    trial.write_text("question: [")
    refused("run", trial, match="trial.yaml: not valid YAML")
    trial.write_bytes(b"name: \xff")
    refused("run", trial, match="trial.yaml: not valid YAML")
    trial.write_text("name: trial\nname: other")
    refused("run", trial, match="trial.yaml, line 2: the key 'name' stands in line 1 too; keep one of them")
    trial.write_text("just words")
    refused("run", trial, match="trial.yaml: expected a mapping")


def test_what_is_not_installed_is_named_with_the_way_to_get_it(refused, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    refused("audit", "urdu", match=r"this needs pyarrow, which is not installed; .* pip install 'ser-core\[features\]'")

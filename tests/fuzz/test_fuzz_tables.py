"""Predictions, folds and corpora of anybody: a score that is printed is the right one, and no row is lost unseen."""

import csv
import re

import numpy as np
import pandas as pd
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from outcomes import told, tried
from predictions import system
from sklearn.metrics import balanced_accuracy_score

from ser_core.data import corpora, splits, synthetic

WORDS = [
    "angry",
    "happy",
    "neutral",
    "sad",
    "Sad",
    "sad ",
    "SAD",
    "nan",
    "0",
    "0.0",
    "1",
    "",
    "سعيد",
    "ਖ਼ੁਸ਼",
    "ਖ਼ੁਸ਼",
    "x\x1b[2J",
]
NAMES = ["s1", "s2", "s3", "s4", "s5", "s6", "S1", "s1 ", "1", "01", "1.0", "", "nan", "ਬੋਲਾਰਾ", "a,b", 'a"b', "a\nb"]
HEADER = ["clip", "speaker", "truth", "prediction"]


def normal(text):
    """What a reader takes for the same: a definition of its own, to compare with that of the package."""
    import unicodedata

    text = " ".join(unicodedata.normalize("NFKD", text).casefold().split())
    return str(float(text)) if re.fullmatch(r"\d+(\.\d*)?", text) else text


def written(path, header, rows):
    with path.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([header, *rows])
    return path


def scored(ser, path):
    done = ser("score", path, "--resamples", 100)
    if not told("predictions", done):
        return None
    return float(re.search(r"UAR +(\d\.\d{3})", done.out)[1])


rows = st.lists(
    st.tuples(st.sampled_from(NAMES), st.sampled_from(WORDS), st.sampled_from(WORDS)), min_size=1, max_size=12
)


@given(rows=rows, kind=st.sampled_from([".csv", ".CSV", ".parquet"]))
def test_a_score_is_that_of_scikit_learn_or_none(ser, tmp_path, rows, kind):
    table = [(f"c{i}", *row) for i, row in enumerate(rows)]
    path = tmp_path / f"p{kind}"
    if kind == ".parquet":
        pd.DataFrame(table, columns=HEADER).replace("", None).to_parquet(path)
    else:
        written(path, HEADER, table)
    found = scored(ser, path)
    if found is not None:
        truth, answers = ([normal(row[at]) for row in table] for at in (2, 3))
        seen = sorted(set(truth))
        recalls = [np.mean([answers[i] == word for i, t in enumerate(truth) if t == word]) for word in seen]
        assert found == pytest.approx(np.mean(recalls), abs=6e-4)
        if set(answers) <= set(truth):
            assert found == pytest.approx(balanced_accuracy_score(truth, answers), abs=6e-4)


CORRUPTIONS = {
    "case": lambda t: t.assign(prediction=t["prediction"].str.upper()),
    "blank": lambda t: t.assign(prediction=t["prediction"].where(t.index % 3 > 0, t["prediction"] + " ")),
    "other numbers": lambda t: t.assign(
        truth=t["truth"].map(len).astype(str), prediction=t["prediction"].map(len).map(float).astype(str)
    ),
    "codes": lambda t: t.assign(prediction=t["prediction"].map({"angry": 0, "happy": 1, "neutral": 2, "sad": 3})),
    "truth of another seed": lambda t: pd.concat([t, t.assign(seed=1, truth=t["truth"].iloc[::-1].to_numpy())]),
    "speaker of another seed": lambda t: pd.concat([t, t.assign(seed=1, speaker=t["speaker"] + "x")]),
    "clip twice": lambda t: pd.concat([t, t.head(1)]),
    "clip twice, other ending": lambda t: pd.concat([t, t.head(1).assign(clip=t["clip"].iloc[0] + ".wav")]),
    "speaker in two writings": lambda t: t.assign(
        speaker=t["speaker"].where(t.index % 7 > 0, t["speaker"].str.upper())
    ),
    "text nan": lambda t: t.assign(speaker=t["speaker"].mask(t.index == 5, "nan")),
    "no truth": lambda t: t.assign(truth=t["truth"].mask(t.index == 5)),
    "percent": lambda t: t.assign(p_angry=25.0, p_happy=25.0, p_neutral=25.0, p_sad=25.0),
    "shifted p_": lambda t: t.assign(
        **{
            f"p_{one}": np.where(t["prediction"] == other, 0.7, 0.1)
            for one, other in zip(C, C[1:] + C[:1], strict=True)
        }
    ),
    "regression": lambda t: t.assign(truth=np.linspace(0, 1, len(t)), prediction=np.linspace(0, 1, len(t))),
    "half a seed": lambda t: t.assign(seed=0.5),
    "words of others": lambda t: t.assign(prediction=t["prediction"].replace({"angry": "anger", "sad": "sadness"})),
    "control": lambda t: t.assign(truth=t["truth"].replace({"sad": "sad\x1b[31m"})),
}
C = ["angry", "happy", "neutral", "sad"]


@pytest.mark.parametrize("kind", [".csv", ".parquet"])
@pytest.mark.parametrize("corrupt", CORRUPTIONS.values(), ids=CORRUPTIONS)
def test_what_would_score_wrong_is_refused(ser, tmp_path, corrupt, kind):
    path, table = tmp_path / f"p{kind}", corrupt(system(clips=96))
    table.to_csv(path, index=False) if kind == ".csv" else table.to_parquet(path, index=False)
    assert scored(ser, path) is None


@given(content=st.binary(max_size=200), kind=st.sampled_from([".csv", ".parquet"]))
def test_bytes_are_no_predictions(ser, tmp_path, content, kind):
    (tmp_path / f"p{kind}").write_bytes(content)
    assert scored(ser, tmp_path / f"p{kind}") is None


@given(data=st.data())
def test_damaged_predictions_are_refused_or_scored_right(ser, tmp_path, data):
    path = tmp_path / "p.csv"
    system(clips=24, speakers=6).to_csv(path, index=False)
    whole = bytearray(path.read_bytes())
    at = data.draw(st.integers(0, len(whole) - 1))
    whole[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    path.write_bytes(whole)
    found = scored(ser, path)
    if found is not None:
        table = pd.read_csv(path, dtype=str)
        recalls = (table["truth"] == table["prediction"]).groupby(table["truth"]).mean()
        assert found == pytest.approx(recalls.mean(), abs=6e-4)


CLIPS = synthetic.clips(speakers=4, sentences=1)
fold_rows = st.lists(
    st.tuples(
        st.sampled_from([*CLIPS.index[:12], "nobody", ""]),
        st.sampled_from(["0", "1", "1.0", "-1", "x", "1e30", ""]),
        st.sampled_from(["train", "test", "dev", "Train", ""]),
    ),
    min_size=1,
    max_size=8,
)


@given(rows=fold_rows)
def test_folds_of_ones_own_leave_nothing_out_unseen(tmp_path, rows):
    path = written(tmp_path / "folds.csv", ("clip", "fold", "role"), rows)
    folds = tried("folds", splits.read, path, CLIPS)
    if folds is not None:
        assert len(folds) == len(rows) and set(folds["clip"]) <= set(CLIPS.index)
        assert any(f"{len(CLIPS) - folds['clip'].nunique()} of {len(CLIPS)}" in note for note in folds.attrs["notes"])


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    folder = tmp_path_factory.mktemp("own")
    for i in range(4):
        soundfile.write(folder / f"{i}.wav", 0.1 * (i + 1) * np.sin(np.arange(1600) / 5), 16_000)
    return folder


own_rows = st.lists(
    st.fixed_dictionaries(
        {
            "path": st.sampled_from(["0.wav", "1.wav", "2.wav", "./3.wav", "4.wav", "", "..", "a\x00b", "0.WAV"]),
            "emotion": st.sampled_from(WORDS),
            "speaker": st.sampled_from(NAMES),
            "gender": st.sampled_from(["female", "male", "", "Male"]),
        }
    ),
    min_size=1,
    max_size=6,
)


@given(rows=own_rows)
def test_every_row_of_ones_own_corpus_is_a_clip_or_a_problem(recordings, rows):
    path = written(recordings / "mine.csv", rows[0], [row.values() for row in rows])
    reading = tried("own corpora", corpora.local.read, path)
    if reading is not None:
        kept = len(reading.clips)
        lost = reading.problems["problem"].isin(
            ["missing path", "missing emotion", "missing file", "listed twice", "undecodable file", "zero-byte file"]
        )
        assert len(rows) <= kept + int(lost.sum())
        for column in ("speaker", "emotion"):
            values = reading.clips[column].dropna().unique()
            assert len({normal(value) for value in values}) == len(values)

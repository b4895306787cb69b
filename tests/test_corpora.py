import dataclasses
import functools
import hashlib
import http.server
import io
import os
import stat
import threading
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
import yaml

from ser_core import files, paths
from ser_core.data import audio, clips, corpora
from ser_core.data.corpora import fetch as fetching
from ser_core.data.corpora import local, punjabi_elc, savee
from ser_core.data.corpora.base import Download
from ser_core.errors import SerError

RATE = 16_000
WITH_AUDIO = tuple(name for name in corpora.NAMES if corpora.info(name).has_audio)

# Official layout -> what must come out: id, speaker, gender, emotion, sentence, transcript.
OFFICIAL = {
    "ravdess": {
        "Actor_07/03-01-05-02-01-02-07.wav": ("03-01-05-02-01-02-07", "07", "male", "angry", "01", "Kids are"),
        "Actor_12/03-01-01-01-02-01-12.wav": ("03-01-01-01-02-01-12", "12", "female", "neutral", "02", "Dogs are"),
    },
    "emodb": {
        "wav/03a01Fa.wav": ("03a01Fa", "03", "male", "happiness", "a01", "Der Lappen"),
        "wav/16b10Td.wav": ("16b10Td", "16", "female", "sadness", "b10", "Die wird"),
        "wav/08a05Ac.wav": ("08a05Ac", "08", "female", "fear", "a05", "Das schwarze Stück"),
    },
    "urdu": {
        "Angry/SM1_F10_A010.wav": ("SM1_F10_A010", "SM1", "male", "angry", None, None),
        "Sad/SF11_F1_S03.wav": ("SF11_F1_S03", "SF11", "female", "sad", None, None),
    },
    "savee": {
        "AudioData/DC/sa03.wav": ("DC_sa03", "DC", "male", "sadness", "common-3", None),
        "AudioData/KL/n28.wav": ("KL_n28", "KL", "male", "neutral", "sadness-05", None),
        "AudioData/KL/su15.wav": ("KL_su15", "KL", "male", "surprise", "surprise-15", None),
    },
    "tess": {
        "OAF_Pleasant_surprise/OAF_back_ps.wav": (
            "OAF_back_ps",
            "OAF",
            "female",
            "pleasant_surprise",
            "back",
            "Say the word back",
        ),
        "YAF_sad/YAF_bar_sad.wav": ("YAF_bar_sad", "YAF", "female", "sad", "bar", "Say the word bar"),
    },
    "banglaser": {
        "Actor 31/03-01-05-01-01-02-31.wav": ("03-01-05-01-01-02-31", "31", "male", "neutral", "01", "১২ টা"),
        "Actor 02/03-01-03-02-03-02-02.wav": ("03-01-03-02-03-02-02", "02", "female", "angry", "03", "এ কেমন"),
    },
}
BAD_NAMES = {
    "ravdess": [
        "03-01-05-02-01-02.wav",
        "03-01-09-01-01-01-01.wav",
        "03-02-05-01-01-01-01.wav",
        "03-01-05-01-01-01-25.wav",
    ],
    "emodb": ["03a01Xa.wav", "04a01Fa.wav", "03a03Fa.wav", "notes.wav"],
    "urdu": ["SX1_F1_A01.wav", "SM1_F1_X01.wav", "SM1-F1-A01.wav"],
    "savee": ["AudioData/XX/a01.wav", "AudioData/DC/a16.wav", "AudioData/DC/x01.wav", "AudioData/DC/n31.wav"],
    "tess": ["OAF_back_glad.wav", "MAF_back_sad.wav", "OAF_back.wav"],
    "banglaser": ["03-01-06-01-01-01-01.wav", "03-01-01-01-04-01-01.wav", "03-01-01-01-01-01-35.wav"],
}


def sound(seed, seconds=0.1):
    return np.random.default_rng(seed).uniform(-0.5, 0.5, int(seconds * RATE))


def put(folder, name, samples):
    path = Path(folder) / name
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, RATE, subtype="PCM_16")
    return path


@pytest.fixture(params=WITH_AUDIO)
def corpus(request, tmp_path):
    """Write a small corpus in its official layout and return its name and folder."""
    for i, path in enumerate(OFFICIAL[request.param]):
        put(tmp_path, path, sound(i))
    return request.param, tmp_path


def problems(reading):
    return list(reading.problems[["path", "problem"]].itertuples(index=False, name=None))


def test_official_layout(corpus):
    name, folder = corpus
    reading = corpora.read(name, folder)
    assert problems(reading) == []
    assert len(reading.clips) == len(OFFICIAL[name])
    for i, (path, (stem, speaker, gender, emotion, sentence, transcript)) in enumerate(OFFICIAL[name].items()):
        row = reading.clips.loc[f"{name}/{stem}"]
        assert row["path"] == path
        assert (row["speaker"], row["gender"], row["emotion"]) == (f"{name}/{speaker}", gender, emotion)
        assert row["sentence"] == f"{name}/{sentence}" if sentence else pd.isna(row["sentence"])
        assert row["transcript"].startswith(transcript) if transcript else pd.isna(row["transcript"])
        assert pd.isna(row["session"]) and pd.isna(row["split"])
        assert row["duration_s"] == pytest.approx(0.1)
        assert row["sha256"] == audio.content_hash(*audio.read(folder / path)) != audio.content_hash(sound(i + 9), RATE)
        assert corpora.audio_path(row, folder) == folder / path
    assert reading.files.loc[row.name].to_dict() == {"rate": RATE, "channels": 1}


def test_flac_of_the_same_names_is_the_same_corpus(corpus):
    name, folder = corpus
    wav = corpora.read(name, folder).clips
    for path in OFFICIAL[name]:
        samples, rate = soundfile.read(folder / path, dtype="int16")
        soundfile.write((folder / path).with_suffix(".flac"), samples, rate)
        (folder / path).unlink()
    flac = corpora.read(name, folder).clips
    pd.testing.assert_frame_equal(wav.drop(columns="path"), flac.drop(columns="path"))
    # The table of the WAV copy finds the FLAC copy.
    assert corpora.audio_path(wav.iloc[0], folder).suffix == ".flac"


def test_bad_names_are_reported_with_the_reason(corpus):
    name, folder = corpus
    for bad in BAD_NAMES[name]:
        put(folder, bad, sound(99))
    reading = corpora.read(name, folder)
    assert problems(reading) == [(bad, "unparsable name") for bad in sorted(BAD_NAMES[name])]
    assert len(reading.clips) == len(OFFICIAL[name])
    assert all(reading.problems["detail"].str.len() > 20)


def test_damaged_files_are_reported_and_left_out(corpus):
    name, folder = corpus
    first, second, *rest = OFFICIAL[name]
    (folder / first).write_bytes(b"")
    (folder / second).write_bytes(b"not audio at all")
    put(folder, "more/" + first, sound(5))  # keeps the corpus from being empty
    reading = corpora.read(name, folder)
    assert (first, "zero-byte file") in problems(reading)
    assert (second, "undecodable file") in problems(reading)
    assert len(reading.clips) == 1 + len(rest)


def test_a_doubled_tree_keeps_one_of_each(corpus):
    name, folder = corpus
    for i, path in enumerate(OFFICIAL[name]):
        put(folder, "copy of all/" + path, sound(i))
    reading = corpora.read(name, folder)
    assert list(reading.clips["path"].sort_values()) == sorted(OFFICIAL[name])
    assert problems(reading) == [("copy of all/" + path, "listed twice") for path in sorted(OFFICIAL[name])]
    kept = reading.problems["detail"].iloc[0]
    assert "the same samples" in kept and sorted(OFFICIAL[name])[0] in kept
    put(folder, "copy of all/" + path, sound(77))
    assert "other samples" in " ".join(corpora.read(name, folder).problems["detail"])


def test_the_same_recording_under_two_names_is_reported_and_kept(corpus):
    name, folder = corpus
    first, second, *_ = OFFICIAL[name]
    put(folder, second, sound(0))
    reading = corpora.read(name, folder)
    assert len(reading.clips) == len(OFFICIAL[name])
    (problem,) = reading.problems.itertuples()
    assert problem.problem == "duplicate recording" and "speaker" in problem.detail
    ids = {f"{name}/{OFFICIAL[name][path][0]}" for path in (first, second)}
    assert all(identifier in problem.detail for identifier in ids)


def test_silence_and_other_formats_are_reported(tmp_path):
    put(tmp_path, "Actor_01/03-01-05-02-01-02-01.wav", np.zeros(800))
    (tmp_path / "Actor_01/03-01-05-02-01-01-01.mp3").write_bytes(b"x")
    assert [problem for _, problem in problems(corpora.read("ravdess", tmp_path))] == [
        "unsupported format",
        "silent recording",
    ]


def test_an_empty_folder_says_what_to_do(corpus, tmp_path_factory):
    name, _ = corpus
    empty = tmp_path_factory.mktemp("empty")
    with pytest.raises(SerError, match=f"no .wav or .flac file .* `ser fetch {name}`"):
        corpora.read(name, empty)
    put(empty, "what.wav", sound(0))
    with pytest.raises(SerError, match=r"no recording can be read; the first of 1: what.wav: unparsable name"):
        corpora.read(name, empty)
    with pytest.raises(SerError, match="no such folder"):
        corpora.read(name, empty / "nowhere")


def test_reading_is_deterministic(corpus, monkeypatch, tmp_path_factory):
    name, folder = corpus
    monkeypatch.setenv("SER_RESULTS", str(tmp_path_factory.mktemp("results")))
    written = {corpora.write_table(corpora.read(name, folder)).read_bytes() for _ in range(2)}
    assert len(written) == 1
    pd.testing.assert_frame_equal(corpora.table(name), corpora.read(name, folder).clips)


def test_a_table_is_read_anew_when_its_file_changes_and_nobody_changes_anothers(corpus, monkeypatch, tmp_path_factory):
    name, folder = corpus
    monkeypatch.setenv("SER_RESULTS", str(tmp_path_factory.mktemp("results")))
    reading = corpora.read(name, folder)
    corpora.write_table(reading)
    first = corpora.table(name)
    first["emotion"] = "sad"
    first.loc[first.index[0], "speaker"] = "somebody"
    pd.testing.assert_frame_equal(corpora.table(name), reading.clips)
    changed = reading.clips.assign(gender=pd.NA)
    corpora.write_table(dataclasses.replace(reading, clips=changed))
    assert corpora.table(name)["gender"].isna().all()
    # As cp -p and rsync --inplace do: another content of the same size at the same place and time.
    path = corpora.table_path(name)
    before, content = path.stat(), path.read_bytes()
    path.write_bytes(b"\0" * len(content))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(SerError):
        corpora.table(name)


def test_a_union_is_read_anew_when_one_of_its_files_changes(monkeypatch, tmp_path):
    one, other = corpora.table("emodb"), corpora.table("savee")
    monkeypatch.setenv("SER_RESULTS", str(tmp_path))
    for name, clips_there in (("emodb", one), ("savee", other[:5])):
        files.write_parquet(clips_there, corpora.table_path(name), {})
    assert len(corpora.table("emodb+savee")) == len(one) + 5
    files.write_parquet(other, corpora.table_path("savee"), {})
    pd.testing.assert_frame_equal(corpora.table("emodb+savee"), pd.concat([one, other]))


def test_unknown_corpus_and_no_folder(monkeypatch):
    monkeypatch.delenv("SER_DATA", raising=False)
    with pytest.raises(SerError, match="unknown corpus 'msp'; there are ravdess,"):
        corpora.read("msp")
    with pytest.raises(SerError, match="set SER_DATA"):
        corpora.read("ravdess")
    monkeypatch.setenv("SER_DATA", "~/data ")
    with pytest.raises(SerError, match=r"set SER_DATA to .* \(~/data /ravdess is no folder\)"):
        corpora.read("ravdess")


def test_ravdess_names_what_is_not_speech_audio(tmp_path):
    put(tmp_path, "03-01-05-02-01-02-07.wav", sound(0))
    put(tmp_path, "03-02-05-02-01-02-07.wav", sound(1))
    assert "audio only song" in corpora.read("ravdess", tmp_path).problems["detail"].iloc[0]


def test_urdu_and_tess_compare_folder_and_name(tmp_path):
    put(tmp_path / "urdu", "Happy/SM1_F10_A010.wav", sound(0))
    reading = corpora.read("urdu", tmp_path / "urdu")
    assert problems(reading) == [("Happy/SM1_F10_A010.wav", "odd name")]
    assert reading.clips["emotion"].to_list() == ["angry"]
    put(tmp_path / "tess", "OAF_neutral/OA_bite_neutral.wav", sound(0))
    put(tmp_path / "tess", "OAF_Fear/OAF_bite_fear.wav", sound(1))
    put(tmp_path / "tess", "OAF_Fear/YAF_bite_fear.wav", sound(2))
    reading = corpora.read("tess", tmp_path / "tess")
    assert list(reading.clips.index) == ["tess/OAF_bite_fear", "tess/OAF_bite_neutral", "tess/YAF_bite_fear"]
    assert problems(reading) == [
        ("OAF_Fear/YAF_bite_fear.wav", "odd name"),
        ("OAF_neutral/OA_bite_neutral.wav", "odd name"),
    ]


def test_banglaser_reports_another_modality_and_keeps_it(tmp_path):
    put(tmp_path, "01-01-04-02-03-01-15.wav", sound(0))
    reading = corpora.read("banglaser", tmp_path)
    assert problems(reading) == [("01-01-04-02-03-01-15.wav", "odd name")]
    assert reading.clips.index.to_list() == ["banglaser/01-01-04-02-03-01-15"]


def test_savee_sentences():
    ids = {
        (e, n): savee.sentence(e, n) for e in savee.EMOTIONS.values() for n in range(1, 31 if e == "neutral" else 16)
    }
    assert len(ids) == 120
    counts = pd.Series(ids).value_counts()
    # Documented: 3 common sentences (7 emotions, neutral twice), 12 specific ones (also neutral), 10 generic ones of
    # the six emotions; neutral has 12 of its own.
    assert counts.value_counts().to_dict() == {8: 3, 2: 12, 1: 72}


def test_a_recording_that_is_not_there(tmp_path):
    row = corpora.table("ravdess").iloc[0]
    with pytest.raises(SerError, match=f"the recording of {row.name} is not there"):
        corpora.audio_path(row, tmp_path)
    put(tmp_path, f"deeper/{Path(row['path']).stem}.wav", sound(0))
    corpora._index.cache_clear()
    assert corpora.audio_path(row, tmp_path) == tmp_path / "deeper" / f"{Path(row['path']).stem}.wav"
    with pytest.raises(SerError, match="meld has no recordings"):
        corpora.audio_path(corpora.table("meld").iloc[0], tmp_path)


# Unions


def test_a_union_is_the_clips_of_its_corpora():
    union = corpora.table("ravdess+savee+tess")
    apart = [corpora.table(name) for name in ("tess", "savee", "ravdess")]
    pd.testing.assert_frame_equal(union, pd.concat(apart).sort_index())
    assert union["corpus"].value_counts().to_dict() == {"ravdess": 1440, "tess": 1400, "savee": 480}
    assert union["speaker"].nunique() == 24 + 4 + 2


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("tess+ravdess", "once, in alphabetical order; write 'ravdess[+]tess'"),
        ("tess+tess", "write 'tess'"),
        ("savee+msp", "unknown corpus 'msp'; there are ravdess"),
        ("savee+", "unknown corpus ''; there are ravdess"),
    ],
)
def test_a_union_has_one_name(name, message):
    with pytest.raises(SerError, match=message):
        corpora.table(name)


def test_the_recordings_of_a_union_are_in_the_folder_of_each(tmp_path, monkeypatch):
    monkeypatch.setenv("SER_DATA", str(tmp_path))
    rows = [corpora.table(name).iloc[0] for name in ("ravdess", "savee")]
    for row in rows:
        put(tmp_path / row["corpus"], row["path"], sound(0))
    union = corpora.table("ravdess+savee")
    for row in rows:
        assert corpora.audio_path(union.loc[row.name]) == tmp_path / row["corpus"] / row["path"]
    with pytest.raises(SerError, match="ravdess[+]savee has no folder of its own; do this for each of ravdess, savee"):
        corpora.folder_of("ravdess+savee")


# Tables instead of recordings


def meld_folder(folder, **changed):
    row = {
        "Sr No.": 1,
        "Utterance": "Well, hello",
        "Speaker": "Rachel",
        "Emotion": "joy",
        "Sentiment": "positive",
        "Dialogue_ID": 0,
        "Utterance_ID": 0,
        "Season": 1,
        "Episode": 2,
        "StartTime": "00:00:01,500",
        "EndTime": "00:00:03,000",
    }
    for part in ("train", "dev", "test"):
        rows = [row | {"Utterance": f"line of {part}"}, *changed.get(part, [])]
        pd.DataFrame([row | r for r in rows]).to_csv(folder / f"{part}_sent_emo.csv", index=False)


def test_meld(tmp_path, monkeypatch):
    extra = [
        {"Utterance_ID": 1, "Utterance": "odd", "Emotion": "bored"},
        {"Utterance_ID": 2, "Utterance": "who", "Speaker": " "},
        {"Utterance_ID": 0, "Utterance": "again"},
        {"Utterance_ID": 3, "Utterance": "late", "EndTime": "00:00:01,500"},
        {"Utterance_ID": 4, "Utterance": "long", "EndTime": "00:01:01,500"},
        {"Utterance_ID": 5, "Utterance": "line of train"},
    ]
    meld_folder(tmp_path, test=extra)
    reading = corpora.read("meld", tmp_path)
    assert sorted(reading.problems["problem"]) == [
        "bad time",
        "bad time",
        "duplicate recording",
        "listed twice",
        "missing speaker",
        "unknown emotion",
    ]
    assert "'bored'" not in reading.clips["emotion"].to_list() and len(reading.clips) == 3 + 4
    row = reading.clips.loc["meld/train_dia0_utt0"]
    assert row["speaker"] == "meld/Rachel" and row["session"] == "meld/train_dia0" and row["split"] == "train"
    assert row["duration_s"] == pytest.approx(1.5) and row["transcript"] == "line of train"
    assert pd.isna(reading.clips.loc["meld/test_dia0_utt2", "speaker"])
    assert pd.isna(reading.clips.loc["meld/test_dia0_utt3", "duration_s"])
    monkeypatch.setenv("SER_RESULTS", str(tmp_path / "results"))
    corpora.write_table(reading)
    assert corpora.table("meld")["transcript"].isna().all()
    assert corpora.table("meld")["speaker"].equals(reading.clips["speaker"])


def test_meld_tables_missing_or_damaged(tmp_path):
    with pytest.raises(SerError, match="no train_sent_emo.csv"):
        corpora.read("meld", tmp_path)
    meld_folder(tmp_path)
    (tmp_path / "dev_sent_emo.csv").write_text("Utterance,Speaker\nhello,Rachel\n")
    with pytest.raises(SerError, match=r"dev_sent_emo.csv: lacks the columns \['Emotion'"):
        corpora.read("meld", tmp_path)
    (tmp_path / "dev_sent_emo.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SerError, match="not a readable CSV table"):
        corpora.read("meld", tmp_path)


def test_punjabi(tmp_path):
    def row(path, emotion, seed):
        values = np.random.default_rng(seed).random(31)
        keys = {"participant": "Participant 1", "emotion": emotion, "filename": path.split("\\")[-1]}
        return keys | {"relative_path": path} | dict(zip(punjabi_elc.FEATURES, values, strict=True))

    rows = [
        row("Participant 1\\1. Neutral\\10.1.mp3", "1. Neutral", 0),
        row("Participant 1\\4. Angry\\2.4.m4a", "4. Anger", 1),
        row("Participant 1\\3. Sad\\2.3.mp3", "3. Sad", 1),
        row("Participant 1\\2. Happy\\2.3.mp3", "2. Happy", 2),
        row("Participant 1\\5. Fear\\take.mp3", "5. Fear", 3),
        row("Participant 1\\6. Glad\\1.6.mp3", "6. Glad", 4),
    ]
    pd.DataFrame(rows).to_csv(tmp_path / "feature_ext_output_cleaned.csv", index=False)
    reading = corpora.read("punjabi_elc", tmp_path)
    assert reading.clips["emotion"].to_dict() == {
        "punjabi_elc/Participant 1/1. Neutral/10.1": "neutral",
        "punjabi_elc/Participant 1/2. Happy/2.3": "happy",
        "punjabi_elc/Participant 1/3. Sad/2.3": "sad",
        "punjabi_elc/Participant 1/4. Angry/2.4": "anger",
        "punjabi_elc/Participant 1/5. Fear/take": "fear",
    }
    assert set(reading.clips["speaker"]) == {"punjabi_elc/Participant 1"}
    assert sorted(reading.problems["problem"]) == [
        "duplicate recording",
        "odd name",
        "unknown emotion",
        "unparsable name",
    ]
    (tmp_path / "feature_ext_output_cleaned.csv").unlink()
    with pytest.raises(SerError, match="no feature_ext_output_cleaned.csv"):
        corpora.read("punjabi_elc", tmp_path)


# Anybody's corpus


def test_local(tmp_path):
    put(tmp_path, "one/a.wav", sound(0))
    put(tmp_path, "one/b.flac", sound(1))
    put(tmp_path, "one/c.wav", sound(0))
    (tmp_path / "one/zero.wav").write_bytes(b"")
    (tmp_path / "mine.csv").write_text(
        "path,emotion,speaker,gender,sentence,split,language,mood\n"
        "one/a.wav,sad,anna,female,1,train,fr,x\n"
        "one/b.flac,happy,,,,,,x\n"
        "one/c.wav,happy,bert,male,1,test,fr,x\n"
        "one/c.wav,happy,bert,male,1,test,fr,x\n"
        "one/zero.wav,happy,bert,male,1,test,fr,x\n"
        "one/gone.wav,happy,bert,male,1,test,fr,x\n"
        "one/a.wav,,anna,female,1,train,fr,x\n"
        ",sad,anna,female,1,train,fr,x\n"
    )
    reading = local.read(tmp_path / "mine.csv", name="mine", language="de")
    assert reading.clips["speaker"].fillna("?").to_dict() == {
        "mine/one/a": "mine/anna",
        "mine/one/b": "?",
        "mine/one/c": "mine/bert",
    }
    assert reading.clips["language"].to_list() == ["fr", "de", "fr"]
    assert reading.clips["sentence"].fillna("?").to_list() == ["mine/1", "?", "mine/1"]
    assert reading.problems.groupby("problem").size().to_dict() == {
        "duplicate recording": 1,
        "listed twice": 1,
        "missing emotion": 1,
        "missing file": 1,
        "missing path": 1,
        "missing speaker": 1,
        "unknown column": 1,
        "zero-byte file": 1,
    }
    assert "line 8, left out" in reading.problems["detail"].to_list()
    row = reading.clips.loc["mine/one/a"]
    assert corpora.audio_path(row, tmp_path) == tmp_path / "one/a.wav"


def test_local_says_what_is_wrong(tmp_path):
    csv = tmp_path / "mine.csv"
    with pytest.raises(SerError, match="no such file; expected a CSV table with the columns path, emotion, speaker"):
        local.read(csv)
    csv.write_text("path,emotion\na.wav,sad\n")
    with pytest.raises(SerError, match=r"lacks the columns \['speaker'\]; it has \['path', 'emotion'\]"):
        local.read(csv)
    csv.write_text("path,emotion,speaker,gender\na.wav,sad,anna,f\n")
    with pytest.raises(SerError, match="line 2: gender 'f' is neither female nor male"):
        local.read(csv)
    csv.write_text("path,emotion,speaker\n,,anna\n")
    with pytest.raises(SerError, match="no row has both a path and an emotion"):
        local.read(csv)
    csv.write_text("path,emotion,speaker\na.wav,sad,anna\n")
    with pytest.raises(SerError, match="no recording can be read; the first of 1: a.wav: missing file"):
        local.read(csv)


def test_local_takes_ids_of_its_own(tmp_path):
    put(tmp_path, "a.wav", sound(0))
    (tmp_path / "mine.csv").write_text("clip,path,emotion,speaker\n1,a.wav,sad,anna\n")
    assert local.read(tmp_path / "mine.csv").clips.index.to_list() == ["local/1"]


# What is known of the corpora


@pytest.mark.parametrize("name", corpora.NAMES)
def test_info_is_complete(name):
    info = corpora.info(name)
    assert info.name == name and info.access in ("public", "request", "gated")
    assert f"{{{info.citation}," in (paths.repository() / "book/references.bib").read_text()
    assert info.how_to_get and info.licence and info.declared
    assert bool(info.downloads) == (info.access == "public")
    for item in info.downloads:
        assert item.url.startswith(("https://", "http://")) and "/" not in item.filename


@pytest.mark.parametrize(
    ("name", "n_clips", "n_speakers", "n_sentences"),
    [
        ("ravdess", 1440, 24, 2),
        ("emodb", 535, 10, 10),
        ("urdu", 400, 29, 0),
        ("savee", 480, 4, 87),
        ("tess", 1400, 2, 100),
        ("banglaser", 1466, 34, 3),
        ("meld", 13708, 304, 0),
        ("punjabi_elc", 1130, 17, 0),
    ],
)
def test_committed_tables(name, n_clips, n_speakers, n_sentences):
    table = corpora.table(name)
    pd.testing.assert_frame_equal(table, clips.validate(table))
    assert (len(table), table["speaker"].nunique(), table["sentence"].nunique()) == (n_clips, n_speakers, n_sentences)
    assert (table.index.str.startswith(f"{name}/")).all()
    for column in ("speaker", "sentence", "session"):
        assert table[column].dropna().str.startswith(f"{name}/").all()
    assert table.groupby("speaker")["gender"].nunique().max() <= 1
    assert table["sha256"].notna().all() == corpora.info(name).has_audio
    if name == "meld":
        assert table["transcript"].isna().all()


@pytest.mark.parametrize("name", [*corpora.NAMES, "+".join(sorted(corpora.NAMES))])
def test_the_id_of_a_clip_names_its_corpus(name):
    table = corpora.table(name)
    found = clips.corpus_of(table.index.to_series())
    pd.testing.assert_series_equal(found, table["corpus"], check_names=False)


@pytest.mark.needs_data
@pytest.mark.parametrize("name", corpora.NAMES)
def test_committed_tables_are_what_the_files_say(name):
    pd.testing.assert_frame_equal(corpora.committed(corpora.read(name).clips), corpora.table(name))


# Fetching


class Server(http.server.ThreadingHTTPServer):
    """A file server that knows ranges and can break off."""

    def __init__(self, files):
        self.files, self.requests, self.stop_after, self.ranges = files, [], None, True
        super().__init__(("127.0.0.1", 0), Handler)

    def url(self, name):
        return f"http://127.0.0.1:{self.server_port}/{name}"


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):  # noqa: N802 - the name is that of the base class
        server, content = self.server, self.server.files.get(self.path.lstrip("/"))
        server.requests.append(self.headers.get("Range"))
        if content is None:
            return self.send_error(404)
        start = int((self.headers.get("Range") or "bytes=0-").removeprefix("bytes=").rstrip("-"))
        start = start if server.ranges else 0
        if start >= len(content):
            return self.send_error(416)
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        self.wfile.write(content[start : server.stop_after])

    def log_message(self, *_):
        pass


@pytest.fixture
def serve():
    servers = []

    def start(**files):
        server = Server(files)
        threading.Thread(target=functools.partial(server.serve_forever, poll_interval=0.01), daemon=True).start()
        servers.append(server)
        return server

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


CONTENT = np.random.default_rng(0).bytes(300_000)


def item(server, **known):
    return Download(url=server.url("data"), filename="data.bin", **known)


GOOD = {"size": len(CONTENT), "md5": hashlib.md5(CONTENT).hexdigest(), "sha256": hashlib.sha256(CONTENT).hexdigest()}


def test_download_goes_on_where_it_broke_off(serve, tmp_path):
    server = serve(data=CONTENT)
    server.stop_after = 100_000
    with pytest.raises(SerError, match="goes on where it stopped"):
        fetching.download(item(server, **GOOD), tmp_path, progress=False)
    assert [path.name for path in tmp_path.iterdir()] == ["data.bin.part"]
    server.stop_after = None
    assert fetching.download(item(server, **GOOD), tmp_path, progress=False) == GOOD["sha256"]
    kept = int(server.requests[1].removeprefix("bytes=").rstrip("-"))
    assert 0 < kept <= 100_000
    assert (tmp_path / "data.bin").read_bytes() == CONTENT
    assert [path.name for path in tmp_path.iterdir()] == ["data.bin"]
    # It is there and right: nothing is asked for again.
    fetching.download(item(server, **GOOD), tmp_path, progress=False)
    assert len(server.requests) == 2


def test_download_from_a_server_without_ranges_begins_again(serve, tmp_path):
    server = serve(data=CONTENT)
    server.ranges = False
    (tmp_path / "data.bin.part").write_bytes(b"old and wrong")
    fetching.download(item(server, **GOOD), tmp_path, progress=False)
    assert (tmp_path / "data.bin").read_bytes() == CONTENT


def test_a_whole_part_is_only_checked(serve, tmp_path):
    server = serve(data=CONTENT)
    (tmp_path / "data.bin.part").write_bytes(CONTENT)
    fetching.download(item(server, **GOOD), tmp_path, progress=False)
    assert (tmp_path / "data.bin").read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("known", "message"),
    [
        ({"md5": "0" * 32}, "wrong checksum: md5 .* expected 0{32}"),
        ({"sha256": "0" * 64}, "wrong checksum: sha256"),
        ({"size": 7}, "wrong size: 300000 bytes, expected 7"),
    ],
)
def test_a_wrong_file_is_removed(serve, tmp_path, known, message):
    with pytest.raises(SerError, match=message):
        fetching.download(item(serve(data=CONTENT), **known), tmp_path, progress=False)
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_file_that_is_already_there_is_not_overwritten(serve, tmp_path):
    (tmp_path / "data.bin").write_bytes(b"mine")
    with pytest.raises(SerError, match="delete it and fetch again"):
        fetching.download(item(serve(data=CONTENT), **GOOD), tmp_path, progress=False)
    assert (tmp_path / "data.bin").read_bytes() == b"mine"


def test_no_such_file_and_no_server(serve, tmp_path):
    server = serve()
    with pytest.raises(SerError, match="the server answers 404"):
        fetching.download(item(server, **GOOD), tmp_path, progress=False)
    gone = Download(url="http://127.0.0.1:9/data", filename="data.bin")
    with pytest.raises(SerError, match="no answer"):
        fetching.download(gone, tmp_path, progress=False)
    assert list(tmp_path.iterdir()) == []


def zipped(**members):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


def test_fetch_public(serve, tmp_path, monkeypatch):
    wav = put(tmp_path / "source", "a.wav", sound(0)).read_bytes()
    content = zipped(**{"top/Angry/SM1_F10_A010.wav": wav, "top/README.md": b"read me"})
    server = serve(data=content)
    info = corpora.info("urdu")
    one = Download(url=server.url("data"), filename="urdu.zip", unpack=True, strip=1)
    monkeypatch.setattr(corpora, "info", lambda name: type(info)(**{**vars(info), "downloads": (one,)}))
    said = fetching.fetch("urdu", tmp_path / "data", progress=False)
    assert f"set SER_DATA={tmp_path / 'data'}" in said and info.licence in said
    assert f"sha256 {hashlib.sha256(content).hexdigest()}" in said
    monkeypatch.setenv("SER_DATA", str(tmp_path / "data"))
    assert corpora.read("urdu").clips.index.to_list() == ["urdu/SM1_F10_A010"]
    assert not list((tmp_path / "data").rglob("*.part"))


def test_fetch_on_request_prints_the_steps(tmp_path):
    said = fetching.fetch("savee", tmp_path)
    assert "by request" in said and "Register.html" in said and "AudioData/DC/a01.wav" in said
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["../outside.txt", "/outside.txt", "a/../../outside.txt", "c:\\outside.txt"])
def test_unpack_refuses_what_leads_outside(tmp_path, name):
    (tmp_path / "a.zip").write_bytes(zipped(**{"fine.txt": b"x", name: b"y"}))
    with pytest.raises(SerError, match="leads outside the folder"):
        fetching.unpack(tmp_path / "a.zip", tmp_path / "to")
    assert not (tmp_path / "to").exists() and not (tmp_path / "outside.txt").exists()


def test_unpack_refuses_links_and_damage(tmp_path):
    link = zipfile.ZipInfo("link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "link.zip", "w") as archive:
        archive.writestr(link, "/etc")
    with pytest.raises(SerError, match="is a link"):
        fetching.unpack(tmp_path / "link.zip", tmp_path / "to")
    whole = zipped(**{"a.txt": b"x" * 1000, "b.txt": b"y" * 1000})
    (tmp_path / "cut.zip").write_bytes(whole[:-50])
    with pytest.raises(SerError, match="not a whole zip file"):
        fetching.unpack(tmp_path / "cut.zip", tmp_path / "to")
    (tmp_path / "bent.zip").write_bytes(whole.replace(b"y" * 1000, b"y" * 999 + b"z"))
    with pytest.raises(SerError, match="b.txt' is damaged"):
        fetching.unpack(tmp_path / "bent.zip", tmp_path / "to")
    assert not (tmp_path / "to").exists()


def test_every_card_names_its_corpus():
    for name in corpora.NAMES:
        header = (paths.repository() / "data_cards" / f"{name}.md").read_text().split("---\n")[1]
        assert yaml.safe_load(header)["name"] == name

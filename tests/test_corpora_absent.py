import itertools
import json
import sys

import numpy as np
import pandas as pd
import pytest
import soundfile
import yaml
from caches import forget

from ser_core import cli, paths
from ser_core.data import cards, clips, corpora, labels, splits, synthetic
from ser_core.data.corpora import fetch as fetching
from ser_core.data.corpora import iemocap, iitkgp_sehsc, punjabi_rasa, shemo
from ser_core.errors import RefusalError, SerError
from ser_core.experiments import configuration, runner, runs
from ser_core.systems import features

RATE = 16_000


def sound(seed):
    return np.random.default_rng(seed).uniform(-0.5, 0.5, RATE // 20)


def put(folder, name, samples):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, RATE, subtype="PCM_16")
    return path


def write(folder, name, text):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def problems(reading):
    return list(reading.problems[["path", "problem"]].itertuples(index=False, name=None))


# A small corpus of each layout; facts: id -> speaker, gender, emotion, sentence, transcript, session, split.


def make_crema_d(folder):
    demographics = (
        '"ActorID","Age","Sex","Race","Ethnicity"\n'
        '1001,51,"Male","Caucasian","Not Hispanic"\n'
        '1002,21,"Female","Caucasian","Not Hispanic"\n'
    )
    write(folder, "VideoDemographics.csv", demographics)
    put(folder, "AudioWAV/1001_DFA_ANG_XX.wav", sound(0))
    put(folder, "AudioWAV/1002_IEO_HAP_LO.wav", sound(1))
    put(folder, "AudioWAV/1091_WSI_NEU_XX.wav", sound(2))
    return {
        "1001_DFA_ANG_XX": ("1001", "male", "anger", "DFA", "Don't forget a jacket", None, None),
        "1002_IEO_HAP_LO": ("1002", "female", "happy", "IEO", "It's eleven o'clock", None, None),
        "1091_WSI_NEU_XX": ("1091", None, "neutral", "WSI", "We'll stop in a couple of minutes", None, None),
    }


EVALUATION = """% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]

[6.2901 - 8.2357]\tSes01F_impro01_F000\tneu\t[2.5000, 2.5000, 2.5000]
C-E2:\tNeutral state;\t()
A-E3:\tval 3; act 2; dom  2;\t()

[10.0100 - 11.3925]\tSes01F_impro01_M001\texc\t[4.0000, 4.0000, 3.0000]
C-E2:\tExcited;\t()
"""
WORDS = """Ses01F_impro01_F000 [006.2901-008.2357]: Excuse me.
Ses01F_impro01_MXX0 [008.2357-008.9357]: Mmhm.
Ses01F_impro01_M001 [010.0100-011.3925]: Do you have your forms?
"""


def make_iemocap(folder):
    write(folder, "Session1/dialog/EmoEvaluation/Ses01F_impro01.txt", EVALUATION)
    # What one rater said, and what a Macintosh left: neither is a label.
    write(folder, "Session1/dialog/EmoEvaluation/Categorical/Ses01F_impro01_e2_cat.txt", "[1 - 2]\tx\tang\t[1]\n")
    write(folder, "Session1/dialog/EmoEvaluation/._Ses01F_impro01.txt", "[\x00\x05\x16")
    write(folder, "Session1/dialog/transcriptions/Ses01F_impro01.txt", WORDS)
    put(folder, "Session1/dialog/wav/Ses01F_impro01.wav", sound(9))
    put(folder, "Session1/sentences/wav/Ses01F_impro01/Ses01F_impro01_F000.wav", sound(0))
    put(folder, "Session1/sentences/wav/Ses01F_impro01/Ses01F_impro01_M001.wav", sound(1))
    line = "[1.0 - 2.0]\tSes05M_script01_1b_F012\tfru\t[2.0000, 3.5000, 3.0000]\n"
    write(folder, "Session5/dialog/EmoEvaluation/Ses05M_script01_1b.txt", line)
    put(folder, "Session5/sentences/wav/Ses05M_script01_1b/Ses05M_script01_1b_F012.wav", sound(2))
    return {
        "Ses01F_impro01_F000": ("Ses01F", "female", "neutral", None, "Excuse me.", "Ses01", None),
        "Ses01F_impro01_M001": ("Ses01M", "male", "excitement", None, "Do you have your forms?", "Ses01", None),
        "Ses05M_script01_1b_F012": ("Ses05F", "female", "frustration", None, None, "Ses05", None),
    }


def make_punjabi_rasa(folder):
    place = "punjabi_emotional_speech"
    put(folder, f"{place}/train/angry/audio/PAN_F_ANGER_00001.wav", sound(0))
    put(folder, f"{place}/train/neutral/audio/PAN_M_WIKI_00031.wav", sound(1))
    put(folder, f"{place}/test/happy/PAN_M_HAPPY_00007.wav", sound(2))  # the flat layout
    write(folder, f"{place}/train/angry/metadata.txt", "PAN_F_ANGER_00001.wav|ਸਤ ਸ੍ਰੀ ਅਕਾਲ|Female|ANGER\n\n# end\n")
    write(folder, f"{place}/test/happy/metadata.txt", "\ufeffPAN_M_HAPPY_00007 | ਜੀ ਆਇਆਂ ਨੂੰ\nPAN_M_HAPPY_00008|\n")
    return {
        "train/PAN_F_ANGER_00001": ("F", "female", "angry", None, "ਸਤ ਸ੍ਰੀ ਅਕਾਲ", None, "train"),
        "train/PAN_M_WIKI_00031": ("M", "male", "neutral", None, None, None, "train"),
        "test/PAN_M_HAPPY_00007": ("M", "male", "happy", None, "ਜੀ ਆਇਆਂ ਨੂੰ", None, "test"),
    }


def make_shemo(folder):
    put(folder, "female/F21A05.wav", sound(0))
    put(folder, "male/M02F01.wav", sound(1))
    put(folder, "male/M21W10.wav", sound(2))
    words = [
        {"id": "F21A05", "gender": "female", "emotion": "angry", "transcript": "\ufeffدیگه", "ipa": "dige"},
        {"id": "M02F01", "gender": "male", "emotion": "fearful", "transcript": "", "ipa": ""},
    ]
    write(folder, "shemo.json", json.dumps(words))
    return {
        "F21A05": ("F21", "female", "anger", None, "دیگه", None, None),
        "M02F01": ("M02", "male", "fear", None, None, None, None),
        "M21W10": ("M21", "male", "surprise", None, None, None, None),
    }


def make_iitkgp_sehsc(folder):
    put(folder, "3/session2/anger/3.2.anger-01.wav", sound(0))
    put(folder, "10/session10/sarcastic/10.10.sarcastic-15.wav", sound(1))
    put(folder, "7/session1/sadness/7.1.sadness-09.wav", sound(2))
    return {
        "3.2.anger-01": ("3", "male", "anger", "01", None, "3.2", None),
        "10.10.sarcastic-15": ("10", "male", "sarcastic", "15", None, "10.10", None),
        "7.1.sadness-09": ("7", None, "sadness", "09", None, "7.1", None),
    }


MAKERS = {
    "crema_d": make_crema_d,
    "iemocap": make_iemocap,
    "punjabi_rasa": make_punjabi_rasa,
    "shemo": make_shemo,
    "iitkgp_sehsc": make_iitkgp_sehsc,
}
FACTS = ("speaker", "gender", "emotion", "sentence", "transcript", "session", "split")


@pytest.fixture(params=corpora.ABSENT)
def corpus(request, tmp_path):
    """Write a small corpus in its layout and return its name, folder and facts."""
    return request.param, tmp_path, MAKERS[request.param](tmp_path)


def test_the_absent_are_apart_from_those_with_results():
    assert corpora.ABSENT == ("crema_d", "iemocap", "punjabi_rasa", "shemo", "iitkgp_sehsc")
    assert not set(corpora.NAMES) & set(corpora.ABSENT)
    for name in corpora.ABSENT:
        assert not (paths.repository() / "data_cards" / f"{name}.md").exists()


def test_the_documented_layout_is_read(corpus):
    name, folder, expected = corpus
    reading = corpora.read(name, folder)
    assert problems(reading) == []
    pd.testing.assert_frame_equal(reading.clips, clips.validate(reading.clips))
    assert sorted(reading.clips.index) == sorted(f"{name}/{clip}" for clip in expected)
    for clip, values in expected.items():
        row = reading.clips.loc[f"{name}/{clip}"]
        for column, value in zip(FACTS, values, strict=True):
            prefixed = value and column in ("speaker", "sentence", "session")
            found = row[column] if value is not None else pd.isna(row[column])
            assert found == (f"{name}/{value}" if prefixed else value if value is not None else True), column
        assert row["language"] == corpora.info(name).language and row["duration_s"] == pytest.approx(0.05)
        assert corpora.audio_path(row, folder) == folder / row["path"]


def test_flac_and_a_deeper_folder_are_the_same_corpus(corpus):
    name, folder, expected = corpus
    wav = corpora.read(name, folder).clips
    for path in sorted(folder.rglob("*.wav")):
        samples, rate = soundfile.read(path, dtype="int16")
        soundfile.write(path.with_suffix(".flac"), samples, rate)
        path.unlink()
    moved = folder / "moved" / "deeper"
    moved.mkdir(parents=True)
    for path in [path for path in folder.iterdir() if path.name != "moved"]:
        path.rename(moved / path.name)
    flac = corpora.read(name, folder)
    assert problems(flac) == []
    pd.testing.assert_frame_equal(wav.drop(columns="path"), flac.clips.drop(columns="path"))
    # The table of the first copy finds the recordings of the second.
    corpora._index.cache_clear()
    assert corpora.audio_path(wav.iloc[0], folder) == folder / flac.clips["path"].iloc[0]


BAD_NAMES = {
    "crema_d": ["1001_DFA_XXX_XX", "1092_DFA_ANG_XX", "1001_ABC_ANG_XX", "1001_DFA_ANG_YY", "1001_DFA_ANG"],
    "iemocap": ["Ses06F_impro01_F000", "Ses01F_impro01_X000", "Ses01F_F000", "notes"],
    "punjabi_rasa": ["PAN_X_HAPPY_00001", "PAN_F_00001", "HIN_F_HAPPY_00001", "PAN_F_WIKI_00001"],
    "shemo": ["F21X05", "X21A05", "F21A5", "F021A05"],
    "iitkgp_sehsc": ["71.2.anger-01", "3.11.anger-01", "3.2.anger-16", "3.2.glad-01", "3.2.anger"],
}


def test_bad_names_are_reported_with_the_reason(corpus):
    name, folder, expected = corpus
    place = "Session1/sentences/wav/Ses01F_impro01" if name == "iemocap" else "more"
    paths = [f"{place}/{bad}.wav" for bad in BAD_NAMES[name]]
    for i, path in enumerate(paths):
        put(folder, path, sound(20 + i))
    reading = corpora.read(name, folder)
    assert problems(reading) == [(path, "unparsable name") for path in sorted(paths)]
    assert all(reading.problems["detail"].str.len() > 15) and len(reading.clips) == len(expected)


def test_damaged_doubled_and_duplicate_recordings_are_reported(corpus):
    name, folder, expected = corpus
    paths = corpora.read(name, folder).clips["path"]
    first, second, third = (paths[f"{name}/{clip}"] for clip in expected)
    (folder / first).write_bytes(b"not audio at all")
    put(folder, third, np.zeros(0))  # a header and no samples
    put(folder, f"copy/{second}", sound(1))
    reading = corpora.read(name, folder)
    assert dict(problems(reading)) == {
        first: "undecodable file",
        third: "undecodable file",
        f"copy/{second}": "listed twice",
    }
    assert list(reading.clips["path"]) == [second]
    put(folder, first, sound(1))
    assert "duplicate recording" in dict(problems(corpora.read(name, folder))).values()


def test_an_empty_folder_says_what_to_do(corpus, tmp_path_factory):
    name, _, _ = corpus
    empty = tmp_path_factory.mktemp("empty")
    with pytest.raises(SerError, match=f"no .wav or .flac file .* `ser fetch {name}`") as caught:
        corpora.read(name, empty)
    assert "\n" not in str(caught.value)


# What each corpus has of its own


def test_crema_d_keeps_the_intended_emotion_and_reports_its_known_faults(tmp_path):
    make_crema_d(tmp_path)
    put(tmp_path, "AudioWAV/1076_MTI_SAD_XX.wav", np.zeros(800))
    put(tmp_path, "AudioWAV/1040_ITH_SAD_X.wav", sound(5))
    (tmp_path / "AudioMP3").mkdir()
    (tmp_path / "AudioMP3/1001_DFA_ANG_XX.mp3").write_bytes(b"x")
    (tmp_path / "other.mp3").write_bytes(b"x")
    reading = corpora.read("crema_d", tmp_path)
    assert problems(reading) == [
        ("AudioWAV/1040_ITH_SAD_X.wav", "odd name"),
        ("AudioWAV/1076_MTI_SAD_XX.wav", "silent recording"),
        ("other.mp3", "unsupported format"),
    ]
    assert reading.clips.loc["crema_d/1040_ITH_SAD_XX", "emotion"] == "sad"


def test_crema_d_without_the_table_of_actors_has_no_genders(tmp_path):
    make_crema_d(tmp_path)
    (tmp_path / "VideoDemographics.csv").unlink()
    reading = corpora.read("crema_d", tmp_path)
    assert problems(reading) == [("VideoDemographics.csv", "missing file")]
    assert reading.clips["gender"].isna().all()
    (tmp_path / "VideoDemographics.csv").write_text("ActorID,Age\n1001,51\n")
    with pytest.raises(SerError, match=r"VideoDemographics.csv: lacks the columns \['Sex'\]"):
        corpora.read("crema_d", tmp_path)


def test_crema_d_of_a_clone_without_git_lfs_says_what_to_do(tmp_path):
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:c6f9\nsize 72862\n"
    write(tmp_path, "AudioWAV/1001_DFA_ANG_XX.wav", pointer)
    with pytest.raises(SerError, match="a pointer of Git LFS, not a recording; run git lfs pull"):
        corpora.read("crema_d", tmp_path)


def test_iemocap_leaves_out_and_reports_what_has_no_emotion(tmp_path):
    make_iemocap(tmp_path)
    place = "Session2/sentences/wav/Ses02M_impro03"
    for i in range(4):
        put(tmp_path, f"{place}/Ses02M_impro03_F00{i}.wav", sound(30 + i))
    lines = [
        "[1.0 - 2.0]\tSes02M_impro03_F000\txxx\t[2.5, 2.5, 2.5]",
        "[2.0 - 3.0]\tSes02M_impro03_F001\tglad\t[2.5, 2.5, 2.5]",
        "[3.0 - 4.0]\tSes02M_impro03_F002\tOTH\t[2.5, 2.5, 2.5]",
        "[4.0 - 5.0]\tSes02M_impro03_M009\tsad\t[2.5, 2.5, 2.5]",
        "[5.0 - Ses02M_impro03_F003",
    ]
    labelled = "Session2/dialog/EmoEvaluation/Ses02M_impro03.txt"
    write(tmp_path, labelled, "\n".join(lines))
    reading = corpora.read("iemocap", tmp_path)
    assert problems(reading) == [
        (labelled, "missing file"),
        (labelled, "unreadable line"),
        (f"{place}/Ses02M_impro03_F000.wav", "no agreement"),
        (f"{place}/Ses02M_impro03_F001.wav", "unknown emotion"),
        (f"{place}/Ses02M_impro03_F003.wav", "missing emotion"),
    ]
    assert "Ses02M_impro03_M009" in reading.problems["detail"].iloc[0]
    # The man wears the markers, the woman speaks.
    kept = reading.clips.loc["iemocap/Ses02M_impro03_F002"]
    assert (kept["emotion"], kept["speaker"], kept["gender"]) == ("other", "iemocap/Ses02F", "female")
    assert iemocap.NO_AGREEMENT not in set(reading.clips["emotion"])


def test_iemocap_without_labels_is_refused(tmp_path):
    put(tmp_path, "Session1/sentences/wav/Ses01F_impro01/Ses01F_impro01_F000.wav", sound(0))
    with pytest.raises(SerError, match=r"no label in dialog/EmoEvaluation/\*.txt .* `ser fetch iemocap`"):
        corpora.read("iemocap", tmp_path)


def test_iemocap_leaves_one_session_or_one_speaker_out(tmp_path):
    for session in range(1, 6):
        lines = []
        for speaker in "FM":
            for number, label in enumerate(("ang", "hap", "neu", "sad")):
                turn = f"Ses0{session}F_impro01_{speaker}{number:03d}"
                seed = 100 * session + 10 * number + (speaker == "F")
                put(tmp_path, f"Session{session}/sentences/wav/Ses0{session}F_impro01/{turn}.wav", sound(seed))
                lines.append(f"[{number}.0 - {number}.5]\t{turn}\t{label}\t[2.5, 2.5, 2.5]")
        write(tmp_path, f"Session{session}/dialog/EmoEvaluation/Ses0{session}F_impro01.txt", "\n".join(lines))
    table = corpora.read("iemocap", tmp_path).clips
    assert (len(table), table["speaker"].nunique(), table["session"].nunique()) == (40, 10, 5)
    folds = splits.make(table, "session")
    tested = folds[folds["role"] == "test"].merge(table, left_on="clip", right_index=True)
    assert sorted(tested.groupby("fold")["session"].unique().str.join("")) == [f"iemocap/Ses0{i}" for i in range(1, 6)]
    assert (tested.groupby("fold")["speaker"].nunique() == 2).all()
    assert splits.make(table, "speaker", n_folds="loo")["fold"].nunique() == 10


def test_punjabi_rasa_takes_the_label_of_the_folder_and_the_voice_as_speaker(tmp_path):
    make_punjabi_rasa(tmp_path)
    put(tmp_path, "punjabi_emotional_speech/train/sad/audio/PAN_F_HAPPY_00099.wav", sound(8))
    put(tmp_path, "loose/PAN_F_SAD_00003.wav", sound(9))
    reading = corpora.read("punjabi_rasa", tmp_path)
    assert problems(reading) == [
        ("punjabi_emotional_speech/train/sad/audio/PAN_F_HAPPY_00099.wav", "odd name"),
    ]
    assert reading.clips.loc["punjabi_rasa/train/PAN_F_HAPPY_00099", "emotion"] == "sad"
    loose = reading.clips.loc["punjabi_rasa/PAN_F_SAD_00003"]
    assert loose["emotion"] == "sad" and pd.isna(loose["split"])
    assert set(reading.clips["speaker"]) == {"punjabi_rasa/F", "punjabi_rasa/M"}
    info = corpora.info("punjabi_rasa")
    assert "two voices" in info.title and "the voice is taken as the speaker" in info.how_to_get


def test_punjabi_rasa_leaves_one_voice_out_and_has_its_publishers_parts(tmp_path):
    for i, (split, label, voice) in enumerate(
        (split, label, voice)
        for split in punjabi_rasa.SPLITS
        for label in punjabi_rasa.EMOTIONS
        for voice in punjabi_rasa.VOICES
    ):
        put(tmp_path, f"{split}/{label}/audio/PAN_{voice}_{label.upper()}_{i:05d}.wav", sound(i))
    table = corpora.read("punjabi_rasa", tmp_path).clips
    folds = splits.make(table, "speaker", n_folds="loo", dev=False)
    voices = folds.merge(table, left_on="clip", right_index=True).groupby(["fold", "role"])["speaker"].unique()
    assert {tuple(part) for part in voices} == {("punjabi_rasa/F",), ("punjabi_rasa/M",)} and len(voices) == 4
    # Two voices leave none for a dev part.
    with pytest.raises(RefusalError, match="dev=False"):
        splits.make(table, "speaker", n_folds="loo")
    official = splits.make(table, "official")
    assert official.groupby("role").size().to_dict() == {"test": 8, "train": 8}


def test_punjabi_rasa_with_the_same_recording_in_both_parts_shows_it(tmp_path):
    for split in punjabi_rasa.SPLITS:
        put(tmp_path, f"{split}/sad/audio/PAN_F_SAD_00001.wav", sound(0))
    reading = corpora.read("punjabi_rasa", tmp_path)
    assert problems(reading) == [("train/sad/audio/PAN_F_SAD_00001.wav", "duplicate recording")]
    assert len(reading.clips) == 2


def test_punjabi_rasa_metadata_that_is_no_text_is_refused(tmp_path):
    make_punjabi_rasa(tmp_path)
    (tmp_path / "punjabi_emotional_speech/train/angry/metadata.txt").write_bytes(b"\xff\xfe|\x00")
    with pytest.raises(SerError, match="metadata.txt: not UTF-8 text"):
        corpora.read("punjabi_rasa", tmp_path)


def test_shemo_reports_a_folder_or_a_label_that_contradicts_the_name(tmp_path):
    make_shemo(tmp_path)
    put(tmp_path, "female/M30S01.wav", sound(7))
    write(tmp_path, "shemo.json", json.dumps([{"id": "F21A05", "emotion": "sad", "transcript": None}]))
    reading = corpora.read("shemo", tmp_path)
    assert problems(reading) == [("female/F21A05.wav", "odd name"), ("female/M30S01.wav", "odd name")]
    assert reading.clips["emotion"].to_list() == ["anger", "fear", "surprise", "sadness"]
    assert reading.clips["transcript"].isna().all()


@pytest.mark.parametrize("content", ["[", "{}x", '["a"]', '[{"emotion": "sad"}]', "3"])
def test_shemo_json_that_is_not_the_list_is_refused(tmp_path, content):
    make_shemo(tmp_path)
    write(tmp_path, "shemo.json", content)
    with pytest.raises(SerError, match="shemo.json: not a list of entries with an 'id'"):
        corpora.read("shemo", tmp_path)


def test_shemo_letters_are_those_of_its_readme():
    # The README's three examples, and fear and female told apart by their place.
    read = {stem: shemo.parse(shemo.PurePosixPath(f"{stem}.wav")) for stem in ("F14A09", "M02F01", "F03S02")}
    assert [(row["gender"], row["emotion"]) for row in read.values()] == [
        ("female", "anger"),
        ("male", "fear"),
        ("female", "sadness"),
    ]


def test_iitkgp_sehsc_reads_a_misspelt_word_by_its_folder(tmp_path):
    make_iitkgp_sehsc(tmp_path)
    put(tmp_path, "4/session3/disgust/4.3.disgsut-02.wav", sound(6))
    put(tmp_path, "4/session3/fear/4.3.anger-02.wav", sound(7))
    reading = corpora.read("iitkgp_sehsc", tmp_path)
    assert problems(reading) == [
        ("4/session3/disgust/4.3.disgsut-02.wav", "odd name"),
        ("4/session3/fear/4.3.anger-02.wav", "odd name"),
    ]
    assert {"iitkgp_sehsc/4.3.disgust-02", "iitkgp_sehsc/4.3.anger-02"} <= set(reading.clips.index)


def test_iitkgp_sehsc_says_whose_layout_it_reads():
    assert "publish no description" in " ".join(iitkgp_sehsc.__doc__.split())
    assert "authors publish no layout" in corpora.info("iitkgp_sehsc").how_to_get


# What is known without a recording


@pytest.mark.parametrize("name", corpora.ABSENT)
def test_info_is_complete(name):
    info = corpora.info(name)
    assert info.name == name and info.access in ("public", "request", "gated") and info.has_audio
    assert info.homepage.startswith("https://") and info.licence and info.declared and not info.downloads
    steps = info.how_to_get.split("\n")
    assert [step[:2] for step in steps] == [f"{i}." for i in range(1, len(steps) + 1)]
    for part in ("speakers_by_gender", "clips_by_split", "clips_by_emotion"):
        if part in info.declared:
            total = "speakers" if part == "speakers_by_gender" else "clips"
            assert sum(info.declared[part].values()) == info.declared[total]


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("crema_d", ("to all, but has to be fetched by hand", "git lfs pull", "ODbL")),
        ("iemocap", ("by agreement only", "iemocap_release.htm", "release form", "University of Southern California")),
        ("punjabi_rasa", ("to all, but has to be fetched by hand", "kaggle.com", "CC BY 4.0")),
        ("shemo", ("to all, but has to be fetched by hand", "sharif-emotional-speech-dataset", "academic")),
        ("iitkgp_sehsc", ("by request only", "10.1109/ICDECOM.2011.5738540", "CSV table")),
    ],
)
def test_ser_fetch_prints_how_to_get_it_and_downloads_nothing(name, says, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["ser", "fetch", name, "--to", str(tmp_path)])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    out, err = capsys.readouterr()
    assert not stop.value.code and err == ""
    info = corpora.info(name)
    assert all(part in out for part in says) and info.how_to_get in out and info.citation in out
    assert f"Put it into {tmp_path / name}." in out and not any(tmp_path.iterdir())
    assert fetching.fetch(name, tmp_path) == out.rstrip("\n")


def test_ser_fetch_says_where_the_vectors_of_urdu_sindhi_are(tmp_path):
    said = fetching.fetch("urdu_sindhi", tmp_path)
    assert "Zenodo record 3685274 (CC BY 4.0)" in said and f"Put it into {tmp_path / 'urdu_sindhi'}." in said
    assert not any(tmp_path.iterdir())


def test_an_unknown_corpus_is_told_both_lists():
    with pytest.raises(
        SerError, match="unknown corpus 'msp'; there are ravdess, .* with a loader only crema_d, iemocap"
    ):
        corpora.info("msp")


@pytest.fixture
def own(tmp_path, monkeypatch):
    """Stores and recordings of one's own in the place of all others."""
    forget()
    for name in ("results", "cache", "data"):
        monkeypatch.setenv(f"SER_{name.upper()}", str(tmp_path / name))
    yield tmp_path
    forget()


def test_no_table_is_committed_and_your_own_is_read_once_written(own):
    with pytest.raises(RefusalError, match="^shemo: no recording of it was at hand, .* see `ser fetch shemo` for how"):
        corpora.table("shemo")
    make_shemo(own / "data/shemo")
    card = cards.write("shemo", progress=False)
    assert corpora.table_path("shemo").is_relative_to(own / "cache") and card.is_relative_to(own / "cache")
    pd.testing.assert_frame_equal(corpora.table("shemo"), corpora.read("shemo").clips)
    assert cards.load("shemo").header["measured"]["clips"] == 3 and cards.duplicates("shemo").empty


# Experiments


def experiment(folder, **fields):
    content = {
        "name": "own",
        "question": "?",
        "features": ["levels"],
        "models": ["logreg"],
        "normalisations": ["train"],
        "protocols": ["session"],
        "folds": "loo",
    }
    path = folder / "own.yaml"
    path.write_text(yaml.safe_dump({key: value for key, value in (content | fields).items() if value is not None}))
    return path


def make_larger(folder):
    """Six actors of CREMA-D, five sessions of IEMOCAP with two speakers each, and SAVEE's four men, angry and sad.

    Every clip lasts 1.1 s.
    """
    rng = np.random.default_rng(0)
    for actor, emotion, line in itertools.product(range(1001, 1007), ("ANG", "SAD"), ("DFA", "IEO")):
        put(folder / "crema_d", f"AudioWAV/{actor}_{line}_{emotion}_XX.wav", rng.uniform(-0.5, 0.5, 17_600))
    for speaker, emotion, number in itertools.product(("DC", "JE", "JK", "KL"), ("a", "sa"), (1, 2)):
        put(folder / "savee", f"AudioData/{speaker}/{emotion}{number:02d}.wav", rng.uniform(-0.5, 0.5, 17_600))
    for session in range(1, 6):
        said = []
        for gender, emotion, turn in itertools.product("FM", ("ang", "sad"), range(2)):
            name = f"Ses0{session}F_impro01_{gender}{turn}{'0' if emotion == 'ang' else '1'}0"
            said.append(f"[1.0 - 2.1]\t{name}\t{emotion}\t[2.0, 2.0, 2.0]\n")
            place = f"Session{session}/sentences/wav/Ses0{session}F_impro01/{name}.wav"
            put(folder / "iemocap", place, rng.uniform(-0.5, 0.5, 17_600))
        write(folder / "iemocap", f"Session{session}/dialog/EmoEvaluation/Ses0{session}F_impro01.txt", "\n".join(said))


def test_an_experiment_refuses_what_is_not_at_hand_and_says_how_to_get_it(own):
    instead = {"features": None, "models": None, "normalisations": None}
    fusion = {"members": ["levels/logreg/train"], "rule": "mean", "average": True}
    kinds = ({}, instead | {"networks": {"a": {}}}, instead | {"fusions": {"a": fusion}})
    for fields in (*kinds, {"features": ["words"], "normalisations": ["tfidf"]}):
        with pytest.raises(SerError, match="support nothing of it; .* iemocap: no recording .* `ser fetch iemocap`"):
            configuration.load(experiment(own, corpora=["iemocap"], **fields))
    synthetic.corpus(own / "data/urdu", speakers=6, sentences=1, emotions=("angry", "sad"))
    corpora.write_table(corpora.local.read(own / "data/urdu/clips.csv", name="urdu"))
    for fields in kinds:
        fields |= {"corpora": ["crema_d", "crema_d+urdu", "urdu"], "protocols": ["speaker"], "folds": 2}
        loaded = configuration.load(experiment(own, **fields))
        assert [cell.corpus for cell in loaded.systems] == ["urdu"]
        assert loaded.refused["corpus"].tolist() == ["crema_d", "crema_d+urdu"]
        reasons = loaded.refused["reason"]
        assert reasons.str.fullmatch("crema_d: .* `ser fetch crema_d` .* `ser card crema_d --write`").all()


def test_leave_one_session_out_and_a_merged_corpus_run_once_the_recordings_are_there(own):
    make_larger(own / "data")
    for name in ("crema_d", "iemocap", "savee"):
        corpora.write_table(corpora.read(name))
        features.extract(name, "levels", jobs=1, progress=False)
    (folder,) = runner.run(configuration.load(experiment(own, corpora=["iemocap"])), jobs=1, progress=False)
    table = runs.read(f"own/{folder.name}").predictions
    sessions = corpora.table("iemocap")["session"]
    assert sorted(table["clip"]) == sorted(sessions.index) and len(sessions) == 40
    assert (table.groupby("fold")["clip"].apply(lambda clips: sessions[clips].nunique()) == 1).all()
    assert table["fold"].nunique() == 5
    merged = experiment(own, corpora=["crema_d+iemocap+savee"], protocols=["speaker"], folds=2, labels="sharma7")
    (folder,) = runner.run(configuration.load(merged), jobs=1, progress=False)
    table = runs.read(f"own/{folder.name}").predictions
    assert len(table) == 40 + 24 + 16 and set(table["truth"]) == {"angry", "sad"}


# Words


@pytest.mark.parametrize("name", corpora.ABSENT)
def test_the_words_of_the_loader_are_known_and_have_the_four_common_ones(name):
    words = getattr(corpora, name).EMOTIONS
    words = words.values() if isinstance(words, dict) else words
    assert sorted(words) == list(labels.NATIVE[name])
    assert set(labels.HARMONISATIONS["common4"][name].values()) == {"angry", "happy", "neutral", "sad"}


def test_neither_excitement_nor_sarcasm_nor_surprise_is_a_common_word():
    kept = labels.HARMONISATIONS["common4"]
    assert sorted(kept["iemocap"]) == ["anger", "happiness", "neutral", "sadness"]
    assert sorted(kept["shemo"]) == ["anger", "happiness", "neutral", "sadness"]
    assert sorted(kept["iitkgp_sehsc"]) == ["anger", "happy", "neutral", "sadness"]
    assert sorted(kept["crema_d"]) == ["anger", "happy", "neutral", "sad"]


def test_corpora_of_different_words_are_joined_in_the_common_ones(tmp_path):
    tables = []
    for name, make in MAKERS.items():
        make(tmp_path / name)
        tables.append(corpora.read(name, tmp_path / name).clips)
    kept = labels.harmonise(clips.join(tables), "common4")
    assert kept["emotion"].to_dict() == {
        "crema_d/1001_DFA_ANG_XX": "angry",
        "crema_d/1002_IEO_HAP_LO": "happy",
        "crema_d/1091_WSI_NEU_XX": "neutral",
        "iemocap/Ses01F_impro01_F000": "neutral",
        "iitkgp_sehsc/3.2.anger-01": "angry",
        "iitkgp_sehsc/7.1.sadness-09": "sad",
        "punjabi_rasa/test/PAN_M_HAPPY_00007": "happy",
        "punjabi_rasa/train/PAN_F_ANGER_00001": "angry",
        "punjabi_rasa/train/PAN_M_WIKI_00031": "neutral",
        "shemo/F21A05": "angry",
    }

"""What a folder of recordings is taken for, from names, folders and sheets, and the working folder made of it."""

import os
import shutil

import numpy as np
import pandas as pd
import pytest
import soundfile

from ser_core.data import corpora, synthetic
from ser_core.data.corpora import guessing, local, words
from ser_core.errors import SerError
from ser_core.experiments import working_folder

EMOTIONS = synthetic.EMOTIONS


def folder_of(tmp_path, names):
    for name in names:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path


def columns(guess):
    return guess.table.set_index("path").to_dict("index")


def test_names_with_parts_are_told_apart(tmp_path):
    names = [f"s{s:02}_t{t:02}_{e}_r1.wav" for s in range(1, 5) for t in range(1, 4) for e in EMOTIONS]
    found = guessing.guess(folder_of(tmp_path, names))
    assert found.found == {"emotion": "part 3", "speaker": "part 1", "sentence": "part 2"}
    assert columns(found)["s02_t03_sad_r1.wav"] == {"emotion": "sad", "speaker": "s02", "sentence": "t03"}
    assert found.notes == ()


def test_folders_of_people_and_labels_in_another_script(tmp_path):
    said = {"غصہ": "angry", "خوشی": "happy", "اداسی": "sad"}
    names = [f"{who}/{word}__{take}.flac" for who in ("Amna", "Bilal", "Erum") for word in said for take in "1234"]
    found = guessing.guess(folder_of(tmp_path, names))
    assert found.found["speaker"] == "folder" and found.found["emotion"] == "part 1"
    assert columns(found)["Erum/غصہ__2.flac"]["emotion"] == "angry"
    assert any("غصہ = angry" in note for note in found.notes)
    kept = guessing.guess(tmp_path, own_words=True)
    assert set(kept.table["emotion"]) == set(said)


def test_a_sheet_goes_before_names_and_what_does_not_fit_is_told(tmp_path):
    folder_of(tmp_path, [f"ton/{i:03}.wav" for i in range(12)])
    rows = [f"{i:03};P{i % 3};{'w' if i % 3 else 'm'};{('Wut', 'Trauer')[i % 2]}" for i in range(11)]
    sheet = "\n".join(["Datei;Sprecher;Geschlecht;Gefühl", *rows, "999;P1;w;Wut", ""])
    (tmp_path / "Liste.csv").write_bytes(sheet.encode("cp1252"))
    found = guessing.guess(tmp_path)
    assert columns(found)["ton/004.wav"] == {"emotion": "angry", "speaker": "P1", "gender": "female"}
    assert pd.isna(columns(found)["ton/011.wav"]["emotion"])
    told = "\n".join(found.notes)
    assert "1 rows of Liste.csv name no recording here, the first '999'" in told
    assert "1 recordings are not in Liste.csv, the first ton/011.wav" in told
    assert "1 recordings have no emotion" in told


def test_a_sheet_in_a_linked_folder_is_read_as_its_recordings_are(tmp_path):
    disk = folder_of(tmp_path / "disk", [f"{i}.wav" for i in range(4)])
    rows = "\n".join(["file,emotion", *(f"{i}.wav,{('sad', 'happy')[i % 2]}" for i in range(4)), ""])
    (disk / "list.csv").write_text(rows)
    folder = folder_of(tmp_path / "mine", ["notes.json"])
    (folder / "audio").symlink_to(disk)
    found = guessing.guess(folder)
    assert found.found["emotion"] == "column 'emotion' of audio/list.csv" and len(found.table) == 4
    assert "notes.json is not read; save a sheet as CSV" in found.notes


def test_words_of_two_languages_for_one_emotion_are_one_class(tmp_path):
    names = [
        f"发言人{s}_{word}_句子{n}.wav"
        for s in (1, 2, 3)
        for word in ("愤怒", "anger", "高兴", "happy")
        for n in (1, 2)
    ]
    found = guessing.guess(folder_of(tmp_path, names))
    assert found.found == {"emotion": "part 2", "speaker": "part 1", "sentence": "part 3"}
    assert set(found.table["emotion"]) == {"anger", "happy"}
    assert "'anger', '愤怒' are taken for one emotion, 'anger'" in found.notes
    kept = guessing.guess(tmp_path, own_words=True)
    assert len(set(kept.table["emotion"])) == 4 and any("stay 2 classes" in note for note in kept.notes)


def test_one_spelling_a_word_and_letters_are_a_guess(tmp_path):
    names = [f"s{s}_{word}_{n}.wav" for s in (1, 2) for word in ("Happy", "happy", "SAD") for n in (1, 2)]
    found = guessing.guess(folder_of(tmp_path / "a", names))
    assert set(found.table["emotion"]) == {"happy", "sad"}
    assert any("taken for one word, 'happy'" in note for note in found.notes)
    letters = [f"{who}/{word}{n:02}.wav" for who in ("DC", "JE") for word in ("a", "sa", "su") for n in range(1, 4)]
    found = guessing.guess(folder_of(tmp_path / "b", letters))
    assert set(found.table["emotion"]) == {"angry", "sad", "surprised"} and set(found.table["speaker"]) == {"DC", "JE"}
    assert any("letters are a guess" in note for note in found.notes)


def test_codes_are_refused_with_the_fields_and_read_when_they_are_named(tmp_path):
    folder_of(tmp_path, [f"03-0{e}-0{s}.wav" for e in (1, 2) for s in range(1, 6)])
    with pytest.raises(SerError, match=r"no field holds words for emotions; name one by --emotion.*part 2: 01, 02"):
        guessing.guess(tmp_path)
    found = guessing.guess(tmp_path, {"emotion": "part 2", "speaker": "part 3"}, words={"01": "happy", "02": "sad"})
    assert columns(found)["03-02-04.wav"] == {"emotion": "sad", "speaker": "04"}
    with pytest.raises(SerError, match="there is no field 'part 9'; there are 'part 2', 'part 3'"):
        guessing.guess(tmp_path, {"emotion": "part 9"})
    with pytest.raises(SerError, match="no emotion is written '1'; there are 01, 02"):
        guessing.guess(tmp_path, {"emotion": "part 2"}, words={"1": "happy"})


@pytest.mark.parametrize("name", ["x.mp3", None])
def test_a_folder_without_recordings_is_refused(tmp_path, name):
    with pytest.raises(SerError, match=r"no .wav or .flac recording in it" if name else "no such folder"):
        guessing.guess(folder_of(tmp_path, [name]) if name else tmp_path / "none")


def test_words_are_in_one_spelling_and_mean_one_thing():
    for table in (words.EMOTIONS, words.GENDERS, words.COLUMNS, words.LETTERS):
        assert all(words.plain(word) == word for word in table)
    assert set(words.EMOTIONS.values()) >= set(words.LETTERS.values()) and set(words.GENDERS.values()) == {
        "female",
        "male",
    }


def test_from_recordings_to_a_corpus(tmp_path, ser, monkeypatch):
    for variable in ("SER_RESULTS", "SER_CACHE", "SER_DATA"):
        monkeypatch.delenv(variable, raising=False)
    synthetic.corpus(tmp_path / "my recordings", speakers=3, sentences=2)
    truth = pd.read_csv(tmp_path / "my recordings/clips.csv")
    (tmp_path / "my recordings/clips.csv").unlink()
    done = ser("init", tmp_path / "lab", tmp_path / "my recordings")
    assert (
        done.code == 0 and "speaker    part 1: s01, s02, s03" in done.out and "ser study my-recordings.csv" in done.out
    )
    monkeypatch.chdir(tmp_path / "lab")
    name, problems = corpora.own.add(tmp_path / "lab/my-recordings.csv")
    table = corpora.table(name)
    assert name == "my-recordings" and len(problems) == 0 and len(table) == len(truth) == 24
    expected = truth.assign(clip="my-recordings/" + truth["path"].str.removesuffix(".wav")).set_index("clip")
    assert table["emotion"].to_dict() == expected["emotion"].to_dict()
    assert table["speaker"].str.removeprefix("my-recordings/").to_dict() == expected["speaker"].to_dict()
    with pytest.raises(SerError, match="has experiments/ or results/ already"):
        working_folder.make_from_recordings(tmp_path / "lab", tmp_path / "my recordings")
    shutil.rmtree(tmp_path / "lab/experiments")
    shutil.rmtree(tmp_path / "lab/results")
    with pytest.raises(SerError, match="there is such a file already; give it by --corpus"):
        working_folder.make_from_recordings(tmp_path / "lab", tmp_path / "my recordings")


@pytest.mark.parametrize(
    ("words_", "message"),
    [
        (("--emotion", "part 1"), "need a folder RECORDINGS"),
        (("rec", "--corpus", "x.csv"), "not both"),
        (("rec", "--word", "01"), "written as name=value, not as '01'"),
        (("rec", "--word", "01=sad", "--word", "01=happy"), "says '01' twice"),
    ],
)
def test_options_that_do_not_go_together_are_one_line(tmp_path, ser, words_, message):
    done = ser("init", tmp_path / "lab", *words_)
    assert done.code == 2 and message in done.err and done.err.count("\n") == 1
    assert not (tmp_path / "lab").exists()


def test_names_that_cannot_be_written_and_leftovers_are_told(tmp_path):
    folder_of(tmp_path, [f"s{s}_{word}_{n}.wav" for s in (1, 2) for word in ("sad", "happy") for n in (1, 2)])
    folder_of(tmp_path, ["._s1_sad_1.wav", "__MACOSX/s1_sad_1.wav"])
    os.close(os.open(os.fsencode(tmp_path) + b"/s1_sad_\xff.wav", os.O_CREAT))
    found = guessing.guess(tmp_path)
    assert len(found.table) == 8
    assert any(r"s1_sad_\udcff.wav is no UTF-8" in note for note in found.notes)
    assert any("2 hidden files are left out" in note for note in found.notes)


def test_a_name_cannot_act_on_the_terminal(tmp_path):
    folder_of(tmp_path, [f"s{s}\x1b31m_{word}.wav" for s in (1, 2) for word in ("sad", "happy")])
    found = guessing.guess(tmp_path)
    assert "\x1b" not in found.text() and r"s1\x1b31m" in found.text()


def test_speakers_and_sessions_are_told_in_scripts_with_vowel_signs(tmp_path):
    # A word is letters and vowel signs, which are no letters to Unicode.
    people = ["वक्ता-०१", "वक्ता-०२", "क\u093cासिम", "\u0958ासिम"]
    names = [
        f"{who}/सत्र {n}/{word}_{at}{n}{i}.wav"
        for at, who in enumerate(people)
        for n in (1, 2)
        for i, word in enumerate(("गुस्सा", "डर"))
    ]
    names[0] = names[0].replace("गुस्सा", "ग\u093cुस्सा")
    found = guessing.guess(folder_of(tmp_path, names))
    assert found.found["speaker"] == "folder 2 above" and found.found["session"] == "folder"
    assert "sentence" not in found.found and set(found.table["emotion"]) == {"angry", "fearful"}
    assert found.table["speaker"].nunique() == 3 and found.table["session"].nunique() == 6
    assert columns(found)["वक्ता-०२/सत्र 1/डर_111.wav"]["session"] == "वक्ता-०२ सत्र 1"
    assert any("2 Unicode forms" in note for note in found.notes)


def test_recordings_in_other_formats_are_counted(tmp_path):
    names = [f"s{s}_{word}.{kind}" for s in (1, 2) for word in ("sad", "happy") for kind in ("wav", "mp3")]
    found = guessing.guess(folder_of(tmp_path, [*names, "._s1_sad.mp3"]))
    assert len(found.table) == 4
    assert found.notes[0].startswith("4 recordings in .mp3 are not read, the first is s1_happy.mp3; convert them")


def test_the_word_of_most_raters_is_the_emotion(tmp_path):
    votes = ["Wut Wut Angst", "Angst Wut Angst", "Wut wut WUT", "Wut Angst Trauer", "Trauer Trauer Trauer"]
    rows = [f"{i}.wav;P{i % 2};{';'.join(row.split())}" for i, row in enumerate(votes)]
    folder_of(tmp_path, [f"{i}.wav" for i in range(5)])
    (tmp_path / "r.csv").write_text("\n".join(["Datei;Sprecher;Erste;Zweite;Dritte", *rows, ""]))
    found = guessing.guess(tmp_path)
    assert found.found["emotion"] == "majority"
    assert found.table["emotion"].fillna("").tolist() == ["angry", "fearful", "angry", "", "sad"]
    told = "\n".join(found.notes)
    # By hand: of four recordings with a majority the first rater says the same in 4, the second in 3.
    assert "column 'Erste' of r.csv holds words" not in told and "raters are divided on 1 recordings" in told
    assert "column 'Zweite' of r.csv holds words for emotions, too, and agrees with majority in 75% of 4" in told
    one = guessing.guess(tmp_path, {"emotion": "Zweite"})
    assert one.table["emotion"].tolist() == ["angry", "angry", "angry", "fearful", "sad"]


def spans(tmp_path, rows, head="Datei;Beginn;Ende;Sprecher;Gefühl"):
    rate, folder = 8000, tmp_path / "ton"
    folder.mkdir()
    sound = np.arange(10 * rate) % 2000 / 2000
    for name in ("Gespräch 1.wav", "Gespräch 2.wav"):
        soundfile.write(folder / name, sound, rate, subtype="PCM_16")
    (folder / "Liste.csv").write_bytes("\n".join([head, *rows, ""]).encode("utf-16"))
    return folder, soundfile.read(folder / "Gespräch 1.wav", dtype="int16")[0]


def test_spans_of_long_recordings_become_clips(tmp_path):
    rows = [
        f"Gespräch {n}.wav;{a};{b};P{n};{e}"
        for n in (1, 2)
        for a, b, e in (("0,5", "1,25", "Wut"), ("0:02.0", "4", "Angst"))
    ]
    rows += [
        "Gespräch 1.wav;3;5;P1;Wut",
        "Gespräch 1.wav;9;11;P1;Wut",
        "Gespräch 1.wav;3;5;P1;Angst",
        "weg.wav;1;2;P1;Wut",
    ]
    rows += ["Gespräch 2.wav;bald;5;P1;Wut"]
    folder, whole = spans(tmp_path, rows)
    guess, csv, _ = working_folder.make_from_recordings(tmp_path / "lab", folder)
    table = local.read(csv).clips
    assert table["emotion"].to_dict() == {
        "local/Gespräch 1/0001": "angry",
        "local/Gespräch 1/0002": "fearful",
        "local/Gespräch 1/0003": "angry",
        "local/Gespräch 2/0001": "angry",
        "local/Gespräch 2/0002": "fearful",
    }
    assert set(table["session"]) == {"local/Gespräch 1", "local/Gespräch 2"}
    heard, rate = soundfile.read(tmp_path / "lab/ton-cut/Gespräch 1/0001.flac", dtype="int16")
    assert rate == 8000 and np.array_equal(heard, whole[4000:10000])
    told = "\n".join(guess.notes)
    assert "5 spans of Liste.csv are cut" in told and "1 spans of Gespräch 1.wav overlap the one before" in told
    assert "1 rows of Liste.csv are left out: the first, Gespräch 1.wav from 3 to 5, is listed again" in told
    assert "2 rows of Liste.csv are left out: the first, Gespräch 1.wav from 9 to 11, does not lie in its" in told
    assert "names no recording here" in told


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            ["Gespräch 1.wav;12;14;P1;Wut", "Gespräch 1.wav;14;16;P1;Angst"],
            r"none of its 2 spans can be cut.*does not lie",
        ),
        (["Gespräch 1.wav;1;2;P1;Wut", "Gespräch 1.wav;2;3;P1;Angst"], "there is no field 'part 9'"),
    ],
)
def test_spans_that_are_refused_leave_nothing(tmp_path, rows, message):
    folder, _ = spans(tmp_path, rows)
    with pytest.raises(SerError, match=message):
        working_folder.make_from_recordings(tmp_path / "lab", folder, {"emotion": "part 9"})
    assert not (tmp_path / "lab").exists() or list((tmp_path / "lab").iterdir()) == []


def test_a_csv_that_is_none_is_refused_at_once(tmp_path):
    (tmp_path / "a.csv").write_bytes("path,emotion,speaker\n".encode("utf-16"))
    (tmp_path / "b.csv").write_text("Datei;Emotion\n")
    for name, message in (("a.csv", "save it as CSV in UTF-8"), ("b.csv", "lacks the columns|not a readable")):
        with pytest.raises(SerError, match=message):
            working_folder.make(tmp_path / "lab", tmp_path / name)
        assert not (tmp_path / "lab").exists()

"""Recordings and folders of which a part would be lost, or another sound heard, in silence."""

import os

import numpy as np
import pandas as pd
import pytest
import soundfile

from ser_core import files
from ser_core.data import audio, corpora
from ser_core.errors import SerError

RATE = 16_000


@pytest.fixture
def tone():
    t = np.arange(RATE) / RATE
    return 0.5 * np.sin(2 * np.pi * 200 * t) * np.sin(np.pi * t)


def write(path, samples, **how):
    soundfile.write(path, samples, RATE, **how)
    return path


def kinds(samples):
    return [kind for kind, _ in audio.oddities(np.atleast_2d(np.asarray(samples, "float32").T).T, RATE)]


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT", "ULAW"])
@pytest.mark.parametrize("kept", [0.2, 0.5, 0.99])
def test_a_wav_cut_short_is_refused(tmp_path, tone, subtype, kept):
    path = write(tmp_path / "a.wav", tone, subtype=subtype)
    audio.read(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * kept)])
    with pytest.raises(SerError, match=r"cut short, \d+ of \d+ bytes of sound"):
        audio.read(path)


@pytest.mark.parametrize("length", [b"\xff\xff\xff\xff", b"\x00\xff\xff\xff"])
def test_a_wav_of_unknown_length_is_read_whole(tmp_path, tone, length):
    path = write(tmp_path / "a.wav", tone)
    content = path.read_bytes()
    at = content.index(b"data") + 4
    path.write_bytes(content[:at] + length + content[at + 4 :])
    np.testing.assert_array_equal(audio.read(path)[0], soundfile.read(path, dtype="float32")[0])
    assert len(audio.read(path)[0]) == RATE


@pytest.mark.parametrize("scale", [127.0, 32768.0, 1e30])
def test_floats_on_another_scale_are_refused(tmp_path, tone, scale):
    path = write(tmp_path / "a.wav", tone * scale, subtype="FLOAT")
    with pytest.raises(SerError, match=r"its largest sample is .*; expected a scale of \[-1, 1\]"):
        audio.read(path)


def test_what_cancels_in_the_mean_is_refused(tmp_path, tone):
    noise = 0.001 * np.random.default_rng(0).normal(size=RATE)
    for other in (-tone, -tone + noise):
        path = write(tmp_path / "a.wav", np.stack([tone, other], axis=1))
        with pytest.raises(SerError, match=r"its 2 channels cancel each other, \d+ dB in the mean"):
            audio.read(path)
    write(path, np.stack([tone, tone], axis=1))
    samples, _ = audio.read(path)
    np.testing.assert_allclose(samples, tone, atol=1e-4)


def test_what_is_odd_is_told_and_kept(tone):
    rng = np.random.default_rng(0)
    assert kinds(tone) == []
    assert kinds(np.stack([tone, tone * 0.8 + 0.01 * rng.normal(size=RATE)], axis=1)) == []
    assert kinds(np.zeros(RATE)) == ["silent recording"]
    assert kinds(tone * 2.8) == ["beyond full scale"]
    assert kinds(tone[4000:4100]) == ["very short recording"]
    assert kinds(np.stack([tone, 0 * tone], axis=1)) == ["silent channel"]
    assert kinds(np.stack([tone, rng.normal(size=RATE) * 0.1], axis=1)) == ["different channels"]
    assert kinds(np.stack([tone] * 6, axis=1)) == ["several channels"]
    assert audio.oddities(tone[:, None].astype("float32"), 100)[0][0] == "low sampling rate"


def test_linked_folders_are_read_once_and_dangling_links_are_told(tmp_path, tone):
    here, there = tmp_path / "ravdess", tmp_path / "disk" / "Actor_02"
    (here / "Actor_01").mkdir(parents=True), there.mkdir(parents=True)
    for actor, folder in (("01", here / "Actor_01"), ("02", there)):
        for emotion, gain in (("01", 1.0), ("05", 0.5)):
            write(folder / f"03-01-{emotion}-01-01-01-{actor}.wav", tone * gain / (2 + int(actor)))
    (here / "Actor_02").symlink_to(there)
    (here / "again").symlink_to(here / "Actor_01")
    (here / "Actor_01" / "loop").symlink_to(here)
    (here / "Actor_01" / "03-01-03-01-01-01-01.wav").symlink_to(tmp_path / "annex")
    reading = corpora.read("ravdess", here)
    assert reading.clips["speaker"].value_counts().to_dict() == {"ravdess/01": 2, "ravdess/02": 2}
    assert reading.problems[["path", "problem"]].to_numpy().tolist() == [
        ["Actor_01/03-01-03-01-01-01-01.wav", "missing file"]
    ]


def test_names_that_are_no_text_and_files_of_others_are_told(tmp_path, tone):
    folder = tmp_path / "ravdess"
    (folder / "Actor_01").mkdir(parents=True), (folder / ".Trash").mkdir()
    name = "03-01-01-01-01-01-01.wav"
    write(folder / "Actor_01" / name, tone), write(folder / ".Trash" / name, tone * 0.5)
    write(folder / "Actor_01" / "03-01-01-01-01-01-02.wav", tone * 0.3)
    os.link(folder / "Actor_01" / name, os.fsencode(folder) + b"/Actor_01/\xff.wav")
    reading = corpora.read("ravdess", folder)
    assert reading.clips.loc["ravdess/03-01-01-01-01-01-01", "path"] == f"Actor_01/{name}"
    problems = reading.problems.set_index("problem")["detail"]
    assert set(problems.index) == {"unparsable name", "odd name", "listed twice"}
    assert "not in UTF-8" in problems["unparsable name"] and "the folder says Actor_01" in problems["odd name"]


def test_a_closed_folder_is_not_passed_over(tmp_path, monkeypatch):
    def walk(top, onerror, **_):
        onerror(PermissionError(13, "Permission denied", str(top)))
        return iter(())

    monkeypatch.setattr(os, "walk", walk)
    with pytest.raises(PermissionError):
        list(files.walk(tmp_path))


@pytest.fixture
def csv(tmp_path, tone):
    """Write a CSV over four recordings and read it."""
    for i in range(4):
        write(tmp_path / f"{i}.wav", tone * (i + 1) / 4)

    def call(**columns):
        table = pd.DataFrame({"path": [f"{i}.wav" for i in range(4)], "emotion": "sad", "speaker": "anna"} | columns)
        table.to_csv(tmp_path / "mine.csv", index=False)
        return corpora.local.read(tmp_path / "mine.csv")

    return call


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("emotion", ["sad", "Sad", "sad", "sad"]),
        ("speaker", ["1", "01", "2", "2"]),
        ("speaker", ["1.0", "1", "2", "2"]),
        ("speaker", ["anna", "anna\u200b", "bea", "bea"]),
        ("sentence", ["caf\u00e9", "cafe\u0301", "b", "b"]),
        ("clip", ["a", "a.wav", "c", "d"]),
    ],
)
def test_one_thing_in_two_writings_is_refused(csv, column, values):
    with pytest.raises(SerError, match=rf"the {column}s .* \(line 2\) and .* \(line 3\) differ only in case"):
        csv(**{column: values})


def test_one_speaker_of_two_genders_and_words_of_libraries_are_told(csv):
    reading = csv(gender=["female", "female", "female", "male"], emotion=["sad", "nan", "sad", "sad"])
    problems = reading.problems.set_index("problem")["detail"]
    assert problems["contradicting gender"] == "speaker 'anna' has clips of both: 3 female, 1 male; kept"
    assert problems["odd emotion"].startswith("line 3: 'nan' is taken as a word")
    with pytest.raises(SerError, match="segments are not read"):
        csv(start="0", end="1")
    with pytest.raises(SerError, match=r"line 2: emotion '\\x1b\[2Jsad' holds control characters"):
        csv(emotion="\x1b[2Jsad")


def test_a_line_of_blanks_is_passed_over_and_counted(csv, tmp_path):
    assert len(csv().clips) == 4
    path = tmp_path / "mine.csv"
    path.write_text(path.read_text().replace("1.wav", "  \n9.wav"))
    problems = corpora.local.read(path).problems
    assert problems[["path", "problem"]].to_numpy().tolist() == [["9.wav", "missing file"]]
    path.write_text(path.read_text().replace("2.wav,sad", "2.wav,"))
    assert "line 5, left out" in corpora.local.read(path).problems["detail"].tolist()


def test_paths_that_lead_nowhere_get_a_hint(csv):
    details = csv(path=["0.wav", "1.WAV", "2.wav", "3.wav"]).problems["detail"].tolist()
    assert details == ["clip local/1 left out; there is '1.wav', which differs in case, blanks or coding"]
    twice = csv(path=["0.wav", "1.wav", "2.wav", "2.wav"], emotion=["sad", "sad", "sad", "happy"]).problems
    assert twice["detail"].tolist() == [
        "clip local/2 is also 2.wav, kept (the same samples, but another emotion: sad is kept)"
    ]

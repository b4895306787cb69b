"""Segments of speech: their times are those of a speech that Praat's synthesiser speaks between silences."""

import io
import json

import numpy as np
import pandas as pd
import pytest
import soundfile
from spoken import RATE, toy, voice

from ser_core.data import audio
from ser_core.systems import linear

pytest.importorskip("silero_vad")

from ser_core.systems import speech  # noqa: E402


@pytest.fixture(scope="module")
def spoken():
    """A sentence by eSpeak, which comes with Praat: a voice that was there before this code."""
    from parselmouth.praat import call

    speaker = call("Create SpeechSynthesizer", "English (Great Britain)", "Female1")
    (sound,) = call(speaker, "To Sound", "A rod is used to catch pink salmon.", "no")
    samples = audio.resample(sound.values[0], round(sound.sampling_frequency), RATE)
    return 0.5 * samples / np.abs(samples).max()


def silence(seconds):
    return np.zeros(round(seconds * RATE), "float32")


def bounds(samples, loud=0.02):
    where = np.flatnonzero(np.abs(samples) > loud)
    return where[0] / RATE, where[-1] / RATE


@pytest.fixture
def folder(tmp_path, spoken):
    folder = tmp_path / "sounds"
    folder.mkdir()
    long = np.concatenate([silence(2), spoken, silence(3), spoken, silence(1)])
    soundfile.write(folder / "long.wav", long, RATE)
    soundfile.write(folder / "two.wav", np.stack([long, long], axis=1), RATE)
    soundfile.write(folder / "cancel.wav", np.stack([long, -long], axis=1), RATE)
    soundfile.write(folder / "silence.wav", silence(1), RATE)
    soundfile.write(folder / "buzz.wav", voice(3), RATE)
    (folder / "cut.wav").write_bytes((folder / "long.wav").read_bytes()[:50_000])
    (folder / "empty.wav").write_bytes(b"")
    (folder / "notes.txt").write_text("no sound")
    return folder


def test_segments_are_where_somebody_was_put(spoken):
    start, end = bounds(spoken)
    second = 2 + len(spoken) / RATE + 3
    found = speech.segments(np.concatenate([silence(2), spoken, silence(3), spoken, silence(1)]), RATE, pause_s=0.5)
    expected = [[2 + start, 2 + end], [second + start, second + end]]
    np.testing.assert_allclose(found, expected, atol=0.25)
    assert speech.segments(voice(3), RATE) == speech.segments(silence(2), RATE) == speech.segments([], RATE) == []


def test_another_rate_and_the_limits_of_durations_are_kept(spoken):
    high = audio.resample(np.concatenate([silence(1), spoken, silence(1)]), RATE, 44_100)
    found = speech.segments(high, 44_100, pause_s=0.5)
    np.testing.assert_allclose(found, [np.add(bounds(spoken), 1)], atol=0.25)
    cut = speech.segments(high, 44_100, longest_s=1)
    assert len(cut) > 1 and max(end - start for start, end in cut) <= 1 + 2 * speech.PAD_S
    assert speech.segments(high, 44_100, shortest_s=60) == []
    assert max(end for _, end in speech.segments(spoken, RATE)) <= len(spoken) / RATE


def test_a_folder_with_everything_in_it(ser, folder):
    done = ser("segment", folder, "--pause", 0.5)
    table = pd.read_csv(io.StringIO(done.out))
    said = dict(line.removeprefix("ser: ").split(": ", 1) for line in done.err.splitlines()[:-1])
    assert done.code == 1 and list(table) == ["path", "start", "end"]
    assert table["path"].value_counts().to_dict() == {str(folder / name): 2 for name in ("long.wav", "two.wav")}
    bad = {
        "cancel.wav": "cancel each other",
        "silence.wav": "silent",
        "buzz.wav": "no speech found",
        "cut.wav": "cut short",
        "empty.wav": "zero-byte",
        "notes.txt": "not a recording",
    }
    assert set(said) == {str(folder / name) for name in bad}
    assert all(match in said[str(folder / name)] for name, match in bad.items())
    assert "8 files, 2 with speech: 4 segments" in done.err


def test_json_says_what_found_them_and_csv_is_written_anew(ser, folder):
    out = folder / "segments.json"
    done = ser("segment", folder / "long.wav", "--pause", 0.5, "-o", out)
    assert (done.code, done.out) == (0, f"{out}\n")
    found = json.loads(out.read_text())
    assert len(found["segments"]) == 2 and found["made_by"]["package"] == "silero-vad"
    assert (found["made_by"]["pause_s"], found["made_by"]["longest_s"]) == (0.5, None)
    was = out.read_bytes()
    assert ser("segment", folder, "--pause", 0.5, "--format", "json", "-o", out).code == 1
    assert json.loads(out.read_text())["segments"][:2] == json.loads(was)["segments"]


@pytest.mark.parametrize(
    ("words", "match"),
    [
        (["silence.wav"], "no speech in 1 file;"),
        (["nowhere.wav"], "no such recording"),
        (["long.wav", "--format", "xml"], "csv or json"),
        (["long.wav", "--pause", "0"], "expected a number above 0"),
        (["long.wav", "--shortest", "nan"], "expected a number above 0"),
        (["long.wav", "--longest", "0.1"], "expected the longest above the shortest"),
        (["long.wav", "-o", "long.wav"], "is what this command reads"),
    ],
)
def test_what_is_asked_wrongly_writes_nothing(ser, folder, monkeypatch, words, match):
    monkeypatch.chdir(folder)
    before = {path: path.read_bytes() for path in folder.iterdir()}
    done = ser("segment", *words)
    assert (
        (done.code, done.out) == (2, "") and match in done.err and done.err.count("ser: ") == len(done.err.splitlines())
    )
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


def test_without_the_package_the_extra_is_named(ser, folder, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "silero_vad", None)
    speech._network.cache_clear()
    linear.save(toy(), folder.parent / "toy.safetensors")
    for words in (["segment"], ["predict", "--speech", "--model", folder.parent / "toy.safetensors"]):
        done = ser(*words, folder / "long.wav")
        assert (done.code, done.out) == (2, "") and "ser-core[speech]" in done.err and done.err.count("\n") == 1


def test_predict_abstains_where_nobody_speaks_only_if_asked(ser, spoken, tmp_path):
    """The buzz is voiced, so that Praat passes it; nobody speaks in it."""
    said = np.concatenate([np.resize(spoken, 3 * RATE), silence(1)])
    soundfile.write(tmp_path / "long.wav", np.concatenate([voice(4), said, voice(4)]), RATE)
    linear.save(toy(), tmp_path / "toy.safetensors")
    given = ["predict", tmp_path / "long.wav", "--window", 4, "--model", tmp_path / "toy.safetensors"]
    plain, asked = (pd.read_csv(io.StringIO(ser(*given, *more).out)) for more in ([], ["--speech"]))
    assert plain["status"].tolist() == ["answered"] * 3
    assert asked["status"].tolist() == ["no speech", "answered", "no speech"]
    assert asked["note"].iloc[0] == "no speech found by Silero VAD" and asked["prediction"].isna().tolist()[0]
    assert asked.iloc[1].equals(plain.iloc[1])

import numpy as np
import pandas as pd
import pytest
import soundfile
from scipy import signal

from ser_core.data import audio, corpora, synthetic
from ser_core.errors import SerError


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return synthetic.corpus(
        tmp_path_factory.mktemp("toy"), speakers=4, sentences=2, repetitions=2, copies=synthetic.COPIES
    )


def pitch(x):
    """Median F0 in Hz by autocorrelation of the loud frames."""
    frames = np.lib.stride_tricks.sliding_window_view(audio.trim_silence(x, synthetic.RATE), 1024)[::512]
    lags = []
    for frame in frames * np.hanning(1024):
        correlation = signal.correlate(frame, frame, mode="full")[1023:]
        lags.append(40 + correlation[40:200].argmax())
    return synthetic.RATE / np.median(lags)


def test_the_corpus_is_read_as_any_other_and_has_the_rows_of_its_table(folder):
    reading = corpora.local.read(folder / "clips.csv", name="toy")
    planned = synthetic.clips(speakers=4, sentences=2, repetitions=2)
    copies = reading.clips.index.str.startswith("toy/copy_")
    assert copies.sum() == len(synthetic.COPIES)
    columns = ["speaker", "gender", "emotion", "sentence", "path"]
    pd.testing.assert_frame_equal(reading.clips.loc[~copies, columns], planned[columns])
    assert list(reading.problems["problem"]) == ["duplicate recording"]  # the exact copy; the others differ in samples


def test_files_are_16_khz_16_bit_and_sound(folder):
    for path in sorted(folder.glob("s*.wav")):
        info = soundfile.info(path)
        assert (info.samplerate, info.channels, info.subtype) == (16_000, 1, "PCM_16")
        x, _ = audio.read(path)
        levels = audio.levels(x, synthetic.RATE)
        assert 0.5 < info.duration < 4 and -45 < levels["rms_db"] < -12 and levels["peak_db"] < -1
        assert 0.1 < levels["leading_silence_s"] < 0.5


def test_women_and_arousal_have_the_higher_pitch():
    def mean_pitch(**options):
        voices = [
            synthetic.utterance(speaker=s, gender=gender, sentence=t, emotion=emotion, seed=0)
            for s in range(3)
            for t in range(3)
            for gender in options.get("genders", ("female", "male"))
            for emotion in options.get("emotions", (0.0, 0.5))
        ]
        return np.mean([pitch(x) for x in voices])

    assert mean_pitch(genders=["female"]) > 1.3 * mean_pitch(genders=["male"])
    assert mean_pitch(emotions=[0.0]) > 1.2 * mean_pitch(emotions=[0.5])


def test_takes_differ_and_seeds_repeat():
    options = {"speaker": 1, "gender": "male", "sentence": 0, "emotion": 0.5}
    first = synthetic.utterance(**options, seed=0)
    assert np.array_equal(first, synthetic.utterance(**options, seed=0))
    other = synthetic.utterance(**options, seed=0, take=1)
    assert len(first) != len(other) or not np.allclose(first, other)
    assert not np.array_equal(first, synthetic.utterance(**options, seed=1))


def test_copies_are_listed_under_the_next_speaker(folder):
    table = pd.read_csv(folder / "clips.csv").set_index("path")
    for i, kind in enumerate(synthetic.COPIES):
        copy, original = table.loc[f"copy_{kind}_{i + 1}.wav"], table.iloc[i]
        assert (copy["speaker"], copy["gender"]) == ("s02", "male") and original["speaker"] == "s01"
        assert (copy["emotion"], copy["sentence"]) == (original["emotion"], original["sentence"])
    assert (folder / "copy_exact_1.wav").read_bytes() == (folder / table.index[0]).read_bytes()
    softer, loud = (audio.read(folder / name)[0] for name in ("copy_gain_2.wav", table.index[1]))
    np.testing.assert_allclose(softer, loud * 10 ** (-9 / 20), atol=1 / 32768)
    padded, bare = (audio.read(folder / name)[0] for name in ("copy_padded_3.wav", table.index[2]))
    assert len(padded) - len(bare) == synthetic.RATE


def test_confounded_speakers_have_one_emotion_each():
    clips = synthetic.clips(speakers=8, confounded=True)
    assert (clips.groupby("speaker")["emotion"].nunique() == 1).all()
    assert set(clips["emotion"]) == set(synthetic.EMOTIONS)


def test_wrong_arguments_are_named(tmp_path):
    with pytest.raises(SerError, match="at least 1 speaker"):
        synthetic.clips(speakers=0)
    with pytest.raises(SerError, match="different emotions"):
        synthetic.clips(emotions=("sad", "sad"))
    with pytest.raises(SerError, match=r"no kind of copy \['mp3'\]; there are"):
        synthetic.corpus(tmp_path, copies=["mp3"])

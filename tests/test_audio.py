import hashlib

import numpy as np
import pytest
import soundfile

from ser_core.data import audio
from ser_core.errors import SerError

RATE = 16_000


@pytest.fixture
def noise():
    return np.random.default_rng(0).integers(-20_000, 20_000, RATE).astype("int16")


def test_wav_and_flac_of_the_same_samples_read_and_hash_equal(tmp_path, noise):
    hashes = set()
    for name in ("a.wav", "a.flac"):
        soundfile.write(tmp_path / name, noise, RATE, subtype="PCM_16")
        samples, rate = audio.read(tmp_path / name)
        assert rate == RATE and samples.dtype == np.float32
        np.testing.assert_array_equal(samples, noise / np.float32(32768))
        hashes.add(audio.content_hash(samples, rate))
    assert hashes == {hashlib.sha256(b"16000:" + noise.tobytes()).hexdigest()}


def test_hash_depends_on_samples_and_rate(noise):
    x = noise / 32768
    changed = x.copy()
    changed[100] += 2 / 32768
    assert len({audio.content_hash(x, RATE), audio.content_hash(x, 8000), audio.content_hash(changed, RATE)}) == 3


def test_full_scale_does_not_wrap_around():
    assert audio.content_hash(np.ones(8), RATE) == audio.content_hash(np.full(8, 32767 / 32768), RATE)


def test_channels_are_averaged(tmp_path):
    soundfile.write(tmp_path / "stereo.wav", np.column_stack([np.full(100, 0.5), np.full(100, -0.25)]), RATE)
    np.testing.assert_allclose(audio.read(tmp_path / "stereo.wav")[0], 0.125, atol=1e-4)


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "zero-byte"), (b"RIFF this is no audio at all", "cannot be decoded"), (None, "no such recording")],
)
def test_bad_files_are_named(tmp_path, content, message):
    path = tmp_path / "bad.wav"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SerError, match=message) as error:
        audio.read(path)
    assert str(path) in str(error.value)


def test_no_samples_and_nan(tmp_path):
    soundfile.write(tmp_path / "empty.wav", np.zeros(0), RATE)
    soundfile.write(tmp_path / "nan.wav", np.array([0.0, np.nan]), RATE, subtype="FLOAT")
    with pytest.raises(SerError, match="no samples"):
        audio.read(tmp_path / "empty.wav")
    with pytest.raises(SerError, match="not finite"):
        audio.read(tmp_path / "nan.wav")


def test_resample_keeps_a_tone():
    t = np.arange(RATE) / RATE
    down = audio.resample(np.sin(2 * np.pi * 440 * t), RATE, 8000)
    expected = np.sin(2 * np.pi * 440 * np.arange(8000) / 8000)
    np.testing.assert_allclose(down[500:-500], expected[500:-500], atol=1e-3)
    x = np.ones(10, "float32")
    assert audio.resample(x, RATE, RATE) is x


def test_trim_and_levels_against_a_planted_silence():
    tone = 0.5 * np.sin(2 * np.pi * 200 * np.arange(RATE) / RATE)
    quiet = 1e-5 * np.random.default_rng(0).standard_normal(RATE)
    x = np.concatenate([quiet[: RATE // 2], tone, quiet[: RATE // 4]])
    assert len(audio.trim_silence(x, RATE)) / RATE == pytest.approx(1.0, abs=0.05)
    found = audio.levels(x, RATE)
    assert found["leading_silence_s"] == pytest.approx(0.5, abs=0.03)
    assert found["trailing_silence_s"] == pytest.approx(0.25, abs=0.03)
    assert found["peak_db"] == pytest.approx(20 * np.log10(0.5), abs=0.01)
    # The mean square of the tone is 1/8, and it fills 1 s of 1.75 s.
    assert found["rms_db"] == pytest.approx(10 * np.log10(0.125 / 1.75), abs=0.01)


def test_frame_power_is_that_of_cut_frames():
    x = np.random.default_rng(1).standard_normal(5000)
    db, hop = audio._frame_db(x, RATE)
    frame = round(0.025 * RATE)
    expected = [10 * np.log10(np.mean(x[i * hop : i * hop + frame] ** 2)) for i in range(len(db))]
    np.testing.assert_allclose(db, expected)
    assert (len(db) - 1) * hop + frame >= len(x)


@pytest.mark.parametrize("n", [1, 100, RATE])
def test_silence_and_very_short_sounds(n):
    silent = audio.levels(np.zeros(n), RATE)
    assert silent == {"rms_db": -120, "peak_db": -120, "leading_silence_s": n / RATE, "trailing_silence_s": 0}
    assert len(audio.trim_silence(np.zeros(n), RATE)) == 0
    assert len(audio.trim_silence(np.ones(n), RATE)) == n

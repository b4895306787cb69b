import signal
import subprocess
import sys
import textwrap
from dataclasses import replace

import librosa
import noisereduce
import numpy as np
import opensmile
import pandas as pd
import parselmouth
import pyarrow.parquet
import pytest
import soundfile
from parselmouth.praat import call

from ser_core import files, paths
from ser_core.data import audio, clips, corpora
from ser_core.errors import SerError
from ser_core.systems import features, handcrafted
from ser_core.systems.features import extraction, tables
from ser_core.systems.features.texts import SENTENCES

RATE = 16_000
COMMITTED = ("ravdess", "emodb", "urdu", "banglaser")


@pytest.fixture(autouse=True)
def stores(request, tmp_path, monkeypatch):
    if "committed" not in request.fixturenames:
        monkeypatch.setenv("SER_RESULTS", str(tmp_path / "results"))
        monkeypatch.setenv("SER_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def committed():
    """The stores of the clone, not the test's own."""


def vowel(seed=0, seconds=0.8, rate=RATE):
    """Pulses with a little jitter and shimmer through two resonances, silence before and after, a little noise."""
    rng = np.random.default_rng(seed)
    time = np.arange(int(seconds * rate)) / rate
    pitch = 110 * 2 ** rng.uniform(0, 1) * (1 + 0.01 * np.cumsum(rng.normal(size=time.size)) / np.sqrt(rate))
    phase = 2 * np.pi * np.cumsum(pitch) / rate
    x = sum(np.sin(k * phase) / k for k in range(1, 15)) * (1 + 0.1 * np.sin(2 * np.pi * 3 * time))
    x[: rate // 10] = x[-rate // 10 :] = 0
    return (0.1 * x + 0.001 * rng.normal(size=time.size)).astype("float32")


def corpus(folder, sounds):
    """Write wav files and return their Clips table."""
    rows = {}
    folder.mkdir(exist_ok=True)
    for name, samples in sounds.items():
        soundfile.write(folder / f"{name}.wav", samples, RATE, subtype="PCM_16")
        hash_ = audio.content_hash(*audio.read(folder / f"{name}.wav"))
        rows[f"toy/{name}"] = {"path": f"{name}.wav", "sha256": hash_, "duration_s": len(samples) / RATE}
    table = pd.DataFrame.from_dict(rows, orient="index")
    return clips.validate(table.assign(corpus="toy", language="und", emotion="sad"))


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """A folder of seven clips, their Clips table, and chunks of two."""
    monkeypatch.setattr(extraction, "CHUNK", 2)
    return tmp_path / "toy", corpus(tmp_path / "toy", {f"c{i}": vowel(i) for i in range(7)})


def extract(toy, extractor, **options):
    folder, table = toy
    return features.extract("toy", extractor, folder=folder, clips=table, **{"jobs": 1, "progress": False} | options)


@pytest.mark.parametrize(
    "name, size",
    [("egemaps", 88), ("emobase", 988), ("compare", 6373), ("librosa94", 94), ("librosa94-clean", 94), ("praat31", 31)],
)
def test_each_set_has_its_documented_size(name, size):
    spec = features.get(name)
    assert len(set(spec.columns)) == size
    assert spec.has(spec.columns) and not spec.has(reversed(spec.columns))
    # Also where the names are written down.
    assert tuple(spec.function(np.zeros(RATE, dtype="float32"), RATE)) == spec.columns


@pytest.mark.parametrize("name, member", [("egemaps", "eGeMAPSv02"), ("compare", "ComParE_2016")])
def test_opensmile_sets_are_those_of_the_package(name, member):
    smile = opensmile.Smile(opensmile.FeatureSet[member], opensmile.FeatureLevel.Functionals)
    expected = smile.process_signal(vowel(), RATE).iloc[0]
    values = features.get(name).function(vowel(), RATE)
    assert list(values) == smile.feature_names
    np.testing.assert_allclose(list(values.values()), expected)


def test_opensmile_sets_hear_16_khz_whatever_the_file_has():
    slow, fast = vowel(), audio.resample(vowel(), RATE, 48_000)
    at16, at48 = (pd.Series(features.get("egemaps").function(x, r)) for x, r in ((slow, RATE), (fast, 48_000)))
    for name in ("F0semitoneFrom27.5Hz_sma3nz_amean", "mfcc1_sma3_amean", "equivalentSoundLevel_dBp"):
        assert at48[name] == pytest.approx(at16[name], rel=0.01), name


def test_librosa94_is_what_librosa_gives():
    y = vowel()
    values = features.get("librosa94").function(y, RATE)
    expected = [
        *librosa.feature.chroma_stft(y=y, sr=RATE).mean(axis=1),
        *librosa.feature.melspectrogram(y=y, sr=RATE, n_mels=60).mean(axis=1),
        *librosa.feature.mfcc(y=y, sr=RATE, n_mfcc=20).mean(axis=1),
        librosa.feature.zero_crossing_rate(y).mean(),
        librosa.feature.spectral_centroid(y=y, sr=RATE).mean(),
    ]
    np.testing.assert_allclose(list(values.values()), expected, rtol=1e-4, atol=1e-6)
    assert list(values)[:12] == [f"chroma_{i}" for i in range(1, 13)]


def spoken_twice(noise):
    """Two seconds of a tone in five, over noise of a standard deviation; and where the tone is."""
    tone = np.repeat([0.0, 0.5, 0.0, 0.5, 0.0], RATE)
    clip = tone * np.sin(2 * np.pi * 440 * np.arange(5 * RATE) / RATE)
    return (clip + noise * np.random.default_rng(0).normal(size=5 * RATE)).astype("float32"), tone > 0


def test_cleaning_takes_silent_sections_out_of_the_middle_too():
    clip, _ = spoken_twice(noise=1e-4)
    # The gate and frames of 2,048 samples leave an edge at each side of the two seconds.
    assert 2.0 <= len(handcrafted.clean(clip, RATE)) / RATE < 2.6


def test_cleaning_takes_the_noise_and_leaves_the_voice():
    clip, voice = spoken_twice(noise=1e-2)
    cleaned = handcrafted.clean(clip, RATE)
    assert len(cleaned) == len(clip)  # what is left of so much noise is less than 60 dB below the tone
    # Without the edges that the gate leaves. It takes a steady tone for noise after a while, but far less than noise.
    spoken, pause = (slice(int(start * RATE), int(end * RATE)) for start, end in ((1.05, 1.5), (2.3, 2.7)))
    assert voice[spoken].all() and not voice[pause].any()
    assert np.corrcoef(cleaned[spoken], clip[spoken])[0, 1] > 0.95
    assert cleaned[pause].std() < 0.1 * clip[pause].std()
    assert cleaned[spoken].std() > 0.1 * clip[spoken].std()


def test_librosa94_clean_is_librosa94_of_what_the_libraries_leave_by_default():
    y = np.concatenate([np.zeros(RATE // 2, "float32"), vowel(seconds=1.2)])
    quiet = noisereduce.reduce_noise(y, RATE)
    left = np.concatenate([quiet[start:end] for start, end in librosa.effects.split(quiet)])
    assert len(left) < len(y)
    values = features.get("librosa94-clean").function(y, RATE)
    assert values == pytest.approx(features.get("librosa94").function(left, RATE))


def test_a_union_has_the_features_of_its_corpora(tmp_path):
    rng, spec = np.random.default_rng(0), features.get("levels")
    stored = {}
    for name in ("tess", "savee"):
        row = {"corpus": name, "language": "en", "emotion": "fear", "sha256": "0" * 64}
        table = clips.validate(pd.DataFrame([row] * 3, index=[f"{name}/{i}" for i in range(3)]))
        files.write_parquet(table, corpora.table_path(name))
        values = pd.DataFrame(rng.normal(size=(3, 5)), index=table.index, columns=list(spec.columns))
        stored[name] = tables.save(values, name, spec, table) and values.astype("float32")
    found = features.load("savee+tess", "levels")
    assert found.index.equals(corpora.table("savee+tess").index)
    pd.testing.assert_frame_equal(found, pd.concat([stored["savee"], stored["tess"]]), check_names=False)
    assert features.refusal("savee+tess", "levels") is None
    assert "meld has no recordings" in features.refusal("meld+tess", "levels")
    with pytest.raises(SerError, match=r"savee\+tess has no folder of its own; do this for each of savee, tess"):
        features.extract("savee+tess", "levels", progress=False)
    features.location("tess", "levels").unlink()
    with pytest.raises(SerError, match="tess has no 'levels' features"):
        features.load("savee+tess", "levels")


def test_praat31_is_what_librosa_and_praat_give(tmp_path):
    path = tmp_path / "a.wav"
    soundfile.write(path, vowel(), RATE, subtype="PCM_16")
    y, rate = librosa.load(path)
    assert rate == 22_050
    sound = parselmouth.Sound(str(path))
    pitch = sound.to_pitch().selected_array["frequency"]
    pulses = call(sound, "To PointProcess (periodic, cc)", 75, 500)
    expected = {
        **{f"mfcc_{i}": v for i, v in enumerate(librosa.feature.mfcc(y=y, sr=rate, n_mfcc=13).mean(axis=1), 1)},
        **{f"chroma_{i}": v for i, v in enumerate(librosa.feature.chroma_stft(y=y, sr=rate).mean(axis=1), 1)},
        "zcr": librosa.feature.zero_crossing_rate(y).mean(),
        "rms": librosa.feature.rms(y=y).mean(),
        "spec_centroid": librosa.feature.spectral_centroid(y=y, sr=rate).mean(),
        "f0_mean": pitch[pitch > 0].mean(),
        "jitter": call(pulses, "Get jitter (local)", 0, 0, 0.0001, 0.02, 1.3),
        "shimmer": call([sound, pulses], "Get shimmer (local)", 0, 0, 0.0001, 0.02, 1.3, 1.6),
    }
    values = features.get("praat31").function(*audio.read(path))
    assert list(values) == list(expected)
    assert list(values.values()) == pytest.approx(list(expected.values()), rel=1e-4, abs=1e-6)


def test_a_gain_changes_levels_and_leaves_the_voice():
    loud, soft = (features.get("praat31").function(vowel() * gain, RATE) for gain in (1, 0.25))
    for name in ("f0_mean", "jitter", "shimmer", "zcr", "spec_centroid"):
        assert soft[name] == pytest.approx(loud[name], rel=1e-3), name
    assert soft["rms"] == pytest.approx(loud["rms"] / 4, rel=1e-5)
    loud, soft = (features.get("levels").function(vowel() * gain, RATE) for gain in (1, 0.25))
    assert soft["rms_db"] - loud["rms_db"] == pytest.approx(20 * np.log10(0.25), abs=0.01)


def test_duration_is_in_seconds():
    assert features.get("levels").function(vowel(seconds=0.8), RATE)["duration_s"] == pytest.approx(0.8)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(n, marks=pytest.mark.needs_weights) if n == "byol-s" else n
        for n in features.EXTRACTORS
        # Of those that take clips together, test_encoders_whisper.py.
        if n not in SENTENCES and not features.get(n).together
    ],
)
@pytest.mark.filterwarnings("error")
def test_silence_noise_and_overload_give_numbers(name):
    spec = features.get(name)
    noise = np.random.default_rng(0).normal(size=RATE).astype("float32")
    for samples in (np.zeros(RATE, "float32"), noise * 1e-4, np.clip(noise, -1, 1), np.ones(RATE, "float32")):
        for column, value in spec.function(samples, RATE).items():
            assert np.isfinite(value) or column in spec.may_be_undefined, column


def test_the_store_gives_back_what_was_computed(toy):
    path = extract(toy, "egemaps")
    assert path == paths.cache() / "features" / "toy.egemaps.parquet"
    table = features.load("toy", "egemaps", toy[1])
    assert table.index.tolist() == toy[1].index.tolist() and set(table.dtypes) == {np.dtype("float32")}
    x = audio.read(toy[0] / "c3.wav")
    np.testing.assert_array_equal(table.loc["toy/c3"], np.float32(list(features.get("egemaps").function(*x).values())))
    facts = files.read_metadata(path)
    assert facts["packages"] == {"opensmile": opensmile.__version__}
    assert facts["parameters"]["feature_set"] == "eGeMAPSv02"
    assert not list((paths.cache() / "partial").iterdir())
    (paths.cache() / "partial" / "toy.egemaps.0").mkdir()  # as a kill leaves it that comes after the store was written
    assert extract(toy, "egemaps") == path and not list((paths.cache() / "partial").iterdir())


def test_processes_and_repetition_do_not_change_a_byte(toy):
    path = extract(toy, "librosa94")
    first = path.read_bytes()
    written = path.stat().st_mtime_ns
    assert extract(toy, "librosa94").stat().st_mtime_ns == written  # up to date: left alone
    path.unlink()
    assert extract(toy, "librosa94", jobs=2).read_bytes() == first


def test_a_killed_extraction_goes_on_and_ends_the_same(toy, tmp_path, monkeypatch):
    folder, table = toy
    files.write_parquet(table, tmp_path / "clips.parquet")
    script = f"""
        import dataclasses, os, pathlib, signal
        from ser_core import files
        from ser_core.systems import features
        from ser_core.systems.features import extraction, extractors
        extraction.CHUNK, done = 2, []
        spec = features.EXTRACTORS["levels"]
        def function(samples, rate):
            done.append(1)
            if len(done) == 6:
                os.kill(os.getpid(), signal.SIGKILL)
            return spec.function(samples, rate)
        features.EXTRACTORS["levels"] = dataclasses.replace(spec, function=function)
        clips = files.read_parquet(pathlib.Path("{tmp_path}/clips.parquet"), index="clip")
        features.extract("toy", "levels", folder="{folder}", clips=clips, jobs=1, progress=False)
    """
    killed = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert not features.location("toy", "levels").exists()
    kept = sorted((paths.cache() / "partial").glob("*/*.parquet"))
    assert len(kept) == 2
    untouched = [file.stat().st_mtime_ns for file in kept]
    restarted = extract_watching(toy, kept, untouched)
    monkeypatch.setenv("SER_CACHE", str(tmp_path / "other"))
    assert extract(toy, "levels").read_bytes() == restarted.read_bytes()


def extract_watching(toy, kept, untouched):
    """Extract levels and check on the way that the kept chunks are used, not made again."""
    seen = []
    spec = features.EXTRACTORS["levels"]
    computed = spec.function

    def watch(samples, rate):
        seen.append([file.stat().st_mtime_ns for file in kept])
        return computed(samples, rate)

    object.__setattr__(spec, "function", watch)
    try:
        path = extract(toy, "levels")
    finally:
        object.__setattr__(spec, "function", computed)
    assert len(seen) == len(toy[1]) - 4 and all(times == untouched for times in seen)
    return path


def test_bad_clips_are_all_named_and_once_mended_the_rest_is_kept(toy):
    folder, _ = toy
    good = {name: (folder / name).read_bytes() for name in ("c0.wav", "c5.wav")}
    (folder / "c0.wav").write_bytes(b"not audio")
    soundfile.write(folder / "c5.wav", vowel(99), RATE, subtype="PCM_16")
    with pytest.raises(SerError, match=r"toy/c0: .*; toy/c5: .*c5.wav is another recording"):
        extract(toy, "levels")
    assert not features.location("toy", "levels").exists()
    for name, content in good.items():
        (folder / name).write_bytes(content)
    extract(toy, "levels")
    assert len(features.load("toy", "levels", toy[1])) == 7


@pytest.fixture
def means(monkeypatch):
    """A set that takes clips together and is stored as float16; it notes how many it was given at once."""
    given = []

    def function(clips):
        given.append(len(clips))
        return np.array([[samples.mean(), 1000 * np.abs(samples).max()] for samples, _ in clips])

    spec = replace(
        features.get("levels"),
        name="means",
        function=function,
        names=("mean", "peak"),
        together=True,
        stored="float16",
        ready=None,
    )
    monkeypatch.setitem(features.EXTRACTORS, "means", spec)
    return given


def test_a_set_of_clips_together_is_stored_in_its_own_type(toy, means):
    path = extract(toy, "means")
    assert means == [2, 2, 2, 1]
    assert set(pyarrow.parquet.read_schema(path).types[1:]) == {pyarrow.float16()}
    found = features.load("toy", "means", toy[1])
    assert set(found.dtypes) == {np.dtype("float32")} and list(found.columns) == ["mean", "peak"]
    expected = [1000 * np.abs(audio.read(toy[0] / f"c{i}.wav")[0]).max() for i in range(7)]
    np.testing.assert_array_equal(found["peak"], np.float16(expected))


def test_what_fails_together_is_named(toy, means, monkeypatch):
    (toy[0] / "c3.wav").write_bytes(b"not audio")
    with pytest.raises(SerError, match=r"^toy means: toy/c3: .*c3.wav: cannot be decoded[^;]*; fetch it again$"):
        extract(toy, "means")
    assert means == [2, 1, 2, 1]
    soundfile.write(toy[0] / "c3.wav", vowel(3), RATE, subtype="PCM_16")
    spec = features.EXTRACTORS["means"]
    values = {"nan": np.nan, "more than float16 holds": 1e6}
    for value, line in (("nan", "toy/c0: 'mean' is nan"), ("more than float16 holds", "clip 'toy/c0' has inf")):
        monkeypatch.setitem(
            features.EXTRACTORS,
            "means",
            replace(spec, version=len(value), function=lambda clips, v=value: np.full((len(clips), 2), values[v])),
        )
        with pytest.raises(SerError, match=line):
            extract(toy, "means")
    monkeypatch.setitem(features.EXTRACTORS, "means", replace(spec, version=9, function=lambda clips: 1 / 0))
    with pytest.raises(SerError, match="2 clips from toy/c0 on: ZeroDivisionError"):
        extract(toy, "means")


@pytest.fixture
def layered(monkeypatch):
    """A set of three layers of two values each."""

    def function(clips):
        levels = np.array([[samples.mean(), np.abs(samples).max()] for samples, _ in clips])
        return np.hstack([levels, 2 * levels, 3 * levels])

    names = tuple(f"layer{layer}_{i:03}" for layer in range(3) for i in range(2))
    spec = replace(
        features.get("levels"), name="deep", short="Deep", function=function, names=names, together=True, ready=None
    )
    monkeypatch.setitem(features.EXTRACTORS, "deep", spec)


def test_a_layer_is_a_view_of_the_whole_set(toy, layered):
    with pytest.raises(SerError, match=r"toy has no 'deep' features .*; make them, with the audio, by: .* toy deep$"):
        features.load("toy", "deep.layer1", toy[1])
    path = extract(toy, "deep.layer1")
    assert path == features.location("toy", "deep") == features.location("toy", "deep.layer2")
    assert [file.name for file in path.parent.iterdir()] == ["toy.deep.parquet"]
    whole = features.load("toy", "deep", toy[1])
    for layer in range(3):
        name = f"deep.layer{layer}"
        pd.testing.assert_frame_equal(features.load("toy", name, toy[1]), whole.iloc[:, 2 * layer : 2 * layer + 2])
        assert features.columns(name) == tuple(whole.columns[2 * layer : 2 * layer + 2])
        assert (features.whole_of(name), features.get(name).title) == ("deep", f"Deep, layer {layer}")
        assert features.get(name).columns == features.columns(name) and features.get(name).name == name
    first = path.stat().st_mtime_ns
    assert extract(toy, "deep.layer0").stat().st_mtime_ns == first


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("whisper-base.layer7", "'whisper-base' has no 'layer7'; it has layer0 to layer6"),
        ("whisper-tiny.en-30s.layer5", "'whisper-tiny.en-30s' has no 'layer5'; it has layer0 to layer4"),
        ("whisper-base.layer", "'whisper-base' has no 'layer'; it has layer0 to layer6"),
        ("egemaps.layer0", "there is no feature set 'egemaps.layer0'; expected one of"),
        ("whisper-tiny.layer0", "there is no feature set 'whisper-tiny.layer0'; expected one of"),
    ],
)
def test_a_layer_that_a_set_does_not_have_is_refused(name, message):
    with pytest.raises(SerError, match=f"^{message}"):
        features.get(name)


def test_layers_of_all_sets_of_whisper_have_the_columns_of_their_layer():
    for name in ("whisper-base", "whisper-base-statistics", "whisper-base-30s", "whisper-tiny.en"):
        n = 5 if "tiny" in name else 7
        parts = [features.columns(f"{name}.layer{layer}") for layer in range(n)]
        assert sum(parts, ()) == features.columns(name)


def test_weights_that_are_not_there_are_told_once(toy, monkeypatch):
    monkeypatch.delenv("SER_WEIGHTS", raising=False)
    with pytest.raises(SerError, match=r"^whisper-base: the weights are not there; get them by: ser weights get \S+$"):
        extract(toy, "whisper-base")


def test_a_clip_too_short_for_a_frame_is_named(tmp_path):
    table = corpus(tmp_path / "toy", {"long": vowel(), "tiny": vowel()[1600:1700]})
    with pytest.raises(SerError, match=r"toy/tiny: 'F0semitone.*' is nan; the clip lasts 0\.006 s"):
        extract((tmp_path / "toy", table), "egemaps")


def test_what_is_undefined_without_voice_is_zero_and_listed(tmp_path):
    silence = np.zeros(RATE, "float32")
    table = corpus(tmp_path / "toy", {"voice": vowel(), "silence": silence, "short": vowel()[1600:2000]})
    path = extract((tmp_path / "toy", table), "praat31")
    values = features.load("toy", "praat31", table)
    for name in ("f0_mean", "jitter", "shimmer"):
        assert (
            values.loc["toy/silence", name] == 0 == values.loc["toy/short", name] and values.loc["toy/voice", name] > 0
        )
        assert files.read_metadata(path)["undefined"][name] == ["toy/short", "toy/silence"]


def test_other_clips_or_parameters_are_an_error_and_another_library_version_is_not(toy):
    path = extract(toy, "levels")
    changed = toy[1].assign(sha256=["0" * 64, *toy[1]["sha256"][1:]])
    with pytest.raises(SerError, match=r"made with clips_key \w+, now \w+; make it again by: ser features toy levels"):
        features.load("toy", "levels", changed)
    table, facts = files.read_parquet(path, index="clip"), files.read_metadata(path)
    files.write_parquet(table, path, facts | {"packages": {"numpy": "0.1"}})
    features.load("toy", "levels", toy[1])
    files.write_parquet(table, path, facts | {"parameters": {"definition": "other"}})
    with pytest.raises(SerError, match=r"parameters \{'definition': 'other'\}, now \{'definition': 'ser_core"):
        features.load("toy", "levels", toy[1])
    extract(toy, "levels")  # mends it
    features.load("toy", "levels", toy[1])


def test_nan_truncation_and_absence_are_errors_that_say_where(toy):
    with pytest.raises(SerError, match="toy has no 'levels' features .* ser features toy levels"):
        features.load("toy", "levels", toy[1])
    path = extract(toy, "levels")
    whole = path.read_bytes()
    table, facts = files.read_parquet(path, index="clip"), files.read_metadata(path)
    for bad in (np.nan, np.inf):
        table.loc["toy/c4", "rms_db"] = bad
        files.write_parquet(table, path, facts)
        with pytest.raises(SerError, match=r"clip 'toy/c4' has (nan|inf) in column 'rms_db'"):
            features.load("toy", "levels", toy[1])
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(SerError, match="not a readable parquet file"):
        features.load("toy", "levels", toy[1])


def test_unknown_names_and_absent_folders_are_errors(toy, tmp_path):
    with pytest.raises(SerError, match="no feature set 'egemap'; expected one of"):
        features.load("toy", "egemap", toy[1])
    with pytest.raises(SerError, match="nowhere: no such folder.*toy"):
        extract((tmp_path / "nowhere", toy[1]), "levels")
    (toy[0] / "c2.wav").unlink()
    (toy[0] / "c4.wav").unlink()
    with pytest.raises(SerError, match=r"c2.wav: the recording of toy/c2 is not there.*toy/c4"):
        extract(toy, "levels")
    with pytest.raises(SerError, match="meld has no recordings to compute 'egemaps' from"):
        features.extract("meld", "egemaps", clips=toy[1])


def punjabi(folder, n=4):
    """Write a table of the published layout and return it with its Clips table."""
    rng = np.random.default_rng(0)
    columns = list(features.get("praat31").columns)
    table = pd.DataFrame(rng.normal(size=(n, len(columns))), columns=columns)
    paths = [f"Participant {i}\\1. Neutral\\{i}.1.{'mp3' if i % 2 else 'm4a'}" for i in range(n)]
    folder.mkdir()
    table.assign(relative_path=paths).to_csv(folder / "feature_ext_output_cleaned.csv", index=False)
    ids = [f"punjabi_elc/Participant {i}/1. Neutral/{i}.1" for i in range(n)]
    made = pd.DataFrame({"corpus": "punjabi_elc", "language": "pa", "emotion": "neutral"}, index=ids)
    return table, clips.validate(made)


def test_the_punjabi_table_is_imported_as_it_is(tmp_path):
    published, table = punjabi(tmp_path / "p")
    path = features.extract("punjabi_elc", "praat31", folder=tmp_path / "p", clips=table)
    assert path.parent == paths.cache() / "features"  # not committed
    loaded = features.load("punjabi_elc", "praat31", table)
    np.testing.assert_array_equal(loaded, published.astype("float32"))
    assert list(loaded.columns) == list(published.columns)
    with pytest.raises(SerError, match="it comes with 'praat31' only"):
        features.extract("punjabi_elc", "egemaps", folder=tmp_path / "p", clips=table)
    more = clips.validate(pd.concat([table, table.rename(index=lambda name: name + "x")]))
    with pytest.raises(SerError, match="no row for 4 clips of the Clips table, the first is .*0.1x"):
        features.import_punjabi(folder=tmp_path / "p", clips=more)


@pytest.mark.parametrize("name", COMMITTED)
def test_committed_features_load_and_their_licence_is_stated(name, committed):
    readme = (paths.results() / "features" / "README.md").read_text()
    for extractor in ("egemaps", "emobase", "librosa94", "praat31", "levels", "whisper-base"):
        path = features.location(name, extractor)
        assert path.parent == paths.results() / "features"
        table = features.load(name, extractor)
        assert table.shape == (len(corpora.table(name)), len(features.get(extractor).columns))
        assert list(table.columns) == list(features.get(extractor).columns)
        assert f"`{name}.*.parquet`" in readme


def test_nothing_is_committed_that_may_not_be(committed):
    names = {path.name.split(".")[0] for path in (paths.results() / "features").glob("*.parquet")}
    assert names <= set(COMMITTED) and not list((paths.results() / "features").glob("*.compare.*"))


@pytest.mark.needs_data
@pytest.mark.parametrize("extractor", ["egemaps", "emobase", "librosa94", "praat31", "levels"])
@pytest.mark.parametrize("name", COMMITTED)
def test_committed_features_are_those_of_the_recordings(name, extractor, committed):
    table = corpora.table(name)
    clip = table.index[len(table) // 3]
    x = audio.read(corpora.audio_path(table.loc[clip], paths.data_folder(name)))
    values = features.get(extractor).function(*x)
    np.testing.assert_allclose(features.load(name, extractor).loc[clip], list(values.values()), rtol=1e-3, atol=1e-4)


@pytest.mark.needs_data
@pytest.mark.needs_weights
@pytest.mark.parametrize("name", COMMITTED)
def test_committed_layers_of_whisper_are_those_of_the_recordings(name, committed):
    table = corpora.table(name)
    clip = table.index[len(table) // 3]
    x = audio.read(corpora.audio_path(table.loc[clip], paths.data_folder(name)))
    # float16 keeps eleven bits.
    expected = features.get("whisper-base").function([x])[0]
    np.testing.assert_allclose(features.load(name, "whisper-base").loc[clip], expected, rtol=2e-3, atol=1e-3)


@pytest.mark.needs_data
def test_the_real_punjabi_table_is_imported(tmp_path, monkeypatch):
    monkeypatch.delenv("SER_RESULTS")
    features.import_punjabi()
    table = features.load("punjabi_elc", "praat31")
    assert table.loc["punjabi_elc/Participant 1/1. Neutral/1.1", "f0_mean"] == pytest.approx(204.7296, abs=1e-3)

import io
import json

import librosa
import numpy as np
import pandas as pd
import pytest
import soundfile
import soxr
from scipy import ndimage, stats
from sklearn.metrics import mutual_info_score, recall_score

from ser_core import paths
from ser_core.data import audio, corpora, splits, synthetic
from ser_core.data.audit import (
    audit,
    confounding,
    effective_speakers,
    export,
    heard,
    names,
    near_duplicates,
    shortcuts,
)
from ser_core.data.audit import duplicates as searching
from ser_core.data.audit import levels as levels_of
from ser_core.data.audit.duplicates import _mel_power
from ser_core.data.labels import harmonise
from ser_core.errors import SerError
from ser_core.evaluation import floors

COLUMNS = ["check", "severity", "fold", "detail", "value"]


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    """A toy corpus with one copy of each kind, its Clips and its folder."""
    folder = synthetic.corpus(
        tmp_path_factory.mktemp("toy"), speakers=4, sentences=2, repetitions=2, copies=synthetic.COPIES
    )
    return corpora.local.read(folder / "clips.csv", name="toy").clips, folder


@pytest.fixture(scope="module")
def duplicates(planted):
    return near_duplicates(*planted, candidates=10)


@pytest.fixture(scope="module")
def levels(planted):
    clips, folder = planted
    return pd.DataFrame({clip: audio.levels(*audio.read(folder / path)) for clip, path in clips["path"].items()}).T


def clean(clips):
    return clips[~clips.index.str.startswith("toy/copy_")]


def checks(report, severity=None):
    found = report.findings if severity is None else report.findings[report.findings["severity"] == severity]
    return set(found["check"])


def originals(clips):
    """Return {copy: original} by how `toy.corpus` plants them."""
    names = clean(clips).index
    return {clip: names[int(clip.rsplit("_", 1)[1]) - 1] for clip in clips.index.difference(names)}


def test_every_planted_copy_is_found_and_no_second_take(planted, duplicates):
    clips, folder = planted
    found = duplicates
    assert list(found.columns) == ["clip_a", "clip_b", "kind", "similarity", "shared_s"]
    assert dict(zip(found["clip_a"], found["clip_b"], strict=True)) == originals(clips)
    exact = found.set_index("clip_a")["kind"] == "exact"
    assert exact["toy/copy_exact_1"] and not exact["toy/copy_gain_2"] and not exact["toy/copy_ogg_6"]
    assert found["similarity"].between(0.9, 1).all()


def test_candidates_do_not_miss_what_all_pairs_find(planted, duplicates):
    pd.testing.assert_frame_equal(near_duplicates(*planted, candidates=None), duplicates)


@pytest.mark.parametrize(
    "change",
    [
        lambda x, rng: -x,
        lambda x, rng: x + 0.1 * np.sqrt(np.mean(x**2)) * rng.standard_normal(len(x)),
        lambda x, rng: np.clip(x, -0.5 * np.abs(x).max(), 0.5 * np.abs(x).max()),
        lambda x, rng: decoded(x, "WAV", "ULAW"),
        lambda x, rng: decoded(x, "MP3", "MPEG_LAYER_III"),
        lambda x, rng: np.pad(soxr.resample(x, 16_000, 8_000), (1_001, 0)),
        lambda x, rng: x[: int(0.7 * len(x))],
    ],
    ids=["polarity", "noise", "clipped", "telephone", "mp3", "8 kHz", "cut"],
)
def test_other_disguises_are_seen_through(planted, tmp_path, change):
    clips, folder = planted
    pair = clean(clips).iloc[[0, 1]].assign(path=["a.wav", "b.wav"], sha256=None)
    x, rate = audio.read(folder / clean(clips)["path"].iloc[0])
    changed = change(x, np.random.default_rng(0))
    soundfile.write(tmp_path / "a.wav", x, rate)
    soundfile.write(tmp_path / "b.wav", changed, 8_000 if len(changed) < 0.6 * len(x) else rate)
    found = near_duplicates(pair, tmp_path)
    assert found["kind"].tolist() == ["near"]


def decoded(x, container, codec):
    file = io.BytesIO()
    soundfile.write(file, x, 16_000, format=container, subtype=codec)
    file.seek(0)
    return soundfile.read(file, dtype="float32")[0]


def test_silent_recordings_are_compared_by_their_samples_only(planted, tmp_path):
    clips, folder = planted
    three = clean(clips).iloc[:3].assign(path=["a.wav", "b.wav", "c.wav"], sha256=["0" * 64, "0" * 64, "1" * 64])
    for name, n in (("a", 8_000), ("b", 8_000), ("c", 9_000)):
        soundfile.write(tmp_path / f"{name}.wav", np.zeros(n), 16_000)
    found = near_duplicates(three, tmp_path)
    assert found[["clip_a", "clip_b", "kind"]].to_numpy().tolist() == [[*three.index[:2], "exact"]]


def test_a_missing_recording_is_named(planted, tmp_path):
    clips, _ = planted
    with pytest.raises(SerError, match=r"s01_t01_angry_r1.wav.*not there"):
        near_duplicates(clean(clips), tmp_path)


def test_a_clean_corpus_under_a_speaker_protocol_is_silent(planted, levels):
    clips, folder = planted
    clips = clean(clips)
    folds = splits.make(clips, "speaker", n_folds=4)
    report = audit(clips, folds, levels=levels, duplicates=near_duplicates(clips, folder, candidates=3))
    assert report.leaks.empty
    assert checks(report, "confound") == set()
    assert "leaks: none\n\nconfounds: none" in report.to_text()
    assert list(report.findings.columns) == COLUMNS


@pytest.mark.parametrize("protocol", ["speaker+sentence", "sentence", "session"])
def test_a_clean_corpus_keeps_what_the_other_protocols_promise(protocol):
    clips = synthetic.clips(speakers=9, sentences=6)
    clips = clips.assign(session="toy/day" + (clips["speaker"].str[-2:].astype(int) % 3).astype("str"))
    leaks = audit(clips, splits.make(clips, protocol, n_folds=3)).leaks
    assert set(leaks["check"]) == ({"speaker overlap"} if protocol == "sentence" else set())


def test_shared_speakers_are_told_by_fold_and_part():
    clips = synthetic.clips()
    report = audit(clips, splits.make(clips, "clip", n_folds=3))
    leaks = report.leaks
    assert leaks["check"].tolist() == ["speaker overlap"] * 3 and leaks["fold"].tolist() == [0, 1, 2]
    assert leaks["detail"][0].startswith("8 of 8 speakers of test are also in train")
    assert leaks["value"].tolist() == [1.0] * 3
    assert "(and in 2 more folds)" in report.to_text()
    assert "sentence overlap" in checks(report, "note")


@pytest.mark.parametrize("column", ["speaker", "sentence", "session"])
def test_one_misplaced_clip_is_a_leak_where_the_protocol_promises_otherwise(column):
    clips = synthetic.clips(speakers=6, sentences=6)
    clips = clips.assign(session="toy/day" + (clips["speaker"].str[-2:].astype(int) % 3).astype("str"))
    folds = splits.make(clips, column, n_folds=3)
    moved = folds.index[(folds["fold"] == 1) & (folds["role"] == "test")][0]
    faulty = folds.copy()
    faulty.loc[moved, "role"] = "dev"
    leaks = audit(clips, faulty).leaks
    leaks = leaks[leaks["check"] == f"{column} overlap"]
    hit = leaks[leaks["fold"] == 1].iloc[0]
    value = clips.loc[folds.loc[moved, "clip"], column]
    n_test = (faulty["role"][faulty["fold"] == 1] == "test").sum()
    of_value = (clips.loc[faulty["clip"][(faulty["fold"] == 1) & (faulty["role"] == "test")], column] == value).sum()
    assert f"1 of 2 {column}s of test are also in dev" in hit["detail"] or column == "session"
    assert hit["value"] == pytest.approx(of_value / n_test)


def test_dev_sharing_speakers_with_train_is_a_leak():
    clips = synthetic.clips(speakers=6)
    folds = splits.make(clips, "speaker", n_folds=3)
    dev = folds.index[(folds["fold"] == 0) & (folds["role"] == "dev")]
    folds.loc[dev[::2], "role"] = "train"
    leaks = audit(clips, folds).leaks
    assert leaks["detail"].tolist() == ["2 of 2 speakers of dev are also in train"]


def test_copies_in_two_parts_are_leaks_and_are_counted_in_the_corpus(planted, duplicates):
    clips, _ = planted
    folds = splits.make(clips, "speaker", n_folds=4)
    report = audit(clips, folds, duplicates=duplicates)
    role = folds.pivot(index="clip", columns="fold", values="role")
    apart = sum((role.loc[copy] != role.loc[original]).astype(int) for copy, original in originals(clips).items())
    leaks = report.leaks.set_index("fold")
    assert set(leaks["check"]) == {"recording overlap"}
    assert leaks["value"].to_dict() == apart[apart > 0].to_dict()
    note = report.findings.set_index("check").loc["duplicate recordings"]
    assert note["value"] == 6 and "6 of them under two speakers and 0 under two emotions" in note["detail"]
    # Without the pairs only the copy with the same samples is known.
    alone = audit(clips, folds).findings.set_index("check")
    assert alone.loc["duplicate recordings", "value"] == 1
    assert (alone.loc[["recording overlap"], "value"] == 1).all()


def test_emotions_told_by_the_speaker_are_a_confound():
    clips = synthetic.clips(confounded=True, repetitions=3)
    report = audit(clips, splits.make(clips, "clip", n_folds=4))
    assert {"emotion told by speaker", "shortcut by speaker", "emotion told by gender"} <= checks(report, "confound")
    assert report.shortcuts.loc["speaker", "uar"] == 1.0
    assert "few speakers" in checks(report, "note")
    assert report.confounding.loc["speaker", "bits"] == pytest.approx(2.0)


def test_emotions_told_by_the_sentence_are_a_confound():
    clips = synthetic.clips(sentences=4)
    clips = clips[clips["sentence"].str[-1].astype(int) - 1 == clips["emotion"].map(synthetic.EMOTIONS.index)]
    report = audit(clips, splits.make(clips, "speaker", n_folds=4))
    assert {"emotion told by sentence", "shortcut by sentence"} <= checks(report, "confound")
    assert report.shortcuts.loc["sentence", "uar"] == 1.0 and report.shortcuts.loc["speaker", "uar"] == 0.25


@pytest.mark.parametrize("name", ["duration", "loudness", "silence"])
def test_a_planted_acoustic_shortcut_is_found(name):
    clips = synthetic.clips(repetitions=3)
    rng = np.random.default_rng(0)
    told = clips["emotion"].map(synthetic.EMOTIONS.index) + rng.uniform(0, 0.9, len(clips))
    noise = pd.Series(rng.uniform(0, 4, len(clips)), index=clips.index)
    clips = clips.assign(duration_s=1 + (told if name == "duration" else noise))
    levels = pd.DataFrame(
        {
            "rms_db": told if name == "loudness" else noise,
            "leading_silence_s": noise,
            "trailing_silence_s": told if name == "silence" else noise,
        }
    )
    report = audit(clips, splits.make(clips, "speaker", n_folds=4), levels=levels)
    assert checks(report, "confound") & {f"shortcut by {n}" for n in ("duration", "loudness", "silence")} == {
        f"shortcut by {name}"
    }
    assert report.shortcuts.loc[name, "uar"] > 0.95


def test_missing_values_and_classes_are_said():
    clips = synthetic.clips(speakers=6)
    clips = clips[(clips["emotion"] != "sad") | (clips["speaker"] == "toy/s01")]
    folds = splits.make(clips, "speaker", n_folds=3)
    assert "class absent from test" in checks(audit(clips, folds), "note")
    unknown = clips.assign(speaker=clips["speaker"].where(clips["emotion"] != "happy"))
    note = audit(unknown, folds).findings.set_index("check").loc["speaker unknown"]
    assert note["detail"].startswith("24 of 76 clips have no speaker")
    nobody = clips.assign(speaker=None, gender=None, sentence=None)
    assert audit(nobody, folds).shortcuts.empty
    with pytest.raises(SerError, match="the folds have 12 clips that the Clips table lacks"):
        audit(clips[clips["speaker"] != "toy/s02"], folds)


def test_information_and_effective_speakers_agree_with_scikit_learn_and_scipy():
    rng = np.random.default_rng(0)
    speaker, emotion = rng.integers(12, size=500), rng.integers(4, size=500)
    emotion = np.where(rng.random(500) < 0.3, speaker % 4, emotion)
    clips = pd.DataFrame({"speaker": speaker, "emotion": emotion}).astype("str").assign(gender=None, sentence=None)
    row = confounding(clips.assign(session=None)).loc["speaker"]
    assert row["bits"] == pytest.approx(mutual_info_score(speaker, emotion) / np.log(2))
    entropy = stats.entropy(np.bincount(emotion), base=2)
    assert row["share"] == pytest.approx((row["bits"] - 11 * 3 / (2 * 500 * np.log(2))) / entropy)
    shuffled = [mutual_info_score(speaker, rng.permutation(emotion)) / np.log(2) for _ in range(300)]
    assert row["chance_bits"] == pytest.approx(np.mean(shuffled), rel=0.1)
    counts = np.bincount(speaker[emotion == 2])
    assert effective_speakers(clips).loc["2", "effective"] == pytest.approx(1 / ((counts / counts.sum()) ** 2).sum())


def test_shortcut_scores_are_pooled_over_folds():
    clips = synthetic.clips()
    folds = splits.make(clips, "clip", n_folds=4)
    guess = floors.lookup(clips, folds, "sentence")
    expected = recall_score(guess["truth"], guess["prediction"], average="macro")
    assert shortcuts(clips, folds).loc["sentence", "uar"] == pytest.approx(expected)


def test_urdu_is_told_by_who_speaks():
    clips = corpora.table("urdu")
    whole = floors.resubstitution_lookup(clips, "speaker")
    assert (whole["truth"] == whole["prediction"]).mean() == pytest.approx(0.96)
    report = audit(clips, splits.make(clips, "khan2026-urdu-random"))
    assert report.shortcuts.loc["speaker", "uar"] == pytest.approx(0.975)
    assert {"emotion told by speaker", "shortcut by speaker"} <= checks(report, "confound")
    assert report.leaks["detail"].str.contains("13 of 13 speakers of test are also in train").all()
    assert report.effective_speakers.round(1)["effective"].to_dict() == {
        "angry": 2.8,
        "happy": 7.2,
        "neutral": 1.9,
        "sad": 3.2,
    }
    # The hold-outs are clean in the test part only: their dev part shares its speakers with train.
    holdout = audit(clips, splits.make(clips, "khan2026-urdu-sm3"))
    assert holdout.leaks["detail"].tolist() == ["18 of 18 speakers of dev are also in train"]
    assert "class absent from test" in checks(holdout, "note")


@pytest.mark.needs_data
def test_real_duplicates_are_found_and_second_takes_are_not():
    clips = corpora.table("ravdess")
    some = clips[clips["speaker"] == "ravdess/07"]
    found = near_duplicates(some, paths.data_folder("ravdess"))
    assert found[["clip_a", "clip_b", "kind"]].to_numpy().tolist() == [
        ["ravdess/03-01-03-01-02-01-07", "ravdess/03-01-03-01-02-02-07", "exact"]
    ]
    clips = corpora.table("banglaser")
    some = clips[clips["speaker"].isin(["banglaser/13", "banglaser/19"])]
    found = near_duplicates(some, paths.data_folder("banglaser"))
    # The same performance under two speaker ids, through what sounds like two microphones.
    across = clips["speaker"].loc[found["clip_a"]].to_numpy() != clips["speaker"].loc[found["clip_b"]].to_numpy()
    assert across.sum() >= 9


def test_mel_bands_are_those_of_librosa():
    x = np.random.default_rng(0).normal(size=30_001).astype("float32")
    power = np.abs(librosa.stft(x, n_fft=1024, hop_length=400, win_length=800)) ** 2
    bands = librosa.filters.mel(sr=16_000, n_fft=1024, n_mels=10, fmin=100, fmax=3_500)
    np.testing.assert_allclose(_mel_power(x), bands @ power, rtol=1e-4)


def test_levels_are_those_of_each_recording(planted, levels):
    pd.testing.assert_frame_equal(levels_of(*planted), levels, check_names=False)


def test_strong_shortcuts_of_sound_and_of_bookkeeping_are_confounds(planted, levels):
    clips = clean(planted[0])
    folds = splits.make(clips, "clip", n_folds=3)
    number = clips["emotion"].rank(method="dense").to_numpy()
    told = clips.assign(duration_s=number)
    assert checks(audit(told, folds), "confound") >= {"shortcut by duration"}
    # As a tree of its own finds it: the class is a function of the duration.
    assert audit(told, folds).shortcuts.at["duration", "uar"] == 1.0
    many = synthetic.clips(repetitions=8)
    codes = many["emotion"].map(synthetic.EMOTIONS.index)
    weak = many.assign(duration_s=1 + codes.where(np.random.default_rng(0).random(len(many)) < 0.2, 9))
    report = audit(weak, splits.make(weak, "speaker", n_folds=4))
    gain = report.shortcuts.at["duration", "uar"] - 0.25
    assert 0.1 <= gain < 0.25 * 0.75 and "shortcut by duration" in checks(report, "note")
    endings = np.where(clips["emotion"] == clips["emotion"].iloc[0], ".wav", ".flac")
    report = audit(clips.assign(path=clips["path"].str[:-4] + endings), folds)
    assert "shortcut by file format" in checks(report, "confound")
    assert report.shortcuts.at["file format", "uar"] == 0.5  # one class of four alone, one of the three others
    facts = pd.DataFrame({"rate": 16_000 * number, "channels": 1}, index=clips.index)
    report = audit(clips, folds, levels=levels, recordings=facts)
    assert "shortcut by sampling rate" in checks(report, "confound") and "channels" not in report.shortcuts.index


def test_speakers_of_two_genders_and_names_nearly_alike_are_noted(planted):
    clips = clean(planted[0])
    speakers = sorted(clips["speaker"].unique())
    other = clips.assign(
        gender=clips["gender"]
        .mask(clips.index == clips.index[0], "female")
        .where(clips.index != clips.index[1], "male"),
        speaker=clips["speaker"].mask(clips.index == clips.index[2], speakers[0].replace("s0", "s00") + "."),
        emotion=clips["emotion"].mask(clips.index == clips.index[3], "angryy"),
    )
    found = names.findings(other)
    assert [row[0] for row in found] == ["contradicting genders", "near-equal speakers", "near-equal emotions"]
    assert names.findings(clips) == []
    assert found[0][3].startswith("1 of 5 speakers have clips of both genders")
    assert "'angry' and 'angryy' may be one" in found[2][3]
    assert names.near_equal(clips.assign(emotion=["fear", "afraid", *["sad"] * (len(clips) - 2)])) == [
        ("emotion", "afraid", "fear")
    ]


def test_what_a_harmonisation_leaves_out_is_counted():
    clips = corpora.table("emodb")
    (row,) = [row for row in names.findings(harmonise(clips, "common4")) if row[0] == "labels left out"]
    lost = clips["emotion"].isin(["boredom", "disgust", "fear"]).sum()
    assert row[3].startswith(f"emodb: {lost} of 535 clips (") and row[4] == lost / 535


def test_pairs_that_contradict_come_first_and_everything_is_exported(planted, duplicates, tmp_path):
    clips, folder = planted
    wrong = clips.assign(emotion=clips["emotion"].mask(clips.index == duplicates["clip_b"].iloc[-1], "happyy"))
    report = audit(wrong, splits.make(wrong, "clip", n_folds=3), duplicates=duplicates)
    assert report.pairs["emotion_a"].iloc[0] != report.pairs["emotion_b"].iloc[0]
    assert len(report.pairs) >= len(duplicates)
    problems = pd.DataFrame({"path": ["a.wav"], "problem": ["missing file"], "detail": ["\x1b[2J, \u0627"]})
    for name in ("a.csv", "a.JSON"):
        export.write(report, tmp_path / name, problems)
    table = pd.read_csv(tmp_path / "a.csv")
    assert len(table) == len(report.findings) + len(report.pairs) + 1
    found = json.loads((tmp_path / "a.JSON").read_text(encoding="utf-8"))
    assert len(found["pairs"]) == len(report.pairs) and found["problems"][0]["detail"] == "\x1b[2J, \u0627"
    assert {row["shortcut"]: row["uar"] for row in found["shortcuts"]} == pytest.approx(
        report.shortcuts["uar"].to_dict()
    )
    with pytest.raises(SerError, match="findings are written as .csv or .json, not as '.txt'"):
        export.write(report, tmp_path / "a.txt")


def test_what_was_heard_is_kept_until_a_sound_changes(planted, duplicates, levels, tmp_path, monkeypatch):
    clips, folder = planted
    monkeypatch.setenv("SER_CACHE", str(tmp_path))
    count, read = [], audio.read
    monkeypatch.setattr(audio, "read", lambda path: count.append(path) or read(path))
    pairs, measured = heard(clips, folder)
    assert len(count) == len(clips)  # each once
    pd.testing.assert_frame_equal(measured, levels.sort_index(), check_names=False)
    assert {tuple(row) for row in pairs[["clip_a", "clip_b", "kind"]].to_numpy()} == {
        tuple(row) for row in near_duplicates(clips, folder)[["clip_a", "clip_b", "kind"]].to_numpy()
    }
    count.clear()
    for again, first in zip(heard(clips, folder), (pairs, measured), strict=True):
        pd.testing.assert_frame_equal(again, first)
    assert not count
    next((tmp_path / "audit").glob("*.pairs.parquet")).write_bytes(b"PAR1")
    heard(clips, folder)
    assert len(count) == len(clips)
    heard(clips.assign(sha256=clips["sha256"].str[::-1]), folder)
    assert len(count) == 2 * len(clips)


def test_trees_find_the_copies_that_all_pairs_find(monkeypatch):
    rng = np.random.default_rng(0)
    images = [np.cumsum(rng.normal(size=(10, int(n))), axis=1) for n in rng.integers(40, 160, 400)]
    # Copies of ten of them: noisy, with sound before, and cut at both ends.
    for i in range(0, 300, 30):
        images[i + 1] = images[i] + 0.1 * images[i].std() * rng.normal(size=images[i].shape)
        images[i + 2] = np.hstack([rng.normal(size=(10, 3)), images[i]])
        images[i + 3] = images[i][:, 4:-4]
    images = [image - image.mean(axis=1, keepdims=True) for image in images]
    images = [(image / np.linalg.norm(image)).astype("float32") for image in images]
    everything = searching._candidates(images, 5)
    monkeypatch.setattr(searching, "_ALL_PAIRS", 100)
    monkeypatch.setattr(searching, "_LEAF", 400)
    assert searching._candidates(images, 5) == everything
    monkeypatch.setattr(searching, "_LEAF", 100)
    found = searching._candidates(images, 5)
    copies = {(i, i + k) for i in range(0, 300, 30) for k in (1, 2, 3)}
    assert copies <= everything
    assert len(copies & found) >= 28
    assert len(found) <= 5 * len(images)


def test_trees_of_a_large_corpus_hold_copies_together():
    """Of real size: what a leaf does not hold together, nobody compares."""
    rng, n = np.random.default_rng(0), 4_800
    kinds = {
        "noise": lambda image: image + 0.3 * image.std() * rng.normal(size=image.shape),
        "before": lambda image: np.hstack([image.std() * rng.normal(size=(10, 20)), image]),
        "quarter": lambda image: image[:, image.shape[1] // 4 :],
        "half": lambda image: image[:, image.shape[1] // 2 :],
    }
    images = []
    for i in range(n):
        if i % 24 == 1:
            image = list(kinds.values())[i // 24 % 4](images[-1])
        else:  # bands that move together, each recording's in its own way, about as syllables do
            moves = rng.normal(size=(4, int(rng.integers(60, 200))))
            image = rng.normal(size=(10, 4)) @ ndimage.gaussian_filter1d(moves, rng.uniform(2, 6), axis=1)
        image = image - image.mean(axis=1, keepdims=True)
        images.append((image / np.linalg.norm(image)).astype("float32"))
    found = {kind: [] for kind in kinds}
    leaves = np.full((searching._TREES, n), -1)
    for number, leaf in enumerate(searching._together(searching._movements(images, 400))):
        tree = int((leaves[:, leaf[0]] >= 0).sum())
        leaves[tree, leaf] = number
    for i in range(1, n, 24):
        found[list(kinds)[i // 24 % 4]].append(bool((leaves[:, i] == leaves[:, i - 1]).any()))
    shares = {kind: np.mean(of) for kind, of in found.items()}
    assert min(shares[kind] for kind in ("noise", "before", "quarter")) >= 0.95 and shares["half"] >= 0.8, shares

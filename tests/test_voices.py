"""Voices in the audit: the encoder against its publisher's package, the statistics against scikit-learn and by hand."""

import re

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_curve
from sklearn.metrics.pairwise import cosine_similarity

from ser_core.data import audio, corpora, splits, synthetic
from ser_core.data.audit import audit, voices
from ser_core.errors import SerError
from ser_core.experiments import voices as tables
from ser_core.experiments.fold import Fold
from ser_core.systems import features, weights
from ser_core.systems.features import voice


def toy(n_speakers=6, n_clips=20, spread=0.3, seed=0):
    """Made-up voices: a direction each, and noise around it; their Clips."""
    rng = np.random.default_rng(seed)
    people = rng.normal(size=(n_speakers, 32))
    rows = np.repeat(people, n_clips, axis=0) + spread * rng.normal(size=(n_speakers * n_clips, 32))
    index = [f"c{i:03}" for i in range(len(rows))]
    clips = pd.DataFrame({"speaker": np.repeat([f"s{i}" for i in range(n_speakers)], n_clips)}, index=index)
    clips["emotion"], clips["gender"] = np.resize(list("abcd"), len(rows)), "female"
    return pd.DataFrame(rows, index=index), clips


# The encoder


@pytest.mark.needs_fetched("ge2e")
def test_vectors_are_those_of_the_publisher_s_package():
    # Computed by Resemblyzer 0.1.4, `VoiceEncoder.embed_utterance`, from the same samples.
    t = np.arange(32_000) / 16_000
    wave = (0.1 * np.sign(np.sin(2 * np.pi * 120 * t))).astype("float32")
    (found,) = voice.vectors([wave])
    assert np.argsort(-found)[:6].tolist() == [78, 168, 238, 121, 187, 180]
    np.testing.assert_allclose(
        np.sort(found)[:-7:-1], [0.24157, 0.21239, 0.15871, 0.15512, 0.15443, 0.15381], atol=1e-5
    )
    assert (found > 0).sum() == 152


@pytest.mark.needs_fetched("ge2e")
def test_a_clip_has_one_vector_alone_or_beside_others_loud_or_faint():
    rng = np.random.default_rng(0)
    clips = [(rng.normal(size=n).astype("float32") * 0.05, 16_000) for n in (300, 9_000, 70_000)]
    together = voice.embed(clips)
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, rtol=1e-6)
    for one, row in zip(clips, together, strict=True):
        np.testing.assert_allclose(voice.embed([one])[0], row, atol=1e-6)
    faint, fainter = voice.embed([(clips[2][0] * 0.01, 16_000), (clips[2][0] * 0.001, 16_000)])
    np.testing.assert_allclose(faint, fainter, atol=1e-5)
    assert np.isfinite(voice.embed([(np.zeros(8_000, "float32"), 16_000)])).all()


@pytest.mark.needs_data
@pytest.mark.needs_fetched("ge2e")
@pytest.mark.parametrize("name", ["ravdess", "emodb", "banglaser", "urdu"])
def test_committed_vectors_are_those_of_the_recordings(name):
    clips = corpora.table(name).iloc[::200]
    found = voice.embed([audio.read(corpora.audio_path(row)) for _, row in clips.iterrows()])
    np.testing.assert_allclose(features.load(name, "ge2e").loc[clips.index], found, atol=1e-3)


# One voice under two names


def test_likeness_is_the_mean_cosine_corrected_for_attenuation():
    vectors, clips = toy(3, 5)
    found = voices.likeness(vectors, clips["speaker"])
    cosines = cosine_similarity(vectors)

    def mean(a, b):
        part = cosines[np.ix_(clips["speaker"] == a, clips["speaker"] == b)]
        return part[~np.eye(5, dtype=bool)].mean() if a == b else part.mean()

    expected = mean("s0", "s2") / np.sqrt(mean("s0", "s0") * mean("s2", "s2"))
    assert found.at["s0", "s2"] == pytest.approx(expected)
    assert voices.unity(vectors, clips["speaker"])["s1"] == pytest.approx(mean("s1", "s1"))
    lone = voices.likeness(vectors, clips["speaker"].where(clips.index != "c000", "alone"))
    assert lone.loc["alone"].isna().all() and len(lone) == 4


def test_error_rate_is_that_of_the_roc_curve():
    vectors, clips = toy(spread=1.5)
    compared = voices.trials(vectors, clips, n_draws=4)
    found = voices.error_rate(compared, n_resamples=50)
    joined, kept, _ = roc_curve(compared["same"], compared["likeness"])
    assert found.rate == pytest.approx(np.interp(0, joined - (1 - kept), joined), abs=0.02)
    assert found.low <= found.rate <= found.high and found.n_speakers == 6
    known = voices.alarm(compared, 0.05, one_voice=True)
    two = compared.loc[~compared["same"], "likeness"]
    assert known.false_alarms == pytest.approx((two >= known.threshold).mean()) and known.false_alarms <= 0.06
    with pytest.raises(SerError, match="one kind only"):
        voices.error_rate(compared[compared["same"]])


def test_halves_that_are_compared_share_no_emotion_and_no_clip():
    vectors, clips = toy(2, 8)
    # A voice that depends on nothing but the emotion: halves of one speaker are as little alike as those of two.
    by_emotion = pd.DataFrame(np.eye(4)[clips["emotion"].map("abcd".index)], index=clips.index)
    compared = voices.trials(by_emotion, clips, n_draws=3)
    assert compared["likeness"].eq(0).all() and compared["same"].sum() == 6 and len(compared) == 12
    assert len(voices.trials(vectors, clips.assign(gender=["male"] * 8 + ["female"] * 8), n_draws=3)) == 6


def test_one_voice_under_two_names_is_found_and_no_other():
    vectors, clips = toy()
    names = clips["speaker"].copy()
    names.iloc[:10] = "alias"
    found = voices.one_voice(vectors, names)
    assert found.loc[found["found"], ["a", "b"]].to_numpy().tolist() == [["alias", "s0"]]
    assert found["n_clips"].iloc[0] == 10 and found["threshold"].iloc[0] == voices.ONE_VOICE[4].threshold
    assert len(voices.one_voice(vectors, names.where(names != "s0"))) == 15
    names.iloc[3:10] = "s0"  # three clips are too few
    assert "alias" not in set(voices.one_voice(vectors, names)["a"])


def test_two_voices_under_one_name_are_found_and_no_other():
    vectors, clips = toy()
    names = clips["speaker"].replace("s5", "s4")
    assert voices.two_voices(vectors, names).query("found").index.tolist() == ["s4"]
    mixed = voices.mixtures(vectors, clips)
    assert (
        len(mixed) == 6 + 15 and mixed.groupby("same")["likeness"].max()[False] < mixed.query("same")["likeness"].min()
    )


# Voices without a name


def test_pseudo_speakers_of_clear_voices_are_the_speakers():
    vectors, clips = toy()
    groups = voices.pseudo_speakers(vectors)
    assert voices.purity(groups, clips["speaker"]) == {"groups": 6, "speakers": 6, "purity": 1, "together": 1}
    assert voices.pseudo_speakers(vectors, 3).nunique() == 3
    assert voices.pseudo_speakers(pd.DataFrame(np.ones((3, 2)), index=list("xyz"))).nunique() == 1
    with pytest.raises(SerError, match="from two clips on, not of 1"):
        voices.pseudo_speakers(vectors.iloc[:1])


def test_purity_by_hand():
    groups = pd.Series(list("vvvww"), index=list("abcde"))
    found = voices.purity(groups, pd.Series(list("xxyyy"), index=list("abcde")))
    assert found == {"groups": 2, "speakers": 2, "purity": 0.8, "together": 0.8}


# The audit


def test_audit_tells_what_voices_say():
    clips = synthetic.clips()
    rng = np.random.default_rng(0)
    people = {name: rng.normal(size=32) for name in sorted(set(clips["speaker"]))}
    rows = [people[name] + 0.3 * rng.normal(size=32) for name in clips["speaker"]]
    vectors = pd.DataFrame(rows, index=clips.index)
    folds = splits.make(clips, "speaker")
    clean = audit(clips, folds, voices=vectors)
    assert "voice" in clean.shortcuts.index and not clean.findings["check"].str.contains("two names").any()
    first = sorted(people)[0]
    names = clips["speaker"].mask(clips["speaker"].eq(first) & (clips["emotion"] == clips["emotion"].iloc[0]), "alias")
    assert (names == "alias").sum() >= voices.LEAST_CLIPS
    renamed = clips.assign(speaker=names)
    (told,) = audit(renamed, folds, voices=vectors).findings.query("check == 'one voice under two names'").itertuples()
    assert f"'alias' and '{first}' sound like one voice" in told.detail and told.severity == "note"
    unnamed = clips.assign(speaker=None)
    found = voices.findings(vectors, unnamed)
    assert [row[0] for row in found] == ["voices without a name"]
    assert found[0][4] == voices.pseudo_speakers(vectors).nunique()


def test_audit_by_the_command_finds_the_woman_with_two_names(ser):
    done = ser("audit", "urdu", "--voices")
    assert "one voice under two names: 'urdu/SF1' and 'urdu/SF4' sound like one voice" in done.out
    assert "shortcut scores" in done.out and ", voice 0." in done.out


def test_audit_without_voices_says_how_to_get_them(ser, monkeypatch, tmp_path):
    monkeypatch.setenv("SER_CACHE", str(tmp_path))
    done = ser("audit", "savee", "--voices", "--n-folds", "loo")
    assert (done.code, done.out) == (2, "") and done.err.count("\n") == 1
    assert done.err.endswith("make them, with the audio, by: ser features savee ge2e\n")
    done = ser("audit", "meld", "--voices")
    assert (done.code, done.err) == (2, "ser: meld has no recordings to compute 'ge2e' from\n")
    csv = synthetic.corpus(tmp_path / "toy", speakers=5, sentences=2) / "clips.csv"
    monkeypatch.delenv("SER_WEIGHTS", raising=False)
    done = ser("audit", csv, "--voices")
    assert (done.code, done.err) == (2, "ser: ge2e: the weights are not there; get them by: ser weights get ge2e\n")


@pytest.mark.needs_fetched("ge2e")
def test_audit_of_a_csv_listens_to_it(ser, monkeypatch, tmp_path):
    monkeypatch.setenv("SER_WEIGHTS", str(weights.find("ge2e").parent))
    monkeypatch.setenv("SER_CACHE", str(tmp_path / "cache"))
    csv = synthetic.corpus(tmp_path / "toy", speakers=5, sentences=2) / "clips.csv"
    done = ser("audit", csv, "--voices")
    assert done.code == 0 and re.search(r"voice \d\.\d{3}", done.out)


def test_split_by_voices_needs_no_names(ser, monkeypatch, tmp_path):
    done = ser("split", "emodb", "--voices", "--n-folds", "3", "--out", tmp_path / "folds.csv")
    assert done.code == 0, done.err
    assert re.search(r"fold 0: train \d+ clips, \d+ voices; dev \d+ clips, \d+ voices; test \d+ clips", done.out)
    folds = pd.read_csv(tmp_path / "folds.csv")
    groups = voices.pseudo_speakers(features.load("emodb", "ge2e"))
    roles = folds.groupby(["fold", folds["clip"].map(groups)])["role"].nunique()
    assert (roles == 1).all() and set(folds["clip"]) == set(groups.index)
    named = corpora.table("emodb")
    monkeypatch.setattr(corpora, "table", lambda name: named.assign(speaker=pd.NA))
    again = ser("split", "emodb", "--voices", "--n-folds", "3", "--out", tmp_path / "again.csv")
    assert again.code == 0, again.err
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "again.csv"), folds)
    refused = ser("split", "emodb", "--n-folds", "3")
    assert refused.code == 2 and "states no speaker" in refused.err and "ser split --voices" in refused.err
    refused = ser("split", "emodb", "--voices", "--protocol", "clip")
    assert (refused.code, refused.err.count("\n")) == (2, 1) and "in for the names of speakers" in refused.err


# What is committed


def test_thresholds_are_those_of_the_committed_comparisons():
    compared = tables.read("trials")
    for n_clips, known in voices.ONE_VOICE.items():
        found = voices.alarm(compared[compared["n_clips"] == n_clips], 0.01, one_voice=True)
        assert known == voices.Alarm(
            *(round(value, 3) for value in (found.threshold, found.false_alarms, found.misses))
        )
    found = voices.alarm(tables.read("mixtures"), 0.05, one_voice=False)
    known = voices.TWO_VOICES
    assert known == voices.Alarm(*(round(value, 3) for value in (found.threshold, found.false_alarms, found.misses)))


def test_committed_comparisons_are_those_of_the_committed_vectors():
    compared = tables.read("trials").query("corpus == 'emodb' and n_clips == 16 and draw < 2")
    found = voices.trials(features.load("emodb", "ge2e"), corpora.table("emodb"), n_clips=16, n_draws=2)
    np.testing.assert_allclose(found["likeness"], compared["likeness"], rtol=1e-5)


def test_erased_speakers_cannot_be_told_by_a_linear_classifier():
    vectors, clips = toy(4, 20)
    eraser = tables._eraser(vectors.to_numpy(), pd.get_dummies(clips["speaker"]).to_numpy("float64"))
    told = LogisticRegression(C=1e6, max_iter=1000)
    assert told.fit(vectors, clips["speaker"]).score(vectors, clips["speaker"]) == 1
    left = eraser(vectors.to_numpy())
    assert told.fit(left, clips["speaker"]).score(left, clips["speaker"]) < 0.4  # chance is 0.25


def test_erasing_takes_the_emotion_where_each_speaker_has_one():
    vectors, clips = toy(40, 8, spread=1.0)
    numbers = clips["speaker"].str[1:].astype(int)
    clips["emotion"] = numbers.mod(2).map({0: "happy", 1: "sad"})
    vectors[0] = 5.0 * (clips["emotion"] == "sad") + np.random.default_rng(1).normal(size=len(clips))
    train, test = (tuple(clips.index[part]) for part in (numbers < 30, numbers >= 30))
    made = tables.erased_fold(Fold(clips, 0, 0, train, (), test), vectors)
    right = {how: (table["truth"] == table["prediction"]).mean() for how, table in made.items()}
    assert right["none"] > 0.9 and right["within"] > 0.9 and right["erased"] < 0.75


def test_committed_predictions_are_those_of_today():
    table = tables.read("erased").query("corpus == 'urdu' and features == 'ge2e' and fold == 0")
    clips = corpora.table("urdu")
    rows = splits.make(clips, "speaker", n_folds=5, dev=False).query("fold == 0")
    parts = [tuple(rows.loc[rows["role"] == role, "clip"]) for role in ("train", "test")]
    made = tables.erased_fold(Fold(clips, 0, 0, parts[0], (), parts[1]), features.load("urdu", "ge2e"))
    for how, found in made.items():
        recorded = table[table["how"] == how].set_index("clip")["prediction"]
        assert (
            recorded[found["clip"]].to_numpy() == found["prediction"]
        ).mean() > 0.97  # another processor's last bits

import itertools
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.dummy import DummyClassifier
from sklearn.metrics import balanced_accuracy_score

from ser_core.errors import RefusalError, SerError
from ser_core.evaluation import floors, metrics


def corpus(n=240, seed=0):
    """Emotions that follow the speaker for three speakers in four, in two folds by clip."""
    rng = np.random.default_rng(seed)
    speaker = rng.integers(0, 8, n)
    emotion = np.where(speaker < 6, speaker % 3, rng.integers(0, 3, n))
    table = {"speaker": [f"toy/s{i}" for i in speaker], "emotion": np.array(["angry", "happy", "sad"])[emotion]}
    clips = pd.DataFrame(table, index=pd.Index([f"toy/{i:03}" for i in range(n)], name="clip"))
    clips["gender"] = np.where(speaker % 2, "female", "male")
    clips["sentence"] = pd.Series([None] * n, index=clips.index, dtype="str")
    return clips


def folds_of(clips, test_of):
    """Folds in which ``test_of`` gives the test fold of each clip, and dev is a tenth of the rest."""
    parts = []
    for fold in np.unique(test_of):
        role = np.where(test_of == fold, "test", np.where(np.arange(len(clips)) % 10 == 0, "dev", "train"))
        parts.append(pd.DataFrame({"clip": clips.index, "fold": fold, "role": role}))
    return pd.concat(parts, ignore_index=True)


def score(predictions):
    return metrics.scores(predictions)


def test_majority_equals_scikit_learn():
    clips = corpus()
    folds = folds_of(clips, np.arange(len(clips)) % 3)
    predictions = floors.majority(clips, folds)
    for fold, rows in folds.groupby("fold"):
        train, test = (clips.loc[rows.loc[rows["role"] == role, "clip"]] for role in ("train", "test"))
        expected = DummyClassifier(strategy="most_frequent").fit(train, train["emotion"]).predict(test)
        mine = predictions[predictions["fold"] == fold]
        assert mine["prediction"].tolist() == expected.tolist()
        assert mine["truth"].tolist() == test["emotion"].tolist()


def test_chance_is_the_mean_of_many_draws():
    clips = corpus()
    folds = folds_of(clips, (clips["speaker"] > "toy/s3").to_numpy().astype(int))
    names, drawn = ["angry", "happy", "sad"], np.zeros((3, 3))
    for _, rows in folds.groupby("fold"):
        train, test = (clips.loc[rows.loc[rows["role"] == role, "clip"]] for role in ("train", "test"))
        model = DummyClassifier(strategy="stratified", random_state=np.random.RandomState(0))
        model.fit(train, train["emotion"])
        for _ in range(400):
            drawn += metrics.confusion(test["emotion"], model.predict(test), names) / 400
    expected = floors.chance(clips, folds)
    np.testing.assert_allclose(expected, drawn, atol=1.0)
    assert metrics.uar(expected.to_numpy()) == pytest.approx(float(metrics.uar(drawn)), abs=0.01)


def test_speaker_lookup_finds_the_planted_speakers():
    clips = corpus()
    by_clip = folds_of(clips, np.arange(len(clips)) % 3)
    predictions = floors.lookup(clips, by_clip, "speaker")
    planted = predictions[predictions["speaker"] < "toy/s6"]
    assert (planted["truth"] == planted["prediction"]).all()
    assert sorted(predictions["clip"]) == sorted(clips.index)
    assert predictions.columns.tolist() == ["clip", "speaker", "fold", "seed", "truth", "prediction"]
    assert predictions["fold"].dtype == predictions["seed"].dtype == "int32"


def test_an_unseen_or_missing_value_gets_the_majority():
    clips = corpus()
    by_speaker = folds_of(clips, (clips["speaker"] > "toy/s3").to_numpy().astype(int))
    pd.testing.assert_frame_equal(
        floors.lookup(clips, by_speaker, "speaker"), floors.majority(clips, by_speaker), check_dtype=False
    )
    row = floors.floors(clips, by_speaker).loc["speaker"]
    assert row["known"] == 0 and row["reason"] == "no test speaker is in the train part, so the majority answers"


def test_ties_go_to_the_commoner_emotion_then_alphabetically():
    table = {"speaker": list("aabbcc"), "emotion": ["sad", "happy", "sad", "sad", "sad", "sad"]}
    clips = pd.DataFrame(table, index=list("uvwxyz"))
    folds = pd.DataFrame({"clip": list("uvwxy") + ["z"], "fold": 0, "role": ["train"] * 5 + ["test"]})
    clips.loc["z", "speaker"] = "a"
    assert floors.lookup(clips, folds, "speaker")["prediction"].tolist() == ["sad"]
    clips["emotion"] = ["sad", "happy", "sad", "happy", "neutral", "sad"]
    assert floors.lookup(clips, folds, "speaker")["prediction"].tolist() == ["happy"]


def test_the_dev_part_is_not_used():
    clips = pd.DataFrame({"speaker": list("aaab"), "emotion": ["sad", "happy", "happy", "sad"]}, index=list("wxyz"))
    folds = pd.DataFrame({"clip": list("wxyz"), "fold": 0, "role": ["train", "dev", "dev", "test"]})
    assert floors.majority(clips, folds)["prediction"].tolist() == ["sad"]
    assert floors.lookup(clips, folds, "speaker")["prediction"].tolist() == ["sad"]


def test_floors_score_what_the_functions_predict_and_say_what_is_unknown():
    clips = corpus()
    folds = folds_of(clips, np.arange(len(clips)) % 3)
    table = floors.floors(clips, folds)
    assert table.index.tolist() == ["majority", "chance", "speaker", "sentence", "gender", "session", "corpus"]
    for floor in ("speaker", "gender"):
        assert table.loc[floor, "uar"] == pytest.approx(score(floors.lookup(clips, folds, floor))["uar"])
    assert table.loc["majority", "wa"] == pytest.approx(score(floors.majority(clips, folds))["wa"])
    assert np.isnan(table.loc["sentence", "uar"]) and table.loc["sentence", "reason"] == "the corpus states no sentence"
    assert table.loc["speaker", "known"] == 1


def merged():
    """Two corpora alike in two emotions; one of them alone has a third."""
    clips = corpus()
    clips["corpus"] = np.where(np.arange(len(clips)) % 2, "first", "second")
    clips["emotion"] = np.array(["angry", "happy", "angry", "happy", "calm"])[np.arange(len(clips)) // 2 % 5]
    clips.loc[(clips["emotion"] == "calm") & (clips["corpus"] == "first"), "emotion"] = "angry"
    return clips


def test_a_corpus_gives_away_the_class_that_it_alone_has():
    clips = merged()
    folds = folds_of(clips, np.arange(len(clips)) // 10 % 3)
    found = score(floors.lookup(clips, folds, "corpus", "uar"))["uar"]
    # All clips of 'calm', and of the other corpus's answer the share that it has of that emotion.
    share = pd.crosstab(clips["corpus"], clips["emotion"], normalize="columns")
    assert found == pytest.approx((1 + share.loc["first"].max()) / 3)
    assert score(floors.lookup(clips, folds, "corpus"))["uar"] < found - 0.1
    assert floors.floors(clips, folds, "uar").loc["corpus", "uar"] == pytest.approx(found)


def test_no_other_answer_to_a_corpus_has_a_larger_uar_than_its_look_up():
    clips = merged()
    folds = folds_of(clips, np.arange(len(clips)) // 10 % 3)
    found = score(floors.lookup(clips, folds, "corpus", "uar"))["uar"]
    for answers in itertools.product(["angry", "calm", "happy"], repeat=2):
        answer = clips["corpus"].map(dict(zip(["first", "second"], answers, strict=True)))
        assert balanced_accuracy_score(clips["emotion"], answer) <= found + 1e-9


def test_one_corpus_alone_is_no_floor():
    clips = corpus().assign(corpus="toy")
    row = floors.floors(clips, folds_of(clips, np.arange(len(clips)) % 3)).loc["corpus"]
    assert np.isnan(row["uar"]) and row["reason"] == "all clips are of one corpus"


def test_what_cannot_be_looked_up_is_refused():
    clips = corpus()
    folds = folds_of(clips, np.arange(len(clips)) % 3)
    with pytest.raises(RefusalError, match="states no sentence for any clip"):
        floors.lookup(clips, folds, "sentence")
    with pytest.raises(SerError, match="no look-up by 'mood'; there are"):
        floors.lookup(clips, folds, "mood")
    with pytest.raises(SerError, match="no look-up for the metric 'f1'; there are those for 'wa' and 'uar'"):
        floors.lookup(clips, folds, "speaker", "f1")
    with pytest.raises(SerError, match="clips that are not in the Clips table, first 'toy/000'"):
        floors.majority(clips.iloc[5:], folds)
    with pytest.raises(SerError, match="fold 0 has no train clip"):
        floors.majority(clips, folds.query("fold == 0 and role == 'test'"))


def test_resubstitution_is_in_sample():
    clips = corpus()
    predictions = floors.resubstitution_lookup(clips, "speaker")
    best = pd.crosstab(clips["speaker"], clips["emotion"]).max(axis=1).sum() / len(clips)
    assert score(predictions)["wa"] == pytest.approx(best)


@pytest.mark.needs_data
def test_urdu_speakers_give_the_emotion_away():
    files = sorted((Path(os.environ["SER_DATA"]) / "urdu").glob("*/*_*.*"))
    clips = pd.DataFrame(
        {"speaker": [f"urdu/{file.stem.split('_')[0]}" for file in files], "emotion": [f.parent.name for f in files]},
        index=[f"urdu/{file.parent.name}/{file.stem}" for file in files],
    )
    assert len(clips) == 400
    assert score(floors.resubstitution_lookup(clips, "speaker"))["wa"] == pytest.approx(0.96, abs=0.005)

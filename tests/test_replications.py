import numpy as np
import pandas as pd
import pytest
from scipy.io import savemat
from sklearn.model_selection import StratifiedKFold, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from ser_core import replications
from ser_core.corpora import urdu_sindhi
from ser_core.errors import SerError

EMOTIONS = ("Anger", "Disgust", "Happiness", "Neutral", "Sadness", "Sarcasm", "Surprise")


@pytest.fixture
def folder(tmp_path):
    """A small synthetic release in the official layout: a number of the class plus noise, and a decoy variable."""
    rng = np.random.default_rng(0)
    for language in urdu_sindhi.LANGUAGES:
        for name, size in {"eGeMAPS": 12, "Prosody": 5}.items():
            place = tmp_path / f"Feats - {language}" / f"{name} funcs" / "Matfiles"
            place.mkdir(parents=True)
            for code, emotion in enumerate(EMOTIONS):
                for number in range(10):
                    vector = code + rng.normal(size=(1, size))
                    savemat(
                        place / f"{emotion}_{number:04}.mat", {f"{name}_vector": vector, "rate": np.array([[16000]])}
                    )
    return tmp_path


def test_reader_takes_the_longest_array_and_the_word_before_the_underscore(folder):
    features, emotions = urdu_sindhi.read(folder, "Urdu", "eGeMAPS")
    assert features.shape == (70, 12)
    assert emotions.value_counts().to_dict() == {name.lower(): 10 for name in EMOTIONS}


def test_within_language_scores_are_scikit_learns(folder):
    features, emotions = urdu_sindhi.read(folder, "Sindhi", "eGeMAPS")
    ours = replications.khan2026_within(features, emotions)
    svm = make_pipeline(StandardScaler(), SVC(C=10, gamma="scale", class_weight="balanced"))
    folds = StratifiedKFold(5, shuffle=True, random_state=42)
    theirs = cross_validate(svm, features, emotions, cv=folds, scoring=["balanced_accuracy", "accuracy", "f1_weighted"])
    assert ours.loc["khan-svm", "uar"] == pytest.approx(theirs["test_balanced_accuracy"].mean())
    assert ours.loc["khan-svm", "uar_sd"] == pytest.approx(theirs["test_balanced_accuracy"].std())
    assert ours.loc["khan-svm", "wa"] == pytest.approx(theirs["test_accuracy"].mean())
    assert ours.loc["khan-svm", "weighted_f1"] == pytest.approx(theirs["test_f1_weighted"].mean())


def test_transfer_finds_what_was_planted(folder):
    source, target = (urdu_sindhi.read(folder, language, "eGeMAPS") for language in urdu_sindhi.LANGUAGES)
    scores = replications.khan2026_transfer(source, target)
    # The perceptron stops early on a tenth of 70 clips, that is on noise; only the other two must find it.
    assert (scores.loc[["khan-svm", "khan-forest"], "uar"] > 0.5).all()
    shuffled = target[1].sample(frac=1, random_state=0).set_axis(target[1].index)
    assert (replications.khan2026_transfer(source, (target[0], shuffled))["uar"] < 0.35).all()


def test_bad_releases_are_named(folder, tmp_path_factory):
    with pytest.raises(SerError, match="Zenodo record 3685274"):
        urdu_sindhi.read(tmp_path_factory.mktemp("empty"), "Urdu", "eGeMAPS")
    with pytest.raises(SerError, match="no 'IS11' of 'Urdu'"):
        urdu_sindhi.read(folder, "Urdu", "IS11")
    place = folder / "Feats - Urdu" / "Prosody funcs" / "Matfiles"
    savemat(place / "Anger_0000.mat", {"v": np.zeros((1, 3))})
    savemat(place / "Anger_0001.mat", {"v": np.array([[16000]])})
    with pytest.raises(SerError, match="'Anger_0000': 3.*against 5"):
        urdu_sindhi.read(folder, "Urdu", "Prosody")
    (place / "Anger_0000.mat").write_bytes(b"not a mat file at all")
    with pytest.raises(SerError, match="Anger_0000.mat: not a readable"):
        urdu_sindhi.read(folder, "Urdu", "Prosody")


def test_mismatched_sides_are_stated(folder):
    urdu = urdu_sindhi.read(folder, "Urdu", "eGeMAPS")
    prosody = urdu_sindhi.read(folder, "Sindhi", "Prosody")
    with pytest.raises(SerError, match="12 != 5"):
        replications.khan2026_transfer(urdu, prosody)
    with pytest.raises(SerError, match="different clips"):
        replications.khan2026_within(urdu[0].iloc[:5], urdu[1])
    with pytest.raises(SerError, match="'anger' has 3 clips"):
        keep = pd.concat([urdu[1][urdu[1] == "anger"].iloc[:3], urdu[1][urdu[1] != "anger"]])
        replications.khan2026_within(urdu[0].loc[keep.index], keep)

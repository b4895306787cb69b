import numpy as np
import pandas as pd
import pytest
from scipy.io import savemat
from sklearn.model_selection import StratifiedKFold, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from ser_core.book import literature
from ser_core.book.literature import replications
from ser_core.data.corpora import urdu_sindhi
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


def test_most_calm_validation_clips_of_sharma_are_copies():
    sizes = replications.sharma2023_sizes(literature.published_counts("merged-sharma"))
    # By hand: 192 - 38 = 154 recordings for 1,600 + 400 clips; a fifth of 2,000 has 400 * 154 / 2000 = 30.8 of them.
    calm = sizes.loc["calm"]
    assert calm[["left", "copies", "originals_at_most", "copies_at_least"]].tolist() == [154, 1846, 154, 246]
    assert calm["originals_expected"] == pytest.approx(30.8)
    # 2955 - 591 = 2364 recordings are more than 2,000; 2499 - 501 = 1998 are all of 1598 + 400; 745 - 149 = 596.
    assert sizes["copies"].to_dict() == {
        "angry": 0,
        "calm": 1846,
        "disgust": 2000 - (1923 - 385),
        "fearful": 2000 - (1927 - 385),
        "happy": 0,
        "sad": 0,
        "surprised": 1858 - 596,
    }
    assert sizes.loc["happy", "originals_expected"] == 400
    # A stratified fifth of the balanced whole has the published sizes, the uneven class of surprise among them.
    assert sizes["drawn_after"].tolist() == literature.published_counts("merged-sharma")["validation"].tolist()


def test_the_published_counts_of_sharma_add_up():
    counts = literature.published_counts("merged-sharma")
    assert counts.sum().to_dict() == {
        "all": 13_236,
        "train": 11_084,
        "validation": 2_772,
        "test": 2_648,
        # By corpus, the sums of the entries; for SAVEE the paper prints ten more.
        "train of RAVDESS": 2_670,
        "test of SAVEE": 63,
        "test of RAVDESS": 262,
        "test of TESS": 458,
        "test of IEMOCAP": 528,
        "test of CREMA-D": 1_327,
    }
    # A fifth of each class is tested, up to a clip or two.
    assert (counts["test"] - counts["all"] / 5).abs().max() < 1.5


def test_counts_that_cannot_be_are_named():
    counts = literature.published_counts("merged-sharma")
    with pytest.raises(SerError, match=r"lack the columns \['test'\]"):
        replications.sharma2023_sizes(counts.drop(columns="test"))
    with pytest.raises(SerError, match="'calm' has 193 clips in the test part, but 192 in all"):
        replications.sharma2023_sizes(counts.assign(test=counts["test"].where(counts.index != "calm", 193)))

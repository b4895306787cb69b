import numpy as np
import pandas as pd
import pytest
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from ser_core.errors import SerError
from ser_core.systems import classifiers


@pytest.fixture
def task():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 120)
    x = rng.normal(size=(120, 7)) * [1, 10, 100, 1, 1, 1, 1] + y[:, None]
    return x, y


def test_linear_svm_is_scikit_learns_with_c_divided_by_the_number_of_features(task):
    x, y = task
    ours = classifiers.pipeline("svm-linear", "train", C=2.0).fit(x, y)
    scaler = StandardScaler().fit(x)
    theirs = SVC(kernel="linear", C=2.0 / x.shape[1], class_weight="balanced").fit(scaler.transform(x), y)
    np.testing.assert_array_equal(ours.predict(x), theirs.predict(scaler.transform(x)))


def test_rbf_svm_is_scikit_learns_with_gamma_auto(task):
    x, y = task
    ours = classifiers.pipeline("svm-rbf", "none", C=5.0).fit(x, y)
    theirs = SVC(kernel="rbf", gamma="auto", C=5.0, class_weight="balanced").fit(x, y)
    np.testing.assert_array_equal(ours.predict(x), theirs.predict(x))


def test_khans_svm_has_the_documented_settings():
    classifier = classifiers.model("khan-svm").make(42)
    assert (classifier.C, classifier.gamma, classifier.class_weight) == (10.0, "scale", "balanced")
    forest = classifiers.model("khan-forest").make(42)
    assert (forest.n_estimators, forest.max_depth, forest.class_weight) == (500, None, "balanced")
    perceptron = classifiers.model("khan-mlp").make(42)
    assert (perceptron.hidden_layer_sizes, perceptron.max_iter, perceptron.early_stopping) == ((256, 128), 400, True)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("name", sorted(classifiers.MODELS))
def test_every_model_fits_predicts_and_repeats_itself(name, task):
    x, y = task
    first, second = (classifiers.pipeline(name, "train", seed=3).fit(x, y).predict(x) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert (first == y).mean() > 0.4


@pytest.mark.parametrize("name", sorted(name for name, model in classifiers.MODELS.items() if model.grid))
def test_every_setting_of_a_grid_can_be_set(name):
    for setting in classifiers.settings(name):
        parameters = classifiers.pipeline(name, "train", **setting).named_steps["classifier"].get_params()
        assert {key: parameters[key] for key in setting} == setting


@pytest.mark.parametrize("name", sorted(name for name, model in classifiers.MODELS.items() if model.deterministic))
def test_models_called_deterministic_do_not_hear_the_seed(name, task):
    x, y = task
    first, second = (classifiers.pipeline(name, "train", seed=seed).fit(x, y).predict(x) for seed in (0, 1))
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("normalisation", ["speaker", "corpus", "coral"])
def test_a_normalisation_by_groups_is_a_scaler_per_group(normalisation):
    rng = np.random.default_rng(1)
    features = pd.DataFrame(rng.normal(5, 3, size=(30, 4)), index=[f"c{i}" for i in range(30)])
    clips = pd.DataFrame({"speaker": [f"s{i % 3}" for i in range(30)]}, index=features.index)
    clips["corpus"] = np.where(clips["speaker"] == "s2", "b", "a")
    ours = classifiers.normalise(features, clips.sample(frac=1, random_state=0), normalisation)
    for _, rows in clips.groupby("speaker" if normalisation == "speaker" else "corpus"):
        np.testing.assert_allclose(ours.loc[rows.index], StandardScaler().fit_transform(features.loc[rows.index]))


def test_a_feature_that_never_changes_stays_finite():
    features = pd.DataFrame({"f": [2.0, 2.0]}, index=["a", "b"])
    ours = classifiers.normalise(features, pd.DataFrame({"speaker": ["s", "s"]}, index=["a", "b"]), "speaker")
    assert ours["f"].tolist() == [0.0, 0.0]


def test_bad_names_and_missing_speakers_are_said():
    features = pd.DataFrame({"f": [1.0]}, index=["a"])
    with pytest.raises(SerError, match="unknown model 'svn'; expected one of"):
        classifiers.model("svn")
    clips = pd.DataFrame({"speaker": [None]}, index=["a"])
    with pytest.raises(SerError, match="unknown normalisation 'corpora'"):
        classifiers.normalise(features, clips, "corpora")
    with pytest.raises(SerError, match="needs a speaker for every clip; 1 have none"):
        classifiers.normalise(features, clips, "speaker")

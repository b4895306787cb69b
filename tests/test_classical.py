import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from ser_core.errors import SerError
from ser_core.systems import classifiers, layers
from ser_core.systems.features import EXTRACTORS, columns, whisper


@pytest.fixture
def task():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 120)
    x = rng.normal(size=(120, 7)) * [1, 10, 100, 1, 1, 1, 1] + y[:, None]
    return x, y


def suited(name, x):
    """The task's columns; again and again up to those of five layers for a classifier that takes one of them."""
    return np.tile(x, 275)[:, : 5 * 384] if "layer" in name else x


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
    x, y = suited(name, task[0]), task[1]
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
    x, y = suited(name, task[0]), task[1]
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


# One layer of all


@pytest.fixture(scope="module")
def every_layer():
    """Random states of Whisper base's seven layers for 90 clips of three classes, of which layer 4 alone tells."""
    rng = np.random.default_rng(1)
    y = rng.integers(0, 3, 90)
    x = rng.normal(size=(90, 7, 512)) * rng.uniform(0.1, 10, 512) + rng.normal(size=(7, 512))
    x[:, 4, :40] += 2 * y[:, None]
    return x.reshape(90, -1).astype("float32"), y


@pytest.mark.parametrize("layer", [0, 3, 6, -1, -7])
@pytest.mark.parametrize("C", [1e-4, 0.1])
def test_one_layer_is_scikit_learn_on_the_sliced_columns(every_layer, layer, C):
    x, y = every_layer
    ours = classifiers.pipeline("logreg-layer", "train", layer=layer, C=C).fit(x[:60], y[:60])
    start = 512 * (layer % 7)
    sliced = x[:, start : start + 512]
    scaler = StandardScaler().fit(sliced[:60])
    theirs = LogisticRegression(C=C, class_weight="balanced", max_iter=1000).fit(scaler.transform(sliced[:60]), y[:60])
    np.testing.assert_array_equal(ours.predict(x[60:]), theirs.predict(scaler.transform(sliced[60:])))
    np.testing.assert_allclose(
        ours.predict_proba(x[60:]), theirs.predict_proba(scaler.transform(sliced[60:])), rtol=1e-5
    )
    # The classifier 'logreg' on the view of the layer is the same system.
    view = classifiers.pipeline("logreg", "train", C=C).fit(sliced[:60], y[:60])
    np.testing.assert_allclose(ours.predict_proba(x[60:]), view.predict_proba(sliced[60:]), rtol=1e-5)


def test_the_last_layer_is_the_default_and_has_a_model_of_its_own(every_layer):
    x, y = every_layer
    first, second = (
        classifiers.pipeline(name, "train", **setting).fit(x, y).predict_proba(x)
        for name, setting in (("logreg-last-layer", {}), ("logreg-layer", {"layer": 6, "C": 0.01}))
    )
    np.testing.assert_array_equal(first, second)
    grids = [classifiers.model(name).grid for name in ("logreg-layer", "logreg-last-layer")]
    assert grids[0]["C"] == grids[1]["C"] and set(grids[1]) == {"C"}


def test_the_grid_has_every_layer_and_keeps_the_last_of_equal_ones():
    settings = classifiers.settings("logreg-layer")
    deepest = max(n for n, _ in whisper.SHAPES.values())
    assert len(settings) == 5 * deepest
    assert [setting["layer"] for setting in settings[:deepest]] == list(range(-1, -deepest - 1, -1))
    assert [setting["C"] for setting in settings[::deepest]] == [1e-5, 1e-4, 1e-3, 1e-2, 1e-1]


@pytest.mark.parametrize("name", [name for name in EXTRACTORS if name.startswith("whisper")])
def test_the_number_of_columns_tells_the_number_of_layers(name):
    names = columns(name)
    n = layers.n_layers(len(names))
    assert n == len({column.partition("_")[0] for column in names})
    width = len(names) // n
    assert all(column.startswith(f"layer{i // width}_") for i, column in enumerate(names))


def test_a_layer_that_an_encoder_lacks_is_the_nearest(task):
    x, y = suited("logreg-layer", task[0]), task[1]
    x = x + np.arange(x.shape[1]) * np.random.default_rng(0).normal(size=x.shape)
    for layer, nearest in ((-6, 0), (-7, 0), (-5, 0), (5, 4), (6, 4), (-1, 4)):
        assert layers.OneLayer(layer).fit(x, y).columns_ == slice(384 * nearest, 384 * (nearest + 1))


def test_a_table_that_is_not_of_all_layers_is_refused(task):
    with pytest.raises(SerError, match=r"^7 columns are not all layers of an encoder, which are one of \[1920, 3584, "):
        classifiers.pipeline("logreg-layer", "train").fit(*task)

"""Late fusion against hand calculation, and from Run to Run on the committed predictions."""

import json

import numpy as np
import pandas as pd
import pytest
import yaml
from caches import forget
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import recall_score
from traced import unnoticed

from ser_core import files
from ser_core.errors import SerError
from ser_core.experiments import configuration, fitting, keys, runs, specs
from ser_core.experiments.fitting import late_fusion
from ser_core.experiments.fold import clips_of, division, make
from ser_core.systems import registry


def drawn(n, seed):
    return np.random.default_rng(seed).dirichlet(np.ones(3), n)


TRUTH = np.arange(30) % 3
DEV, TEST = [drawn(30, 0), drawn(30, 1)], [drawn(12, 2), drawn(12, 3)]


def test_mean_and_product_by_hand():
    np.testing.assert_allclose(late_fusion.combine("mean", DEV, TRUTH, TEST)[0], (TEST[0] + TEST[1]) / 2)
    product = np.sqrt(TEST[0] * TEST[1])
    expected = product / product.sum(1, keepdims=True)
    np.testing.assert_allclose(late_fusion.combine("product", DEV, TRUTH, TEST)[0], expected, rtol=1e-6)


def test_a_probability_of_zero_is_no_veto_without_end():
    sure, other = np.array([[1.0, 0.0]]), np.array([[0.0, 1.0]])
    assert np.isfinite(late_fusion.combine("product", [sure, other], np.array([0]), [sure, other])[0]).all()


def test_the_weight_is_the_best_on_dev():
    scores, chosen = late_fusion.combine("weighted", DEV, TRUTH, TEST)
    found = [
        recall_score(TRUTH, (w * DEV[0] + (1 - w) * DEV[1]).argmax(1), average="macro") for w in late_fusion.WEIGHTS
    ]
    w = chosen["weight"]
    assert found[list(late_fusion.WEIGHTS.round(2)).index(w)] == max(found)
    np.testing.assert_allclose(scores, w * TEST[0] + (1 - w) * TEST[1])


def test_a_system_that_is_right_gets_the_weight_and_one_that_is_wrong_does_not():
    right, wrong = np.eye(3)[TRUTH] * 0.6 + 0.4 / 3, np.eye(3)[(TRUTH + 1) % 3]
    scores, chosen = late_fusion.combine("weighted", [right, wrong], TRUTH, [right, wrong])
    assert chosen["weight"] > 0.5 and (scores.argmax(1) == TRUTH).all()


def test_equal_systems_keep_equal_weights():
    assert late_fusion.combine("weighted", [DEV[0], DEV[0]], TRUTH, TEST)[1] == {"weight": 0.5}


def test_stacking_is_a_logistic_regression_on_log_probabilities():
    stack = LogisticRegression(C=0.01, class_weight="balanced", max_iter=1000).fit(np.log(np.hstack(DEV)), TRUTH)
    expected = stack.predict_proba(np.log(np.hstack(TEST)))
    np.testing.assert_allclose(late_fusion.combine("stacked", DEV, TRUTH, TEST)[0], expected, rtol=1e-4)


def test_what_cannot_be_combined_is_refused():
    with pytest.raises(SerError, match="unknown fusion 'vote'; expected one of"):
        late_fusion.combine("vote", DEV, TRUTH, TEST)
    with pytest.raises(SerError, match="'weighted' weighs two systems, not 3"):
        late_fusion.combine("weighted", [*DEV, DEV[0]], TRUTH, [*TEST, TEST[0]])
    with pytest.raises(SerError, match="fusion 'mean' of nothing on dev; expected one shape"):
        late_fusion.combine("mean", [], TRUTH, [])
    with pytest.raises(
        SerError, match="fusion 'product' of .* on test; expected one shape, the same clips and classes"
    ):
        late_fusion.combine("product", DEV, TRUTH, [TEST[0], TEST[1][:, :1]])
    none = [part[:0] for part in DEV]
    for rule in ("weighted", "stacked"):
        with pytest.raises(SerError, match=f"fusion '{rule}' learns on the dev part, which has no clip"):
            late_fusion.combine(rule, none, TRUTH[:0], TEST)
    with pytest.raises(SerError, match="'stacked' fits a classifier on the dev part, which has one class"):
        late_fusion.combine("stacked", DEV, np.zeros_like(TRUTH), TEST)


@pytest.fixture
def fused(tmp_path, monkeypatch):
    """A fusion of two made-up Runs on EmoDB, of two seeds, whose test and dev predictions are planted."""
    clips = clips_of("emodb", "native")
    cell = specs.LateFusion("emodb", "speaker", "both", ("made/a", "made/b"), "mean", True, "native", 5, (0,))
    folds = division(cell, 0)
    names = sorted(clips["emotion"].unique())
    for run, seed in (("a", 0), ("b", 10)):
        tables = {}
        for role in ("dev", "test"):
            rows = folds[folds["role"] == role]
            parts = []
            for s in (0, 1):
                scores = np.random.default_rng(seed + s).dirichlet(np.ones(len(names)), len(rows)).astype("float32")
                truth = clips.loc[rows["clip"], "emotion"].to_numpy()
                part = pd.DataFrame({"clip": rows["clip"].to_numpy(), "fold": rows["fold"].to_numpy(), "seed": s})
                part = part.assign(truth=truth, speaker=clips.loc[rows["clip"], "speaker"].to_numpy())
                part["prediction"] = [names[i] for i in scores.argmax(1)]
                parts.append(part.join(pd.DataFrame(scores, columns=[f"p_{name}" for name in names])))
            tables[role] = pd.concat(parts, ignore_index=True)
        made = runs.Run("made", run, tables["test"], {"key": run}, {"dev": tables["dev"]})
        monkeypatch.setattr(runs, "folder", lambda experiment, system: tmp_path / experiment / system)
        runs.write(made)
    return cell, folds


def test_runs_are_averaged_over_their_seeds_and_fused_clip_by_clip(fused):
    cell, folds = fused
    table, facts = fitting.fit_fold(cell, 0, 0)
    assert facts["n_test"] == (table["part"] == "test").sum()
    columns = [name for name in table if name.startswith("p_")]
    expected = sum(runs.read(f"made/{run}").predictions.groupby("clip")[columns].mean() for run in ("a", "b")) / 2
    test = table[table["part"] == "test"].set_index("clip")[columns]
    np.testing.assert_allclose(test, expected.loc[test.index], atol=1e-6)
    dev = table[table["part"] == "dev"]
    assert set(dev["clip"]) == set(folds[(folds["fold"] == 0) & (folds["role"] == "dev")]["clip"])
    assert facts["dev_uar"] == pytest.approx(recall_score(dev["truth"], dev["prediction"], average="macro"))


def test_one_seed_is_fused_with_the_same_seed(fused):
    cell, _ = fused
    each = specs.LateFusion(**{**vars(cell), "average": False, "seeds": (0, 1)})
    one, two = (fitting.fit_fold(each, seed, 0)[0] for seed in (0, 1))
    assert set(one["seed"]) == {0} and set(two["seed"]) == {1}
    assert not np.allclose(one.filter(like="p_").iloc[:, 0], two.filter(like="p_").iloc[:, 0])


def test_members_of_other_folds_are_refused(fused):
    cell, _ = fused
    other = specs.LateFusion(**{**vars(cell), "folds": 10})
    with pytest.raises(SerError, match="make both with the same protocol, folds and split seed"):
        fitting.fit_fold(other, 0, 0)


@pytest.mark.parametrize("which", [[], [0], [0, 1, 2, 3, 4, 5]])
def test_a_member_without_probabilities_of_the_same_classes_is_refused(fused, which):
    cell, _ = fused
    for name in ("dev", "predictions"):
        path = runs.folder("made", "b") / f"{name}.parquet"
        table = files.read_parquet(path)
        columns = [column for column in table if column.startswith("p_")]
        table = table.drop(columns=[column for i, column in enumerate(columns) if i not in which])
        if which:  # what is left sums to 1, and all answers are among them
            left = [column for i, column in enumerate(columns) if i in which]
            table[left] = 1 / len(left)
            table[["truth", "prediction"]] = left[0].removeprefix("p_")
        files.write_parquet(table, path)
    info = json.loads((runs.folder("made", "b") / "run.json").read_text())
    info["tables"] = {name: files.sha256(runs.folder("made", "b") / f"{name}.parquet") for name in info["tables"]}
    files.write_json(info, runs.folder("made", "b") / "run.json")
    with pytest.raises(SerError, match="'made/b' gives the probabilities .*, the fold has the classes"):
        fitting.fit_fold(cell, 0, 0)


def test_a_stored_feature_set_whose_classifier_gives_no_probabilities_is_refused():
    cell = specs.LateFusion("emodb", "speaker", "one", ("praat31/svm-linear/train",), "mean", True, "native", 5, (0,))
    with pytest.raises(SerError, match="'svm-linear' gives no probabilities; name a member that does"):
        fitting.fit_fold(cell, 0, 3)


@pytest.mark.parametrize("rule", late_fusion.RULES)
def test_no_code_that_a_fusion_executes_goes_unnoticed(fused, monkeypatch, rule):
    cell, _ = fused
    other = specs.LateFusion(**{**vars(cell), "rule": rule, "members": ("made/a", "praat31/logreg/train")})
    forget()

    def fit():
        fold = make(other, 0, 0)
        late_fusion.fit_fold(other, fold, {name: fitting.member(other, name, fold) for name in other.members})

    assert unnoticed(other, fit, monkeypatch) == set()


def test_a_stored_feature_set_is_tuned_as_in_the_baselines():
    """With one member the fusion is the nested classical system, whose Run is committed."""
    cell = specs.LateFusion("emodb", "speaker", "one", ("egemaps/logreg/train",), "mean", True, "native", "loo", (0,))
    committed = runs.read("baselines/emodb.speaker.egemaps.logreg.train.tuned").predictions
    table, _ = fitting.fit_fold(cell, 0, 3)
    test = table[table["part"] == "test"].set_index("clip")["prediction"]
    same = committed[committed["fold"] == 3].set_index("clip")["prediction"].reindex(test.index)
    assert (same == test).mean() > 0.98


def test_a_file_can_name_every_rule():
    assert set(registry.RULES) == set(late_fusion.COMBINE)


def test_a_file_of_fusions_becomes_cells(tmp_path):
    content = {
        "name": "toy",
        "question": "?",
        "corpora": ["emodb", "ravdess"],
        "protocols": ["speaker"],
        "folds": {"emodb": "loo", "ravdess": 6},
        "fusions": {
            "both": {"members": ["x/{corpus}.speaker.a", "egemaps/logreg/train"], "rule": "mean", "average": True}
        },
    }
    path = tmp_path / "toy.yaml"
    path.write_text(yaml.safe_dump(content))
    one, two = configuration.load(path).systems
    assert one.members == ("x/emodb.speaker.a", "egemaps/logreg/train")
    assert (two.folder, two.folds) == ("ravdess.speaker.both", 6)
    assert specs.read(vars(one)) == one
    path.write_text(yaml.safe_dump(content | {"features": ["egemaps"]}))
    with pytest.raises(SerError, match=r"'fusions' stands for \['features'\]; use one or the other"):
        configuration.load(path)
    path.write_text(yaml.safe_dump(content | {"fusions": {"both": {"rule": "mean"}}}))
    with pytest.raises(SerError, match="expected members, rule and average"):
        configuration.load(path)


def test_a_missing_member_is_named():
    cell = specs.LateFusion("emodb", "speaker", "x", ("made/none",), "mean", True, "native", 5, (0,))
    with pytest.raises(SerError, match="made/none"):
        keys.identity(cell)["key"]

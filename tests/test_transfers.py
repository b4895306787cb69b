"""What a train x test matrix is made of, and what could explain it."""

import itertools

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.linear_model import LinearRegression
from sklearn.metrics import accuracy_score, balanced_accuracy_score

from ser_core.errors import SerError
from ser_core.evaluation import comparisons, metrics
from ser_core.experiments import cross_corpus, runs, scoring

NAMES = list("abcdef")
KINDS = {"a": "x", "b": "y", "c": "z", "d": "x", "e": "y", "f": "y"}


def table(values):
    """Scores with nothing on the diagonal."""
    names = NAMES[: len(values)]
    return pd.DataFrame(np.where(np.eye(len(values)), np.nan, values), index=names, columns=names)


def noise(seed, n=6):
    return table(np.random.default_rng(seed).normal(size=(n, n)))


def raises_in_one_line(message, function, *arguments):
    with pytest.raises(SerError, match=message) as error:
        function(*arguments)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("n", [3, 6])
def test_effects_are_those_of_a_regression_on_dummies(n):
    scores = noise(0, n)
    found = cross_corpus.effects(scores)
    long = scores.stack().dropna().rename_axis(["trained", "tested"]).rename("score").reset_index()
    dummies = {name: pd.get_dummies(long[name], dtype=float) for name in ("trained", "tested")}
    designs = dummies | {"both": pd.concat(dummies.values(), axis=1, keys=dummies)}
    models = {}
    for name, x in designs.items():
        models[name] = LinearRegression().fit(x.to_numpy(), long["score"])
        share = models[name].score(x.to_numpy(), long["score"])
        assert getattr(found, f"share_{name}") == pytest.approx(share)
    for one, coefficients in zip((found.trained, found.tested), models["both"].coef_.reshape(2, n), strict=True):
        assert one.index.tolist() == NAMES[:n]
        np.testing.assert_allclose(one, coefficients - coefficients.mean(), atol=1e-12)
    rest = long["score"] - models["both"].predict(designs["both"].to_numpy())
    np.testing.assert_allclose(found.rest.stack().dropna(), rest, atol=1e-12)
    assert np.isnan(np.diag(found.rest)).all()


def test_planted_effects_are_found_whatever_is_on_the_diagonal():
    trained = np.array([-0.10, 0.00, 0.02, 0.03, 0.05, 0.00])
    tested = np.array([0.20, -0.10, -0.05, -0.05, 0.00, 0.00])
    scores = table(0.5 + trained[:, None] + tested)
    found = cross_corpus.effects(scores)
    np.testing.assert_allclose(found.trained, trained, atol=1e-12)
    np.testing.assert_allclose(found.tested, tested, atol=1e-12)
    np.testing.assert_allclose(found.rest.fillna(0), 0, atol=1e-12)
    assert found.share_both == pytest.approx(1)
    within = scores.fillna(0.9)
    pd.testing.assert_series_equal(cross_corpus.effects(within).tested, found.tested)


def test_noise_alone_is_explained_by_as_much_as_is_said():
    shares = [cross_corpus.effects(noise(seed)).share_both for seed in range(300)]
    assert np.mean(shares) == pytest.approx(10 / 29, abs=0.02)


def test_effects_need_a_whole_matrix():
    scores = noise(0)
    raises_in_one_line("expected the same three or more", cross_corpus.effects, scores[NAMES[::-1]])
    raises_in_one_line("expected the same three or more", cross_corpus.effects, noise(0, 2))
    scores.loc["a", "c"] = np.nan
    raises_in_one_line("a score off the diagonal is missing", cross_corpus.effects, scores)


def by_pairs(scores, kinds):
    """Mean score of the pairs of one kind minus that of the others."""
    alike, other = [], []
    for one, two in itertools.permutations(scores.index, 2):
        (alike if kinds[one] == kinds[two] else other).append(scores.loc[one, two])
    return np.mean(alike) - np.mean(other)


@pytest.mark.parametrize("seed", range(3))
def test_likeness_equals_a_count_of_all_permutations(seed):
    scores = noise(seed)
    found = cross_corpus.likeness(scores, KINDS)
    every = np.abs(
        [by_pairs(scores, dict(zip(NAMES, dealt, strict=True))) for dealt in itertools.permutations(KINDS.values())]
    )
    assert found.difference == pytest.approx(by_pairs(scores, KINDS))
    assert found.p_value == pytest.approx(np.mean(every >= abs(found.difference) - 1e-9))
    assert found.smallest == pytest.approx(np.mean(every >= every.max() - 1e-9))


@pytest.mark.parametrize("sign", [1, -1])
def test_a_planted_likeness_has_the_smallest_p_value(sign):
    kinds = dict.fromkeys(NAMES, "x") | {"b": "y", "e": "y"}
    of = np.array([kinds[name] for name in NAMES])
    scores = noise(1) * 0.01 + sign * 0.2 * (of[:, None] == of)
    found = cross_corpus.likeness(scores, kinds | {"of no corpus": "x"})
    assert found.difference == pytest.approx(sign * 0.2, abs=0.02)
    # The two can be dealt out in 15 ways.
    assert found.p_value == found.smallest == pytest.approx(1 / 15)


def test_likeness_needs_a_kind_of_each_and_pairs_of_both_sorts():
    scores = noise(0)
    missing = {name: kind for name, kind in KINDS.items() if name != "c"}
    raises_in_one_line(r"no kind is given for \['c'\]", cross_corpus.likeness, scores, missing)
    raises_in_one_line("all are alike", cross_corpus.likeness, scores, dict.fromkeys(NAMES, "x"))
    raises_in_one_line("none are alike", cross_corpus.likeness, scores, {name: name for name in NAMES})


@pytest.mark.parametrize("seed", range(4))
def test_rank_correlation_equals_scipys_with_a_count_of_all_permutations(seed):
    x, y = np.random.default_rng(seed).normal(size=(2, 5))
    other = dict(reversed(list(zip(NAMES, y, strict=False))))
    rho, p = cross_corpus.rank_correlation(pd.Series(x, index=NAMES[:5]), other)
    assert rho == pytest.approx(stats.spearmanr(x, y).statistic)
    every = np.array([stats.spearmanr(shuffled, y).statistic for shuffled in itertools.permutations(x)])
    assert p == pytest.approx(np.mean(np.abs(every) >= abs(rho) - 1e-9))


def test_rank_correlation_of_ties_is_scipys():
    x, y = [1, 2, 2, 3, 3, 3], [4, 4, 6, 5, 8, 7]
    rho, p = cross_corpus.rank_correlation(pd.Series(x, index=NAMES), dict(zip(NAMES, y, strict=True)))
    assert rho == pytest.approx(stats.spearmanr(x, y).statistic)
    every = np.array([stats.spearmanr(shuffled, y).statistic for shuffled in itertools.permutations(x)])
    assert p == pytest.approx(2 * np.mean(every >= rho - 1e-9))


def put(system, seed, corpora, seeds, **cell):
    """Write a Run that tests 60 clips of each corpus of a union."""
    rng, tables = np.random.default_rng(seed), []
    for corpus, number in itertools.product(corpora, range(seeds)):
        truth = np.random.default_rng(len(corpus)).choice(["angry", "happy", "sad"], 60)
        answers = np.where(rng.random(60) < 0.5, truth, rng.choice(["angry", "happy", "sad"], 60))
        of = {"clip": [f"{corpus}/{i:02}" for i in range(60)], "speaker": [f"{corpus}/s{i % 6}" for i in range(60)]}
        tables.append(pd.DataFrame(of | {"seed": number, "truth": truth, "prediction": answers}))
    info = {"cell": cell | {"corpus": "+".join(corpora)}, "key": "k", "measured": {"seconds": 1.0}}
    runs.write(runs.Run("toy", system, pd.concat(tables), info))
    return pd.concat(tables).assign(corpus=lambda found: found["clip"].str.split("/").str[0])


def test_a_matrix_has_the_score_of_every_run_and_tested_corpus(tmp_path, monkeypatch):
    monkeypatch.setenv("SER_RESULTS", str(tmp_path))
    written = {
        "linear": put("linear", 0, ["emodb", "urdu"], 1, protocol="corpus", features="egemaps", normalisation="corpus"),
        "network": put("network", 1, ["emodb", "savee", "urdu"], 2, protocol="corpus+5", name="byol"),
    }
    found = cross_corpus.matrix("toy").set_index("run")
    assert found.index.tolist() == [
        "toy/linear@emodb", "toy/linear@urdu", "toy/network@emodb", "toy/network@savee", "toy/network@urdu",
    ]  # fmt: skip
    assert found["trained"].tolist() == ["urdu", "emodb", "savee+urdu", "emodb+urdu", "emodb+savee"]
    assert found["tested"].tolist() == ["emodb", "urdu", "emodb", "savee", "urdu"]
    assert found["protocol"].tolist() == ["corpus"] * 2 + ["corpus+5"] * 3
    assert found["features"].tolist() == ["egemaps"] * 2 + ["byol"] * 3
    assert found["normalisation"].iloc[:2].eq("corpus").all() and found["normalisation"].iloc[2:].isna().all()
    for name, row in found.iterrows():
        table = written[name.split("/")[1].split("@")[0]]
        of = table[table["corpus"] == row["tested"]].groupby("seed")
        expected = np.mean([balanced_accuracy_score(seed["truth"], seed["prediction"]) for _, seed in of])
        assert row["uar"] == pytest.approx(expected)
        assert scoring.score(name, n_resamples=50).value == pytest.approx(expected)


def test_a_matrix_is_of_runs_under_the_protocol_alone(tmp_path, monkeypatch):
    monkeypatch.setenv("SER_RESULTS", str(tmp_path))
    raises_in_one_line("no Runs under", cross_corpus.matrix, "toy")
    put("linear", 0, ["emodb", "urdu"], 1, protocol="corpus", features="egemaps")
    put("other", 0, ["emodb", "urdu"], 1, protocol="speaker", features="egemaps")
    raises_in_one_line("'toy/other' has the protocol 'speaker', not 'corpus'", cross_corpus.matrix, "toy")


def test_within_a_corpus_is_the_diagonal(tmp_path, monkeypatch):
    monkeypatch.setenv("SER_RESULTS", str(tmp_path))
    written = {
        "a": put("a", 0, ["emodb"], 1, protocol="speaker", features="egemaps", normalisation="train"),
        "b": put("b", 1, ["urdu"], 2, protocol="speaker", name="byol"),
    }
    found = cross_corpus.within("toy").set_index("run")
    assert found.columns.tolist() == ["trained", "tested", "protocol", "features", "normalisation", *metrics.METRICS]
    assert found["trained"].to_dict() == found["tested"].to_dict() == {"toy/a": "emodb", "toy/b": "urdu"}
    assert found["features"].tolist() == ["egemaps", "byol"]
    for name, table in written.items():
        seeds = [balanced_accuracy_score(of["truth"], of["prediction"]) for _, of in table.groupby("seed")]
        assert found["uar"][f"toy/{name}"] == pytest.approx(np.mean(seeds))
        right = [accuracy_score(of["truth"], of["prediction"]) for _, of in table.groupby("seed")]
        assert found["wa"][f"toy/{name}"] == pytest.approx(np.mean(right))
    put("c", 0, ["emodb", "urdu"], 1, protocol="speaker", features="egemaps")
    raises_in_one_line("'toy/c' is of 'emodb.urdu' under 'speaker'; expected one corpus", cross_corpus.within, "toy")
    put("c", 0, ["emodb"], 1, protocol="clip", features="egemaps")
    raises_in_one_line("'toy/c' is of 'emodb' under 'clip'; expected", cross_corpus.within, "toy")


def test_asymmetry_is_what_is_lost_on_one_corpus_minus_what_is_lost_on_the_other(tmp_path, monkeypatch):
    monkeypatch.setenv("SER_RESULTS", str(tmp_path))
    corpora_of, tables, uars = ["emodb", "savee", "urdu"], {}, {}
    for number, at in enumerate(itertools.product(corpora_of, repeat=2)):
        of = tables[at] = put("-".join(at), number, [at[1]], 1, protocol="corpus", name="byol")
        uars[at] = balanced_accuracy_score(of["truth"], of["prediction"])
    names = pd.Series({at: f"toy/{'-'.join(at)}" for at in tables}).unstack()
    found = cross_corpus.asymmetries(names, n_resamples=50)
    assert list(zip(found["first"], found["second"], strict=True)) == list(itertools.combinations(corpora_of, 2))
    for row in found.to_dict("records"):
        first, second = row["first"], row["second"]
        on_second = uars[second, second] - uars[first, second]
        on_first = uars[first, first] - uars[second, first]
        assert row["lost on second"].interval.value == pytest.approx(on_second)
        assert row["lost on first"].interval.value == pytest.approx(on_first)
        assert row["asymmetry"].interval.value == pytest.approx(on_second - on_first)
        pairs = [(tables[of, of], tables[other, of]) for of, other in ((second, first), (first, second))]
        assert row["asymmetry"] == comparisons.asymmetry(*pairs, n_resamples=50)


def test_draws_of_the_same_dev_speakers_are_one_training(tmp_path, monkeypatch):
    monkeypatch.setenv("SER_RESULTS", str(tmp_path))
    # Fold 0 tests emodb, fold 1 urdu; the third draw has the dev speakers of the first in fold 1 alone.
    drawn = {"a": (["u1"], ["e1", "e2"]), "b": (["u2"], ["e1"]), "c": (["u3"], ["e2", "e1"])}
    for system, folds in drawn.items():
        rows = [(fold, speaker) for fold, speakers in enumerate(folds) for speaker in speakers]
        dev = pd.DataFrame(rows, columns=["fold", "speaker"]).assign(seed=0, truth="sad", prediction="sad")
        dev["clip"] = [f"{speaker}.wav" for speaker in dev["speaker"]]
        table = put(system, 0, ["emodb", "urdu"], 1, protocol="corpus", name="byol")
        runs.write(runs.Run("toy", system, table.drop(columns="corpus"), runs.info(f"toy/{system}"), {"dev": dev}))
    names = ["toy/a", "toy/b", "toy/c"]
    assert cross_corpus.trainings(names, "urdu") == ("toy/a@urdu", "toy/b@urdu")
    assert cross_corpus.trainings(names, "emodb") == ("toy/a@emodb", "toy/b@emodb", "toy/c@emodb")
    raises_in_one_line("'toy/a' tests no clip of 'savee'; it tests", cross_corpus.trainings, names, "savee")


def test_tests_of_likeness_and_rank_need_all_numbers_of_few_corpora():
    names = list("abcd")
    whole = pd.DataFrame(np.arange(16.0).reshape(4, 4), index=names, columns=names)
    kinds, numbers = dict(zip(names, "xxyy", strict=True)), dict(zip(names, range(4), strict=True))
    many = [f"c{i}" for i in range(10)]
    cases = {
        "a score off the diagonal is missing": lambda: cross_corpus.likeness(whole.where(whole != 1), kinds),
        "expected the same three or more": lambda: cross_corpus.likeness(whole[names[::-1]], kinds),
        "10 corpora have too many orders": lambda: cross_corpus.likeness(
            pd.DataFrame(np.ones((10, 10)), index=many, columns=many), dict.fromkeys(many, "x")
        ),
        "all scores are 1.0": lambda: cross_corpus.effects(whole * 0 + 1),
        r"no number is given for \['d'\]": lambda: cross_corpus.rank_correlation(
            whole["a"], {name: numbers[name] for name in "abc"}
        ),
        "all the same": lambda: cross_corpus.rank_correlation(whole["a"] * 0, numbers),
        "numbers are missing": lambda: cross_corpus.rank_correlation(whole["a"].where(whole["a"] > 0), numbers),
        "too many orders": lambda: cross_corpus.rank_correlation(
            pd.Series(range(10), index=many), dict.fromkeys(many, 1)
        ),
    }
    for message, call in cases.items():
        with pytest.raises(SerError, match=message) as error:
            call()
        assert "\n" not in str(error.value)

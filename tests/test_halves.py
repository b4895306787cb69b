import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.preprocessing import StandardScaler

from ser_core import files, paths
from ser_core.data import corpora, splits
from ser_core.errors import SerError
from ser_core.evaluation import procedure
from ser_core.experiments import halves
from ser_core.systems import features


@pytest.fixture(scope="module")
def emodb():
    return halves.scored("emodb", "egemaps", folds="loo", n_halvings=2)


def committed():
    return sorted(path.stem for path in (paths.results() / "halves").glob("*.parquet"))


@pytest.mark.parametrize("n", [9, 10, 24, 34])
def test_halvings_give_the_variance_of_a_mean_better_than_random_ones(n):
    found = halves.halvings(n, 40)
    assert (found.sum(axis=1) == n - n // 2).all()
    assert (halves.halvings(n, 7) == found[:7]).all()
    rng, errors = np.random.default_rng(0), {"balanced": [], "random": []}
    for _ in range(200):
        y = rng.standard_normal(n)
        by_chance = np.stack([rng.permutation(found[0]) for _ in range(40)])
        for kind, half in (("balanced", found), ("random", by_chance)):
            means = [(y * (half == each)).sum(axis=1) / (half == each).sum(axis=1) for each in (0, 1)]
            errors[kind].append(np.square(means[0] - means[1]).mean() / 4 / (y.var(ddof=1) / n))
    assert np.mean(errors["balanced"]) == pytest.approx(1, abs=0.03)
    assert np.std(errors["balanced"]) < 0.15 < np.std(errors["random"])


def test_halves_share_no_speaker_and_have_all_together(emodb):
    clips = corpora.table("emodb")
    for _, rows in emodb.groupby(["halving", "division"]):
        first, second = (set(rows.loc[rows["half"] == half, "speaker"]) for half in (0, 1))
        assert len(first) == len(second) == 5 and not first & second
        assert first | second == set(clips["speaker"])
        assert rows["clips"].sum() == len(clips)


def test_a_half_is_a_cross_validation_of_its_speakers_alone(emodb):
    clips, x = corpora.table("emodb"), features.load("emodb", "egemaps").astype("float32")
    rows = emodb[(emodb["halving"] == 1) & (emodb["half"] == 0)]
    own = clips[clips["speaker"].isin(rows["speaker"])]
    truth, answers = [], []
    for speaker in own["speaker"].unique():
        train, test = own[own["speaker"] != speaker], own[own["speaker"] == speaker]
        scaler = StandardScaler().fit(x.loc[train.index].to_numpy())
        system = LogisticRegression(C=0.01, class_weight="balanced", max_iter=1000)
        system.fit(scaler.transform(x.loc[train.index].to_numpy()), train["emotion"])
        truth += test["emotion"].tolist()
        answers += system.predict(scaler.transform(x.loc[test.index].to_numpy())).tolist()
    scores, _ = halves.spread(emodb)
    assert scores.shape == (2, 2, 1)
    assert scores[1, 0, 0] == pytest.approx(balanced_accuracy_score(truth, answers), abs=0.005)


def test_divisions_of_a_half_are_those_of_the_split_protocol(monkeypatch):
    asked, make = [], splits.make
    monkeypatch.setattr(splits, "make", lambda clips, *a, **k: asked.append((clips, k)) or make(clips, *a, **k))
    halves.scored("emodb", "egemaps", folds=3, n_halvings=1, n_divisions=2)
    assert [k["n_folds"] for _, k in asked] == [3] * 4
    assert len({k["seed"] for _, k in asked}) == 4 and not any(k["dev"] for _, k in asked)
    assert [clips["speaker"].nunique() for clips, _ in asked] == [5] * 4


def toy(seed, n_halvings=3, n_divisions=2, speakers=8):
    rng, rows = np.random.default_rng(seed), []
    for halving in range(n_halvings):
        half_of = np.random.default_rng(halving).permutation(np.arange(speakers) % 2)
        for half, division, speaker, emotion in np.ndindex(2, n_divisions, speakers, 3):
            if half_of[speaker] == half and (speaker, emotion) != (0, 2):  # one speaker lacks a class
                clips = 3 + (speaker + emotion) % 4
                rows.append((halving, half, division, f"s{speaker}", "ahs"[emotion], clips, rng.binomial(clips, 0.6)))
    return pd.DataFrame(rows, columns=list(halves.COLUMNS))


def slow_spread(table, minus=None):
    """UAR of each half and its jackknife variance, one table at a time."""

    def uar(rows):
        sums = rows.groupby("emotion")[["right", "clips"]].sum()
        return (sums["right"] / sums["clips"]).mean()

    def score(halving, half, without=None):
        values = []
        for sign, each in ((1, table), (-1, minus)):
            if each is not None:
                own = each[(each["halving"] == halving) & (each["half"] == half) & (each["speaker"] != without)]
                values.append(sign * np.array([uar(rows) for _, rows in own.groupby("division")]))
        return sum(values)

    scores, variances = np.empty((3, 2, 2)), np.empty((3, 2))
    for halving, half in np.ndindex(3, 2):
        scores[halving, half] = score(halving, half)
        who = table.loc[(table["halving"] == halving) & (table["half"] == half), "speaker"].unique()
        left = np.array([score(halving, half, speaker).mean() for speaker in who])
        variances[halving, half] = (len(who) - 1) / len(who) * np.square(left - left.mean()).sum()
    return scores, variances


def test_scores_and_variances_are_those_of_loops_over_tables():
    for minus in (None, toy(1)):
        for found, expected in zip(halves.spread(toy(0), minus), slow_spread(toy(0), minus), strict=True):
            assert found == pytest.approx(expected)


def test_systems_of_other_halves_are_not_subtracted():
    with pytest.raises(SerError, match="not scored on the same halves"):
        halves.spread(toy(0), toy(0, speakers=6))


def test_committed_halves_of_emodb_are_reproduced(emodb):
    table = files.read_parquet(halves.path("emodb.egemaps.logreg.train"))
    first = table[table["halving"] < 2].reset_index(drop=True)
    pd.testing.assert_frame_equal(first, emodb, check_dtype=False)
    assert table["halving"].nunique() == halves.HALVINGS


@pytest.mark.parametrize("system", committed())
def test_committed_halves_have_all_clips_of_their_corpus(system):
    table, clips = files.read_parquet(halves.path(system)), corpora.table(system.split(".")[0])
    assert table["halving"].nunique() == halves.HALVINGS
    assert (table.groupby(["halving", "division"])["clips"].sum() == len(clips)).all()
    assert (table["right"] <= table["clips"]).all()


def test_several_systems_give_one_factor_between_theirs():
    names = [name for name in committed() if name.startswith("ravdess")]
    own = [halves.widening([name]) for name in names]
    assert min(own) <= halves.widening(names) <= max(own)
    together = [halves.spread(files.read_parquet(halves.path(name))) for name in names]
    both = procedure.widening(*(np.concatenate(parts) for parts in zip(*together, strict=True)))
    assert halves.widening(names) == both


def test_halves_that_are_not_there_are_named():
    with pytest.raises(SerError, match="nowhere.parquet: no such file"):
        halves.widening(["nowhere"])

"""Training on some corpora and testing on another: protocols, normalisations and experiments on made-up corpora."""

import numpy as np
import pandas as pd
import pytest
import yaml
from caches import forget
from scipy.linalg import fractional_matrix_power
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import recall_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from ser_core import files, paths
from ser_core.data import corpora, splits, synthetic
from ser_core.data.audit import audit
from ser_core.errors import RefusalError, SerError
from ser_core.evaluation import metrics
from ser_core.experiments import configuration, runner, runs
from ser_core.experiments.fitting import classical
from ser_core.experiments.fold import clips_of, division
from ser_core.systems import features
from ser_core.systems.features import tables

SPEAKERS = {"ravdess": 9, "tess": 4, "urdu": 8}
UNION = "ravdess+tess+urdu"
FEW = ["corpus+2", "corpus+5"]


def made_up(name, **options):
    """The clips of a toy corpus under the name of a real one."""
    clips = synthetic.clips(**{"speakers": SPEAKERS[name], "sentences": 3} | options)
    clips = clips.rename(index=lambda clip: clip.replace("toy/", f"{name}/"))
    return clips.assign(corpus=name, speaker=clips["speaker"].str.replace("toy/", f"{name}/"))


@pytest.fixture
def clips():
    return pd.concat([made_up(name) for name in SPEAKERS]).sort_index()


def parts(folds, clips):
    """Return {fold: {role: rows of the Clips table}}."""
    return {
        fold: {role: clips.loc[part["clip"]] for role, part in rows.groupby("role")}
        for fold, rows in folds.groupby("fold")
    }


@pytest.mark.parametrize("dev", [True, False])
def test_fold_k_tests_the_kth_corpus_and_trains_on_the_others(clips, dev):
    folds = splits.make(clips, "corpus", dev=dev)
    assert folds.attrs["n_folds"] == 3 and folds.attrs["refused"] == []
    for (fold, part), name in zip(parts(folds, clips).items(), sorted(SPEAKERS), strict=True):
        others = clips.index[clips["corpus"] != name]
        assert list(part["test"].index) == list(clips.index[clips["corpus"] == name]), fold
        if not dev:
            assert "dev" not in part and set(part["train"].index) == set(others)
            continue
        assert set(part["train"].index) | set(part["dev"].index) == set(others)
        assert not set(part["train"]["speaker"]) & set(part["dev"]["speaker"])
        assert 0.15 < len(part["dev"]) / len(others) < 0.35
        assert set(part["dev"]["emotion"]) == set(synthetic.EMOTIONS)


def test_the_number_of_folds_is_that_of_the_corpora_and_the_seed_draws_dev_alone(clips):
    folds = splits.make(clips, "corpus")
    for n_folds in (2, 7, "loo"):
        pd.testing.assert_frame_equal(folds, splits.make(clips, "corpus", n_folds=n_folds))
    other = splits.make(clips, "corpus", seed=1)
    assert not folds.equals(other)
    for one, two in ((folds, other), (other, folds)):
        pd.testing.assert_frame_equal(*(each[each["role"] == "test"].reset_index(drop=True) for each in (one, two)))
    pd.testing.assert_frame_equal(*(splits.make(clips, "corpus", dev=False, seed=seed) for seed in (0, 1)))


def test_two_corpora_are_tested_by_each_other(clips):
    pair = clips[clips["corpus"] != "tess"]
    found = parts(splits.make(pair, "corpus"), pair)
    assert [set(part["test"]["corpus"]) for part in found.values()] == [{"ravdess"}, {"urdu"}]
    for part in found.values():
        assert set(part["dev"]["corpus"]) == set(part["train"]["corpus"])
        assert set(part["dev"]["corpus"]).isdisjoint(part["test"]["corpus"])


@pytest.mark.parametrize("protocol", ["corpus", *FEW])
def test_one_corpus_alone_is_refused(clips, protocol):
    with pytest.raises(RefusalError, match="^urdu is one corpus, and none is left to train on; name several") as error:
        splits.make(clips[clips["corpus"] == "urdu"], protocol)
    assert "\n" not in str(error.value)


def test_speakers_of_the_tested_corpus_are_drawn_into_train_and_not_tested(clips):
    drawn = {}
    for protocol, shots in zip(FEW, (2, 5), strict=True):
        for seed in (0, 1):
            folds = splits.make(clips, protocol, seed=seed)
            without = parts(splits.make(clips, "corpus", seed=seed), clips)
            for fold, part in parts(folds, clips).items():
                (name,) = set(part["test"]["corpus"])
                assert name == sorted(SPEAKERS)[fold]
                shown = part["train"][part["train"]["corpus"] == name]
                # All clips of the drawn speakers, and all of the others.
                assert shown["speaker"].nunique() == shots
                assert not set(shown["speaker"]) & set(part["test"]["speaker"])
                assert len(shown) + len(part["test"]) == (clips["corpus"] == name).sum()
                # The rest is as without them, the dev part too.
                assert list(part["dev"].index) == list(without[fold]["dev"].index)
                assert set(part["train"].index) - set(shown.index) == set(without[fold]["train"].index)
                drawn[protocol, seed, name] = set(shown["speaker"])
    assert {name for _, _, name in drawn} == {"ravdess", "urdu"}
    for name in ("ravdess", "urdu"):
        assert drawn["corpus+2", 0, name] < drawn["corpus+5", 0, name]
    assert any(drawn["corpus+5", 0, name] != drawn["corpus+5", 1, name] for name in ("ravdess", "urdu"))


def test_a_corpus_with_too_few_speakers_to_draw_some_is_not_tested(clips):
    folds = splits.make(clips, "corpus+2")
    # Fold 1 would be tess: the others keep their numbers.
    assert sorted(folds["fold"].unique()) == [0, 2] and folds.attrs["n_folds"] == 2
    reason = "tess is not tested: it has 4 speakers, too few for 2 to train on and at least 3 to test"
    assert folds.attrs["refused"] == [reason]
    assert "tess" in set(clips.loc[folds.loc[folds["role"] == "train", "clip"], "corpus"])
    with pytest.raises(RefusalError, match="ravdess is not tested: it has 9 .*; tess .*; urdu .*use protocol 'corpus'"):
        splits.make(clips, "corpus+10")


def test_without_names_of_speakers_there_is_neither_a_dev_part_nor_a_draw(clips):
    clips = clips.assign(speaker=clips["speaker"].mask(clips["speaker"] == "urdu/s01"))
    for protocol, dev in (("corpus", True), ("corpus+2", True), ("corpus+2", False)):
        with pytest.raises(RefusalError, match="^urdu states no speaker for 12 of 96 clips"):
            splits.make(clips, protocol, dev=dev)
    assert splits.make(clips, "corpus", dev=False).attrs["n_folds"] == 3


def moved(which, role):
    """Give the rows that a function of (rows, their clips) picks in fold 0 another role."""

    def change(folds, clips):
        rows = folds[folds["fold"] == 0]
        index = rows.index[which(rows, clips.loc[rows["clip"]].reset_index())]
        return folds.assign(role=folds["role"].mask(folds.index.isin(index), role))

    return change


def of(corpus, role):
    return lambda rows, table: ((table["corpus"] == corpus).to_numpy() & (rows["role"] == role).to_numpy()).nonzero()[0]


def first(pick):
    return lambda rows, table: pick(rows, table)[:1]


def swapped(folds, clips):
    """Exchange a clip of the first corpus with one of the last, everywhere."""
    one, other = clips.index[[0, -1]]
    return folds.replace({"clip": {one: other, other: one}})


@pytest.mark.parametrize(
    ("protocol", "message", "change"),
    [
        ("corpus", "corpus 'urdu' is in both test and train, which 'corpus' keeps apart", swapped),
        ("corpus", "is tested in an earlier fold already", moved(of("urdu", "train"), "test")),
        ("corpus", "is in both dev and train", moved(first(of("urdu", "dev")), "train")),
        ("corpus+2", "is in both test and train", moved(first(of("ravdess", "test")), "train")),
        ("corpus+2", "84 of 108 clips of ravdess are tested, without 2", lambda folds, clips: folds),
        ("corpus+2", "tests one corpus, all but 2 speakers", lambda folds, clips: folds.drop(index=folds.index[-1])),
        ("corpus+2", "dev clip 'ravdess/.*' is of the corpus that is tested", moved(of("ravdess", "train"), "dev")),
    ],
)
def test_check_finds_what_a_protocol_across_corpora_does_not_allow(clips, protocol, message, change):
    folds = splits.make(clips, protocol)
    splits.check(folds, clips)
    broken = change(folds, clips)
    broken.attrs = dict(folds.attrs)
    if "84 of 108" in message:
        broken.attrs["protocol"] = "corpus+5"
    with pytest.raises(SerError, match=message):
        splits.check(broken, clips)


@pytest.mark.parametrize("protocol", ["corpus", "corpus+2"])
def test_the_audit_finds_no_leak_across_corpora(clips, protocol):
    clips = clips.assign(sentence=clips["corpus"] + "/" + clips["sentence"])
    assert not len(audit(clips, splits.make(clips, protocol)).leaks)


@pytest.mark.parametrize("name", corpora.NAMES)
def test_a_clip_and_a_speaker_say_their_corpus(name):
    table = corpora.table(name)
    assert (table.index.str.partition("/").get_level_values(0) == name).all()
    assert table["speaker"].dropna().str.startswith(f"{name}/").all()


# CORAL


def covariance(x):
    return np.cov(x, rowvar=False) + np.eye(x.shape[1])


def by_hand(rows, train, test):
    """Algorithm 1 of the paper, with scipy's powers of matrices."""
    whitened = rows @ np.real(fractional_matrix_power(covariance(train), -0.5))
    return whitened @ np.real(fractional_matrix_power(covariance(test), 0.5))


@pytest.mark.parametrize(("n", "p"), [(200, 7), (40, 40), (12, 30)])
def test_coral_is_the_algorithm_of_the_paper(n, p):
    rng = np.random.default_rng(0)
    train, test, dev = (rng.normal(size=(size, p)) @ rng.normal(size=(p, p)) + 3 for size in (n, n + 5, 20))
    coral = classical.Coral(test).fit(train)
    for rows in (train, dev):
        np.testing.assert_allclose(coral.transform(rows), by_hand(rows, train, test), rtol=1e-6, atol=1e-6)


def test_aligned_training_features_have_the_covariance_of_the_test_features():
    rng = np.random.default_rng(1)
    # Where variances are large the identity that the paper adds is small beside them: here 1 beside 10,000.
    train, test = (100 * rng.normal(size=(500, 5)) @ (np.eye(5) + rng.uniform(-0.3, 0.3, (5, 5))) for _ in range(2))
    aligned = np.cov(classical.Coral(test).fit(train).transform(train), rowvar=False)
    np.testing.assert_allclose(aligned, covariance(test), rtol=0, atol=1e-3 * covariance(test).max())
    assert np.abs(np.cov(train, rowvar=False) - covariance(test)).max() > 0.1 * covariance(test).max()


def test_features_that_do_not_vary_pass_through_coral():
    rng = np.random.default_rng(2)
    train, test = (np.column_stack([rng.normal(size=30), np.zeros(30)]) for _ in range(2))
    np.testing.assert_array_equal(classical.Coral(test).fit(train).transform(train)[:, 1], 0)
    np.testing.assert_allclose(classical.Coral(test[:1]).fit(test[:1]).transform(train), train)


# Experiments and Runs


@pytest.fixture
def stores(tmp_path, monkeypatch):
    """Features of three corpora that hear an emotion alike, but for their offset and scale."""
    monkeypatch.setenv("SER_RESULTS", str(tmp_path / "results"))
    monkeypatch.setenv("SER_CACHE", str(tmp_path / "cache"))
    forget()
    spec, rng = features.get("egemaps"), np.random.default_rng(0)
    size = len(spec.columns)
    cue = {name: rng.normal(size=size) for name in synthetic.EMOTIONS}
    mixing = np.eye(size) + 0.3 * rng.normal(size=(size, size)) / size**0.5
    for number, name in enumerate(SPEAKERS):
        table = made_up(name)
        # As in the real tables, one has a word fewer.
        table = table[table["emotion"] != "neutral"] if name == "tess" else table
        files.write_parquet(table, corpora.table_path(name))
        values = rng.normal(size=(len(table), size)) + 0.3 * np.stack(table["emotion"].map(cue))
        values = (1 + number) * values @ np.linalg.matrix_power(mixing, number) + 5 * number
        tables.save(pd.DataFrame(values, index=table.index, columns=list(spec.columns)), name, spec, table)
    yield tmp_path
    forget()


@pytest.fixture
def write(stores):
    def make(**changes):
        content = {
            "name": "trial",
            "question": "Does it carry over?",
            "corpora": ["ravdess+urdu"],
            "protocols": ["corpus"],
            "features": ["egemaps"],
            "models": ["logreg"],
            "labels": "common4",
        }
        path = stores / "trial.yaml"
        path.write_text(yaml.safe_dump({**content, **changes}))
        return path

    return make


def run(path):
    (made,) = runner.run(configuration.load(path), jobs=1, progress=False)
    return runs.read(f"trial/{made.name}")


def test_a_pair_gives_both_directions_in_one_run(write):
    found = run(write())
    assert found.system == "ravdess+urdu.corpus.egemaps.logreg.train"
    clips = clips_of("ravdess+urdu", "common4")
    table = {name: features.load(name, "egemaps") for name in ("ravdess", "urdu")}
    for fold, (target, source) in enumerate((("ravdess", "urdu"), ("urdu", "ravdess"))):
        model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, class_weight="balanced", max_iter=1000))
        model.fit(table[source], clips.loc[table[source].index, "emotion"])
        ours = found.predictions[found.predictions["fold"] == fold].set_index("clip")
        assert set(ours.index) == set(table[target].index)
        assert ours["speaker"].str.startswith(f"{target}/").all()
        assert ours["prediction"].to_dict() == dict(zip(table[target].index, model.predict(table[target]), strict=True))


def scaled(name):
    table = features.load(name, "egemaps").astype("float64")
    return pd.DataFrame(StandardScaler().fit_transform(table), index=table.index)


@pytest.mark.parametrize("normalisation", ["corpus", "coral"])
def test_a_tuned_run_on_features_scaled_by_corpus_is_what_scikit_learn_gives(write, normalisation):
    found = run(write(normalisations=[normalisation], tune=True))
    clips = clips_of("ravdess+urdu", "common4")
    table = pd.concat([scaled("ravdess"), scaled("urdu")])
    for fold, part in parts(splits.make(clips, "corpus"), clips).items():
        x = {role: table.loc[rows.index].to_numpy() for role, rows in part.items()}
        y = {role: rows["emotion"] for role, rows in part.items()}

        def given(rows, train, test=x["test"]):
            return by_hand(rows, train, test) if normalisation == "coral" else rows

        scores, grid = [], (1e-4, 1e-3, 1e-2, 1e-1)
        for c in grid:
            model = LogisticRegression(C=c, class_weight="balanced", max_iter=1000)
            model.fit(given(x["train"], x["train"]), y["train"])
            scores.append(recall_score(y["dev"], model.predict(given(x["dev"], x["train"])), average="macro"))
        both = np.vstack([x["train"], x["dev"]])
        model = LogisticRegression(C=grid[int(np.argmax(scores))], class_weight="balanced", max_iter=1000)
        model.fit(given(both, both), [*y["train"], *y["dev"]])
        fact = found.info["folds"][fold]
        assert fact["dev_uar"] == pytest.approx(max(scores)) and fact["chosen"]["C"] == model.C
        ours = found.predictions[found.predictions["fold"] == fold].set_index("clip").loc[part["test"].index]
        assert np.mean(ours["prediction"].to_numpy() == model.predict(x["test"])) > 0.98
        np.testing.assert_allclose(
            ours[[f"p_{name}" for name in model.classes_]], model.predict_proba(x["test"]), atol=1e-3
        )


@pytest.mark.parametrize("normalisation", ["train", "corpus", "speaker", "coral"])
def test_no_label_of_the_tested_corpus_is_read(write, normalisation):
    path = write(normalisations=[normalisation], tune=True)
    before = run(path).predictions
    table = corpora.table("urdu")
    other = dict(zip(synthetic.EMOTIONS, np.roll(synthetic.EMOTIONS, 1), strict=True))
    files.write_parquet(table.assign(emotion=table["emotion"].map(other)), corpora.table_path("urdu"))
    forget()
    after = run(path).predictions
    one, two = (each[each["fold"] == 1].drop(columns="truth").reset_index(drop=True) for each in (before, after))
    pd.testing.assert_frame_equal(one, two)
    assert (before["truth"] != after["truth"]).any()
    # The labels of the corpus that is trained on are read.
    assert not before[before["fold"] == 0].equals(after[after["fold"] == 0])


def test_what_shifts_between_corpora_is_taken_away_by_scaling_each(write):
    uar = {}
    for normalisation in ("none", "train", "corpus", "coral"):
        table = run(write(normalisations=[normalisation])).predictions
        uar[normalisation] = metrics.uar(metrics.confusion(table["truth"], table["prediction"], synthetic.EMOTIONS))
    assert max(uar["none"], uar["train"]) + 0.1 < min(uar["corpus"], uar["coral"]), uar


def test_few_shots_are_run_and_what_is_left_out_is_listed(write):
    path = write(corpora=[UNION], protocols=["corpus+2"], labels="common4", splits="per-seed", seeds=[0, 1])
    # tess has no neutral and too few speakers to be tested; it is trained on.
    experiment = configuration.load(path)
    assert experiment.refused.to_numpy().tolist() == [
        [UNION, "corpus+2", "tess is not tested: it has 4 speakers, too few for 2 to train on and at least 3 to test"]
    ]
    table = run(path).predictions
    tested = table.groupby(["seed", "fold"])["speaker"].nunique()
    assert tested.to_dict() == {(seed, fold): n for seed in (0, 1) for fold, n in ((0, 9 - 2), (2, 8 - 2))}


def test_a_class_that_only_the_training_corpora_have_is_no_fault_and_one_that_only_the_target_has_is(write):
    experiment = configuration.load(write(corpora=["ravdess+tess", "ravdess+urdu"]))
    assert [cell.corpus for cell in experiment.systems] == ["ravdess+urdu"]
    assert experiment.refused.to_numpy().tolist() == [
        ["ravdess+tess", "corpus", "fold 0 tests the classes ['neutral'], which its training part does not have"]
    ]
    # With two corpora that have it, neutral can be said of tess, where it never is true.
    table = run(write(corpora=[UNION], normalisations=["corpus"])).predictions
    target = table[table["fold"] == 1]
    assert set(target["truth"]) == {"angry", "happy", "sad"} and "p_neutral" in target
    matrix = metrics.confusion(target["truth"], target["prediction"], synthetic.EMOTIONS)
    expected = recall_score(target["truth"], target["prediction"], average=None, labels=["angry", "happy", "sad"])
    assert metrics.uar(matrix) == pytest.approx(expected.mean())


def test_pairs_are_all_unions_of_two(write):
    experiment = configuration.load(write(corpora=["urdu", "ravdess", "tess"], pairs=True))
    assert [cell.corpus for cell in experiment.systems] == ["ravdess+urdu"]
    assert experiment.refused["corpus"].tolist() == ["ravdess+tess", "tess+urdu"]
    one = configuration.load(write(corpora=["ravdess", "urdu"], pairs=True)).systems
    assert one == configuration.load(write()).systems


def test_a_pair_without_features_is_refused_by_the_name_of_the_part(write, monkeypatch):
    monkeypatch.delenv("SER_RESULTS")
    found = configuration.load(write(corpora=["emodb", "punjabi_elc", "savee"], pairs=True))
    assert [cell.corpus for cell in found.systems] == ["emodb+savee"]
    reason = "punjabi_elc has no recordings to compute 'egemaps' from; it comes with 'praat31' only"
    assert found.refused.to_numpy().tolist() == [
        [pair, "egemaps", reason] for pair in ("emodb+punjabi_elc", "punjabi_elc+savee")
    ]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pairs": "yes"}, "'pairs' is true or false, not 'yes'"),
        ({"pairs": True}, r"'pairs' joins corpora of a list of single ones, not \['ravdess\+urdu'\]"),
        ({"pairs": True, "corpora": "urdu"}, "'pairs' joins corpora of a list of single ones, not 'urdu'"),
        ({"pairs": True, "corpora": ["urdu"]}, "'pairs' joins two corpora or more, each listed once"),
        ({"pairs": True, "corpora": ["urdu", "tess", "urdu"]}, "'pairs' joins two corpora or more, each listed once"),
        ({"pairs": True, "corpora": ["urdu", "tset"]}, "unknown corpus 'tset'"),
        ({"protocols": ["corpus+3"]}, r"unknown protocols \['corpus\+3'\]; expected some of"),
        ({"corpora": ["urdu"]}, "its corpora support nothing of it; .* urdu is one corpus"),
        ({"labels": "native"}, "each corpus has words of its own under 'native'"),
    ],
)
def test_a_bad_file_gets_one_clear_line(write, changes, message):
    with pytest.raises(SerError, match=message) as error:
        configuration.load(write(**changes))
    assert "trial.yaml" in str(error.value) and "\n" not in str(error.value)


def test_networks_are_trained_across_corpora_too(write, stores):
    content = {"name": "trial", "question": "?", "corpora": ["ravdess", "urdu"], "pairs": True, "labels": "common4"}
    content |= {"protocols": ["corpus", "corpus+2"], "networks": {"last": {"freeze": 3}, "ever": {"patience": None}}}
    (stores / "trial.yaml").write_text(yaml.safe_dump(content))
    found = {cell.folder: division(cell, 0) for cell in configuration.load(stores / "trial.yaml").systems}
    assert list(found) == [f"ravdess+urdu.{p}.{n}" for n in ("last", "ever") for p in ("corpus", "corpus+2")]
    clips = clips_of("ravdess+urdu", "common4")
    pd.testing.assert_frame_equal(found["ravdess+urdu.corpus.last"], splits.make(clips, "corpus"))
    pd.testing.assert_frame_equal(found["ravdess+urdu.corpus+2.ever"], splits.make(clips, "corpus+2", dev=False))


def test_the_six_corpora_can_be_tested_by_each_other():
    experiment = configuration.load(paths.repository() / "experiments/transfer-all.yaml")
    assert len(experiment.systems) == 2 * 5 and not len(experiment.refused)
    cell = experiment.systems[0]
    clips = clips_of(cell.corpus, cell.labels)
    folds = division(cell, 0)
    tested = folds[folds["role"] == "test"].groupby("fold")["clip"].agg(lambda clip: set(clips.loc[clip, "corpus"]))
    assert tested.tolist() == [{name} for name in ("banglaser", "emodb", "ravdess", "savee", "tess", "urdu")]
    assert not folds.attrs["notes"]

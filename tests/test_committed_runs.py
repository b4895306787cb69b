"""Every committed Run is held against the clips, the folds and the data it names; its code is verified elsewhere."""

import functools
import json

import numpy as np
import pytest

from ser_core import paths
from ser_core.data import corpora, labels, splits
from ser_core.errors import SerError
from ser_core.evaluation import metrics
from ser_core.experiments import configuration, fold, keys, runs, specs
from ser_core.experiments.fitting import late_fusion
from ser_core.experiments.fold import division
from ser_core.systems import features

FILES = sorted((paths.results() / "runs").glob("*/*/run.json"))
NAMES = [f"{path.parent.parent.name}/{path.parent.name}" for path in FILES]
INFOS = {name: json.loads(path.read_text()) for name, path in zip(NAMES, FILES, strict=True)}
CELLS = {name: specs.read(info["cell"]) for name, info in INFOS.items()}
# Runs of the same corpus and divisions stand side by side, so that these are read and made once.
NAMES.sort(key=lambda name: (CELLS[name].corpus, CELLS[name].protocol, INFOS[name]["divisions"]))
# Not run for their cost, which chapters 3 and 93 say.
NOT_RUN = {
    "whisper-finetuning": {
        "banglaser.speaker.last",
        *(f"{corpus}.speaker.{net}" for corpus in ("ravdess", "emodb", "banglaser") for net in ("low-rank", "all")),
    },
    "whisper-khan": {"ravdess.khan2026-si.low-rank", "ravdess.khan2026-si.all"},
    # A fit takes five minutes of one core, and a quarter of an hour without bfloat16.
    "whisper-lower": {"banglaser.speaker.tuned"},
    "whisper-lower-fusion": {
        f"banglaser.speaker.{fusion}" for fusion in ("tuned", "tuned+compare", "tuned+probe", "tuned+probe+compare")
    },
}
# What was predicted beside the test parts is kept of these.
NETWORKS = [name for name, cell in CELLS.items() if isinstance(cell, specs.NetworkSystem)]
FUSIONS = [name for name, cell in CELLS.items() if isinstance(cell, specs.LateFusion)]


@pytest.fixture(scope="module", autouse=True)
def every_division_is_kept():
    """All Runs have twice as many divisions as a process keeps, so that each test would make them again."""
    kept = functools.cache(fold.divide.__wrapped__)
    with pytest.MonkeyPatch.context() as patch:
        for module in (fold, keys, configuration):
            patch.setattr(module, "divide", kept)
        yield


@functools.cache
def clips_of(corpus, harmonisation):
    return labels.harmonise(corpora.table(corpus), harmonisation)


# The function itself: a test puts another in its place.
DATA_HASH = keys.data_hash


@functools.cache
def at_hand(corpus, extractor):
    """Return the digest of the features of a corpus, None if they are not there."""
    try:
        return DATA_HASH(corpus, extractor)
    except SerError:
        return None


def committed(corpus, extractor):
    """Return whether features are those of the repository; another processor extracts others in their last bits."""
    if extractor in features.WORDS:
        return at_hand(corpus, extractor) is not None
    stored = [features.location(part, extractor) for part in corpora.parts(corpus)]
    return all(path.is_file() and paths.results() in path.parents for path in stored)


@functools.cache
def recorded(corpus, extractor):
    """Return the digest of the features of a corpus that its Runs say; it is one."""
    said = {
        runs.info(name)["data"]
        for name, cell in CELLS.items()
        if isinstance(cell, specs.ClassicalSystem)
        and (cell.corpus, cell.features) == (corpus, extractor)
        and not cell.test_features
    }
    (only,) = said
    return only


def looked_at(folds, cell):
    """Hold Folds against their protocol; return fold and clip by part, in order, and the size of each part."""
    clips, rule = clips_of(cell.corpus, cell.labels), splits.PROTOCOLS[cell.protocol]
    for column in {*rule.test_grouping, *({"speaker"} & set(rule.dev_grouping))}:
        group = clips[column].to_dict()
        for _, part in folds.groupby("fold"):
            groups = {role: set(map(group.get, rows.tolist())) for role, rows in part.groupby("role")["clip"]}
            dev = groups.get("dev", set())
            if column in rule.test_grouping:
                assert not groups["test"] & (groups["train"] | dev)
            if column in rule.dev_grouping:
                assert not dev & (groups["train"] | groups["test"])
    parts = {role: part.sort_values(["fold", "clip"]) for role, part in folds.groupby("role")}
    pairs = {role: list(zip(part["fold"].tolist(), part["clip"].tolist(), strict=True)) for role, part in parts.items()}
    return pairs, folds.groupby(["fold", "role"]).size().unstack(fill_value=0)


# By the object, which is one for all systems of a division; it is kept, so that no other takes its place in memory.
LOOKED = {}


def folds_of(cell, seed):
    """Return what `looked_at` says of the folds of a system, made again by today's code."""
    folds = division(cell, seed)
    if id(folds) not in LOOKED:
        LOOKED[id(folds)] = folds, looked_at(folds, cell)
    return LOOKED[id(folds)][1]


def sizes_of(info, seed, *roles):
    """Return the number of each fold of a seed, and how many clips it says that parts of it have."""
    keys = ["fold", *(f"n_{role}" for role in roles)]
    return [tuple(fact[key] for key in keys) for fact in info["folds"] if fact["seed"] == seed]


def assert_of_clips(table, cell):
    """Hold the classes and speakers of predictions against the Clips table."""
    clips = clips_of(cell.corpus, cell.labels).loc[table["clip"]]
    assert table["truth"].tolist() == clips["emotion"].tolist()
    assert table["speaker"].tolist() == clips["speaker"].tolist()


def pairs_of(table, seed):
    """Return fold and clip of each row of a seed, in their order."""
    rows = table[table["seed"] == seed]
    return sorted(zip(rows["fold"].tolist(), rows["clip"].tolist(), strict=True))


def test_there_are_runs():
    assert len(NAMES) > 300


@pytest.mark.parametrize("name", NAMES)
def test_run_keeps_its_promises(name):
    run = runs.read(name)
    cell = CELLS[name]
    assert name == f"{run.info['experiment']}/{cell.folder}"
    table = run.predictions
    assert_of_clips(table, cell)
    assert sorted(table["seed"].unique()) == sorted(cell.seeds)
    seed = cell.seeds[-1]
    pairs, sizes = folds_of(cell, seed)
    assert pairs_of(table, seed) == pairs["test"]
    assert sizes_of(run.info, seed, "train", "test") == list(sizes[["train", "test"]].itertuples(name=None))


@pytest.mark.parametrize("experiment", sorted({name.split("/")[0] for name in NAMES}))
def test_experiment_is_complete_and_nothing_else_is_there(experiment):
    (path,) = (paths.repository() / "experiments").rglob(f"{experiment}.yaml")
    loaded = configuration.load(path)
    made = {name.split("/")[1] for name in NAMES if name.startswith(f"{experiment}/")}
    # Whoever has read a corpus that was not at hand can run more than is committed.
    committed = {
        cell.folder: cell for cell in loaded.systems if not set(corpora.parts(cell.corpus)) & set(corpora.ABSENT)
    }
    missing = NOT_RUN.get(experiment, set())
    assert missing <= set(committed) and made == set(committed) - missing
    for folder in made:
        assert CELLS[f"{experiment}/{folder}"] == committed[folder]


@pytest.mark.parametrize("name", NAMES)
def test_run_is_the_one_that_its_key_says(name):
    info, cell = runs.info(name), CELLS[name]
    assert info["key"] == keys.key(info)
    assert info["labels"] == keys.labels_hash(cell)
    assert info["divisions"] == keys.folds_hash(cell)
    assert set(info["tables"]) == {path.stem for path in runs.folder(*name.split("/")).glob("*.parquet")}
    for table in info["tables"]:
        runs.check_table(name, table, info)
    assert set(info["tolerance"]) == {"answers", "probability"}


@pytest.mark.parametrize("name", NAMES)
def test_run_was_made_from_the_data_that_are_there(name, monkeypatch):
    info, cell = runs.info(name), CELLS[name]
    if isinstance(cell, specs.ClassicalSystem):
        for extractor in filter(None, [cell.features, cell.test_features]):
            if not committed(cell.corpus, extractor):
                pytest.skip(f"the {extractor} features of {cell.corpus} are not committed")
    # Of a fusion it is asked whether it agrees with the Runs on the features, which are themselves held against these.
    monkeypatch.setattr(keys, "data_hash", recorded if name in FUSIONS else at_hand)
    if cell.corpus == "meld" and paths.data_folder("meld") is None:
        pytest.skip("the transcripts of meld may not be redistributed, and are not at hand")
    assert keys.data_of(cell) == info["data"]


@pytest.mark.parametrize("name", NETWORKS + FUSIONS)
def test_dev_clips_are_those_of_the_folds_and_were_not_trained_on(name):
    cell, info = CELLS[name], runs.info(name)
    # A plain mean needs no dev predictions, and the Runs of classical systems keep none.
    members = [name for name in getattr(cell, "members", ()) if name in CELLS]
    if not cell.tune or any("dev" not in runs.info(member)["tables"] for member in members):
        assert getattr(cell, "rule", "mean") not in late_fusion.LEARNING
        assert not (runs.folder(*name.split("/")) / "dev.parquet").exists()
        return
    dev = runs.other(name, "dev")
    assert_of_clips(dev, cell)
    assert sorted(dev["seed"].unique()) == sorted(cell.seeds)
    for seed in cell.seeds:
        pairs, sizes = folds_of(cell, seed)
        assert pairs_of(dev, seed) == pairs["dev"]
        assert sizes_of(info, seed, "dev") == list(sizes[["dev"]].itertuples(name=None)) and (sizes["dev"] > 0).all()


@pytest.mark.parametrize("name", NETWORKS)
def test_the_best_epoch_of_the_learning_curve_predicted(name):
    cell, run = CELLS[name], runs.read(name)
    names = metrics.class_names(run.predictions)
    dev = runs.other(name, "dev").set_index(["seed", "fold"]) if cell.tune else None
    for fact in run.info["folds"]:
        epochs = [row["epoch"] for row in fact["curve"]]
        assert epochs == list(range(1, len(epochs) + 1))
        if not cell.tune:
            assert len(epochs) == cell.recipe.epochs
            continue
        scores = [row[f"dev_{cell.recipe.select}"] for row in fact["curve"]]
        # Scores that are equal in the four stored digits may differ in their last bit, so that the later one is higher.
        best = np.flatnonzero(np.array(scores) == max(scores)) + 1
        assert len(epochs) in {min(cell.recipe.epochs, int(epoch) + cell.recipe.patience) for epoch in best}
        rows = dev.loc[(fact["seed"], fact["fold"])]
        score = metrics.METRICS[cell.recipe.select](metrics.confusion(rows["truth"], rows["prediction"], names))
        # Four digits are stored, and products in bfloat16 may turn a tie.
        assert score == pytest.approx(max(scores), abs=5e-3)


@pytest.mark.parametrize("name", NETWORKS)
def test_speakers_are_named_among_those_of_their_test_part(name):
    cell, run = CELLS[name], runs.read(name)
    for when in ("before", "after"):
        if not (runs.folder(*name.split("/")) / f"speakers-{when}.parquet").exists():
            # Nobody is told apart where there is one speaker, or where one has a single clip.
            clips_each = run.predictions.groupby(["seed", "fold"])["speaker"].value_counts()
            fewest = clips_each.groupby(["seed", "fold"]).agg(["size", "min"])
            assert ((fewest["size"] < 2) | (fewest["min"] < 2)).all()
            continue
        table = runs.other(name, f"speakers-{when}")
        clips = clips_of(cell.corpus, cell.labels)
        assert table["truth"].tolist() == clips.loc[table["clip"], "speaker"].tolist()
        tested = run.predictions.groupby(["seed", "fold"])["clip"].agg(set)
        for at, rows in table.groupby(["seed", "fold"]):
            assert set(rows["clip"]) == tested[at]
            assert set(rows["prediction"]) <= set(rows["truth"])

"""Fine-tuning from the experiment file to the Run, on a synthetic corpus that stands in for URDU."""

import collections
import dataclasses
import json
import math
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import soundfile
import tiny
import torch
import transformers
import yaml
from caches import forget
from sklearn.metrics import recall_score
from traced import unnoticed

from ser_core import paths
from ser_core.data import audio, corpora, synthetic
from ser_core.errors import SerError
from ser_core.evaluation.predictions import COLUMNS
from ser_core.experiments import configuration, fitting, keys, runner, runs, specs
from ser_core.experiments.fitting import network
from ser_core.experiments.fitting.network import inputs
from ser_core.experiments.fitting.network.trainer import parameter_groups
from ser_core.experiments.fold import division, make
from ser_core.systems import encoders
from ser_core.systems.encoders.base import RATE, pad
from ser_core.systems.encoders.byol import ByolS
from ser_core.systems.networks import SpeechClassifier
from ser_core.systems.settings import Augmentation, Recipe

CLASSES = ("angry", "sad")
# Little of each clip, and the front half of the network as it was drawn: a fold takes a second.
SETTINGS = {
    "freeze": 2,
    "trim": True,
    "max_seconds": 0.6,
    "pooling": "max+mean",
    "dropout": 0.0,
    "learning_rate": 1e-3,
    "batch_size": 4,
    "warmup": 0.3,
    "epochs": 8,
    "patience": 3,
    "precision": "fp32",
}
QUICK = {"freeze": 3, "epochs": 2, "max_seconds": 0.3, "batch_size": 8}
PROBABILITIES = ["p_angry", "p_sad"]


class Uncached(ByolS):
    """BYOL-S as an encoder whose inputs depend on the training part, so that nothing can be kept."""

    calibrated = True


def drawn(name, *, revision=None, kind=ByolS):
    """Stand in for the published weights by weights that are as fixed as those."""
    if name != "byol-s":
        return load(name, revision=revision)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return kind(name).eval()


load = encoders.load


@pytest.fixture(scope="module", autouse=True)
def stores(tmp_path_factory):
    root = tmp_path_factory.mktemp("training")
    forget()
    with pytest.MonkeyPatch.context() as patch:
        for name in ("results", "cache", "data"):
            patch.setenv(f"SER_{name.upper()}", str(root / name))
        patch.setattr(encoders, "load", drawn)
        # What is equal to the last digit, and every tolerance here, is so on a CPU.
        patch.setattr(torch.cuda, "is_available", lambda: False)
        folder = synthetic.corpus(root / "data/urdu", speakers=8, sentences=2, emotions=CLASSES, repetitions=2)
        reading = corpora.local.read(folder / "clips.csv", name="urdu")
        # A class that is rarer by a quarter, so that class weights do something.
        fewer = ~reading.clips.index.str.contains("t02_sad_r2")
        corpora.write_table(dataclasses.replace(reading, clips=reading.clips[fewer]))
        yield root
    forget()


@pytest.fixture
def write(tmp_path):
    def make(networks, **changes):
        content = {
            "name": "trial",
            "question": "Does it learn?",
            "corpora": ["urdu"],
            "protocols": ["speaker"],
            "folds": 4,
            "recipe": SETTINGS,
            "networks": networks,
        }
        path = tmp_path / f"{changes.get('name', 'trial')}.yaml"
        path.write_text(yaml.safe_dump({**content, **changes}))
        return path

    return make


def cell(seeds=(0,), **settings):
    return specs.NetworkSystem(
        corpus="urdu",
        protocol="speaker",
        name="trial",
        recipe=Recipe(**SETTINGS | settings),
        labels="native",
        folds=4,
        seeds=seeds,
        split_seed=0,
        train_clips=None,
    )


def fit(seed=0, fold=0, *, folder=None, **settings):
    """Return the tables of one fold by name, and the facts."""
    table, facts = fitting.fit_fold(cell(**settings), seed, fold, folder)
    return {name: rows.reset_index(drop=True) for name, rows in table.groupby("part")}, facts


def fold_of(system, number=0):
    """Return a function that fits a fold of a network, with what only it calls."""
    return lambda: network.fit_fold(system, make(system, 0, number), network.material(system))


def parts(fold=0, **settings):
    folds = division(cell(**settings), 0)
    here = folds[folds["fold"] == fold]
    return {role: rows["clip"].tolist() for role, rows in here.groupby("role", observed=True)}


@pytest.fixture
def seen(monkeypatch):
    """What trainings make inside them, in order."""
    found = SimpleNamespace(encoders=[], parts=[], trainers=[])

    def remembering(make, where):
        def made(*arguments, **keywords):
            where.append(make(*arguments, **keywords))
            return where[-1]

        return made

    monkeypatch.setattr(encoders, "load", remembering(encoders.load, found.encoders))
    monkeypatch.setattr(network, "Part", remembering(inputs.Part, found.parts))
    monkeypatch.setattr(network, "make_trainer", remembering(network.make_trainer, found.trainers))
    return found


# The whole way, from the file to the Run.


@pytest.fixture(scope="module")
def whole(stores, tmp_path_factory):
    """The Run of the smoke test, four folds; the tests below look at it and leave it."""
    path = tmp_path_factory.mktemp("experiments") / "smoke.yaml"
    content = {"name": "smoke", "question": "Is a planted cue learnt?", "corpora": ["urdu"], "protocols": ["speaker"]}
    path.write_text(yaml.safe_dump(content | {"folds": 4, "recipe": SETTINGS, "networks": {"partial": {}}}))
    experiment = configuration.load(path)
    (folder,) = runner.run(experiment, jobs=1, progress=False)
    return SimpleNamespace(experiment=experiment, folder=folder, run=runs.read(f"smoke/{folder.name}"))


def test_a_planted_emotion_is_learnt_on_unseen_speakers(whole):
    table = whole.run.predictions
    assert recall_score(table["truth"], table["prediction"], average="macro") > 0.75
    clips = corpora.table("urdu")
    assert table["clip"].tolist() == clips.index.tolist()
    assert table["truth"].tolist() == clips["emotion"].tolist()
    assert table["speaker"].tolist() == clips["speaker"].tolist()


def test_the_run_holds_predictions_dev_and_both_speaker_probes(whole):
    assert {path.name for path in whole.folder.iterdir()} == {
        "run.json",
        *(f"{name}.parquet" for name in ("predictions", "dev", "speakers-before", "speakers-after")),
    }
    clips = corpora.table("urdu")
    for table in (whole.run.predictions, runs.other(whole.run.name, "dev")):
        assert list(table) == [*COLUMNS, *PROBABILITIES]
        np.testing.assert_allclose(table[PROBABILITIES].sum(axis=1), 1, atol=1e-5)
        best = table[PROBABILITIES].idxmax(axis=1).str.removeprefix("p_")
        assert best.tolist() == table["prediction"].tolist()
        assert table["truth"].tolist() == clips.loc[table["clip"], "emotion"].tolist()
    for when in ("before", "after"):
        table = runs.other(whole.run.name, f"speakers-{when}")
        assert list(table) == list(COLUMNS)
        assert sorted(table["clip"]) == clips.index.tolist()
        assert table["truth"].tolist() == clips.loc[table["clip"], "speaker"].tolist()
        # Named among the speakers of its own test part.
        for _, rows in table.groupby("fold"):
            assert set(rows["prediction"]) <= set(rows["truth"])


def test_the_facts_of_each_fold_are_recorded(whole):
    info = whole.run.info
    assert specs.read(info["cell"]) == whole.experiment.systems[0]
    assert info["code"] == keys.code_of(whole.experiment.systems[0])
    assert info["data"] == keys.audio_hash("urdu")
    assert {"torch", "torchaudio", "transformers", "accelerate"} <= set(info["versions"])
    assert [(fact["seed"], fact["fold"]) for fact in info["folds"]] == [(0, fold) for fold in range(4)]
    convolution, norm = 64 * 64 * 9 + 64, 2 * 64
    trained = (convolution + norm) + 2 * (512 * 512 + 512) + (2 * 512 + 2)
    for fact in info["folds"]:
        sizes = {role: len(clips) for role, clips in parts(fact["fold"]).items()}
        assert {role: fact[f"n_{role}"] for role in ("train", "dev", "test")} == sizes
        assert fact["trained"] == trained
        assert fact["parameters"] == trained + (64 * 9 + 64 + norm) + (convolution + norm)
        assert [row["epoch"] for row in fact["curve"]] == list(range(1, len(fact["curve"]) + 1))
        assert all(set(row) == {"epoch", "loss", "dev_uar", "dev_loss"} for row in fact["curve"])
        assert fact["curve"][-1]["loss"] < fact["curve"][0]["loss"]
    json.dumps(info, allow_nan=False)


def test_dev_speakers_are_neither_trained_nor_tested(whole):
    clips, dev = corpora.table("urdu"), runs.other(whole.run.name, "dev")
    for fold, rows in dev.groupby("fold"):
        part = parts(fold)
        assert sorted(rows["clip"]) == sorted(part["dev"])
        who = {role: set(clips.loc[part[role], "speaker"]) for role in part}
        assert len(who["dev"]) > 0
        assert not who["dev"] & (who["train"] | who["test"])
        assert not who["train"] & who["test"]


def test_training_stops_in_time_and_the_best_epoch_predicts(whole):
    dev = runs.other(whole.run.name, "dev")
    stopped_after_the_best = 0
    for fact in whole.run.info["folds"]:
        scores = [row["dev_uar"] for row in fact["curve"]]
        best = int(np.argmax(scores))
        assert len(scores) == min(SETTINGS["epochs"], best + 1 + SETTINGS["patience"])
        stopped_after_the_best += best + 1 < len(scores)
        rows = dev[dev["fold"] == fact["fold"]]
        uar = recall_score(rows["truth"], rows["prediction"], average="macro")
        assert uar == pytest.approx(scores[best], abs=1e-4)
        # The loss of the same epoch: that of the probabilities, each class weighted by its rarity in training, batch by
        # batch, of which each counts as its clips are many.
        train = corpora.table("urdu").loc[parts(fact["fold"])["train"], "emotion"].value_counts()
        weight = rows["truth"].map(train.sum() / (2 * train)).to_numpy()
        right = np.array([row[f"p_{row['truth']}"] for _, row in rows.iterrows()])
        losses = [
            -(weight[batch] * np.log(right[batch])).sum() / weight[batch].sum() * len(batch)
            for batch in np.split(np.arange(len(rows)), range(8, len(rows), 8))
        ]
        assert sum(losses) / len(rows) == pytest.approx(fact["curve"][best]["dev_loss"], abs=2e-3)
    assert stopped_after_the_best > 0  # or the loop above has shown nothing of keeping the best


def test_what_is_made_is_not_made_again(whole):
    assert runner.run(whole.experiment, jobs=1, progress=False) == []


def test_the_same_seed_gives_the_same_predictions_and_another_seed_others(whole):
    again, facts = fit(fold=1)
    table = whole.run.predictions
    committed = table[table["fold"] == 1].set_index("clip").loc[again["test"]["clip"], PROBABILITIES]
    assert again["test"][PROBABILITIES].to_numpy().tolist() == committed.to_numpy().tolist()
    assert facts["curve"] == whole.run.info["folds"][1]["curve"]
    other, _ = fit(seed=1, fold=1)
    assert other["test"]["seed"].unique().tolist() == [1]
    assert np.abs(other["test"][PROBABILITIES].to_numpy() - committed.to_numpy()).max() > 1e-3


@pytest.mark.parametrize("seed", [0, 1])
def test_predictions_do_not_depend_on_what_is_kept_of_earlier_folds(seed):
    network._material.cache_clear()
    first, _ = fit(seed=seed, **QUICK)
    second, _ = fit(seed=seed, **QUICK)
    assert first["test"][PROBABILITIES].equals(second["test"][PROBABILITIES])


class DiesAt(transformers.TrainerCallback):
    """Count the epochs begun, and stop everything at one of them."""

    def __init__(self, begun, at):
        self.begun, self.at = begun, at

    def on_epoch_begin(self, args, state, control, **_):
        self.begun.append(round(state.epoch or 0))
        if len(self.begun) == self.at:
            raise KeyboardInterrupt


def test_a_killed_run_goes_on_with_the_folds_and_the_epochs_it_has(write, monkeypatch):
    experiment = configuration.load(write({"quick": QUICK | {"epochs": 3, "patience": 3}}))
    (path,) = runner.run(experiment, jobs=1, progress=False)
    undisturbed = runs.read(f"trial/{path.name}")
    for file in path.iterdir():
        file.unlink()
    begun, original = [], network.make_trainer

    def trainer(*arguments):
        made = original(*arguments)
        made.add_callback(DiesAt(begun, 3 + 3))  # in the last epoch of the second fold
        return made

    monkeypatch.setattr(network, "make_trainer", trainer)
    with pytest.raises(KeyboardInterrupt):
        runner.run(experiment, jobs=1, progress=False)
    assert begun == [0, 1, 2, 0, 1, 2]
    assert not (path / "run.json").exists()
    kept = sorted(file.name for file in (path / ".parts").iterdir())
    assert [file.endswith("-0-0.parquet") for file in kept] == [True, False]
    assert kept[1].endswith("-0-1")  # the checkpoints of the fold that was killed

    runner.run(experiment, jobs=1, progress=False)
    assert begun[6:] == [2, 0, 1, 2, 0, 1, 2]  # its last epoch, then the two folds that were left
    assert not (path / ".parts").exists()
    run = runs.read(f"trial/{path.name}")
    pd.testing.assert_frame_equal(run.predictions, undisturbed.predictions)
    now, then = ([fold["curve"] for fold in r.info["folds"]] for r in (run, undisturbed))
    assert now == then


def test_a_training_that_goes_on_has_the_patience_that_was_left(write, monkeypatch, tmp_path):
    # A learning rate so small that no epoch is better than the first.
    settings = QUICK | {"epochs": 6, "patience": 3, "learning_rate": 1e-12, "head_learning_rate": 1e-12}
    _, facts = fit(**settings)
    begun, original = [], network.make_trainer

    def trainer(*arguments):
        made = original(*arguments)
        made.add_callback(DiesAt(begun, 3))
        return made

    monkeypatch.setattr(network, "make_trainer", trainer)
    with pytest.raises(KeyboardInterrupt):
        fit(folder=tmp_path, **settings)
    assert fit(folder=tmp_path, **settings)[1]["curve"] == facts["curve"]
    assert len(facts["curve"]) == 4 and begun == [0, 1, 2, 2, 3]


def test_without_patience_every_epoch_is_trained_on_train_and_dev(write):
    experiment = configuration.load(write({"last": QUICK | {"patience": None}}, folds=2))
    (path,) = runner.run(experiment, jobs=1, progress=False)
    run = runs.read(f"trial/{path.name}")
    assert not (path / "dev.parquet").exists()
    for fact in run.info["folds"]:
        assert fact["n_dev"] == 0
        assert fact["n_train"] + fact["n_test"] == len(corpora.table("urdu"))
        assert [set(row) for row in fact["curve"]] == [{"epoch", "loss"}] * QUICK["epochs"]


def test_a_checkpoint_of_transformers_goes_the_whole_way(write, tmp_path):
    folder = tiny.write("wav2vec2-base", tmp_path / "tiny")
    network = {"encoder": str(folder), "layers": "weighted", "pooling": "statistics", "freeze": 1, "layer_decay": 0.8}
    experiment = configuration.load(write({"tiny": network | {"epochs": 2, "patience": 1}}))
    (path,) = runner.run(experiment, jobs=1, progress=False)
    run = runs.read(f"trial/{path.name}")
    assert len(run.predictions) == len(corpora.table("urdu"))
    assert run.info["code"] != keys.code_of(cell())
    model = transformers.Wav2Vec2Model.from_pretrained(folder)
    frozen = sum(p.numel() for part in (model.feature_extractor, model.feature_projection) for p in part.parameters())
    fact = run.info["folds"][0]
    # Of the rest of the encoder, only the vector of masked frames is not trained; layer weights and head are.
    rest = sum(p.numel() for p in model.parameters()) - frozen - 16
    assert fact["trained"] == rest + 3 + (2 * 16 * 2 + 2)


# Freezing, rates and what is kept.


@pytest.mark.parametrize("freeze", [0, 1, "all"])
def test_frozen_blocks_stay_and_the_others_move(seen, freeze):
    fit(**QUICK | {"freeze": freeze, "epochs": 1, "layer_decay": 0.5})
    before, after = drawn("byol-s"), seen.encoders[0]
    assert seen.trainers[0].model.encoder is after
    k = 4 if freeze == "all" else freeze
    for i, (old, new) in enumerate(zip(before.blocks, after.blocks, strict=True)):
        same = [torch.equal(a, b) for a, b in zip(old.parameters(), new.parameters(), strict=True)]
        assert all(same) if i < k else not any(same)
    for name, value in before.state_dict().items():
        if "running" in name:
            assert torch.equal(value, after.state_dict()[name])


def test_every_block_has_its_learning_rate_and_biases_do_not_decay():
    encoder = ByolS()
    encoder.freeze(1)
    model = SpeechClassifier(encoder, 3, pooling="attention")
    recipe = Recipe(learning_rate=0.01, head_learning_rate=0.5, layer_decay=0.1, weight_decay=0.2)
    groups = parameter_groups(model, recipe)
    found = {}
    for group in groups:
        for parameter in group["params"]:
            assert parameter not in found
            found[parameter] = (group["lr"], group["weight_decay"])
    assert set(found) == {parameter for parameter in model.parameters() if parameter.requires_grad}
    assert not set(found) & set(encoder.blocks[0].parameters())
    for block, rate in zip(encoder.blocks[1:], (0.0001, 0.001, 0.01), strict=True):
        for name, parameter in block.named_parameters():
            lr, decay = found[parameter]
            assert lr == pytest.approx(rate)
            assert decay == (0.2 if parameter.ndim > 1 else 0.0), name
    for layer in (model.head, model.pooling.score):
        assert found[layer.weight] == (0.5, 0.2)
        assert found[layer.bias] == (0.5, 0.0)


def test_what_is_kept_of_frozen_blocks_changes_no_result(monkeypatch, seen):
    kept, facts = fit(epochs=4)
    # The kept inputs have gone through two of the blocks, each of which halves time and frequency.
    assert {clip[0].shape[1:] for clip in seen.parts[0].versions} == {(16, 64)}
    monkeypatch.setattr(encoders, "load", lambda name, revision=None: drawn(name, kind=Uncached))
    network._material.cache_clear()
    anew, anew_facts = fit(epochs=4)
    network._material.cache_clear()
    assert {clip[0].shape[1:] for clip in seen.parts[3].versions} == {(64,)}
    for then, now in zip(facts["curve"], anew_facts["curve"], strict=True):
        assert then == pytest.approx(now, abs=2e-3)
    for role in ("test", "dev"):
        np.testing.assert_allclose(kept[role][PROBABILITIES], anew[role][PROBABILITIES], atol=2e-3)
    assert kept["speakers-after"].equals(anew["speakers-after"])


@pytest.mark.parametrize("layers", ["last", "weighted", 0, 1, 2])
def test_layers_before_the_last_kept_block_are_not_lost(tmp_path, monkeypatch, layers):
    """All of a small wav2vec 2.0 is frozen, of three layers; what a layer says must come from that layer."""
    folder = tiny.write("wav2vec2-base", tmp_path / "tiny")
    settings = QUICK | {
        "encoder": str(folder),
        "freeze": "all",
        "layers": layers,
        "epochs": 1,
        "head_learning_rate": 0.1,
    }
    kept, _ = fit(**settings)

    def uncached(name, *, revision=None):
        encoder = load(name, revision=revision)
        encoder.calibrated = True
        return encoder

    monkeypatch.setattr(encoders, "load", uncached)
    anew, _ = fit(**settings)
    np.testing.assert_allclose(kept["test"][PROBABILITIES], anew["test"][PROBABILITIES], atol=1e-4)
    assert kept["test"]["p_sad"].std() > 1e-3  # or all would be equal whatever is read


def test_bfloat16_is_kept_and_close_to_full_precision(seen):
    settings = QUICK | {"epochs": 1}
    half, _ = fit(**settings | {"precision": "bf16"})
    assert {clip[0].dtype for part in seen.parts for clip in part.versions} == {torch.bfloat16}
    full, _ = fit(**settings)
    np.testing.assert_allclose(half["test"][PROBABILITIES], full["test"][PROBABILITIES], atol=0.05)
    assert half["test"][PROBABILITIES].to_numpy().tolist() != full["test"][PROBABILITIES].to_numpy().tolist()


def test_batches_are_accumulated_and_the_rate_runs_down_to_zero(seen):
    _, facts = fit(**QUICK | {"batch_size": 4, "accumulation": 2, "epochs": 2})
    (trainer,) = seen.trainers
    assert trainer.state.global_step == 2 * math.ceil(math.ceil(facts["n_train"] / 4) / 2)
    assert [group["lr"] for group in trainer.optimizer.param_groups] == [0.0] * len(trainer.optimizer.param_groups)
    assert len(facts["curve"]) == 2


def test_the_loss_weighs_the_classes_of_the_training_part(seen):
    fit(**QUICK | {"epochs": 1})
    fit(**QUICK | {"epochs": 1, "class_weights": False})
    counts = corpora.table("urdu").loc[parts()["train"], "emotion"].value_counts()
    expected = [len(parts()["train"]) / (2 * counts[name]) for name in CLASSES]
    weighted, plain = (trainer.model.loss.weight for trainer in seen.trainers)
    assert weighted.tolist() == pytest.approx(expected)
    assert expected[0] < 1 < expected[1]
    assert plain is None


def test_waveform_effects_are_heard_in_training_only_and_anew_in_each_epoch(monkeypatch):
    heard, original = [], inputs.augment_waveform

    def listening(samples, rate, how, rng):
        result = original(samples, rate, how, rng)
        heard.append((samples.tobytes(), result.tobytes()))
        return result

    monkeypatch.setattr(inputs, "augment_waveform", listening)
    fit(**QUICK | {"augmentation": {"noise_snr_db": [10, 20]}})
    clip_of = {x.tobytes(): clip for clip, x in inputs.recordings("urdu", True, QUICK["max_seconds"]).items()}
    clips = collections.Counter(clip_of[before] for before, _ in heard)
    assert clips == dict.fromkeys(parts()["train"], QUICK["epochs"])
    assert len({after for _, after in heard}) == len(heard)


def test_copies_stand_beside_the_clip_in_training_only(seen):
    # Clips of unlike length, or it would not show if padding was kept with them.
    settings = QUICK | {"augmentation": {"noise_snr_db": [10, 20]}, "copies": 2, "epochs": 1, "max_seconds": None}
    fit(**settings)
    train, dev, test = seen.parts
    encoder = drawn("byol-s")
    clips = inputs.recordings("urdu", True, None)
    assert len({len(samples) for samples in clips.values()}) > 10
    for part, role, n in ((train, "train", 3), (dev, "dev", 1), (test, "test", 1)):
        assert {len(versions) for versions in part.versions} == {n}
        for clip, versions in zip(parts()[role], part.versions, strict=True):
            with torch.no_grad():
                plain, _ = encoder.prefix(*pad([encoder.prepare(clips[clip])]), 3)
            torch.testing.assert_close(versions[0], plain[0], rtol=1e-4, atol=1e-4)
            assert all(not torch.equal(versions[0], other) for other in versions[1:])
    chosen = set()
    for epoch in range(20):
        train.epoch = epoch
        chosen |= {next(i for i in range(3) if train[0]["inputs"] is train.versions[0][i])}
    assert chosen == {0, 1, 2}


def test_rare_classes_are_filled_up_with_changed_clips_of_the_training_part_alone(seen):
    settings = QUICK | {"augmentation": {"noise_snr_db": [50, 60]}, "balance": True, "epochs": 1}
    _, facts = fit(**settings)
    train, dev, test = seen.parts
    here, rare = parts(), CLASSES.index("sad")
    own, filled = train.labels[: len(here["train"])], train.labels[len(here["train"]) :]
    missing = own.count(1 - rare) - own.count(rare)
    assert missing > 0
    assert filled == [rare] * missing
    assert facts["n_filled"] == missing
    assert seen.trainers[0].model.loss.weight.tolist() == [1.0, 1.0]
    assert [len(dev), len(test)] == [len(here["dev"]), len(here["test"])]
    # Each is like one clip of the class, and like it alone, and no version of it stands twice.
    sad = [clip[0] for clip, label in zip(train.versions, own, strict=False) if label == rare]
    copies = [clip[0] for clip in train.versions[len(own) :]]
    near = [min(range(len(sad)), key=lambda i: float((sad[i] - clip).abs().mean())) for clip in copies]
    assert len(set(near)) == missing
    assert all(not torch.equal(sad[i], clip) for i, clip in zip(near, copies, strict=True))


@pytest.mark.parametrize("seed", [0, 1])
def test_no_clip_lends_itself_more_often_than_it_must(seed):
    labels = [0] * 11 + [1] * 3 + [2] * 11 + [3] * 5
    found = network._fills(labels, seed)
    assert len(set(found)) == len(found) == (11 - 3) + (11 - 5)
    lent = collections.Counter(i for i, _ in found)
    assert sorted(lent[i] for i in range(11, 14)) == [2, 3, 3]
    assert sorted(lent[i] for i in range(25, 30)) == [1, 1, 1, 1, 2]
    assert all(sorted(copy for j, copy in found if j == i) == list(range(1, n + 1)) for i, n in lent.items())
    assert network._fills(labels, seed) == found


def test_masks_fall_on_training_clips_only_and_anew_in_each_epoch():
    clips = [[torch.ones(40, 8)], [torch.ones(30, 8)]]
    how = Augmentation(time_masks=1, time_mask_frames=8, frequency_masks=1, frequency_mask_bins=4)
    train, dev = inputs.Part(clips, [0, 1], how, seed=3), inputs.Part(clips, [0, 1])
    assert all(bool((dev[i]["inputs"] == 1).all()) for i in range(2))
    images = {}
    for epoch in range(10):
        train.epoch = epoch
        images[epoch] = train[0]["inputs"]
        assert torch.equal(train[0]["inputs"], images[epoch])  # read twice, the same
    assert len({tuple(image.flatten().tolist()) for image in images.values()}) > 5
    again = inputs.Part(clips, [0, 1], how, seed=3)
    assert torch.equal(again[0]["inputs"], images[0])
    assert all(bool((clip[0] == 1).all()) for clip in clips)
    # What frozen blocks gave has channels behind its bins; a mask of bins is then of bins and channels.
    kept = inputs.Part([[torch.ones(40, 4, 2)]], [0], how)
    assert kept[0]["inputs"].shape == (40, 4, 2)


def test_a_batch_is_padded_and_under_mixup_mixed():
    clips = [[torch.full((n, 2), float(value))] for n, value in ((3, 1), (5, 2), (4, 3))]
    plain = inputs.Part(clips, [0, 1, 0])
    batch = plain.collate([plain[i] for i in range(3)])
    assert sorted(batch) == ["inputs", "labels", "lengths"]
    assert batch["lengths"].tolist() == [3, 5, 4]
    assert batch["labels"].tolist() == [0, 1, 0]
    part = inputs.Part(clips, [0, 1, 0], Augmentation(mixup=0.4))
    mixed = part.collate([part[i] for i in range(3)])
    shares, others = mixed["shares"].tolist(), mixed["others"].tolist()
    assert mixed["labels"].tolist() == [0, 1, 0]
    for i, share in enumerate(shares):
        # Whom a clip was mixed with is found by its values.
        candidates = [share * batch["inputs"][i] + (1 - share) * batch["inputs"][j] for j in range(3)]
        partner = next(j for j in range(3) if torch.allclose(mixed["inputs"][i], candidates[j]))
        assert others[i] == batch["labels"][partner]
        assert mixed["lengths"][i] == max(batch["lengths"][i], batch["lengths"][partner])


@pytest.mark.parametrize("patience", [3, None])
def test_training_clips_are_mixed_and_those_of_dev_and_test_are_not(monkeypatch, seen, patience):
    mixed, original = [], inputs.mix

    def watching(inputs, lengths, how, rng):
        mixed.append(len(inputs))
        return original(inputs, lengths, how, rng)

    monkeypatch.setattr(inputs, "mix", watching)
    tables, facts = fit(**QUICK | {"augmentation": {"mixup": 0.4}, "patience": patience})
    assert sum(mixed) == QUICK["epochs"] * facts["n_train"]
    # The test clips' scores are those of the model on the clips as they are.
    model, test = seen.trainers[0].model.eval(), seen.parts[-1]
    with torch.no_grad():
        scores = model(*pad([clip[0] for clip in test.versions]))["logits"].softmax(1)
    np.testing.assert_allclose(tables["test"][PROBABILITIES], scores, atol=1e-4)


# Recordings and refusals.


def test_recordings_of_a_union_are_those_of_its_corpora(tmp_path):
    """A second corpus beside URDU, under the name of another one."""
    folder = synthetic.corpus(paths.data_folder("urdu").parent / "tess", speakers=1, sentences=1, emotions=CLASSES)
    corpora.write_table(corpora.local.read(folder / "clips.csv", name="tess"))
    apart = inputs.recordings("tess", True, 0.5) | inputs.recordings("urdu", True, 0.5)
    union = inputs.recordings("tess+urdu", True, 0.5)
    assert list(union) == corpora.table("tess+urdu").index.tolist() == sorted(apart)
    assert all(np.array_equal(union[clip], apart[clip]) for clip in apart)


def test_recordings_are_resampled_trimmed_and_cut_in_the_middle(tmp_path):
    path = corpora.audio_path(corpora.table("urdu").iloc[0])
    samples, rate = soundfile.read(path, dtype="float32")
    clip = corpora.table("urdu").index[0]
    assert inputs.recordings("urdu", False, None)[clip].tolist() == samples.tolist()
    trimmed = audio.trim_silence(samples, rate)
    assert len(trimmed) < len(samples)
    assert inputs.recordings("urdu", True, None)[clip].tolist() == trimmed.tolist()
    cut = inputs.recordings("urdu", True, 0.5)[clip]
    assert len(cut) == RATE // 2
    start = (len(trimmed) - RATE // 2) // 2
    assert cut.tolist() == trimmed[start : start + RATE // 2].tolist()
    assert len(inputs.recordings("urdu", False, 60.0)[clip]) == len(samples)


def refusal(function, *arguments, **keywords):
    with pytest.raises(SerError) as error:
        function(*arguments, **keywords)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_another_recording_under_the_name_of_a_clip_is_refused(stores):
    folder = synthetic.corpus(stores / "data/savee", speakers=1, sentences=1)
    corpora.write_table(corpora.local.read(folder / "clips.csv", name="savee"))
    path = folder / "s01_t01_sad_r1.wav"
    samples, rate = soundfile.read(path)
    soundfile.write(path, 0.5 * samples, rate)
    message = refusal(inputs.recordings, "savee", False, None)
    assert str(path) in message and "another recording" in message


def test_more_frozen_blocks_than_there_are_and_a_class_not_trained_are_refused(stores):
    assert "'freeze' is 5, but byol-s has 4 blocks" in refusal(fit, freeze=5)
    clips = synthetic.clips(speakers=4, sentences=1, emotions=CLASSES).assign(corpus="tess")
    only_one = clips["emotion"].where(clips["speaker"] == "toy/s01", "sad")
    corpora.table_path("tess").parent.mkdir(parents=True, exist_ok=True)
    clips.assign(emotion=only_one).to_parquet(corpora.table_path("tess"))
    folds = division(dataclasses.replace(cell(), corpus="tess"), 0)
    tested = folds[(folds["role"] == "test") & folds["clip"].str.contains("s01")]["fold"].iloc[0]
    message = refusal(fitting.fit_fold, dataclasses.replace(cell(), corpus="tess"), 0, tested)
    assert "tests the classes ['angry'], which its training part does not have" in message


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"pooling": "median"},
            "'pooling' must be one of ['mean', 'max+mean', 'statistics', 'attention'], not 'median'",
        ),
        ({"layers": 7}, "no layer '7'"),
    ],
)
def test_settings_that_do_not_fit_the_encoder_are_refused(settings, message):
    assert message in refusal(fit, **QUICK | settings)


def test_a_model_without_gradients_has_no_groups():
    model = SpeechClassifier(ByolS(), 2)
    model.requires_grad_(False)
    assert parameter_groups(model, Recipe()) == []


@pytest.mark.parametrize(
    "settings", [{}, {"augmentation": {"gain_db": [-6, 6]}, "balance": True}, {"augmentation": {"mixup": 0.4}}]
)
def test_no_code_that_a_fold_executes_goes_unnoticed(monkeypatch, settings):
    trained = cell(**QUICK | {"epochs": 1} | settings)
    forget()
    assert unnoticed(trained, fold_of(trained), monkeypatch) == set()

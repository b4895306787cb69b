"""The experiment files for large encoders, end to end on tiny checkpoints of their architectures, loaded by path."""

import dataclasses

import numpy as np
import pytest
import tiny
import yaml
from caches import forget

from ser_core import paths
from ser_core.data import corpora, synthetic
from ser_core.errors import SerError
from ser_core.experiments import configuration, runner, runs
from ser_core.experiments.fitting.network import inputs

FILES = sorted((paths.repository() / "experiments/large").glob("*.yaml"))
FAMILY = {
    "facebook/wav2vec2-base": "wav2vec2-base",
    "facebook/hubert-base-ls960": "hubert-base",
    "microsoft/wavlm-base": "wavlm-base",
    "facebook/wav2vec2-xls-r-300m": "xls-r",
}
TEXT_FAMILY = {
    "text:google-bert/bert-base-uncased": "bert",
    "text:FacebookAI/roberta-base": "roberta",
    "text:FacebookAI/xlm-roberta-base": "xlm-roberta",
}
# transformer layers of the published checkpoints, and of the tiny ones
LAYERS = {"facebook/wav2vec2-xls-r-300m": 24}


def test_there_is_a_file_for_each_large_encoder():
    recipes = [cell.recipe for path in FILES for cell in configuration.load(path).systems]
    encoders = {name for recipe in recipes for name in (recipe.encoder, recipe.text) if name}
    assert encoders == set(FAMILY) | set(TEXT_FAMILY)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_file_pins_its_checkpoint_and_fits_it(path):
    for cell in configuration.load(path).systems:
        recipe, n = cell.recipe, LAYERS.get(cell.recipe.encoder, 12)
        assert len(recipe.revision) == 40
        assert not recipe.text or len(recipe.text_revision) == 40
        for freeze in (recipe.freeze, recipe.text_freeze):
            assert freeze == "all" or freeze <= 1 + n
        assert recipe.layers in ("last", "weighted") or recipe.layers < n


# As published: learning rate, clips a step, epochs, whether classes are weighed, what epochs are kept by, labels.
PUBLISHED = {
    "fusion-sharma": (5e-5, 16, 6, False, "uar", "sharma7"),
    "fusion-khan": (2e-5, 16, 30, True, "weighted_f1", "native"),
    "roberta-meld": (2e-5, 32, 8, True, "weighted_f1", "native"),
    "xlm-roberta-meld": (2e-5, 32, 8, True, "weighted_f1", "native"),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_settings_are_those_of_the_study(name):
    cell = configuration.load(paths.repository() / f"experiments/large/{name}.yaml").systems[0]
    how = cell.recipe
    step = how.batch_size * how.accumulation
    assert (how.learning_rate, step, how.epochs, how.class_weights, how.select, cell.labels) == PUBLISHED[name]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_without_the_weights_one_line_says_what_is_missing_and_how_to_get_it(path, monkeypatch):
    cell = configuration.load(path).systems[0]
    with pytest.raises(SerError) as caught:
        inputs.frozen_encoder(cell.recipe, 0)
    message = str(caught.value)
    assert cell.recipe.encoder.removeprefix("text:") in message and "hf download" in message and "\n" not in message


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """A synthetic corpus in the place of URDU."""
    root = tmp_path_factory.mktemp("large")
    forget()
    with pytest.MonkeyPatch.context() as patch:
        for name in ("results", "cache", "data"):
            patch.setenv(f"SER_{name.upper()}", str(root / name))
        folder = synthetic.corpus(root / "data/urdu", speakers=6, sentences=2, emotions=("angry", "sad"))
        reading = corpora.local.read(folder / "clips.csv", name="urdu")
        said = reading.clips["sentence"].str[-3:].map({"t01": "oh god", "t02": "you are so happy"})
        corpora.write_table(dataclasses.replace(reading, clips=reading.clips.assign(transcript=said)))
        yield corpora.table("urdu")
    forget()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_file_runs_end_to_end_on_a_tiny_checkpoint(path, corpus, tmp_path):
    content = yaml.safe_load(path.read_text())
    content |= {"corpora": ["urdu"], "protocols": ["speaker"], "folds": 2, "seeds": [0]}
    content["recipe"] |= {"epochs": 1, "max_seconds": 0.5}
    for field, revision in (("encoder", "revision"), ("text", "text_revision")):
        name = content["recipe"].get(field)
        if name in FAMILY:
            content["recipe"] |= {field: str(tiny.write(FAMILY[name], tmp_path / field)), revision: None}
        elif name:
            folder = tiny.write_text(TEXT_FAMILY[name], tmp_path / field)
            content["recipe"] |= {field: f"text:{folder}", revision: None}
    if content["recipe"]["encoder"].startswith("text:"):
        del content["recipe"]["max_seconds"]
    for settings in (content["recipe"], *content["networks"].values()):
        # A tiny checkpoint has three transformer layers, a head as wide as published would take most of the time, and
        # the synthetic corpus has no dialogues.
        settings.pop("context", None)
        if "width" in settings:
            settings["width"] = 16
        for name in ("freeze", "text_freeze", "layers"):
            if isinstance(settings.get(name), int):
                settings[name] = min(settings[name], 2)
    small = tmp_path / path.name
    small.write_text(yaml.safe_dump(content))
    made = runner.run(configuration.load(small), jobs=1, progress=False)
    assert len(made) == len(content["networks"])
    for folder in made:
        run = runs.read(f"{path.stem}/{folder.name}")
        assert sorted(run.predictions["clip"]) == sorted(corpus.index)
        assert np.allclose(run.predictions[["p_angry", "p_sad"]].sum(axis=1), 1, atol=1e-5)
        for fold in run.info["folds"]:
            assert [epoch["epoch"] for epoch in fold["curve"]] == [1]
            assert fold["initialisation"] == "published weights"
            assert 0 < fold["trained"] <= fold["parameters"]

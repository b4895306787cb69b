"""The experiment files for large encoders, end to end on tiny checkpoints of their architectures, loaded by path."""

import numpy as np
import pytest
import tiny
import yaml

from ser_core import cells, corpora, experiments, runner, runs, store, toy
from ser_core.errors import SerError
from ser_core.training import inputs

FILES = sorted((store.repository() / "experiments/large").glob("*.yaml"))
FAMILY = {
    "facebook/wav2vec2-base": "wav2vec2-base",
    "facebook/hubert-base-ls960": "hubert-base",
    "microsoft/wavlm-base": "wavlm-base",
    "facebook/wav2vec2-xls-r-300m": "xls-r",
}
# transformer layers of the published checkpoints, and of the tiny ones
LAYERS = {"facebook/wav2vec2-xls-r-300m": 24}


def test_there_is_a_file_for_each_large_encoder():
    encoders = {cell.recipe.encoder for path in FILES for cell in experiments.load(path).cells}
    assert encoders == set(FAMILY)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_file_pins_its_checkpoint_and_fits_it(path):
    for cell in experiments.load(path).cells:
        recipe, n = cell.recipe, LAYERS.get(cell.recipe.encoder, 12)
        assert len(recipe.revision) == 40
        assert recipe.freeze == "all" or recipe.freeze <= 1 + n
        assert recipe.layers in ("last", "weighted") or recipe.layers < n


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_without_the_weights_one_line_says_what_is_missing_and_how_to_get_it(path, monkeypatch):
    cell = experiments.load(path).cells[0]
    with pytest.raises(SerError) as caught:
        inputs.frozen_encoder(cell.recipe, 0)
    message = str(caught.value)
    assert cell.recipe.encoder in message and "hf download" in message and "\n" not in message


def forget():
    for function in (cells.clips_of, cells.make_folds, runner.folds_hash, inputs.recordings, inputs.prepared):
        function.cache_clear()


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """A synthetic corpus in the place of URDU."""
    root = tmp_path_factory.mktemp("large")
    forget()
    with pytest.MonkeyPatch.context() as patch:
        for name in ("results", "cache", "data"):
            patch.setenv(f"SER_{name.upper()}", str(root / name))
        folder = toy.corpus(root / "data/urdu", speakers=6, sentences=2, emotions=("angry", "sad"))
        corpora.write_table(corpora.local.read(folder / "clips.csv", name="urdu"))
        yield corpora.table("urdu")
    forget()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_file_runs_end_to_end_on_a_tiny_checkpoint(path, corpus, tmp_path):
    content = yaml.safe_load(path.read_text())
    checkpoint = tiny.write(FAMILY[content["recipe"]["encoder"]], tmp_path / "checkpoint")
    content |= {"corpora": ["urdu"], "protocols": ["speaker"], "folds": 2, "seeds": [0]}
    content["recipe"] |= {"encoder": str(checkpoint), "revision": None, "epochs": 1, "max_seconds": 0.5}
    for settings in (content["recipe"], *content["networks"].values()):
        # A tiny checkpoint has three transformer layers.
        for name in ("freeze", "layers"):
            if isinstance(settings.get(name), int):
                settings[name] = min(settings[name], 2)
    small = tmp_path / path.name
    small.write_text(yaml.safe_dump(content))
    made = runner.run(experiments.load(small), jobs=1, progress=False)
    assert len(made) == len(content["networks"])
    for folder in made:
        run = runs.read(path.stem, folder.name)
        assert sorted(run.predictions["clip"]) == sorted(corpus.index)
        assert np.allclose(run.predictions[["p_angry", "p_sad"]].sum(axis=1), 1, atol=1e-5)
        for fold in run.info["folds"]:
            assert [epoch["epoch"] for epoch in fold["curve"]] == [1]
            assert fold["initialisation"] == "published weights"
            assert 0 < fold["trained"] <= fold["parameters"]

"""Every experiment file for a large encoder, end to end on a tiny checkpoint of its architecture, loaded by path."""

import dataclasses
import json

import numpy as np
import pytest
import soundfile
import tiny

from ser_core import audio, corpora, experiments, runner, runs, store, toy, training
from ser_core.errors import SerError

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
        training._encoder(cell.recipe, 0)
    message = str(caught.value)
    assert cell.recipe.encoder in message and "hf download" in message and "\n" not in message


@pytest.fixture
def corpus(tmp_path, monkeypatch):
    """A synthetic corpus in the place of URDU."""
    for function in (experiments.clips_of, experiments.make_folds, runner.folds_hash, training.recordings):
        function.cache_clear()
    training._inputs.cache_clear()
    for name in ("results", "cache", "data"):
        monkeypatch.setenv(f"SER_{name.upper()}", str(tmp_path / name))
    table = toy.clips(speakers=6, sentences=4, emotions=("angry", "sad"))
    folder = tmp_path / "data/urdu"
    rng = np.random.default_rng(0)
    rows = []
    for i in range(len(table)):
        samples = (0.1 * rng.standard_normal(4800 + 400 * i)).astype("float32")
        path = folder / f"{i}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, samples, 16_000)
        read, rate = audio.read(path)
        rows.append({"path": path.name, "sha256": audio.content_hash(read, rate), "duration_s": len(read) / rate})
    table = table.assign(corpus="urdu", **{key: [row[key] for row in rows] for key in rows[0]})
    table.index = [f"urdu/{i}" for i in range(len(table))]
    table = table.rename_axis("clip").assign(transcript=None, session=None, split=None)
    monkeypatch.setattr(corpora, "table", lambda name: table)
    yield table
    for function in (experiments.clips_of, experiments.make_folds, runner.folds_hash, training.recordings):
        function.cache_clear()
    training._inputs.cache_clear()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_file_runs_end_to_end_on_a_tiny_checkpoint(path, corpus, tmp_path):
    loaded = experiments.load(path)
    cells = []
    for cell in {cell.name: cell for cell in loaded.cells}.values():
        recipe = cell.recipe
        checkpoint = tmp_path / FAMILY[recipe.encoder]
        if not checkpoint.is_dir():
            tiny.write(FAMILY[recipe.encoder], checkpoint)
        freeze = recipe.freeze if recipe.freeze == "all" else min(recipe.freeze, 2)
        layers = recipe.layers if isinstance(recipe.layers, str) else min(recipe.layers, 2)
        small = {"encoder": str(checkpoint), "revision": None, "freeze": freeze, "layers": layers, "epochs": 1}
        recipe = dataclasses.replace(recipe, **small)
        where = {"corpus": "urdu", "protocol": "speaker", "folds": 3, "seeds": (0,)}
        cells.append(dataclasses.replace(cell, recipe=recipe, **where))
    made = runner.run(dataclasses.replace(loaded, cells=tuple(cells)), jobs=1, progress=False)
    assert len(made) == len(cells)
    for folder in made:
        run = runs.read(loaded.name, folder.name)
        assert sorted(run.predictions["clip"]) == sorted(corpus.index)
        assert np.allclose(run.predictions[["p_angry", "p_sad"]].sum(axis=1), 1, atol=1e-5)
        info = json.loads((folder / "run.json").read_text())
        assert info["folds"][0]["curve"][0]["epoch"] == 1
        assert info["folds"][0]["initialisation"] != "random initialisation"

"""The experiment files for large encoders: what they pin, and what is said without the weights."""

import pytest

from ser_core import experiments, store, training
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

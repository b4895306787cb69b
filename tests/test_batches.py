import numpy as np
import pytest
import tiny
import torch

from ser_core.errors import SerError
from ser_core.systems.encoders import Encoded, Encoder, load
from ser_core.systems.encoders.byol import SHA256, ByolS
from ser_core.systems.features import embedding
from ser_core.systems.features.batches import embed
from ser_core.systems.networks import Pooling

SECONDS = (0.4, 2.0, 0.9, 1.3, 0.5, 3.1, 0.7)


class Frames(Encoder):
    """Its states are its inputs; it counts the clips of each batch, and more of them than it may do not fit."""

    name, dim, n_layers = "frames", 2, 2

    def __init__(self, most=99):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(()))
        self.most, self.sizes = most, []

    blocks = []

    def suffix(self, hidden, lengths, k):
        if len(hidden) > self.most:
            raise torch.OutOfMemoryError
        assert not self.training
        self.sizes.append(tuple(hidden.shape[:2]))
        return Encoded((hidden, 10 * hidden), lengths)


def noise(seconds, seed=0):
    return (
        np.random.default_rng([seed, round(1000 * seconds)]).standard_normal(round(16_000 * seconds)).astype("float32")
    )


def frames(*lengths):
    return [torch.full((n, 2), float(n)) for n in lengths]


def one_by_one(encoder, inputs, pooling, layer):
    with torch.no_grad():
        encoded = [encoder(clip[None], torch.tensor([len(clip)])) for clip in inputs]
        return np.stack([Pooling(pooling, encoder.dim)(found.states[layer], found.mask)[0] for found in encoded])


@pytest.fixture(scope="module")
def encoders(tmp_path_factory):
    torch.manual_seed(0)
    wave = load(str(tiny.write("wav2vec2-base", tmp_path_factory.mktemp("wave"))))
    return {"byol-s": ByolS().eval(), "wav2vec2-base": wave}


@pytest.fixture(params=[1, 2])
def threads(request):
    """Threads for what is tested; what it is compared with takes one."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield request.param
    torch.set_num_threads(before)


@pytest.mark.parametrize("name", ["byol-s", "wav2vec2-base"])
@pytest.mark.parametrize(("pooling", "layer"), [("mean", -1), ("max+mean", 0), ("statistics", -1)])
def test_every_clip_has_the_vector_that_it_has_alone(encoders, name, pooling, layer, threads):
    encoder = encoders[name]
    inputs = [encoder.prepare(noise(seconds)) for seconds in SECONDS]
    expected = one_by_one(encoder, inputs, pooling, layer)
    torch.set_num_threads(threads)
    found = embed(encoder, inputs, pooling=pooling, layer=layer, batch_seconds=4, precision="fp32")
    assert found.dtype == np.float32 and found.shape == expected.shape
    # Sums in another order: float32 rounds at 1e-7.
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5 * abs(expected).max())
    assert torch.get_num_threads() == threads


def test_bfloat16_changes_vectors_by_its_rounding_only(encoders):
    encoder = encoders["byol-s"]
    inputs = [encoder.prepare(noise(seconds)) for seconds in SECONDS]
    exact, found = (embed(encoder, inputs, precision=precision) for precision in ("fp32", "bf16"))
    # bfloat16 keeps eight bits: each product is off by up to 1/256, and means average that out.
    assert (np.linalg.norm(found - exact, axis=1) < 0.01 * np.linalg.norm(exact, axis=1)).all()


def test_batches_hold_clips_of_like_length_within_the_budget():
    encoder = Frames()
    found = embed(encoder, frames(100, 300, 110, 310, 500, 105), batch_seconds=6.2)
    # The longest first, and as many as fit when padded to it: 6.2 s are 620 frames.
    assert sorted(encoder.sizes) == [(1, 500), (2, 310), (3, 110)]
    assert found[:, 0].tolist() == [1000, 3000, 1100, 3100, 5000, 1050]
    assert embed(encoder, frames(7, 9), layer=0)[:, 1].tolist() == [7, 9]


def test_a_clip_longer_than_the_budget_goes_alone():
    encoder = Frames()
    embed(encoder, frames(300, 400), batch_seconds=1)
    assert sorted(encoder.sizes) == [(1, 300), (1, 400)]


def test_samples_are_counted_as_samples():
    class Samples(Frames):
        def suffix(self, hidden, lengths, k):
            return super().suffix(hidden[..., None].repeat(1, 1, 2), lengths, k)

    encoder = Samples()
    embed(encoder, [torch.ones(8000)] * 5, batch_seconds=1)
    assert sorted(encoder.sizes) == [(1, 8000), (2, 8000), (2, 8000)]


def test_all_layers_stand_side_by_side():
    assert embed(Frames(), frames(7, 9), layer=None).tolist() == [[7, 7, 70, 70], [9, 9, 90, 90]]
    assert embed(Frames(), frames(7), layer=None, pooling="statistics").shape == (1, 8)


def test_a_batch_that_does_not_fit_into_memory_is_halved():
    encoder = Frames(most=2)
    found = embed(encoder, frames(5, 1, 4, 2, 3), layer=0)
    assert found[:, 0].tolist() == [5, 1, 4, 2, 3]
    assert max(n for n, _ in encoder.sizes) == 2
    with pytest.raises(torch.OutOfMemoryError):
        embed(Frames(most=0), frames(5))


def test_the_encoder_is_left_as_it_was():
    encoder = Frames().train()
    embed(encoder, frames(3))
    assert encoder.training
    with pytest.raises(torch.OutOfMemoryError):
        embed(Frames(most=0).train(), frames(5))


def test_no_clips_give_no_vectors():
    assert embed(Frames(), []).shape == (0, 2)
    assert embed(Frames(), [], pooling="statistics").shape == (0, 4)


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"pooling": "attention"}, "the pooling 'attention' must be learnt first"),
        ({"pooling": "median"}, "unknown pooling 'median'"),
        ({"layer": 2}, "no layer 2, it has 2"),
        ({"layer": -3}, "no layer -3, it has 2"),
        ({"precision": "fp16"}, "precision is one of"),
    ],
)
def test_what_cannot_be_done_is_refused(settings, line):
    with pytest.raises(SerError, match=line):
        embed(Frames(), frames(3), **settings)


def test_stored_embeddings_name_the_weights_that_are_loaded():
    assert embedding.PARAMETERS["weights"] == SHA256

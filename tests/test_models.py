"""Pooling, layer weights and the classifier against numpy and torch's own loss."""

import numpy as np
import pytest
import torch
from torch import nn

from ser_core.errors import SerError
from ser_core.systems.encoders.base import Encoded, Encoder, mask_of
from ser_core.systems.networks import POOLINGS, Pooling, SpeechClassifier
from ser_core.systems.networks.pooling import LayerWeights

LENGTHS = torch.tensor([5, 1, 3])
DIM = 4


@pytest.fixture
def frames():
    return torch.randn(len(LENGTHS), 5, DIM, generator=torch.Generator().manual_seed(0))


def pooling(name, dim=DIM):
    torch.manual_seed(1)
    return Pooling(name, dim)


def by_hand(name, clip, layer):
    """Pool the valid frames of one clip by numpy, shape (n_frames, dim)."""
    if name == "mean":
        return clip.mean(0)
    if name == "max+mean":
        return clip.max(0) + clip.mean(0)
    if name == "statistics":
        return np.concatenate([clip.mean(0), np.sqrt(clip.var(0) + 1e-7)])
    scores = np.exp(clip @ layer.score.weight.detach().numpy()[0] + layer.score.bias.item())
    return (scores[:, None] * clip).sum(0) / scores.sum()


@pytest.mark.parametrize("name", POOLINGS)
def test_pooling_is_that_of_the_valid_frames_by_hand(name, frames):
    layer = pooling(name)
    pooled = layer(frames, mask_of(LENGTHS, 5))
    assert pooled.shape == (3, layer.dim)
    for i, n in enumerate(LENGTHS):
        expected = by_hand(name, frames[i, :n].numpy().astype("float64"), layer)
        np.testing.assert_allclose(pooled[i].detach().numpy(), expected, atol=1e-5)


@pytest.mark.parametrize("name", POOLINGS)
@pytest.mark.parametrize("padding", [0.0, 1e6, -1e6])
def test_padding_never_matters(name, frames, padding):
    layer = pooling(name)
    expected = layer(frames, mask_of(LENGTHS, 5))
    longer = torch.cat([frames, torch.zeros(3, 4, DIM)], 1)
    longer[~mask_of(LENGTHS, 9)] = padding
    torch.testing.assert_close(layer(longer, mask_of(LENGTHS, 9)), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", POOLINGS)
def test_gradients_are_finite_for_one_frame_and_equal_frames_and_nothing_flows_into_padding(name):
    frames = torch.ones(2, 3, DIM, requires_grad=True)
    lengths = torch.tensor([1, 2])
    pooling(name)(frames, mask_of(lengths, 3)).square().sum().backward()
    assert torch.isfinite(frames.grad).all()
    assert frames.grad[0, :1].abs().sum() > 0
    assert frames.grad[~mask_of(lengths, 3)].abs().sum() == 0


@pytest.mark.parametrize("name", POOLINGS)
def test_half_precision_comes_out_in_full(name, frames):
    layer = pooling(name)
    half = frames.bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        pooled = layer(half, mask_of(LENGTHS, 5))
    assert pooled.dtype == torch.float32
    torch.testing.assert_close(pooled, layer(half.float(), mask_of(LENGTHS, 5)), rtol=0.02, atol=0.02)


def test_attention_learns_to_look_at_the_frame_that_tells():
    layer = pooling("attention", 2)
    # The second value marks the one frame whose first value counts.
    frames = torch.tensor([[[9.0, 0.0], [1.0, 5.0], [-9.0, 0.0]], [[-9.0, 0.0], [9.0, 0.0], [2.0, 5.0]]])
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.1)
    for _ in range(100):
        optimizer.zero_grad()
        loss = (layer(frames, torch.ones(2, 3, dtype=torch.bool))[:, 0] - torch.tensor([1.0, 2.0])).square().mean()
        loss.backward()
        optimizer.step()
    assert loss < 0.01


def states(n_layers=3):
    generator = torch.Generator().manual_seed(2)
    return tuple(torch.randn(2, 4, DIM, generator=generator) for _ in range(n_layers))


def test_learnt_layer_weights_start_as_the_mean_and_are_a_softmax():
    encoded = Encoded(states(), torch.tensor([4, 2]))
    layer = LayerWeights("weighted", 3)
    torch.testing.assert_close(layer(encoded), torch.stack(encoded.states).mean(0))
    scores = [0.5, -1.0, 2.0]
    with torch.no_grad():
        layer.scores.copy_(torch.tensor(scores))
    weights = np.exp(scores) / np.exp(scores).sum()
    expected = sum(w * state.numpy() for w, state in zip(weights, encoded.states, strict=True))
    np.testing.assert_allclose(layer(encoded).detach().numpy(), expected, atol=1e-6)
    layer(encoded).sum().backward()
    assert layer.scores.grad.abs().sum() > 0


def test_one_layer_is_taken_as_it_is():
    encoded = Encoded(states(), torch.tensor([4, 2]))
    assert LayerWeights("last", 3)(encoded) is encoded.states[2]
    for i in range(3):
        assert LayerWeights(i, 3)(encoded) is encoded.states[i]
    assert not list(LayerWeights("last", 3).parameters())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Pooling("median", 4), "unknown pooling 'median'; expected one of .*'attention'"),
        (lambda: LayerWeights("first", 3), "no layer 'first'; expected 'last', 'weighted', or a number below 3"),
        (lambda: LayerWeights(3, 3), "no layer '3'"),
        (lambda: LayerWeights(-1, 3), "no layer '-1'"),
    ],
)
def test_unknown_names_are_refused_in_one_line(make, message):
    with pytest.raises(SerError, match=message) as error:
        make()
    assert "\n" not in str(error.value)


class Linears(Encoder):
    """Two linear blocks, whose outputs are the two layers."""

    name, dim, n_layers = "linears", DIM, 2

    def __init__(self):
        super().__init__()
        torch.manual_seed(3)
        self.parts = nn.ModuleList([nn.Linear(DIM, DIM), nn.Linear(DIM, DIM)])

    @property
    def blocks(self):
        return list(self.parts)

    def prefix(self, inputs, lengths, k):
        for part in self.parts[:k]:
            inputs = part(inputs)
        return inputs, lengths

    def suffix(self, hidden, lengths, k):
        found = []
        for part in self.parts[k:]:
            hidden = part(hidden)
            found.append(hidden)
        return Encoded(tuple(found), lengths)


def classifier(n_classes=3, **settings):
    encoder = Linears()
    torch.manual_seed(4)
    return SpeechClassifier(encoder, n_classes, **settings)


LABELS = torch.tensor([0, 2, 2])


def test_scores_are_a_linear_layer_on_the_standardised_pooled_vector(frames):
    model = classifier()
    with torch.no_grad():
        found = model(frames, LENGTHS)
    assert list(found) == ["logits"]
    first, second = (part for part in model.encoder.parts)
    for i, n in enumerate(LENGTHS):
        clip = frames[i, :n].numpy()
        for part in (first, second):
            clip = clip @ part.weight.detach().numpy().T + part.bias.detach().numpy()
        pooled = clip.mean(0)
        standardised = (pooled - pooled.mean()) / np.sqrt(pooled.var() + 1e-5)
        expected = standardised @ model.head.weight.detach().numpy().T + model.head.bias.detach().numpy()
        np.testing.assert_allclose(found["logits"][i].numpy(), expected, atol=1e-5)


@pytest.mark.parametrize("weights", [None, torch.tensor([0.5, 3.0, 1.5])])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_the_loss_is_torchs(frames, weights, smoothing):
    model = classifier(class_weights=weights, label_smoothing=smoothing)
    found = model(frames, LENGTHS, labels=LABELS)
    expected = nn.CrossEntropyLoss(weights, label_smoothing=smoothing)(found["logits"], LABELS)
    torch.testing.assert_close(found["loss"], expected)
    assert list(found) == ["loss", "logits"]


@pytest.mark.parametrize("weights", [None, [0.5, 3.0, 1.5]])
def test_the_loss_of_mixed_clips_by_hand(frames, weights):
    model = classifier(class_weights=None if weights is None else torch.tensor(weights))
    others, shares = torch.tensor([1, 0, 2]), torch.tensor([0.75, 0.5, 1.0])
    found = model(frames, LENGTHS, labels=LABELS, others=others, shares=shares)
    logits = found["logits"].detach().numpy().astype("float64")
    log_p = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    of = [1.0] * 3 if weights is None else weights
    total = weight = 0.0
    for i, (a, b, share) in enumerate(zip(LABELS.tolist(), others.tolist(), shares.tolist(), strict=True)):
        total -= share * of[a] * log_p[i, a] + (1 - share) * of[b] * log_p[i, b]
        weight += share * of[a] + (1 - share) * of[b]
    assert found["loss"].item() == pytest.approx(total / weight, abs=1e-5)


def test_a_share_of_one_is_no_mixing(frames):
    model = classifier(class_weights=torch.tensor([0.5, 3.0, 1.5]))
    plain = model(frames, LENGTHS, labels=LABELS)["loss"]
    mixed = model(frames, LENGTHS, labels=LABELS, others=torch.tensor([1, 0, 0]), shares=torch.ones(3))["loss"]
    torch.testing.assert_close(mixed, plain)


def test_inputs_that_have_gone_through_the_first_blocks_give_the_same_scores(frames):
    whole, cut = classifier().eval(), classifier(cached=1).eval()
    with torch.no_grad():
        hidden, lengths = whole.encoder.prefix(frames, LENGTHS, 1)
        torch.testing.assert_close(cut(hidden, lengths)["logits"], whole(frames, LENGTHS)["logits"])


def test_dropout_is_on_the_pooled_vector_in_training_only(frames):
    model = classifier(dropout=0.5)
    torch.manual_seed(0)
    assert not torch.equal(model(frames, LENGTHS)["logits"], model(frames, LENGTHS)["logits"])
    model.eval()
    assert torch.equal(model(frames, LENGTHS)["logits"], model(frames, LENGTHS)["logits"])
    assert torch.equal(model.embed(frames, LENGTHS), model.train().embed(frames, LENGTHS))


def test_a_classifier_learns_what_its_frames_say():
    """The whole of it can be trained: weighted layers, attention, head."""
    generator = torch.Generator().manual_seed(5)
    frames = torch.randn(40, 6, DIM, generator=generator)
    labels = torch.arange(40) % 2
    frames[:, 2, 0] += 6.0 * (2 * labels - 1)
    lengths = torch.full((40,), 6)
    model = classifier(2, layers="weighted", pooling="attention")
    optimizer = torch.optim.Adam(model.parameters(), lr=0.03)
    for _ in range(60):
        optimizer.zero_grad()
        found = model(frames, lengths, labels=labels)
        found["loss"].backward()
        optimizer.step()
    assert (found["logits"].argmax(1) == labels).float().mean() > 0.95

"""Fusion of audio and text against numpy, padding and missing modalities, and controls counted by hand."""

import numpy as np
import pytest
import torch
from torch import nn

from ser_core.errors import SerError
from ser_core.systems.encoders.base import mask_of
from ser_core.systems.networks.fusion_heads import audio_head, fusion_head, matched_width
from ser_core.systems.registry import FUSION_HEADS as KINDS

FRAMES, TOKENS = torch.tensor([5, 1, 3]), torch.tensor([2, 4, 1])
DA, DT, CLASSES, WIDTH, HEADS = 6, 5, 3, 8, 2


def head(kind, **settings):
    torch.manual_seed(0)
    made = fusion_head(kind, DA, DT, CLASSES, **({"width": WIDTH, "heads": HEADS} | settings)).eval()
    made.kind = kind
    # As after training: what starts at zero or one would hide a mistake.
    with torch.no_grad():
        for parameter in made.parameters():
            if parameter.ndim == 1:
                parameter.add_(torch.randn(parameter.shape) * 0.3)
    return made


def control(kind, hidden=7):
    torch.manual_seed(0)
    return audio_head(kind, DA, CLASSES, hidden=hidden, width=WIDTH, heads=HEADS).eval()


def batch(longer=0, padding=0.0):
    """Three clips and their masks; what is behind a clip has the given value."""
    generator = torch.Generator().manual_seed(1)
    found = []
    for lengths, dim in ((FRAMES, DA), (TOKENS, DT)):
        n = int(lengths.max())
        states = torch.randn(len(lengths), n, dim, generator=generator)
        states = torch.cat([states, torch.zeros(len(lengths), longer, dim)], 1)
        mask = mask_of(lengths, n + longer)
        states[~mask] = padding
        found += [states, mask]
    return found


def alone(i):
    audio, _, text, _ = batch()
    audio, text = audio[i : i + 1, : FRAMES[i]], text[i : i + 1, : TOKENS[i]]
    return audio, torch.ones(audio.shape[:2], dtype=torch.bool), text, torch.ones(text.shape[:2], dtype=torch.bool)


def weights(layer):
    return layer.weight.detach().numpy().astype("float64"), layer.bias.detach().numpy().astype("float64")


def linear(values, layer):
    weight, bias = weights(layer)
    return values @ weight.T + bias


def gelu(values):
    return values * np.vectorize(lambda v: float(torch.special.ndtr(torch.tensor(v))))(values)


def softmax(scores):
    scores = np.exp(scores - scores.max(-1, keepdims=True))
    return scores / scores.sum(-1, keepdims=True)


def attend(states, others, layer):
    """Multi-head attention, residual and layer norm by numpy; also the weights, mean over the heads."""
    width = states.shape[1]
    weight = layer.attention.in_proj_weight.detach().numpy().astype("float64")
    bias = layer.attention.in_proj_bias.detach().numpy().astype("float64")
    parts = [slice(i * width, (i + 1) * width) for i in range(3)]
    q, k, v = (x @ weight[p].T + bias[p] for x, p in zip((states, others, others), parts, strict=True))
    size = width // layer.attention.num_heads
    heads = [slice(i, i + size) for i in range(0, width, size)]
    attention = [softmax(q[:, h] @ k[:, h].T / np.sqrt(size)) for h in heads]
    mixed = np.concatenate([a @ v[:, h] for a, h in zip(attention, heads, strict=True)], 1)
    total = states + linear(mixed, layer.attention.out_proj)
    normed = (total - total.mean(1, keepdims=True)) / np.sqrt(total.var(1, keepdims=True) + 1e-5)
    scale, shift = weights(layer.norm)
    return normed * scale + shift, np.mean(attention, 0)


def by_hand(made, audio, text):
    """Scores of one clip from its frames (n_frames, DA) and tokens (n_tokens, DT), float64."""
    if made.kind == "cross-attention":
        audio, text = linear(audio, made.audio), linear(text, made.text)
        audio, text = attend(audio, text, made.audio_to_text)[0], attend(text, audio, made.text_to_audio)[0]
    fused = np.concatenate([audio.mean(0), text.mean(0)])
    if made.kind == "concat":
        fused = gelu(linear(fused, made.hidden[0]))
    if made.kind == "gated":
        a, t = gelu(linear(audio.mean(0), made.audio[0])), gelu(linear(text.mean(0), made.text[0]))
        gate = 1 / (1 + np.exp(-linear(np.concatenate([a, t]), made.gate[0])))
        fused = gate * a + (1 - gate) * t
    return linear(fused, made.classify[1])


@pytest.mark.parametrize("kind", KINDS)
def test_scores_of_each_clip_are_those_by_numpy(kind):
    made = head(kind)
    scores = made(*batch()).detach().numpy()
    assert scores.shape == (3, CLASSES)
    for i in range(3):
        audio, _, text, _ = alone(i)
        np.testing.assert_allclose(
            scores[i], by_hand(made, audio[0].double().numpy(), text[0].double().numpy()), atol=1e-5
        )


def test_cross_attention_with_identity_weights_is_a_softmax_of_the_inputs():
    width = 4
    made = fusion_head("cross-attention", width, width, 2 * width, width=width, heads=1).eval()
    with torch.no_grad():
        for layer in (made.audio, made.text, made.classify[1]):
            layer.weight.copy_(torch.eye(len(layer.weight)))
            layer.bias.zero_()
        for direction in (made.audio_to_text, made.text_to_audio):
            direction.attention.in_proj_weight.copy_(torch.eye(width).repeat(3, 1))
            direction.attention.out_proj.weight.copy_(torch.eye(width))
    audio = np.array([[1.0, 0.0, 0.0, 2.0], [0.0, 1.0, 0.0, 0.0], [3.0, 0.0, 1.0, 0.0]])
    text = np.array([[0.0, 2.0, 0.0, 1.0], [1.0, 0.0, 0.0, 0.0]])
    expected = []
    for states, others in ((audio, text), (text, audio)):
        total = states + softmax(states @ others.T / 2) @ others
        normed = (total - total.mean(1, keepdims=True)) / np.sqrt(total.var(1, keepdims=True) + 1e-5)
        expected.append(normed.mean(0))
    inputs = [torch.tensor(x, dtype=torch.float32)[None] for x in (audio, text)]
    masks = [torch.ones(x.shape[:2], dtype=torch.bool) for x in inputs]
    scores = made(inputs[0], masks[0], inputs[1], masks[1])[0].detach().numpy()
    np.testing.assert_allclose(scores, np.concatenate(expected), atol=1e-5)
    found = made.attention(inputs[0][0], masks[0][0], inputs[1][0], masks[1][0])
    np.testing.assert_allclose(found.numpy(), softmax(audio @ text.T / 2), atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("padding", [0.0, 1e6, float("nan"), float("inf")])
def test_neither_padding_nor_batch_mates_change_a_clip(kind, padding):
    made, audio_only = head(kind), control(kind)
    inputs = batch(longer=4, padding=padding)
    for grad in (True, False):
        with torch.set_grad_enabled(grad):
            scores, heard = made(*inputs), audio_only(*inputs[:2])
            for i in range(3):
                torch.testing.assert_close(scores[i : i + 1], made(*alone(i)), rtol=0, atol=1e-5)
                torch.testing.assert_close(heard[i : i + 1], audio_only(*alone(i)[:2]), rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_a_missing_modality_is_one_state_that_holds_the_learnt_vector(kind):
    made = head(kind)
    audio, audio_mask, text, text_mask = batch()
    present = torch.tensor([[True, False], [False, True], [True, True]])
    scores = made(audio, audio_mask, text, text_mask, present)
    a, t = made.absent_audio.detach()[None].double().numpy(), made.absent_text.detach()[None].double().numpy()
    heard, written = alone(0)[0][0].double().numpy(), alone(1)[2][0].double().numpy()
    np.testing.assert_allclose(scores[0].detach().numpy(), by_hand(made, heard, t), atol=1e-5)
    np.testing.assert_allclose(scores[1].detach().numpy(), by_hand(made, a, written), atol=1e-5)
    torch.testing.assert_close(scores[2], made(*batch())[2])
    # A clip of padding alone is the same, and so is a batch in which nobody says a word.
    text_mask = text_mask & present[:, 1:]
    torch.testing.assert_close(made(audio, audio_mask, text, text_mask)[0], scores[0])
    mute = made(audio, audio_mask, text[:, :0], text_mask[:, :0])
    torch.testing.assert_close(mute[:1], scores[:1], rtol=0, atol=1e-5)
    torch.testing.assert_close(mute, made(*batch(), torch.tensor([[True, False]] * 3)), rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_reach_both_sides_every_weight_and_no_padding(kind):
    made = head(kind).train()
    audio, audio_mask, text, text_mask = batch()
    audio.requires_grad_(), text.requires_grad_()
    present = torch.tensor([[True, True], [True, False], [False, True]])
    nn.functional.cross_entropy(made(audio, audio_mask, text, text_mask, present), torch.tensor([0, 1, 2])).backward()
    for states, mask, here in ((audio, audio_mask, present[:, 0]), (text, text_mask, present[:, 1])):
        used = mask & here[:, None]
        assert (states.grad.abs().sum(2)[used] > 0).all()
        assert states.grad[~used].abs().sum() == 0
    for name, parameter in made.named_parameters():
        assert torch.isfinite(parameter.grad).all() and parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_of_the_control_reach_all_that_it_trains(kind):
    made = control(kind).train()
    audio, audio_mask = batch()[:2]
    nn.functional.cross_entropy(made(audio, audio_mask), torch.tensor([0, 1, 2])).backward()
    for name, parameter in made.named_parameters():
        assert parameter.requires_grad == (parameter.grad is not None), name
        assert parameter.grad is None or parameter.grad.abs().sum() > 0, name
    assert {name for name, p in made.named_parameters() if not p.requires_grad} == (
        {"hidden.0.weight", "hidden.0.bias"} if kind == "plain-concat" else set()
    )


@pytest.mark.parametrize("kind", KINDS)
def test_the_seed_decides_all(kind):
    def run():
        torch.manual_seed(3)
        made = fusion_head(kind, DA, DT, CLASSES, width=WIDTH, heads=HEADS)
        matched_width(kind, 64, 64, CLASSES, 64)
        optimizer = torch.optim.SGD(made.parameters(), lr=0.1)
        for _ in range(3):
            optimizer.zero_grad()
            nn.functional.cross_entropy(made(*batch()), torch.tensor([0, 1, 2])).backward()
            optimizer.step()
        return made.eval()(*batch())

    assert torch.equal(run(), run())


def size(kind, audio, text, classes, width):
    """Parameters of a fusion, counted on paper."""
    attention, norm = 4 * width * width + 4 * width, 2 * width
    return {
        "concat": (audio + text + 1) * width + (width + 1) * classes,
        "plain-concat": (audio + text + 1) * classes,
        "gated": (audio + text + 2) * width + (2 * width + 1) * width + (width + 1) * classes,
        "cross-attention": (audio + text + 2) * width + 2 * (attention + norm) + (2 * width + 1) * classes,
    }[kind] + (audio + text)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("audio", "text", "classes", "width"),
    [(768, 768, 8, 512), (2048, 384, 7, 512), (768, 1024, 4, 256), (1024, 768, 8, 64), (40, 384, 6, 128)],
)
def test_the_control_trains_as_many_parameters_within_one_percent(kind, audio, text, classes, width):
    fusion = fusion_head(kind, audio, text, classes, width=width)
    hidden = matched_width(kind, audio, text, classes, width)
    alone = audio_head(kind, audio, classes, hidden=hidden, width=width)
    trained = [sum(p.numel() for p in made.parameters() if p.requires_grad) for made in (fusion, alone)]
    assert trained[0] == size(kind, audio, text, classes, width)
    assert abs(trained[1] - trained[0]) <= 0.01 * trained[0]


@pytest.mark.parametrize("kind", KINDS)
def test_the_control_by_numpy(kind):
    made = control(kind)
    scores = made(*batch()[:2]).detach().numpy()
    for i in range(3):
        audio = alone(i)[0][0].double().numpy()
        if kind == "cross-attention":
            audio = linear(audio, made.audio)
            audio = attend(audio, audio, made.audio_to_audio)[0]
        values = gelu(linear(audio.mean(0), made.hidden[0]))
        if kind == "plain-concat":
            values = np.concatenate([audio.mean(0), values])
        np.testing.assert_allclose(scores[i], linear(values, made.classify[1]), atol=1e-5)


def test_attention_weights_are_the_mean_over_the_heads_and_change_nothing():
    made = head("cross-attention", dropout=0.5).train()
    audio, audio_mask, text, text_mask = batch(longer=2, padding=float("nan"))
    for i in range(3):
        found = made.attention(audio[i], audio_mask[i], text[i], text_mask[i])
        assert found.shape == (FRAMES[i], TOKENS[i])
        torch.testing.assert_close(found.sum(1), torch.ones(int(FRAMES[i])))
        frames, tokens = alone(i)[0][0].double().numpy(), alone(i)[2][0].double().numpy()
        expected = attend(linear(frames, made.audio), linear(tokens, made.text), made.audio_to_text)[1]
        np.testing.assert_allclose(found.numpy(), expected, atol=1e-6)
    assert made.training and made.audio_to_text.attention.training


def test_half_precision_comes_out_in_full():
    audio, audio_mask, text, text_mask = batch()
    for kind in KINDS:
        made = head(kind)
        with torch.autocast("cpu", torch.bfloat16):
            scores = made(audio.bfloat16(), audio_mask, text.bfloat16(), text_mask)
        assert scores.dtype == torch.float32
        torch.testing.assert_close(scores, made(audio, audio_mask, text, text_mask), rtol=0.05, atol=0.05)


def learn(made, inputs, labels):
    optimizer = torch.optim.Adam(made.parameters(), lr=0.01)
    for _ in range(100):
        optimizer.zero_grad()
        nn.functional.cross_entropy(made(*inputs), labels).backward()
        optimizer.step()
    return (made.eval()(*inputs).argmax(1) == labels).float().mean()


@pytest.mark.parametrize("kind", ["concat", "gated", "cross-attention"])
def test_a_class_that_needs_both_sides_is_learnt_by_the_fusion_and_not_by_the_control(kind):
    generator = torch.Generator().manual_seed(6)
    bits = torch.arange(64)[:, None] // torch.tensor([1, 2]) % 2
    states = [(2.0 * bits[:, i, None, None] - 1).repeat(1, 3, 2) for i in range(2)]
    states = [s + 0.1 * torch.randn(s.shape, generator=generator) for s in states]
    mask = torch.ones(64, 3, dtype=torch.bool)
    labels = bits[:, 0] ^ bits[:, 1]
    torch.manual_seed(7)
    fusion = fusion_head(kind, 2, 2, 2, width=16, heads=2, dropout=0.0)
    assert learn(fusion, (states[0], mask, states[1], mask), labels) == 1
    # The audio says nothing of the class; what the control gets right beyond a half it knows by heart.
    audio_only = audio_head(kind, 2, 2, hidden=8, width=16, heads=2, dropout=0.0)
    assert learn(audio_only, (states[0], mask), labels) < 0.75


MASK = torch.ones(2, 3, dtype=torch.bool)


def scores(kind="concat", audio=(2, 3, DA), audio_mask=MASK, text=(2, 3, DT), text_mask=MASK, present=None):
    return head(kind)(torch.ones(audio), audio_mask, torch.ones(text), text_mask, present)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: fusion_head("sum", 2, 2, 2), "unknown kind of fusion 'sum'; expected one of .*'gated'"),
        (lambda: audio_head("sum", 2, 2, hidden=2), "unknown kind of fusion 'sum'"),
        (lambda: matched_width("sum", 2, 2, 2, 8), "unknown kind of fusion 'sum'"),
        (lambda: fusion_head("cross-attention", 2, 2, 2, width=10, heads=4), "4 attention heads do not divide .* 10"),
        (
            lambda: matched_width("concat", 50, 2, 2, 2),
            "'concat' has 164 parameters, the nearest audio-only head 161; .*",
        ),
        (
            lambda: scores(
                text_mask=torch.tensor([[True] * 3, [False] * 3]), present=torch.tensor([[True, True], [False, True]])
            ),
            r"rows \[1\] of the batch have neither",
        ),
        (lambda: scores(present=torch.zeros(2, 2, dtype=torch.bool)), r"rows \[0, 1\] .* neither audio nor text"),
        (lambda: scores(present=torch.ones(2, 2)), r"'present' is torch.float32 of \(2, 2\)"),
        (lambda: scores(present=torch.ones(2, dtype=torch.bool)), r"'present' is .* expected boolean of \(2, 2\)"),
        (lambda: scores(text_mask=MASK.long()), r"text is .* torch.int64; expected .*, 5\) and a boolean mask"),
        (lambda: scores(audio_mask=MASK[:, :2]), r"audio is \(2, 3, 6\) with a mask of \(2, 2\)"),
        (lambda: scores(audio=(2, 3, DT)), r"audio is \(2, 3, 5\) .* expected \(n_clips, length, 6\)"),
        (lambda: scores(text=(1, 3, DT), text_mask=MASK[:1]), "audio of 2 clips and text of 1"),
        (lambda: control("concat")(torch.ones(2, 3, DA), ~MASK), r"rows \[0, 1\] of the batch have no audio"),
        (lambda: control("concat")(torch.ones(2, 3, DT), MASK), r"expected \(n_clips, length, 6\)"),
        (lambda: head("gated").attention(*[torch.ones(3, 3)] * 4), "class Gated has no attention weights"),
        (
            lambda: head("cross-attention").attention(torch.ones(3, DA), MASK[0], torch.ones(3, DT), ~MASK[0]),
            "the clip lacks audio or text",
        ),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(make, message):
    with pytest.raises(SerError, match=message) as error:
        make()
    assert "\n" not in str(error.value)

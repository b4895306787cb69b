"""The interface of encoders, and BYOL-S against the network of its authors written anew."""

import librosa
import numpy as np
import pytest
import torch
from torch import nn

from ser_core.errors import SerError
from ser_core.systems import encoders
from ser_core.systems.encoders import byol
from ser_core.systems.encoders.base import RATE, Encoded, mask_of, pad

LENGTHS = (100, 37, 8, 61)


@pytest.fixture(scope="module")
def encoder():
    """BYOL-S with random weights; its norms have seen something, or folding them in would not show."""
    generator = torch.Generator().manual_seed(0)
    encoder = byol.ByolS()
    with torch.no_grad():
        for name, value in encoder.state_dict().items():
            if "running_var" in name:
                value.copy_(torch.rand(value.shape, generator=generator) + 0.5)
            elif value.ndim == 1:
                value.copy_(torch.randn(value.shape, generator=generator))
    return encoder.eval()


@pytest.fixture(scope="module")
def published(encoder):
    """AudioNTT2020Task6 of BYOL-A with the same weights, for images (1, 64 mels, n_frames)."""
    features = []
    for i in range(3):
        features += [nn.Conv2d(64 if i else 1, 64, 3, padding=1), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(2)]
    dense = [nn.Linear(512, 512), nn.ReLU(), nn.Dropout(0.3), nn.Linear(512, 512), nn.ReLU()]
    network = nn.ModuleDict({"features": nn.Sequential(*features), "fc": nn.Sequential(*dense)})
    network.load_state_dict(encoder.state_dict())
    network.eval()

    def run(clip):
        image = network["features"](clip.T[None, None])
        # From (1, channels, mels, time): the dense layers take all channels of each mel in turn.
        return network["fc"](image.permute(0, 3, 2, 1).flatten(2))[0]

    return run


def noise(n_frames, seed=0):
    return torch.randn(n_frames, byol.N_MELS, generator=torch.Generator().manual_seed(seed))


def clips():
    return [noise(n, seed) for seed, n in enumerate(LENGTHS)]


def tone(seconds):
    time = np.arange(round(RATE * seconds)) / RATE
    noise = np.random.default_rng(0).standard_normal(len(time))
    return (0.3 * np.sin(2 * np.pi * 220 * time * (1 + time)) + 0.01 * noise).astype("float32")


def test_padding_and_mask_keep_what_is_behind_the_first_axis():
    batch, lengths = pad([torch.full((2, 3, 4), 5.0), torch.full((1, 3, 4), 7.0)])
    assert batch.shape == (2, 2, 3, 4)
    assert batch[1].tolist() == [[[7.0] * 4] * 3, [[0.0] * 4] * 3]
    assert lengths.tolist() == [2, 1]
    assert mask_of(lengths, 3).tolist() == [[True, True, False], [True, False, False]]
    states = (torch.zeros(2, 9, 1), torch.zeros(2, 3, 1))
    assert Encoded(states, lengths).mask.tolist() == mask_of(lengths, 3).tolist()


@pytest.mark.parametrize("k", range(5))
def test_frozen_blocks_have_no_gradients_and_do_not_drop_out_in_training(k):
    encoder = byol.ByolS().train()
    encoder.freeze(k)
    for again in (False, True):
        for i, block in enumerate(encoder.blocks):
            assert {parameter.requires_grad for parameter in block.parameters()} == {i >= k}
            assert {module.training for module in block.modules()} == {i >= k}
        if not again:  # the Trainer sets the modes before each epoch
            encoder.eval()
            encoder.train()
    assert not any(module.training for module in encoder.eval().modules())
    encoder.freeze(0)
    assert all(parameter.requires_grad for parameter in encoder.parameters())
    assert encoder.frozen == 0


def test_every_weight_is_in_one_block(encoder):
    held = [parameter for block in encoder.blocks for parameter in block.parameters()]
    assert len(held) == len(set(held)) == len(list(encoder.parameters()))


def test_the_state_dict_has_the_published_names(encoder):
    assert {name.rpartition(".")[0] for name in encoder.state_dict()} == {
        *(f"features.{i}" for i in (0, 1, 4, 5, 8, 9)),
        *(f"fc.{i}" for i in (0, 3)),
    }


def test_byol_s_computes_what_the_published_network_does(encoder, published):
    for clip in clips():
        with torch.no_grad():
            encoded = encoder(clip[None], torch.tensor([len(clip)]))
            expected = published(clip)
        assert encoded.states[0].shape == (1, len(clip) // 8, 512)
        assert encoded.lengths.tolist() == [len(clip) // 8]
        torch.testing.assert_close(encoded.states[0][0], expected, rtol=1e-4, atol=1e-4)


def test_a_clip_is_the_same_whatever_it_is_batched_with(encoder, published):
    with torch.no_grad():
        encoded = encoder(*pad(clips()))
        for i, clip in enumerate(clips()):
            valid = encoded.states[0][i][encoded.mask[i]]
            torch.testing.assert_close(valid, published(clip), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("k", range(5))
def test_prefix_and_suffix_are_the_whole_wherever_it_is_cut(encoder, k):
    batch, lengths = pad(clips())
    with torch.no_grad():
        whole = encoder(batch, lengths)
        hidden, between = encoder.prefix(batch, lengths, k)
        encoded = encoder.suffix(hidden, between, k)
    shapes = [(100, 64), (50, 32, 64), (25, 16, 64), (12, 8, 64), (12, 512)]
    assert hidden.shape == (len(LENGTHS), *shapes[k])
    assert between.tolist() == [n // 2 ** min(k, 3) for n in LENGTHS]
    torch.testing.assert_close(encoded.states[0], whole.states[0], rtol=0, atol=0)
    assert encoded.lengths.tolist() == whole.lengths.tolist()


def test_a_kept_prefix_may_be_cut_and_padded_again(encoder):
    """As training keeps it: the valid frames of each clip, batched otherwise later."""
    with torch.no_grad():
        hidden, lengths = encoder.prefix(*pad(clips()), 2)
        kept = [row[:n] for row, n in zip(hidden, lengths.tolist(), strict=True)]
        later = encoder.suffix(*pad(kept[1:]), 2)
        now = encoder(*pad(clips()[1:]))
    torch.testing.assert_close(later.states[0], now.states[0], rtol=1e-5, atol=1e-5)


def test_training_changes_weights_but_not_the_norms_statistics(encoder):
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    encoder.train()
    loss = encoder(*pad(clips())).states[0].square().mean()
    loss.backward()
    norms = [encoder.features[str(i)] for i in (1, 5, 9)]
    assert all(norm.weight.grad.abs().max() > 0 and norm.bias.grad.abs().max() > 0 for norm in norms)
    encoder.zero_grad()
    encoder.eval()
    assert all(torch.equal(value, before[name]) for name, value in encoder.state_dict().items())


def test_the_input_is_librosas_log_mel_spectrogram_standardised_by_clip(encoder):
    samples = tone(1.0)
    mel = librosa.feature.melspectrogram(
        y=np.float64(samples),
        sr=16_000,
        n_fft=1024,
        win_length=400,
        hop_length=160,
        window="hann",
        center=True,
        pad_mode="reflect",
        power=2.0,
        n_mels=64,
        fmin=60,
        fmax=7800,
        htk=True,
        norm=None,
    )
    log_mel = np.log(mel + np.finfo("float32").eps).T
    expected = (log_mel - log_mel.mean()) / log_mel.std()
    prepared = encoder.prepare(samples)
    assert prepared.shape == (101, 64)
    # float32 against float64.
    np.testing.assert_allclose(prepared.numpy(), expected, atol=2e-3)


@pytest.mark.parametrize("samples", [np.zeros(0), np.zeros(16_000), tone(0.001), tone(0.05)])
def test_silence_and_very_short_clips_give_at_least_one_frame_of_finite_numbers(encoder, samples):
    clip = encoder.prepare(np.asarray(samples, "float32"))
    assert torch.isfinite(clip).all()
    with torch.no_grad():
        encoded = encoder(*pad([clip, noise(40)]))
    assert encoded.lengths[0] >= 1
    assert torch.isfinite(encoded.states[0]).all()


def test_loudness_does_not_reach_the_network(encoder):
    samples = tone(0.5)
    torch.testing.assert_close(encoder.prepare(samples), encoder.prepare(samples / 2), rtol=0, atol=1e-2)


def refusal(function, *arguments, **keywords):
    with pytest.raises(SerError) as error:
        function(*arguments, **keywords)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_missing_and_altered_weights_are_refused_with_the_way_out(tmp_path, monkeypatch):
    monkeypatch.delenv("SER_WEIGHTS", raising=False)
    message = refusal(encoders.load, "byol-s")
    assert "SER_WEIGHTS is not set" in message and byol.SOURCE in message
    monkeypatch.setenv("SER_WEIGHTS", str(tmp_path))
    message = refusal(encoders.load, "byol-s")
    assert str(tmp_path / byol.FILE) in message and "is not there" in message and byol.SOURCE in message
    # The right weights in another file are another file.
    torch.save(byol.ByolS().state_dict(), tmp_path / byol.FILE)
    message = refusal(encoders.load, "byol-s")
    assert "sha256" in message and byol.SHA256[:12] in message and "fetch it again" in message


def test_only_a_hub_id_has_a_revision():
    assert "leave the revision 'main' out" in refusal(encoders.load, "byol-s", revision="main")


@pytest.mark.needs_weights
def test_the_published_weights_tell_clips_apart():
    encoder = encoders.load("byol-s")
    assert not encoder.training
    assert encoder.initialisation == "published weights"
    inputs = [encoder.prepare(samples) for samples in (tone(0.6), tone(0.9)[::-1].copy())]
    with torch.no_grad():
        encoded = encoder(*pad(inputs))
        alone = encoder(*pad(inputs[:1]))
    assert torch.isfinite(encoded.states[0]).all()
    torch.testing.assert_close(encoded.states[0][:1, : alone.lengths[0]], alone.states[0], rtol=1e-3, atol=1e-4)
    first, second = (row[mask].mean(0) for row, mask in zip(encoded.states[0], encoded.mask, strict=True))
    assert (first - second).norm() > 0.1 * first.norm()
    assert first.norm() > 0

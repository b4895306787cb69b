import hashlib

import numpy as np
import pytest
import safetensors.torch
import scipy.signal
import torch
import torchaudio
from matplotlib import colormaps, colors
from sklearn.preprocessing import StandardScaler
from torch import nn
from torchvision import models

from ser_core.errors import SerError
from ser_core.systems import handcrafted
from ser_core.systems.encoders import spectrogram
from ser_core.systems.encoders.base import RATE, pad
from ser_core.systems.registry import SPECTROGRAM_NETWORKS

# Table 5 of Sharma (2023) up to its output layer: convolutions with kernels and kernel size, dropouts with their rate.
TABLE_5 = [
    *[("Conv1D", 256, 8)] * 2,
    ("Batch Norm", 256),
    ("Dropout", 0.6),
    *[("Conv1D", 128, 8)] * 4,
    ("Batch Norm", 128),
    ("Dropout", 0.6),
    *[("Conv1D", 64, 8)] * 2,
    ("Flatten",),
    ("Dense",),
    ("Dense",),
    ("Dropout", 0.6),
]


@pytest.fixture(autouse=True)
def no_weights_at_hand(tmp_path, monkeypatch):
    monkeypatch.delenv("SER_WEIGHTS", raising=False)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))


@pytest.fixture(scope="module")
def torchvision_models():
    """torchvision's own models, drawn at random; MobileNet's batch norms saw noise, or its output would vanish."""
    torch.manual_seed(0)
    mobilenet = models.mobilenet_v2()
    for layer in mobilenet.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = 1.0
    with torch.no_grad():
        mobilenet(torch.randn(4, 3, 257, 251))
    return {"vgg16-mel": models.vgg16().eval(), "mobilenet-jet": mobilenet.eval()}


@pytest.fixture(scope="module")
def encoders(torchvision_models):
    vgg, mobilenet = torchvision_models.values()
    torch.manual_seed(1)
    found = [
        spectrogram.Vgg16Mel(vgg.state_dict()),
        spectrogram.MobileNetJet(mobilenet.state_dict()),
        spectrogram.Cnn1dLibrosa94(),
    ]
    return {encoder.name: encoder.eval() for encoder in found}


def noise(seconds, seed=0):
    return (0.1 * np.random.default_rng(seed).standard_normal(round(seconds * RATE))).astype("float32")


def normalised(image):
    """Bytes as torchvision's ImageNet weights want them, by torchvision's own numbers."""
    preset = models.MobileNet_V2_Weights.IMAGENET1K_V2.transforms()
    mean, deviation = (torch.tensor(values)[:, None, None] for values in (preset.mean, preset.std))
    return (image.float() / 255 - mean) / deviation


def test_the_mel_image_is_torchaudios_mel_spectrogram_in_db_resized_to_224():
    samples = noise(1.3) * np.linspace(0, 1, round(1.3 * RATE), dtype="float32")
    mel = torchaudio.transforms.MelSpectrogram(
        RATE, n_fft=2048, hop_length=512, n_mels=128, norm="slaney", mel_scale="slaney", pad_mode="constant"
    )(torch.from_numpy(samples))
    db = torchaudio.transforms.AmplitudeToDB("power", top_db=80)(mel)
    image = nn.functional.interpolate(db[None, None], (224, 224), mode="bilinear", antialias=True)[0, 0]
    expected = (image - image.min()) / (image.max() - image.min()) * 256
    found = spectrogram.mel_image(samples)
    assert found.shape == (1, 224, 224) and found.dtype == torch.uint8
    # Steps, not dB: a byte is the whole part, so that one step of difference is rounding.
    assert (found[0].float() + 0.5 - expected).abs().max() < 1


def test_a_silent_or_very_short_clip_has_a_mel_image():
    assert spectrogram.mel_image(np.zeros(RATE, "float32")).max() == 0
    assert spectrogram.mel_image(noise(0.01)).shape == (1, 224, 224)


def test_jet_images_are_scipys_magnitudes_in_matplotlibs_colours():
    samples = noise(1) + np.sin(np.arange(RATE)).astype("float32")
    _, _, spectrum = scipy.signal.stft(samples, window="hann", nperseg=256, noverlap=192, nfft=512, padded=False)
    assert spectrum.shape == (257, 251)
    expected = colormaps["jet"](colors.Normalize()(np.abs(spectrum)), bytes=True)[..., :3]
    found = spectrogram.jet_images(samples)
    assert found.shape == (1, 3, 257, 251) and found.dtype == torch.uint8
    other = (found[0].permute(1, 2, 0).numpy() != expected).any(-1)
    # float32 puts the values that lie on the border of two colours on either side of it.
    assert other.mean() < 0.001


def test_jet_runs_from_dark_blue_over_green_to_dark_red():
    # The ends of MATLAB's jet, half blue and half red; the tolerance is one step of a byte.
    assert np.abs(spectrogram.JET[[0, 255]].astype(int) - [[0, 0, 127.5], [127.5, 0, 0]]).max() <= 1
    assert spectrogram.JET[128].argmax() == 1
    np.testing.assert_array_equal(spectrogram.JET, colormaps["jet"](np.linspace(0, 1, 256), bytes=True)[:, :3])


def test_the_level_of_a_clip_does_not_show_in_its_jet_images():
    # A power of two, so that rounding is the same.
    assert torch.equal(spectrogram.jet_images(noise(1.5)), spectrogram.jet_images(noise(1.5) / 8))


@pytest.mark.parametrize(("n_samples", "n_blocks"), [(0, 1), (1, 1), (16_000, 1), (16_001, 2), (40_000, 3)])
def test_a_clip_has_a_jet_image_for_each_second_that_it_begins(n_samples, n_blocks):
    assert len(spectrogram.jet_images(noise(3)[:n_samples])) == n_blocks


def test_each_jet_image_is_of_its_own_second_and_zeros_fill_the_last():
    samples = noise(1.5)
    samples[:RATE] *= 8
    found = spectrogram.jet_images(samples)
    assert torch.equal(found[:1], spectrogram.jet_images(samples[:RATE]))
    assert torch.equal(found[1:], spectrogram.jet_images(np.append(samples[RATE:], np.zeros(RATE // 2, "float32"))))
    # A window of silence, 256 samples wide, is the least of all magnitudes.
    assert (found[1, :, :, 128:].permute(1, 2, 0) == torch.from_numpy(spectrogram.JET[0])).all()


@pytest.mark.parametrize(("name", "shape"), [("vgg16-mel", (1, 1, 4096)), ("mobilenet-jet", (1, 2, 1280))])
def test_states_are_torchvisions_own_before_the_last_layer(name, shape, encoders, torchvision_models):
    encoder, model = encoders[name], torchvision_models[name]
    inputs, lengths = pad([encoder.prepare(noise(1.7))])
    with torch.no_grad():
        found = encoder(inputs, lengths).states
        if name == "vgg16-mel":
            maps = model.avgpool(model.features(normalised(inputs[0].expand(3, -1, -1))[None])).flatten(1)
            expected = model.classifier[:6](maps)
        else:
            expected = model.features(normalised(inputs[0])).mean((2, 3))
    assert len(found) == encoder.n_layers == 1
    assert found[0].shape == shape and encoder.dim == shape[2]
    assert expected.std() > 0.01
    # float32 in another memory layout.
    torch.testing.assert_close(found[0][0], expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", SPECTROGRAM_NETWORKS)
def test_prefix_and_suffix_make_up_the_whole_wherever_it_is_cut(name, encoders):
    encoder = encoders[name]
    inputs, lengths = pad([encoder.prepare(noise(seconds)) for seconds in ((1.2, 0.5), (1,))[name == "vgg16-mel"]])
    with torch.no_grad():
        whole = encoder(inputs, lengths)
        for k in range(len(encoder.blocks) + 1):
            hidden, n = encoder.prefix(inputs, lengths, k)
            # As it is kept for later: one tensor a clip, cut to its valid frames.
            parts = encoder.suffix(*pad([clip[:i] for clip, i in zip(hidden, n, strict=True)]), k)
            torch.testing.assert_close(parts.states, whole.states, atol=1e-5, rtol=1e-4)
            assert torch.equal(parts.lengths, whole.lengths)
    hidden, n = encoder.prefix(inputs, lengths, 0)
    assert hidden is inputs and n is lengths


@pytest.mark.parametrize("name", ["mobilenet-jet", "cnn1d-librosa94"])
def test_a_clip_says_the_same_alone_and_beside_a_longer_one(name, encoders):
    encoder = encoders[name]
    short, long = (encoder.prepare(noise(seconds, seed)) for seed, seconds in enumerate((0.8, 2.5)))
    with torch.no_grad():
        alone = encoder(*pad([short]))
        both = encoder(*pad([short, long]))
    assert both.mask.sum(1).tolist() == [len(short), len(long)]
    torch.testing.assert_close(both.states[0][0, : len(short)], alone.states[0][0], atol=1e-5, rtol=1e-4)
    assert not both.states[0][0, len(short) :].any()


def test_batch_norm_learns_nothing_from_padding():
    found = []
    images = torch.randint(0, 256, (3, 3, 257, 251), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    for clips in ([images[:2], images[2:]], [images]):
        torch.manual_seed(0)
        encoder = spectrogram.MobileNetJet().train()
        with torch.no_grad():
            encoder(*pad(clips))
        found.append([buffer for name, buffer in encoder.named_buffers() if name.endswith("running_mean")])
    assert found[0][0].abs().max() > 0.01
    torch.testing.assert_close(*found, atol=1e-5, rtol=1e-4)


def test_images_as_bytes_and_as_floats_are_the_same(encoders):
    encoder = encoders["mobilenet-jet"]
    inputs, lengths = pad([encoder.prepare(noise(1))])
    with torch.no_grad():
        assert torch.equal(encoder(inputs, lengths).states[0], encoder(inputs.float(), lengths).states[0])


def test_the_1d_cnn_is_table_5_of_the_paper(encoders):
    found = []
    for layer in (layer for block in encoders["cnn1d-librosa94"].blocks for layer in block):
        match layer:
            case nn.Conv1d():
                found.append(("Conv1D", layer.out_channels, *layer.kernel_size))
                assert layer.stride == layer.dilation == (1,)
            case nn.BatchNorm1d():
                found.append(("Batch Norm", layer.num_features))
            case nn.Dropout():
                found.append(("Dropout", layer.p))
            case nn.Flatten() | nn.Linear():
                found.append(({nn.Flatten: "Flatten", nn.Linear: "Dense"}[type(layer)],))
    assert found == TABLE_5


def test_each_convolution_and_dense_layer_of_the_1d_cnn_has_its_relu_and_keeps_the_length(encoders):
    layers = [layer for block in encoders["cnn1d-librosa94"].blocks for layer in block]
    for i, layer in enumerate(layers):
        if isinstance(layer, nn.Conv1d):
            assert isinstance(layers[i + 1], nn.ReLU)
            assert nn.Sequential(layers[i - 1], layer)(torch.zeros(1, layer.in_channels, 94)).shape[2] == 94
        if isinstance(layer, nn.Linear):
            assert isinstance(layers[i + 1], nn.ReLU)


def test_the_1d_cnn_has_as_many_parameters_as_counted_by_hand(encoders):
    convolutions = (256 * 8 + 256) + (256 * 256 * 8 + 256)
    convolutions += (256 * 128 * 8 + 128) + 3 * (128 * 128 * 8 + 128) + (128 * 64 * 8 + 64) + (64 * 64 * 8 + 64)
    norms = 2 * 256 + 2 * 128
    d = encoders["cnn1d-librosa94"].dim
    dense = (94 * 64 * d + d) + (d * d + d)
    assert sum(p.numel() for p in encoders["cnn1d-librosa94"].parameters()) == convolutions + norms + dense


def test_the_1d_cnn_takes_the_94_librosa_features(encoders):
    encoder = encoders["cnn1d-librosa94"]
    prepared = encoder.prepare(noise(0.7))
    assert prepared.shape == (1, 94)
    expected = list(handcrafted.librosa94(noise(0.7), RATE).values())
    np.testing.assert_allclose(prepared[0], expected, rtol=1e-6)
    with torch.no_grad():
        assert encoder(*pad([prepared])).states[0].shape == (1, 1, encoder.dim)


def test_calibration_standardises_as_scikit_learn_does():
    encoder = spectrogram.Cnn1dLibrosa94().eval()
    assert encoder.calibrated
    values = np.random.default_rng(0).normal(2000, 5, (30, 94)).astype("float32")
    values[:, 3] = 7  # never varies
    clips = [torch.from_numpy(row[None]) for row in values]
    encoder.calibrate(clips)
    assert set(encoder.state_dict()) >= {"mean", "deviation"}  # so that a saved model keeps them
    other = spectrogram.Cnn1dLibrosa94().eval()
    other.load_state_dict(encoder.state_dict() | {"mean": torch.zeros(94), "deviation": torch.ones(94)})
    scaled = torch.from_numpy(StandardScaler().fit_transform(values.astype("float64")).astype("float32"))
    with torch.no_grad():
        found = encoder(*pad(clips)).states[0]
        expected = other(*pad(list(scaled[:, None]))).states[0]
    # float32 holds 2000 to a ten-thousandth, a deviation is 5.
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-3)
    with pytest.raises(SerError, match="0 clips"):
        encoder.calibrate([])


@pytest.mark.parametrize("name", ["mobilenet-jet", "cnn1d-librosa94"])
def test_what_is_frozen_stays_as_it_is_in_training(name):
    encoder = spectrogram.load(name)
    encoder.freeze(len(encoder.blocks))
    encoder.train()
    inputs, lengths = pad([encoder.prepare(noise(1))])
    before = {key: value.clone() for key, value in encoder.state_dict().items()}
    with torch.no_grad():
        assert torch.equal(encoder(inputs, lengths).states[0], encoder(inputs, lengths).states[0])
    assert all(torch.equal(value, before[key]) for key, value in encoder.state_dict().items())
    assert not any(parameter.requires_grad for parameter in encoder.parameters())


def test_gradients_reach_every_block_that_is_not_frozen():
    encoder = spectrogram.load("mobilenet-jet").train()
    encoder.freeze(17)
    encoder(*pad([encoder.prepare(noise(1.5)), encoder.prepare(noise(0.5))])).states[0].sum().backward()
    has_gradient = [{p.grad is not None for p in block.parameters()} for block in encoder.blocks]
    assert has_gradient == [{False}] * 17 + [{True}] * 2


def test_files_are_named_as_torchvision_names_them():
    urls = [models.VGG16_Weights.IMAGENET1K_V1.url, models.MobileNet_V2_Weights.IMAGENET1K_V2.url]
    assert [f"{spectrogram.SOURCE}/{file}" for file in spectrogram.FILES.values()] == urls


@pytest.mark.parametrize("place", ["SER_WEIGHTS", "torch.hub"])
def test_weights_at_hand_are_used_if_their_sha256_is_the_one_in_their_name(
    place, tmp_path, monkeypatch, torchvision_models
):
    folder = tmp_path / ("mine" if place == "SER_WEIGHTS" else "torch/hub/checkpoints")
    folder.mkdir(parents=True)
    if place == "SER_WEIGHTS":
        monkeypatch.setenv("SER_WEIGHTS", str(folder))
    state = torchvision_models["mobilenet-jet"].state_dict()
    path = folder / spectrogram.FILES["mobilenet-jet"]
    torch.save(state, path)
    with pytest.raises(SerError, match=r"mobilenet_v2-7ebf99e0\.pth: sha256 [0-9a-f]{8}, expected 7ebf99e0; fetch it"):
        spectrogram.load("mobilenet-jet")

    right = f"mobilenet_v2-{hashlib.sha256(path.read_bytes()).hexdigest()[:8]}.pth"
    path.rename(folder / right)
    monkeypatch.setitem(spectrogram.FILES, "mobilenet-jet", right)
    encoder = spectrogram.load("mobilenet-jet")
    assert encoder.initialisation == "ImageNet" and not encoder.training
    torch.testing.assert_close(encoder.blocks[0][0].weight, state["features.0.0.weight"], atol=0, rtol=0)
    torch.testing.assert_close(encoder.blocks[18][0][0].weight, state["features.18.0.weight"], atol=0, rtol=0)


def test_without_weights_the_caller_s_seed_draws_them():
    for name in ("mobilenet-jet", "cnn1d-librosa94"):
        found = []
        for seed in (0, 0, 1):
            torch.manual_seed(seed)
            encoder = spectrogram.load(name)
            assert encoder.name == name and encoder.initialisation == "random initialisation"
            assert not encoder.training
            found.append(next(encoder.parameters()))
        assert torch.equal(found[0], found[1]) and not torch.equal(found[0], found[2])


def test_an_unknown_name_is_refused():
    with pytest.raises(SerError, match="'resnet'; expected one of .*vgg16-mel"):
        spectrogram.load("resnet")


@pytest.mark.parametrize("name", SPECTROGRAM_NETWORKS)
def test_its_weights_can_be_kept_as_safetensors(name, encoders, tmp_path):
    """The Trainer keeps each epoch so, and refuses weights that are laid out otherwise."""
    safetensors.torch.save_file(encoders[name].state_dict(), tmp_path / "weights.safetensors")
    kept = safetensors.torch.load_file(tmp_path / "weights.safetensors")
    assert all(torch.equal(value, kept[key]) for key, value in encoders[name].state_dict().items())

"""EfficientNet-Lite0: whether it is timm's network, sees what ImageNet's images look like, and knows what they show."""

import matplotlib.cbook
import numpy as np
import pytest
import sklearn.datasets
import timm
import torch
from PIL import Image

from ser_core.errors import SerError
from ser_core.systems import encoders, features, weights
from ser_core.systems.encoders import lite0, spectrogram
from ser_core.systems.encoders.base import RATE, pad
from ser_core.systems.features import embedding
from ser_core.systems.registry import LITE0
from ser_core.systems.weights import known

CONFIG = timm.get_pretrained_cfg("tf_efficientnet_lite0")


def noise(seconds, seed=0):
    return (0.1 * np.random.default_rng(seed).standard_normal(round(seconds * RATE))).astype("float32")


@pytest.fixture(scope="module")
def drawn():
    """timm's own network, drawn at random."""
    torch.manual_seed(0)
    return timm.create_model("tf_efficientnet_lite0").eval()


@pytest.fixture(scope="module")
def published(drawn):
    """The same weights as they are published: blocks are counted through all stages, layers have other names."""
    names = {"conv_stem": "_conv_stem", "bn1": "_bn0", "conv_head": "_conv_head", "bn2": "_bn1", "classifier": "_fc"}
    first = ["conv_dw", "bn1", "conv_pw", "bn2"], ["_depthwise_conv", "_bn1", "_project_conv", "_bn2"]
    other = ["conv_pw", "bn1", "conv_dw", "bn2", "conv_pwl", "bn3"], ["_expand_conv", "_bn0", *first[1]]
    state, blocks = {}, []
    for name, values in drawn.state_dict().items():
        *block, layer, kind = name.split(".")
        if not block:
            state[f"{names[layer]}.{kind}"] = values
            continue
        if block not in blocks:
            blocks.append(block)
        theirs = dict(zip(*(other if len(blocks) > 1 else first), strict=True))
        state[f"_blocks.{len(blocks) - 1}.{theirs[layer]}.{kind}"] = values
    return state


@pytest.fixture(scope="module")
def encoder(published):
    return lite0.Lite0("lite0-jet", lite0.network(published)).eval()


def test_published_weights_are_put_where_they_belong(published, drawn):
    torch.manual_seed(1)
    found = lite0.network(published).state_dict()
    assert found.keys() == drawn.state_dict().keys()
    for name, values in drawn.state_dict().items():
        torch.testing.assert_close(found[name], values, atol=0, rtol=0)


@pytest.mark.parametrize("change", ["missing", "more", "shape", "block"])
def test_other_weights_are_refused_in_one_line(change, published):
    wrong = dict(published)
    if change == "missing":
        del wrong["_fc.bias"]
    elif change == "shape":
        wrong["_conv_head.weight"] = torch.zeros(3)
    else:
        wrong["_fc.scale" if change == "more" else "_blocks.99._bn1.bias"] = torch.zeros(1)
    with pytest.raises(
        SerError, match="not the weights of EfficientNet-Lite0 .*; get them by: ser weights get"
    ) as error:
        lite0.network(wrong)
    assert "\n" not in str(error.value)


def test_an_image_is_scaled_as_timm_scales_it_for_this_network():
    assert (CONFIG.mean, CONFIG.std) == (tuple(lite0.MEAN), tuple(lite0.DEVIATION))
    assert CONFIG.input_size == (3, lite0.SIZE, lite0.SIZE) and CONFIG.interpolation == "bicubic"
    mel, jet = (encoders.load(f"lite0-{image}-random").prepare(noise(1.5)) for image in ("mel", "jet"))
    assert mel.shape == (1, 224, 224) and jet.shape == (2, 3, 224, 224) and mel.dtype == jet.dtype == torch.uint8
    assert torch.equal(mel, spectrogram.mel_image(noise(1.5)))


def test_jet_images_are_resized_as_pillow_resizes():
    found = encoders.load("lite0-jet-random").prepare(noise(1))[0]
    whole = spectrogram.jet_images(noise(1))[0].permute(1, 2, 0).numpy()
    expected = np.array(Image.fromarray(whole).resize((224, 224), Image.Resampling.BICUBIC))
    difference = np.abs(found.permute(1, 2, 0).numpy().astype(int) - expected)
    # Both round to bytes twice, after the rows and after the columns.
    assert difference.max() <= 2 and difference.mean() < 0.05


def test_states_are_timms_own_before_its_classifier(encoder, drawn):
    inputs, lengths = pad([encoder.prepare(noise(1.7)), encoder.prepare(noise(0.5))])
    with torch.no_grad():
        found = encoder(inputs, lengths).states
        expected = drawn.forward_head(drawn.forward_features(inputs[0].float() / 127.5 - 1), pre_logits=True)
    assert len(found) == encoder.n_layers == 1 and found[0].shape == (2, 2, encoder.dim)
    assert expected.std() > 0.1
    torch.testing.assert_close(found[0][0], expected, atol=1e-3, rtol=1e-3)
    assert not found[0][1, 1:].any()


def test_a_grey_image_is_seen_in_three_equal_colours(drawn):
    torch.manual_seed(0)
    encoder = encoders.load("lite0-mel-random")
    image = encoder.prepare(noise(1.2))
    with torch.no_grad():
        found = encoder(*pad([image])).states[0][0]
        grey = (image.float() / 127.5 - 1)[:, None].repeat(1, 3, 1, 1)
        torch.testing.assert_close(found, drawn.global_pool(drawn.forward_features(grey)), atol=1e-3, rtol=1e-3)


def test_prefix_and_suffix_make_up_the_whole_and_frozen_blocks_learn_nothing(encoder):
    inputs, lengths = pad([encoder.prepare(noise(1))])
    with torch.no_grad():
        whole = encoder(inputs, lengths).states[0]
        for k in (0, 4, 9):
            hidden, n = encoder.prefix(inputs, lengths, k)
            torch.testing.assert_close(encoder.suffix(hidden, n, k).states[0], whole, atol=1e-4, rtol=1e-3)
    learner = encoders.load("lite0-jet-random")
    learner.freeze(6)
    learner.train()
    learner(*pad([learner.prepare(noise(1.5))])).states[0].sum().backward()
    assert [{p.grad is not None for p in block.parameters()} for block in learner.blocks] == [{False}] * 6 + [
        {True}
    ] * 3


def test_the_seed_of_the_caller_draws_what_starts_from_nothing():
    found = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        encoder = encoders.load("lite0-mel-random")
        assert encoder.initialisation == "random initialisation" and not encoder.training
        found.append(encoder.blocks[8][0].weight)
    assert torch.equal(found[0], found[1]) and not torch.equal(found[0], found[2])


def test_without_the_weights_nothing_takes_their_place(tmp_path, monkeypatch):
    monkeypatch.setenv("SER_CACHE", str(tmp_path))
    monkeypatch.delenv("SER_WEIGHTS", raising=False)
    missing = "efficientnet-lite0: the weights are not there; get them by: ser weights get efficientnet-lite0"
    for call in (lambda: encoders.load("lite0-mel"), features.get("lite0-jet").ready):
        with pytest.raises(SerError, match=missing):
            call()
    with pytest.raises(SerError, match=r"no encoder 'lite1'; expected one of \['lite0-mel', "):
        lite0.load("lite1")


def test_the_feature_set_is_the_mean_over_a_clips_images_whatever_stands_beside_it():
    spec = features.get("lite0-jet-random")
    clips = [noise(seconds, seed) for seed, seconds in enumerate((0.4, 2.3))]
    together = spec.function([(samples, RATE) for samples in clips])
    assert together.shape == (2, len(spec.columns)) and together.dtype == np.float32
    np.testing.assert_allclose(together[1:], spec.function([(clips[1], RATE)]), atol=1e-4)
    state = torch.random.get_rng_state()
    embedding._images_encoder.cache_clear()
    torch.manual_seed(0)
    encoder = encoders.load("lite0-jet-random")
    with torch.no_grad():
        expected = encoder(*pad([encoder.prepare(clips[1])])).states[0][0].mean(0)
    np.testing.assert_allclose(together[1], expected, atol=1e-4)
    torch.random.set_rng_state(state)
    spec.function([(clips[0], RATE)])
    assert torch.equal(torch.random.get_rng_state(), state)  # drawing the network takes nothing from the caller


def test_silence_and_the_shortest_clips_have_vectors():
    for name in ("lite0-mel-random", "lite0-jet-random"):
        assert np.isfinite(features.get(name).function([(np.zeros(n, "float32"), RATE) for n in (1, RATE)])).all()


def test_what_fixes_the_values_is_recorded():
    found = [features.get(name).parameters for name in LITE0]
    assert len({str(parameters) for parameters in found}) == 4
    assert [parameters["weights"] for parameters in found[:2]] == [known.KNOWN["efficientnet-lite0"].digest] * 2
    assert {parameters["weights"] for parameters in found[2:]} == {"random, seed 0"}


# The published weights


@pytest.fixture(scope="module")
def imagenet():
    return lite0.network({n: torch.tensor(values) for n, values in weights.load("efficientnet-lite0").items()}).eval()


@pytest.mark.needs_fetched("efficientnet-lite0")
def test_published_weights_name_what_photographs_show(imagenet):
    """Photographs that other packages bring, with what their makers say of them, as timm prepares any image."""
    transform = timm.data.create_transform(**timm.data.resolve_data_config(CONFIG.to_dict()))
    names = timm.data.ImageNetInfo()
    hopper = Image.open(matplotlib.cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)).convert("RGB")
    photographs = [
        hopper,
        *(Image.fromarray(sklearn.datasets.load_sample_image(n)) for n in ("china.jpg", "flower.jpg")),
    ]
    with torch.no_grad():
        scores = imagenet(torch.stack([transform(photograph) for photograph in photographs]))
    found = [[names.index_to_description(i) for i in best] for best in scores.topk(3).indices.tolist()]
    # Grace Hopper in her uniform, which TensorFlow's example of this family names; a palace of China; a flower, of
    # which ImageNet has few kinds.
    assert "military uniform" in found[0]
    assert found[1][0] == "palace"
    assert found[2][0] == "daisy"


@pytest.mark.needs_fetched("efficientnet-lite0")
def test_published_weights_hold_imagenets_order_of_classes(imagenet):
    """Classes 151 to 268 are ImageNet's 118 breeds of dogs: their rows of the classifier are alike."""
    names = timm.data.ImageNetInfo()
    assert [names.index_to_description(i).split(",")[0] for i in (151, 207, 268)] == [
        "Chihuahua",
        "golden retriever",
        "Mexican hairless",
    ]
    rows = torch.nn.functional.normalize(imagenet.classifier.weight.detach(), dim=1)
    alike = rows @ rows.T
    dog = torch.zeros(1000, dtype=torch.bool)
    dog[151:269] = True
    among = (alike[dog][:, dog].sum() - dog.sum()) / (118 * 117)
    assert among > 0.04 and alike[dog][:, ~dog].mean() < 0
    nearest = alike.fill_diagonal_(-1).argmax(1)
    assert dog[nearest[dog]].float().mean() > 0.9


@pytest.mark.needs_fetched("efficientnet-lite0")
def test_published_batch_norms_are_those_of_a_trained_network(imagenet):
    encoder = encoders.load("lite0-mel")
    assert encoder.initialisation == "ImageNet" and not encoder.training
    torch.testing.assert_close(encoder.blocks[8][0].weight, imagenet.conv_head.weight, atol=0, rtol=0)
    assert all(values.abs().max() > 0 for name, values in imagenet.state_dict().items() if "running_mean" in name)
    # As many parameters as TensorFlow's table states, 4.7 million.
    assert round(sum(values.numel() for values in imagenet.parameters()) / 1e6, 1) == 4.7

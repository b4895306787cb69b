"""Whisper's encoder on the clip alone, and its layers as a feature set."""

import math

import numpy as np
import pytest
import tiny
import torch
import transformers

from ser_core import paths
from ser_core.data import audio, corpora
from ser_core.errors import SerError
from ser_core.systems import encoders, features, weights
from ser_core.systems.encoders import pad
from ser_core.systems.encoders.hub.whisper import OwnLengthWhisper, WhisperEncoder
from ser_core.systems.features import whisper
from ser_core.systems.features.batches import embed
from ser_core.systems.weights import known

RATE = 16_000
# Of an odd and an even number of frames, 10 ms each; the third is silent.
SECONDS = (0.515, 1.38, 0.93, 0.3)


def clip(seconds, seed=0):
    return np.random.default_rng(seed).standard_normal(round(RATE * seconds)).astype("float32") + 0.5


CLIPS = [clip(seconds, i) * (i != 2) for i, seconds in enumerate(SECONDS)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny.write("whisper", tmp_path_factory.mktemp("whisper"))


def made(folder, kind=OwnLengthWhisper):
    model = transformers.AutoModel.from_pretrained(folder)
    return kind("tiny", model, transformers.AutoFeatureExtractor.from_pretrained(folder)).eval()


@pytest.fixture(scope="module")
def encoder(folder):
    return made(folder)


def theirs(folder, mel):
    """The hidden states of transformers' own model for a spectrogram, its positions cut to the spectrogram's length."""
    n = mel.shape[1] // 2
    whole = transformers.WhisperModel.from_pretrained(folder)
    state = whole.state_dict() | {"encoder.embed_positions.weight": whole.encoder.embed_positions.weight[:n]}
    config = transformers.AutoConfig.from_pretrained(folder, max_source_positions=n)
    model = transformers.WhisperModel(config).eval()
    model.load_state_dict(state)
    with torch.no_grad():
        return model.encoder(mel[None], output_hidden_states=True)


def test_states_are_those_of_transformers_with_positions_cut(folder, encoder):
    samples = clip(0.8)
    expected = theirs(folder, encoder.prepare(samples).T)
    with torch.no_grad():
        found = encoder(*pad([encoder.prepare(samples)]))
    assert found.lengths.tolist() == [40] and len(found.states) == encoder.n_layers == 4
    for state, other in zip(found.states[:-1], expected.hidden_states[:-1], strict=True):
        torch.testing.assert_close(state, other, atol=1e-4, rtol=0)
    torch.testing.assert_close(found.states[-1], expected.last_hidden_state, atol=1e-4, rtol=0)


def test_the_spectrogram_is_that_of_the_clip_alone(encoder):
    samples = clip(0.8)
    # By hand, after the paper: 80 ms of log10 power, 8 below the maximum at least, (x + 4) / 4.
    power = torch.stft(torch.from_numpy(samples), 400, 160, window=torch.hann_window(400), return_complex=True)
    power = power[:, :-1].abs() ** 2
    mel = torch.from_numpy(encoder.extractor.mel_filters).float().T @ power
    expected = mel.clamp(min=1e-10).log10()
    expected = (expected.maximum(expected.max() - 8) + 4) / 4
    torch.testing.assert_close(encoder.prepare(samples), expected.T, atol=1e-5, rtol=0)
    assert [len(encoder.prepare(clip(n / RATE))) for n in (1, 400, 559, 560, 32_000)] == [2, 2, 3, 3, 200]
    with pytest.raises(SerError, match=r"tiny: a clip of 2\.50 s, but it takes at most 2 s; cut the clip"):
        encoder.prepare(clip(2.5))


def test_padding_changes_no_state(encoder):
    inputs = [encoder.prepare(samples) for samples in CLIPS]
    assert {len(mel) % 2 for mel in inputs} == {0, 1}
    with torch.no_grad():
        together = encoder(*pad(inputs))
        for i, mel in enumerate(inputs):
            alone = encoder(*pad([mel]))
            n = int(alone.lengths[0])
            assert n == together.lengths[i] == -(-len(mel) // 2)
            for one, many in zip(alone.states, together.states, strict=True):
                torch.testing.assert_close(one[0], many[i, :n], atol=1e-5, rtol=0)


def test_without_masks_padding_would_change_states(encoder, monkeypatch):
    # Else the test above could not fail: once the convolution sees the padding, once the attention.
    inputs = [encoder.prepare(samples) for samples in CLIPS[:2]]
    with torch.no_grad():
        alone = encoder(*pad(inputs[:1])).states
        n = alone[0].shape[1]
        monkeypatch.setattr(OwnLengthWhisper, "_attention", WhisperEncoder._attention)
        assert (encoder(*pad(inputs)).states[1][0, :n] - alone[1][0]).abs().max() > 1e-3
        monkeypatch.undo()
        monkeypatch.setattr(torch.Tensor, "masked_fill", lambda x, *_: x)
        assert (encoder(*pad(inputs)).states[0][0, :n] - alone[0][0]).abs().max() > 1e-3


@pytest.mark.parametrize("k", [0, 1, 2, 4])
def test_prefix_and_suffix_are_the_whole(encoder, k):
    inputs, lengths = pad([encoder.prepare(samples) for samples in CLIPS])
    with torch.no_grad():
        whole = encoder(inputs, lengths)
        hidden, n = encoder.prefix(inputs, lengths, k)
        kept = [row[:size].clone() for row, size in zip(hidden, n.tolist(), strict=True)]
        again = encoder.suffix(*pad([kept[i] for i in (2, 0)]), k)
    assert [state is None for state in again.states] == [i < k - 1 for i in range(4)]
    for state, expected in zip(again.states, whole.states, strict=True):
        for row, i in enumerate((2, 0) if state is not None else ()):
            size = again.lengths[row]
            torch.testing.assert_close(state[row, :size], expected[i, :size], atol=1e-5, rtol=0)


@pytest.mark.parametrize("k", [1, 3])
def test_frozen_blocks_have_no_gradients(folder, k):
    encoder = made(folder)
    encoder.freeze(k)
    inputs, lengths = pad([encoder.prepare(samples) for samples in CLIPS])
    encoder.train()(inputs, lengths).states[-1].sum().backward()
    for i, block in enumerate(encoder.blocks):
        assert all((parameter.grad is None) == (i < k) for parameter in block.parameters())


# As features


@pytest.fixture
def small(folder, monkeypatch):
    """The feature sets with tiny encoders of 2 s in place of Whisper's."""
    by_name = {"whisper-base": made(folder), "whisper-base-30s": made(folder, WhisperEncoder)}
    monkeypatch.setattr(whisper, "_encoder", by_name.get)
    monkeypatch.setattr(whisper, "WINDOW_S", 2)
    return by_name


def vectors(clips, rate=RATE, **settings):
    return whisper.embed([(samples, rate) for samples in clips], model="whisper-base", **settings)


@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("pooling", ["mean", "statistics"])
def test_a_clip_has_the_vector_that_it_has_alone(small, pooling, padded):
    together = vectors(CLIPS, pooling=pooling, padded=padded)
    assert together.shape == (4, 4 * 16 * (2 if pooling == "statistics" else 1)) and together.dtype == np.float32
    alone = np.concatenate([vectors([samples], pooling=pooling, padded=padded) for samples in CLIPS])
    np.testing.assert_allclose(together, alone, atol=1e-5)
    assert np.abs(together[0] - together[1]).max() > 0.1


def test_padded_vectors_are_those_of_transformers(small, folder):
    model = transformers.WhisperModel.from_pretrained(folder).eval()
    for samples, found in zip(CLIPS, vectors(CLIPS, padded=True), strict=True):
        inputs = small["whisper-base"].extractor(samples, sampling_rate=RATE, return_tensors="pt").input_features
        with torch.no_grad():
            states = model.encoder(inputs, output_hidden_states=True)
        # Frames of 20 ms that a window of the spectrogram with any of the samples reaches.
        n = math.ceil(math.ceil((len(samples) + 200) / 160) / 2)
        layers = [*states.hidden_states[:-1], states.last_hidden_state]
        np.testing.assert_allclose(found, torch.cat([s[0, :n].mean(0) for s in layers]), atol=1e-4)


def test_columns_are_layer_beside_layer(small, folder):
    mel = small["whisper-base"].prepare(CLIPS[3])
    states = theirs(folder, mel.T)
    layers = [*states.hidden_states[:-1], states.last_hidden_state]
    found = vectors(CLIPS[3:], pooling="statistics")[0].reshape(4, 2, 16)
    for layer, (mean, deviation) in zip(layers, found, strict=True):
        np.testing.assert_allclose(mean, layer[0].mean(0), atol=1e-4)
        np.testing.assert_allclose(deviation, layer[0].std(0, correction=0), atol=1e-3)
    names = whisper.columns("whisper-base", "statistics")
    assert names[0] == "layer0_000" and names[512] == "layer0_deviation000" and names[1024] == "layer1_000"
    for name in ("whisper-base", "whisper-tiny.en"):
        for ending, kinds in (("", 1), ("-statistics", 2), ("-30s", 1), ("-trimmed", 1)):
            n_layers, dim = whisper.SHAPES[name]
            assert len(set(features.columns(name + ending))) == n_layers * dim * kinds


@pytest.mark.parametrize("pooling", ["mean", "statistics"])
def test_a_clip_above_30_s_is_cut_into_equal_windows(small, pooling):
    samples = clip(5.1)
    windows = np.split(samples, 3)
    # All frames of the three windows, pooled at once.
    with torch.no_grad():
        encoder = small["whisper-base"]
        encoded = [encoder(*pad([encoder.prepare(window)])) for window in windows]
    frames = [torch.cat([one.states[i][0] for one in encoded]) for i in range(4)]
    expected = [[f.mean(0), f.std(0, correction=0)] if pooling == "statistics" else [f.mean(0)] for f in frames]
    expected = np.concatenate([part for layer in expected for part in layer])
    np.testing.assert_allclose(vectors([samples], pooling=pooling)[0], expected, atol=1e-3)


@pytest.mark.parametrize("padded", [False, True])
def test_silence_and_the_shortest_clips_have_vectors(small, padded):
    odd = [np.zeros(n, "float32") for n in (1, 100, 800, RATE)] + [clip(1 / RATE), 1e-6 * clip(0.1)]
    found = vectors(odd, pooling="statistics", padded=padded)
    assert np.isfinite(found).all()
    assert np.isfinite(vectors([np.zeros(1, "float32")], rate=48_000, padded=padded)).all()


def test_silence_at_both_ends_is_cut_and_nothing_may_be_left(small):
    quiet, said = np.zeros(RATE, "float32"), CLIPS[1]
    around = np.concatenate([quiet, said, quiet])
    heard = audio.trim_silence(around, RATE)
    assert abs(len(heard) - len(said)) <= 0.05 * RATE
    found = vectors([around, quiet], trimmed=True)
    np.testing.assert_array_equal(found, vectors([heard, quiet[:0]]))
    assert np.isfinite(found).all()
    assert np.abs(found[0] - vectors([around])[0]).max() > 0.1
    assert features.get("whisper-base-trimmed").parameters == features.get("whisper-base").parameters | {
        "trimmed": True
    }


def test_another_rate_is_resampled(small):
    slow = audio.resample(clip(1.0), RATE, 48_000)
    np.testing.assert_array_equal(vectors([slow], rate=48_000), vectors([audio.resample(slow, 48_000, RATE)]))


def test_what_fixes_the_values_is_recorded(tmp_path, monkeypatch):
    spec = features.get("whisper-base")
    assert spec.parameters["weights"] == known.KNOWN["whisper-base"].digest
    assert features.get("whisper-base-30s").parameters != spec.parameters
    monkeypatch.setenv("SER_CACHE", str(tmp_path))
    monkeypatch.delenv("SER_WEIGHTS", raising=False)
    with pytest.raises(SerError, match="whisper-base: the weights are not there; get them by: ser weights get"):
        spec.ready()
    with pytest.raises(SerError, match="whisper-base: the weights are not there"):
        encoders.load("whisper-base-30s")


@pytest.mark.needs_data
@pytest.mark.needs_fetched("whisper-base")
def test_real_whisper_on_real_clips():
    table = corpora.table("ravdess")
    clips = [audio.read(corpora.audio_path(table.iloc[i], paths.data_folder("ravdess"))) for i in (0, 700, 1400)]
    folder = weights.folder("whisper-base")
    spec = features.get("whisper-base")
    together = spec.function(clips)
    alone = np.concatenate([spec.function([one]) for one in clips])
    np.testing.assert_allclose(together, alone, atol=1e-4)
    encoder = encoders.load("whisper-base")
    assert (encoder.n_layers, encoder.dim) == whisper.SHAPES["whisper-base"]
    samples = clips[0][0][: len(clips[0][0]) // 320 * 320]
    states = theirs(folder, encoder.prepare(samples).T)
    expected = torch.cat([s[0].mean(0) for s in (*states.hidden_states[:-1], states.last_hidden_state)])
    np.testing.assert_allclose(spec.function([(samples, RATE)])[0], expected, atol=1e-4)
    padded = features.get("whisper-base-30s").function(clips[:1])[0]
    assert np.corrcoef(padded[:512], together[0, :512])[0, 1] > 0.999
    last = embed(encoder, [encoder.prepare(clips[0][0])], precision="fp32")[0]
    np.testing.assert_allclose(last, together[0, -512:], atol=1e-4)

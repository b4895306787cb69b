import json
import pathlib
import shutil

import numpy as np
import pytest
import safetensors.torch
import tiny
import torch
import transformers
from huggingface_hub import constants

from ser_core.errors import SerError
from ser_core.systems.encoders import load, pad

FAMILIES = list(tiny.FAMILIES)
WAVES = [family for family in FAMILIES if family != "whisper"]
COMMIT = "0123456789abcdef0123456789abcdef01234567"
DROPOUTS = ("hidden_dropout", "activation_dropout", "attention_dropout", "feat_proj_dropout")


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("checkpoints")
    return {family: tiny.write(family, root / family) for family in FAMILIES}


@pytest.fixture(params=FAMILIES)
def family(request):
    return request.param


@pytest.fixture
def folder(folders, tmp_path):
    """A copy of a checkpoint that a test may spoil."""
    return shutil.copytree(folders["wav2vec2-base"], tmp_path / "checkpoint")


def clip(seconds, seed=0):
    """Noise with an offset, as standardising and padding by zeros then differ."""
    return np.random.default_rng(seed).standard_normal(round(16_000 * seconds)).astype("float32") + 0.5


CLIPS = [clip(0.5), clip(1.37, 1), clip(0.9, 2)]


def batch(encoder, clips=CLIPS):
    return pad([encoder.prepare(samples) for samples in clips])


def change_weights(folder, change):
    path = folder / "model.safetensors"
    safetensors.torch.save_file(change(safetensors.torch.load_file(path)), path, metadata={"format": "pt"})


def change_json(path, **values):
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def refusal(*arguments, **keywords):
    """The one line that loading ends in."""
    with pytest.raises(SerError) as raised:
        load(*map(str, arguments), **keywords)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def theirs(folder, samples):
    """What transformers itself makes of one clip, by its own loading, attention and loop over the layers."""
    model = transformers.AutoModel.from_pretrained(folder, attn_implementation="eager").eval()
    model = getattr(model, "encoder", model) if model.config.model_type == "whisper" else model
    extractor = transformers.AutoFeatureExtractor.from_pretrained(folder)
    inputs = extractor(samples, sampling_rate=16_000, return_tensors="pt")[extractor.model_input_names[0]]
    with torch.no_grad():
        return model(inputs, output_hidden_states=True)


def test_states_are_those_of_transformers(folders, family):
    encoder = load(str(folders[family]))
    for samples in CLIPS:
        expected = theirs(folders[family], samples)
        with torch.no_grad():
            found = encoder(*batch(encoder, [samples]))
        n = int(found.lengths[0])
        # Whisper's first is the convolutions' output.
        first = 0 if family == "whisper" else 1
        assert len(found.states) == encoder.n_layers == 4 - first and found.states[0].shape == (1, n, encoder.dim)
        if family != "whisper":
            assert n == expected.last_hidden_state.shape[1]
        for state, other in zip(found.states[:-1], expected.hidden_states[first:-1], strict=True):
            torch.testing.assert_close(state, other[:, :n], atol=1e-4, rtol=0)
        torch.testing.assert_close(found.states[-1], expected.last_hidden_state[:, :n], atol=1e-4, rtol=0)


def test_padding_changes_no_state(folders, family):
    encoder = load(str(folders[family]))
    with torch.no_grad():
        together = encoder(*batch(encoder))
        for i, samples in enumerate(CLIPS):
            alone = encoder(*batch(encoder, [samples]))
            n = int(alone.lengths[0])
            assert n == together.lengths[i] == together.mask[i].sum()
            for one, many in zip(alone.states, together.states, strict=True):
                torch.testing.assert_close(one[0], many[i, :n], atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    "family", ["wav2vec2-base", "hubert-base", "wavlm-base", "hubert-batch-norm", "data2vec-audio"]
)
def test_padding_would_change_the_states_of_transformers(folders, family):
    # Else the test above could not fail.
    model = transformers.AutoModel.from_pretrained(folders[family]).eval()
    inputs, lengths = batch(load(str(folders[family])))
    with torch.no_grad():
        mask = torch.arange(inputs.shape[1])[None] < lengths[:, None]
        together = model(inputs, attention_mask=mask.long()).last_hidden_state
        alone = model(inputs[:1, : lengths[0]]).last_hidden_state
    assert (together[0, : alone.shape[1]] - alone[0]).abs().max() > 1e-2


@pytest.mark.parametrize("k", [0, 1, 2, 3, 4])
def test_prefix_and_suffix_are_the_whole(folders, family, k):
    encoder = load(str(folders[family]))
    assert len(encoder.blocks) == 4
    inputs, lengths = batch(encoder)
    with torch.no_grad():
        whole = encoder(inputs, lengths)
        hidden, n = encoder.prefix(inputs, lengths, k)
        # As a cache keeps it: each clip cut to its length, and padded again beside other clips.
        kept = [row[:size].clone() for row, size in zip(hidden, n.tolist(), strict=True)]
        for order in ([0, 1, 2], [2, 0]):
            again = encoder.suffix(*pad([kept[i] for i in order]), k)
            assert again.lengths.tolist() == whole.lengths[order].tolist()
            known = k - 1 if family == "whisper" else k - 2
            assert [state is None for state in again.states] == [i < known for i in range(encoder.n_layers)]
            for state, expected in zip(again.states, whole.states, strict=True):
                for row, i in enumerate(order if state is not None else []):
                    size = again.lengths[row]
                    torch.testing.assert_close(state[row, :size], expected[i, :size], atol=1e-5, rtol=0)
    if k == 0:
        assert hidden is inputs and n is lengths


@pytest.mark.parametrize("k", [0, 1, 2, 4])
def test_frozen_blocks_have_no_gradients_and_act_as_in_evaluation(folders, family, k):
    encoder = load(str(folders[family]))
    inputs, lengths = batch(encoder)
    with torch.no_grad():
        before = encoder.prefix(inputs, lengths, k)[0]
    encoder.freeze(k)
    expected = encoder.prefix(inputs, lengths, k)[0]
    # For weights without gradients torch takes other kernels on some processors, whose sums differ in the last bit.
    torch.testing.assert_close(expected, before, atol=1e-5, rtol=0)
    encoder.train()
    hidden, n = encoder.prefix(inputs, lengths, k)
    assert torch.equal(hidden, expected) and not hidden.requires_grad
    if k < 4:
        state = encoder.suffix(hidden, n, k).states[-1]
        (state * torch.randn(state.shape, generator=torch.Generator().manual_seed(0))).sum().backward()
    for i, block in enumerate(encoder.blocks):
        for name, parameter in block.named_parameters():
            if i < k:
                assert not parameter.requires_grad and parameter.grad is None, name
            # Whatever trains has a gradient, or several GPUs could not wait for each other's.
            else:
                assert parameter.requires_grad and parameter.grad is not None, name
    inside = {parameter for block in encoder.blocks for parameter in block.parameters()}
    assert not any(parameter.requires_grad for parameter in set(encoder.parameters()) - inside)


def test_dropout_is_the_checkpoints_and_layerdrop_is_off(family, tmp_path):
    dropouts = ("dropout", "activation_dropout", "attention_dropout") if family == "whisper" else DROPOUTS
    drop = "encoder_layerdrop" if family == "whisper" else "layerdrop"
    off = tiny.write(family, tmp_path / "off", **dict.fromkeys(dropouts, 0.0), **{drop: 1.0})
    on = tiny.write(family, tmp_path / "on", **dict.fromkeys(dropouts, 0.0) | {dropouts[0]: 0.5})
    for folder, same in ((off, True), (on, False)):
        encoder = load(str(folder))
        inputs, lengths = batch(encoder, CLIPS[:1])
        with torch.no_grad():
            expected = encoder(inputs, lengths).states[-1]
            # Batch norm apart, whose batch is another in training.
            found = encoder.train()(inputs, lengths).states[-1]
        if family != "hubert-batch-norm" or not same:
            assert torch.allclose(found, expected, atol=1e-5) == same


def test_a_clip_is_standardised_if_the_checkpoint_says_so(folders, folder):
    values = load(str(folders["wav2vec2-base"])).prepare(CLIPS[0])
    assert values.dtype == torch.float32
    expected = (CLIPS[0] - CLIPS[0].mean()) / CLIPS[0].std()
    np.testing.assert_allclose(values, expected, atol=1e-5)
    change_json(folder / "preprocessor_config.json", do_normalize=False)
    np.testing.assert_array_equal(load(str(folder)).prepare(CLIPS[0]), CLIPS[0])


def test_a_clip_shorter_than_a_frame_gives_one_frame(folders):
    encoder = load(str(folders["wav2vec2-base"]))
    # By hand: 2 frames of the second convolution reach over 8 + 8 = 16 of the first, and these over 15 * 20 + 40.
    assert [len(encoder.prepare(clip(n / 16_000))) for n in (100, 340, 341)] == [340, 340, 341]
    assert encoder(*batch(encoder, [clip(100 / 16_000)])).lengths.tolist() == [1]


def test_whisper_counts_the_frames_that_touch_the_clip(folders):
    encoder = load(str(folders["whisper"]))
    # Windows of 400 samples, centred each 160: the last that touches 16,000 samples is the 102nd, at 16,160.
    assert encoder.prepare(clip(1.0)).shape == (102, 20)
    assert encoder.prepare(clip(2.0)).shape == (200, 20)
    assert encoder(*batch(encoder, [clip(1.0)])).lengths.tolist() == [51]
    with pytest.raises(SerError, match=r"a clip of 2\.50 s, but it takes at most 2 s; cut the clip"):
        encoder.prepare(clip(2.5))


def test_whisper_hears_silence_as_the_extractor_makes_it(folders):
    encoder = load(str(folders["whisper"]))
    quiet = np.zeros(8000, dtype="float32")
    # Loud, faint and no sound have other floors: 8 below the maximum, or that of silence.
    samples = [CLIPS[0], 1e-6 * CLIPS[0], quiet]
    with torch.no_grad():
        found = encoder(*batch(encoder, samples))
        for i, one in enumerate(samples):
            n = found.lengths[i]
            expected = theirs(folders["whisper"], one).last_hidden_state[0, :n]
            torch.testing.assert_close(found.states[-1][i, :n], expected, atol=1e-4, rtol=0)


def quiet_checkpoint(family, folder):
    """A checkpoint without dropout, so that only SpecAugment sets training apart."""
    return tiny.write(family, folder, **dict.fromkeys(DROPOUTS, 0.0), mask_feature_length=4)


@pytest.mark.parametrize("family", ["wav2vec2-base", "xls-r", "hubert-base", "wavlm-base", "data2vec-audio"])
def test_spec_augment_masks_in_training_behind_the_front_end(family, tmp_path):
    encoder = load(str(quiet_checkpoint(family, tmp_path)))
    inputs, lengths = batch(encoder)
    encoder.freeze(1)
    hidden, n = encoder.prefix(inputs, lengths, 1)
    kept = hidden.clone()
    expected = encoder.suffix(hidden, n, 1).states[-1]

    def same():
        return torch.allclose(encoder.suffix(hidden, n, 1).states[-1], expected, atol=1e-5)

    encoder.train()
    assert same()  # off unless asked for, whatever the checkpoint says
    for shares in ((0.5, 0.0), (0.0, 0.5)):
        np.random.seed(0)
        encoder.set_spec_augment(*shares)
        assert not same()
        assert torch.equal(hidden, kept)
        encoder.eval()
        assert same()
        encoder.train()
    encoder.freeze(2)
    assert same()
    with pytest.raises(SerError, match=r"shares must be in \[0, 1\], not 1.5 and 0"):
        encoder.set_spec_augment(1.5, 0)


def test_spec_augment_puts_the_checkpoints_vector_in_place_of_frames(folders):
    encoder = load(str(folders["wav2vec2-base"]))
    vector = safetensors.torch.load_file(folders["wav2vec2-base"] / "model.safetensors")["masked_spec_embed"]
    encoder.train()
    encoder.set_spec_augment(0.5, 0)
    seen = []
    encoder.model.encoder.pos_conv_embed.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    np.random.seed(0)
    inputs, lengths = batch(encoder)
    encoded = encoder(inputs, lengths)
    masked = (seen[0] == vector).all(-1)
    assert 0.1 < masked[encoded.mask].float().mean() < 0.9
    assert (seen[0][~encoded.mask] == 0).all()


def test_spec_augment_leaves_a_batch_shorter_than_a_span(folders):
    encoder = load(str(folders["wav2vec2-base"])).train()
    encoder.set_spec_augment(0.5, 0.5)
    assert encoder(*batch(encoder, [clip(0.1)])).lengths.tolist() == [4]


def test_a_checkpoint_without_the_vector_of_masked_frames_has_zeros(folder):
    change_weights(folder, lambda weights: {k: v for k, v in weights.items() if k != "masked_spec_embed"})
    assert (load(str(folder)).model.masked_spec_embed == 0).all()


def test_weights_of_half_precision_and_with_the_older_names_load(folders, folder):
    old = {"original0": "weight_g", "original1": "weight_v"}

    def change(weights):
        names = {k: k.replace("parametrizations.weight.", "") for k in weights}
        names = {
            k: ".".join([*v.split(".")[:-1], old.get(v.split(".")[-1], v.split(".")[-1])]) for k, v in names.items()
        }
        return {names[k]: v.half() for k, v in weights.items()}

    change_weights(folder, change)
    change_json(folder / "config.json", dtype="float16")
    encoder = load(str(folder))
    assert {parameter.dtype for parameter in encoder.parameters()} == {torch.float32}
    expected = load(str(folders["wav2vec2-base"])).state_dict()
    for name, weight in encoder.state_dict().items():
        assert torch.equal(weight, expected[name].half().float()), name


def test_a_head_in_the_checkpoint_is_left(folders, folder):
    model = transformers.AutoModelForCTC.from_pretrained(folders["wav2vec2-base"])
    model.save_pretrained(folder)
    assert "lm_head.weight" in safetensors.torch.load_file(folder / "model.safetensors")
    expected = load(str(folders["wav2vec2-base"])).state_dict()
    for name, weight in load(str(folder)).state_dict().items():
        assert torch.equal(weight, expected[name]), name


def test_whisper_needs_no_decoder(folders, tmp_path):
    folder = shutil.copytree(folders["whisper"], tmp_path / "whisper")
    change_weights(folder, lambda weights: {k: v for k, v in weights.items() if k.startswith("encoder.")})
    encoder = load(str(folder))
    assert not any("decoder" in name for name in encoder.state_dict())


def test_a_hub_id_is_read_from_the_cache_at_its_commit(folders, tmp_path, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    line = refusal("owner/tiny", revision=COMMIT)
    assert f"commit {COMMIT} is not in the Hugging Face cache, {tmp_path}" in line
    assert f"'hf download owner/tiny --revision {COMMIT}'" in line
    shutil.copytree(folders["hubert-base"], tmp_path / f"models--owner--tiny/snapshots/{COMMIT}")
    encoder = load("owner/tiny", revision=COMMIT)
    assert encoder.name == "owner/tiny" and encoder.model.config.model_type == "hubert"
    assert f"commit {COMMIT[::-1]} is not" in refusal("owner/tiny", revision=COMMIT[::-1])


@pytest.mark.parametrize("revision", [None, "main", COMMIT[:7]])
def test_a_hub_id_without_a_commit_is_refused(revision):
    line = refusal("owner/tiny", revision=revision)
    assert f"revision {revision} is no commit of 40 hex digits" in line
    assert "https://huggingface.co/owner/tiny/commits/main" in line


def test_what_is_no_checkpoint_is_refused(folder, tmp_path):
    assert "no such folder, and no Hub id" in refusal(tmp_path / "absent")
    assert "leave the revision out" in refusal(folder, revision=COMMIT)
    (tmp_path / "empty").mkdir()
    assert "cannot read config.json" in refusal(tmp_path / "empty")


def test_another_family_is_refused(tmp_path):
    config = transformers.BertConfig(
        vocab_size=10, hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8
    )
    transformers.BertModel(config).save_pretrained(tmp_path)
    assert "is a 'bert'; expected a speech encoder" in refusal(tmp_path)


def test_another_sampling_rate_is_refused(tmp_path):
    for family in ("hubert-base", "whisper"):
        folder = tiny.write(family, tmp_path / family, rate=8000)
        assert "takes 8000 Hz; expected a checkpoint for 16000 Hz" in refusal(folder)


def test_an_extractor_that_does_not_fit_is_refused(folders, folder, tmp_path):
    whisper = shutil.copytree(folders["whisper"], tmp_path / "whisper")
    change_json(whisper / "preprocessor_config.json", feature_size=80)
    assert "gives (frames, mels) (200, 80), its model takes (200, 20)" in refusal(whisper)
    shutil.copy(folders["whisper"] / "preprocessor_config.json", folder)
    assert "WhisperFeatureExtractor prepares its inputs; expected Wav2Vec2FeatureExtractor" in refusal(folder)
    (folder / "preprocessor_config.json").unlink()
    assert "cannot read preprocessor_config.json" in refusal(folder)


@pytest.mark.parametrize(
    ("family", "key"),
    [
        ("wav2vec2-base", "encoder.layers.1.attention.k_proj.weight"),
        ("wavlm-base", "encoder.layers.0.attention.rel_attn_embed.weight"),
        ("whisper", "encoder.layer_norm.bias"),
    ],
)
def test_missing_weights_are_refused(folders, family, key, tmp_path):
    folder = shutil.copytree(folders[family], tmp_path / "checkpoint")
    change_weights(folder, lambda weights: {k: v for k, v in weights.items() if k != key})
    assert f"1 weights of the encoder are missing in {folder} or have another shape, such as {key};" in refusal(folder)
    change_weights(folder, lambda weights: weights | {key: torch.zeros(3, 5)})
    assert f"such as {key};" in refusal(folder)


def test_pickled_weights_are_read_without_running_code(folder, tmp_path):
    weights = safetensors.torch.load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    assert "no weights" in refusal(folder)
    torch.save(weights, folder / "pytorch_model.bin")
    loaded = {key.removeprefix("model."): value for key, value in load(str(folder)).state_dict().items()}
    shared = [key for key in weights if key in loaded]
    assert shared and all(torch.equal(loaded[key], weights[key]) for key in shared)

    class Payload:
        def __reduce__(self):
            return (pathlib.Path.touch, (tmp_path / "ran",))

    torch.save(weights | {"payload": Payload()}, folder / "pytorch_model.bin")
    assert "cannot read the weights" in refusal(folder)
    assert not (tmp_path / "ran").exists()
    # A file beside them that is not the model's must not let them in.
    safetensors.torch.save_file({"x": torch.zeros(1)}, folder / "adapter.eng.safetensors")
    assert "cannot read the weights" in refusal(folder)


def test_a_broken_file_is_refused(folder):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:1000])
    assert "cannot read the weights" in refusal(folder)
    (folder / "config.json").write_text('{"model_type": "wav2vec2", ')
    assert "cannot read config.json" in refusal(folder)


def test_loading_says_nothing(folders, capfd):
    load(str(folders["wav2vec2-base"]))
    assert capfd.readouterr() == ("", "")


def test_only_a_hub_id_has_a_revision():
    assert "only a Hub id has a revision" in refusal("byol-s", revision=COMMIT)


@pytest.mark.parametrize("k", [0, 1, 2, 4])
def test_bfloat16_and_a_cache_of_it_keep_the_states(folders, family, k):
    encoder = load(str(folders[family]))
    inputs, lengths = batch(encoder)
    with torch.no_grad():
        whole = encoder(inputs, lengths)
        with torch.autocast("cpu", torch.bfloat16):
            hidden, n = encoder.prefix(inputs, lengths, k)
            found = encoder.suffix(hidden.bfloat16() if k else hidden, n, k)
    assert found.lengths.tolist() == whole.lengths.tolist()
    expected = whole.states[-1][whole.mask]
    # Eight bits of mantissa through a dozen layers.
    assert (found.states[-1][found.mask] - expected).abs().mean() < 0.03 * expected.abs().mean()

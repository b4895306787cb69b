"""Whisper's weights: from CTranslate2, OpenAI or transformers into the last two's forms."""

import io
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ser_core import files
from ser_core.errors import SerError
from ser_core.systems.weights import ctranslate2
from ser_core.systems.weights.tensors import Tensors, of_torch, read_safetensors, read_torch

# From transformers' names to OpenAI's, the first pattern of each part of a name that fits.
_OPENAI = (
    (r"^encoder\.embed_positions\.weight$", "encoder.positional_embedding"),
    (r"^decoder\.embed_positions\.weight$", "decoder.positional_embedding"),
    (r"^decoder\.embed_tokens\.", "decoder.token_embedding."),
    (r"^encoder\.layer_norm\.", "encoder.ln_post."),
    (r"^decoder\.layer_norm\.", "decoder.ln."),
    (r"\.layers\.", ".blocks."),
    (r"\.self_attn_layer_norm\.", ".attn_ln."),
    (r"\.encoder_attn_layer_norm\.", ".cross_attn_ln."),
    (r"\.final_layer_norm\.", ".mlp_ln."),
    (r"\.self_attn\.", ".attn."),
    (r"\.encoder_attn\.", ".cross_attn."),
    (r"\.q_proj\.", ".query."),
    (r"\.k_proj\.", ".key."),
    (r"\.v_proj\.", ".value."),
    (r"\.out_proj\.", ".out."),
    (r"\.fc1\.", ".mlp.0."),
    (r"\.fc2\.", ".mlp.2."),
)


@dataclass(frozen=True)
class Checkpoint:
    """Whisper's weights.

    Attributes:
        tensors: float16, as OpenAI published them, under the names of transformers' ``WhisperModel``.
        heads: Heads of each attention, which no tensor tells.
    """

    tensors: Tensors
    heads: int

    @property
    def dims(self) -> dict[str, int]:
        """Whisper's own words for the sizes."""
        sizes = self.tensors
        audio, text = sizes["encoder.embed_positions.weight"].shape, sizes["decoder.embed_positions.weight"].shape
        return {
            "n_mels": sizes["encoder.conv1.weight"].shape[1],
            "n_audio_ctx": audio[0],
            "n_audio_state": audio[1],
            "n_audio_head": self.heads,
            "n_audio_layer": _count(sizes, "encoder"),
            "n_vocab": sizes["decoder.embed_tokens.weight"].shape[0],
            "n_text_ctx": text[0],
            "n_text_state": text[1],
            "n_text_head": self.heads,
            "n_text_layer": _count(sizes, "decoder"),
        }


def _count(names: Mapping[str, object], part: str) -> int:
    """Return the number of layers of the encoder or of the decoder."""
    return len({name.split(".")[2] for name in names if name.startswith(f"{part}.layers.")})


def read(path: Path) -> Checkpoint:
    """Return Whisper's weights from a file or folder of any of the three kinds.

    Args:
        path: A ``model.bin`` of CTranslate2; OpenAI's ``.pt``; ``model.safetensors`` or ``pytorch_model.bin`` of
            transformers with ``config.json`` beside it; or a folder with one of them.

    Raises:
        SerError: If it is none of them or not whole.
    """
    path = Path(path)
    if path.is_dir():
        names = ("model.safetensors", "pytorch_model.bin", "model.bin")
        inside = next((path / name for name in names if (path / name).is_file()), None)
        if inside is None:
            raise SerError(f"{path}: has none of {', '.join(names)}; name the folder or file with the weights")
        path = inside
    try:
        if path.suffix == ".safetensors":
            return _of_transformers(read_safetensors(path), path)
        if ctranslate2.is_container(path):
            return _of_ctranslate2(ctranslate2.read(path))
        found = read_torch(path)
        if "model_state_dict" in found:
            return _of_openai(of_torch(found["model_state_dict"], path), found["dims"])
        return _of_transformers(of_torch(found, path), path)
    except KeyError as error:
        raise SerError(f"{path}: has no {error}, which Whisper has; name another file") from error


def _half(tensors: Mapping[str, np.ndarray]) -> Tensors:
    """Return the tensors in the precision of OpenAI's files; others made single precision of them."""
    # Copies: views of a file's bytes cannot be written, of which torch warns.
    return {name: np.array(values, "float16", order="C") for name, values in tensors.items()}


def _of_transformers(tensors: Mapping[str, np.ndarray], path: Path) -> Checkpoint:
    """Return a checkpoint of transformers' ``WhisperModel`` or ``WhisperForConditionalGeneration``."""
    config = path.with_name("config.json")
    if not config.is_file():
        raise SerError(f"{config}: no such file; put the checkpoint's config.json beside {path.name}")
    heads = json.loads(config.read_text(encoding="utf-8"))["encoder_attention_heads"]
    # The last projection is the embedding of the tokens once more.
    return Checkpoint(
        _half({name.removeprefix("model."): v for name, v in tensors.items() if name != "proj_out.weight"}), heads
    )


def _of_openai(tensors: Mapping[str, np.ndarray], dims: Mapping[str, int]) -> Checkpoint:
    """Return a checkpoint in Whisper's own format."""
    # By the names that the same sizes have in transformers; others than those are kept, so that they are missed.
    layers = {part: _layers_of_openai(tensors, part) for part in ("encoder", "decoder")}
    ours = {openai_name(name): name for name in _names(layers["encoder"], layers["decoder"])}
    return Checkpoint(_half({ours.get(name, name): v for name, v in tensors.items()}), dims["n_audio_head"])


def _layers_of_openai(tensors: Mapping[str, np.ndarray], part: str) -> int:
    return len({name.split(".")[2] for name in tensors if name.startswith(f"{part}.blocks.")})


def openai_name(name: str) -> str:
    """Return Whisper's own name of a tensor.

    Args:
        name: That of transformers' ``WhisperModel``.

    Examples:
        >>> openai_name("decoder.layers.3.encoder_attn.q_proj.weight")
        'decoder.blocks.3.cross_attn.query.weight'
    """
    for pattern, replacement in _OPENAI:
        name = re.sub(pattern, replacement, name)
    return name


def _names(n_encoder: int, n_decoder: int) -> list[str]:
    """Return transformers' names of all tensors."""

    def both(*stems: str) -> list[str]:
        return [f"{stem}.{kind}" for stem in stems for kind in ("weight", "bias")]

    def attention(stem: str) -> list[str]:
        return [*both(*(f"{stem}.{part}_proj" for part in ("q", "v", "out"))), f"{stem}.k_proj.weight"]

    found = ["encoder.embed_positions.weight", "decoder.embed_positions.weight", "decoder.embed_tokens.weight"]
    found += both("encoder.conv1", "encoder.conv2", "encoder.layer_norm", "decoder.layer_norm")
    for part, n in (("encoder", n_encoder), ("decoder", n_decoder)):
        for i in range(n):
            layer = f"{part}.layers.{i}"
            found += both(*(f"{layer}.{stem}" for stem in ("self_attn_layer_norm", "final_layer_norm", "fc1", "fc2")))
            found += attention(f"{layer}.self_attn")
            if part == "decoder":
                found += [*both(f"{layer}.encoder_attn_layer_norm"), *attention(f"{layer}.encoder_attn")]
    return found


def _of_ctranslate2(variables: Mapping[str, np.ndarray]) -> Checkpoint:
    """Return the variables of a ``WhisperSpec``; query, key and value are stacked there, or key and value."""
    found: Tensors = {
        "decoder.embed_tokens.weight": variables["decoder/embeddings/weight"],
        "encoder.conv1.weight": variables["encoder/conv1/weight"],
        "encoder.conv1.bias": variables["encoder/conv1/bias"],
        "encoder.conv2.weight": variables["encoder/conv2/weight"],
        "encoder.conv2.bias": variables["encoder/conv2/bias"],
    }

    def norm(theirs: str, ours: str) -> None:
        found[f"{ours}.weight"], found[f"{ours}.bias"] = variables[f"{theirs}/gamma"], variables[f"{theirs}/beta"]

    def linear(theirs: str, *ours: str) -> None:
        weights, biases = variables[f"{theirs}/weight"], variables[f"{theirs}/bias"]
        if len(weights) % len(ours) or biases.shape != weights.shape[:1]:
            raise SerError(f"'{theirs}' has shapes {weights.shape} and {biases.shape}, which are no {len(ours)} parts")
        for name, weight, bias in zip(ours, np.split(weights, len(ours)), np.split(biases, len(ours)), strict=True):
            found[f"{name}.weight"] = weight
            if not name.endswith("k_proj"):
                found[f"{name}.bias"] = bias
            elif bias.any():  # the key has none, and a third of zeros stands for it
                raise SerError(f"'{theirs}/bias' has a bias of the key, which Whisper has not; name another file")

    for part in ("encoder", "decoder"):
        found[f"{part}.embed_positions.weight"] = variables[f"{part}/position_encodings/encodings"]
        norm(f"{part}/layer_norm", f"{part}.layer_norm")
        for i in range(len({name.split("/")[1] for name in variables if re.match(rf"{part}/layer_\d", name)})):
            theirs, ours = f"{part}/layer_{i}", f"{part}.layers.{i}"
            norm(f"{theirs}/self_attention/layer_norm", f"{ours}.self_attn_layer_norm")
            linear(f"{theirs}/self_attention/linear_0", *(f"{ours}.self_attn.{n}_proj" for n in ("q", "k", "v")))
            linear(f"{theirs}/self_attention/linear_1", f"{ours}.self_attn.out_proj")
            if part == "decoder":
                norm(f"{theirs}/attention/layer_norm", f"{ours}.encoder_attn_layer_norm")
                linear(f"{theirs}/attention/linear_0", f"{ours}.encoder_attn.q_proj")
                linear(f"{theirs}/attention/linear_1", *(f"{ours}.encoder_attn.{n}_proj" for n in ("k", "v")))
                linear(f"{theirs}/attention/linear_2", f"{ours}.encoder_attn.out_proj")
            norm(f"{theirs}/ffn/layer_norm", f"{ours}.final_layer_norm")
            linear(f"{theirs}/ffn/linear_0", f"{ours}.fc1")
            linear(f"{theirs}/ffn/linear_1", f"{ours}.fc2")
    return Checkpoint(_half(found), int(variables["encoder/num_heads"]))


def write(checkpoint: Checkpoint, folder: Path, name: str) -> None:
    """Write what transformers reads, all but the tokenizer, and ``<name>.pt`` in Whisper's own format.

    Args:
        checkpoint: The weights.
        folder: Where to write; the tensors go to ``model.safetensors`` there.
        name: Whisper's own name of the model, such as ``tiny.en``.
    """
    import torch
    from safetensors.numpy import save_file
    from transformers import WhisperConfig, WhisperFeatureExtractor

    dims = checkpoint.dims
    # English-only models have one token less, and so all that follow it have another number.
    end = 50_257 if dims["n_vocab"] >= 51_865 else 50_256
    config = WhisperConfig(
        architectures=["WhisperForConditionalGeneration"],
        vocab_size=dims["n_vocab"],
        num_mel_bins=dims["n_mels"],
        d_model=dims["n_audio_state"],
        encoder_layers=dims["n_audio_layer"],
        encoder_attention_heads=dims["n_audio_head"],
        encoder_ffn_dim=4 * dims["n_audio_state"],
        decoder_layers=dims["n_text_layer"],
        decoder_attention_heads=dims["n_text_head"],
        decoder_ffn_dim=4 * dims["n_text_state"],
        max_source_positions=dims["n_audio_ctx"],
        max_target_positions=dims["n_text_ctx"],
        bos_token_id=50_257,
        eos_token_id=end,
        pad_token_id=end,
        decoder_start_token_id=end + 1,
        dtype="float16",
    )
    config.save_pretrained(folder)
    # A frame each 10 ms; the second convolution takes every other.
    WhisperFeatureExtractor(feature_size=dims["n_mels"], chunk_length=2 * dims["n_audio_ctx"] // 100).save_pretrained(
        folder
    )
    with files.replacing(folder / "model.safetensors") as temporary:
        save_file({f"model.{key}": v for key, v in checkpoint.tensors.items()}, temporary, metadata={"format": "pt"})
    state = {openai_name(key): torch.from_numpy(v) for key, v in checkpoint.tensors.items()}
    # By way of memory: into a file, torch writes the file's name too.
    content = io.BytesIO()
    torch.save({"dims": dims, "model_state_dict": state}, content)
    with files.replacing(folder / f"{name}.pt") as temporary:
        temporary.write_bytes(content.getbuffer())

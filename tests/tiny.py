"""Checkpoints of every family, a few kilobytes each, with random weights."""

import dataclasses

import tokenizers
import torch
import transformers
import whisper

SIZES = {"num_hidden_layers": 3, "num_attention_heads": 2, "hidden_size": 16, "intermediate_size": 24}
# A frame each 320 samples (20 ms), as in the published checkpoints, by three convolutions for seven.
# Not eight channels: oneDNN's bfloat16 convolution from 8 to 8 channels with 8 taps gives wrong values on some CPUs.
CONVOLUTIONS = {"conv_dim": (16, 16, 16), "conv_kernel": (40, 8, 2), "conv_stride": (20, 8, 2)}
WAVE = SIZES | CONVOLUTIONS | {"num_conv_pos_embedding_groups": 2, "num_conv_pos_embeddings": 6}
STABLE = {"do_stable_layer_norm": True, "feat_extract_norm": "layer", "conv_bias": True}

FAMILIES = {
    "wav2vec2-base": ("Wav2Vec2", WAVE),
    "xls-r": ("Wav2Vec2", WAVE | STABLE),
    "hubert-base": ("Hubert", WAVE),
    "hubert-batch-norm": ("Hubert", WAVE | {"conv_pos_batch_norm": True}),
    "wavlm-base": ("WavLM", WAVE | {"num_buckets": 8, "max_bucket_distance": 20}),
    "wavlm-large": ("WavLM", WAVE | STABLE | {"num_buckets": 8, "max_bucket_distance": 20}),
    "data2vec-audio": ("Data2VecAudio", WAVE | {"num_conv_pos_embeddings": 3, "conv_pos_kernel_size": 5}),
    "whisper": (
        "Whisper",
        {
            "d_model": 16,
            "encoder_layers": 3,
            "encoder_attention_heads": 2,
            "encoder_ffn_dim": 24,
            "decoder_layers": 1,
            "decoder_attention_heads": 2,
            "decoder_ffn_dim": 24,
            "num_mel_bins": 20,
            "max_source_positions": 100,
            "max_target_positions": 8,
            "vocab_size": 10,
            "pad_token_id": 0,
            "bos_token_id": 1,
            "eos_token_id": 2,
            "decoder_start_token_id": 1,
        },
    ),
}


# The tokens that open, close and separate, in the order of the published vocabularies.
BERT_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
ROBERTA_TOKENS = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")
DEBERTA_TOKENS = ("[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]")
WORDS = "i you he we are am is so very happy sad no yes what why the a not oh god ross monica joey rachel".split()
CHARACTERS = list("abcdefghijklmnopqrstuvwxyz.,:;!?'")

TEXT = SIZES | {"max_position_embeddings": 160}
ROBERTA = TEXT | {"type_vocab_size": 1, "bos_token_id": 0, "pad_token_id": 1, "eos_token_id": 2}
DEBERTA = TEXT | {"relative_attention": True, "position_buckets": 8, "norm_rel_ebd": "layer_norm"}
DEBERTA |= {"pos_att_type": ["p2c", "c2p"], "share_att_key": True, "position_biased_input": False, "type_vocab_size": 0}
TEXT_FAMILIES = {
    "bert": ("Bert", "Bert", TEXT),
    "minilm": ("Bert", "Bert", TEXT | {"num_attention_heads": 4, "intermediate_size": 64}),
    "distilbert": ("DistilBert", "Bert", TEXT),
    "roberta": ("Roberta", "Roberta", ROBERTA),
    "xlm-roberta": ("XLMRoberta", "XLMRoberta", ROBERTA),
    "deberta-v2": ("DebertaV2", "DebertaV2", DEBERTA | {"conv_kernel_size": 3, "conv_act": "gelu"}),
    "deberta-v3": ("DebertaV2", "DebertaV2", DEBERTA),
    "deberta-typed": (
        "DebertaV2",
        "DebertaV2",
        DEBERTA | {"share_att_key": False, "position_biased_input": True, "type_vocab_size": 2},
    ),
}


def _random(model_class, config, seed):
    """Make a model from a seed and change weights and statistics: transformers' own start leaves biases zero and norms
    one, which would hide how padding comes in."""
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(seed)
        model = model_class(config)
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape))
        for buffer_name, buffer in model.named_buffers():
            if "running" in buffer_name:
                buffer.copy_(torch.rand(buffer.shape) + 0.5)
    return model


def write(family, folder, seed=0, rate=16_000, **settings):
    """Write config, weights and feature extractor of a family; settings go into the config. Whisper's takes 2 s."""
    name, values = FAMILIES[family]
    config = getattr(transformers, f"{name}Config")(**values | settings)
    _random(getattr(transformers, f"{name}Model"), config, seed).save_pretrained(folder)
    if family == "whisper":
        extractor = transformers.WhisperFeatureExtractor(feature_size=20, chunk_length=2, sampling_rate=rate)
    else:
        extractor = transformers.Wav2Vec2FeatureExtractor(sampling_rate=rate, return_attention_mask="xls-r" == family)
    extractor.save_pretrained(folder)
    return folder


def _vocabulary(tokenizer):
    """Return the vocabulary of a family's tokenizer: some words, letters for the rest, or bytes."""
    if tokenizer == "Bert":
        pieces = dict.fromkeys([*BERT_TOKENS, *WORDS, *CHARACTERS, *(f"##{c}" for c in CHARACTERS)])
        return {"vocab": {piece: i for i, piece in enumerate(pieces)}}
    if tokenizer == "Roberta":
        pieces = [*ROBERTA_TOKENS[:4], *sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet()), ROBERTA_TOKENS[4]]
        return {"vocab": {piece: i for i, piece in enumerate(pieces)}, "merges": []}
    special = ROBERTA_TOKENS if tokenizer == "XLMRoberta" else DEBERTA_TOKENS
    scores = dict.fromkeys(special[:4], 0.0) | {"\u2581": -3.0} | {"\u2581" + word: -2.0 for word in WORDS}
    return {"vocab": list((scores | dict.fromkeys(CHARACTERS, -5.0) | {special[4]: 0.0}).items()), "unk_id": 3}


def write_text(family, folder, seed=0, **settings):
    """Write config, weights and tokenizer.json of a text family; settings go into the config."""
    name, kind, values = TEXT_FAMILIES[family]
    tokenizer = getattr(transformers, f"{kind}Tokenizer")(**_vocabulary(kind))
    config = getattr(transformers, f"{name}Config")(**{"vocab_size": len(tokenizer)} | values | settings)
    _random(getattr(transformers, f"{name}Model"), config, seed).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


WHISPER = whisper.ModelDimensions(
    n_mels=80,
    n_audio_ctx=1500,
    n_audio_state=16,
    n_audio_head=2,
    n_audio_layer=1,
    n_vocab=51865,
    n_text_ctx=16,
    n_text_state=16,
    n_text_head=2,
    n_text_layer=1,
)


def write_whisper(path, dims=WHISPER, seed=0):
    """Random weights in Whisper's own format, with a decoder that listens; it stops after n_text_ctx / 2 tokens."""
    model, generator = whisper.model.Whisper(dims), torch.Generator().manual_seed(seed)
    for name, values in model.state_dict().items():
        if "ln" not in name and values.is_floating_point():
            values.copy_(torch.randn(values.shape, generator=generator) * (3.0 if "cross_attn" in name else 0.4))
    torch.save({"dims": dataclasses.asdict(dims), "model_state_dict": model.state_dict()}, path)
    return str(path)

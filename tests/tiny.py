"""Checkpoints of every family, a few kilobytes each, with random weights."""

import torch
import transformers

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


def write(family, folder, seed=0, rate=16_000, **settings):
    """Write config, weights and feature extractor of a family; settings go into the config. Whisper's takes 2 s."""
    name, values = FAMILIES[family]
    config = getattr(transformers, f"{name}Config")(**values | settings)
    generator = torch.Generator().manual_seed(seed)
    model = getattr(transformers, f"{name}Model")(config)
    with torch.no_grad():
        # transformers' own start leaves biases zero and norms one, which would hide how padding comes in.
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator))
        for buffer_name, buffer in model.named_buffers():
            if "running" in buffer_name:
                buffer.copy_(torch.rand(buffer.shape, generator=generator) + 0.5)
    model.save_pretrained(folder)
    if family == "whisper":
        extractor = transformers.WhisperFeatureExtractor(feature_size=20, chunk_length=2, sampling_rate=rate)
    else:
        extractor = transformers.Wav2Vec2FeatureExtractor(sampling_rate=rate, return_attention_mask="xls-r" == family)
    extractor.save_pretrained(folder)
    return folder

"""What the benchmarks of encoders share: sounds, encoders, facts of the machine, and the file of results."""

import argparse
import os
import platform
import statistics
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import measuring
import numpy as np
import torch
import transformers
from torch import nn

from ser_core import files, paths
from ser_core.data import synthetic
from ser_core.systems.encoders import Encoder, byol
from ser_core.systems.encoders.base import RATE
from ser_core.systems.encoders.hub.wave import WaveEncoder

_NO_DROPOUT = dict.fromkeys(
    ("hidden_dropout", "activation_dropout", "attention_dropout", "feat_proj_dropout", "layerdrop"), 0.0
)
_LARGE = {"hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16, "intermediate_size": 4096}
_STABLE = {"do_stable_layer_norm": True, "feat_extract_norm": "layer", "conv_bias": True}
_TINY = {"hidden_size": 64, "num_hidden_layers": 4, "num_attention_heads": 4, "intermediate_size": 128}
_FRONT = {"conv_dim": (32,) * 7, "num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 4}
SHAPES = {"tiny": _TINY | _FRONT, "base": {}, "xls-r-300m": _LARGE | _STABLE}
"""Of wav2vec 2.0, as they differ from transformers' default, which is that of wav2vec2-base."""

SIZES = ("byol-s", *SHAPES)


def arguments(benchmark: str, n_clips: Mapping[str, int]) -> argparse.Namespace:
    """Return the settings of the command line; torch sees one GPU if they say so, else none.

    Args:
        benchmark: Name of the benchmark.
        n_clips: Clips to take on each kind of device, unless the command line says.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--size", choices=SIZES, default="byol-s", help="BYOL-S, or a shape of wav2vec 2.0")
    parser.add_argument("--repeats", type=int, default=3, help="turns of each side that are timed")
    parser.add_argument(
        "--clips", type=int, help=f"number of clips; by default {dict(n_clips)}, on a CPU a quarter for large shapes"
    )
    parser.add_argument("--out", type=Path, help="by default results/benchmarks/<benchmark>.<device>.<size>.json")
    given = parser.parse_args()
    if given.device == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    else:
        os.environ.setdefault("CUDA_VISIBLE_DEVICES", "0")
        if not torch.cuda.is_available():
            parser.error("--device cuda: torch sees no GPU here")
    if given.clips is None:
        large_on_cpu = given.device == "cpu" and given.size in ("base", "xls-r-300m")
        given.clips = n_clips[given.device] // (4 if large_on_cpu else 1)
    given.out = given.out or paths.results() / "benchmarks" / f"{benchmark}.{given.device}.{given.size}.json"
    return given


def sounds(n: int, seed: int = 0) -> list[np.ndarray]:
    """Return synthetic speech whose durations spread as in corpora of emotion: log-normal, 1 to 12 s, median 3.5 s.

    Args:
        n: Number of clips.
        seed: Of every random choice.
    """
    rng = np.random.default_rng(seed)
    found = []
    for seconds in np.exp(rng.normal(np.log(3.5), 0.5, n)).clip(1, 12):
        clip, length = np.zeros(0, "float32"), round(RATE * seconds)
        who = {"speaker": int(rng.integers(20)), "gender": "female", "emotion": rng.random(), "seed": seed}
        while len(clip) < length:
            clip = np.concatenate([clip, synthetic.utterance(sentence=int(rng.integers(10**6)), **who)])
        found.append(clip[:length])
    return found


def encoder(size: str) -> Encoder:
    """Return an encoder without dropout: BYOL-S as published if its weights are there, or random weights of a shape.

    Args:
        size: One of `SIZES`.
    """
    torch.manual_seed(0)
    if size == "byol-s":
        made = byol.load() if os.environ.get("SER_WEIGHTS") else byol.ByolS()
    else:
        config = transformers.Wav2Vec2Config(**SHAPES[size], **_NO_DROPOUT)
        made = WaveEncoder(size, transformers.Wav2Vec2Model(config), transformers.Wav2Vec2FeatureExtractor())
    for layer in made.modules():
        if isinstance(layer, nn.Dropout):
            layer.p = 0.0
    return made.eval()


def synchronised() -> float:
    """Return the time once the GPU, if one is used, has done all that it was given."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def spread(rates: list[float]) -> dict:
    """Return the least, the median and the greatest of clips a second, and all of them.

    Args:
        rates: Clips a second of each turn.
    """
    middle = statistics.median(rates)
    return {"min": min(rates), "median": middle, "max": max(rates), "all": [round(rate, 3) for rate in rates]}


def write(given: argparse.Namespace, clips: list[np.ndarray], made: Encoder, found: dict) -> None:
    """Write the results with what they were measured on, and print them.

    Args:
        given: From `arguments`.
        clips: The sounds.
        made: The encoder.
        found: The results.
    """
    seconds = np.array([len(clip) / RATE for clip in clips])
    spread_s = {"total": seconds.sum(), "min": seconds.min(), "median": np.median(seconds), "max": seconds.max()}
    on_gpu = given.device == "cuda"
    facts = {
        "size": given.size,
        "weights": "published" if given.size == "byol-s" and os.environ.get("SER_WEIGHTS") else "random",
        "parameters": sum(parameter.numel() for parameter in made.parameters()),
        "repeats": given.repeats,
        "clips": len(clips),
        "durations_s": {name: round(float(value), 2) for name, value in spread_s.items()},
        "machine": {
            "device": torch.cuda.get_device_name() if on_gpu else "cpu",
            "cpu": measuring.processor(),
            "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
            "threads": torch.get_num_threads(),
            "load_average": [round(load, 2) for load in os.getloadavg()],
            "system": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
            "versions": {name: version(name) for name in ("torch", "transformers", "accelerate")},
        },
        "measured_on": datetime.now(UTC).date().isoformat(),
    }
    files.write_json(facts | found, given.out)
    print(given.out.read_text())

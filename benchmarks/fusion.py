"""What a fusion head costs beside the forward passes of the two encoders that it stands on.

From the repository, in the environment of `make test`; SER_WEIGHTS, if set, gives BYOL-S its published weights:

    python benchmarks/fusion.py --device cpu --size byol-s
    python benchmarks/fusion.py --device cpu --size tiny
    python benchmarks/fusion.py --device cpu --size base
    python benchmarks/fusion.py --device cuda --size byol-s
    python benchmarks/fusion.py --device cuda --size base
    python benchmarks/fusion.py --device cuda --size xls-r-300m

Each writes results/benchmarks/fusion.<device>.<size>.json. Beside BYOL-S stands a MiniLM, beside wav2vec 2.0 a BERT of
its width, both with random weights and random tokens. Encoders and heads are timed on the same batches, in float32.
"""

import functools

import measuring
import numpy as np
import side_by_side
import torch
import transformers

from ser_core.systems.encoders.base import pad
from ser_core.systems.encoders.text import TextEncoder
from ser_core.systems.networks.fused import FusionClassifier
from ser_core.systems.registry import FUSION_HEADS as HEADS

N_CLASSES, BATCH = 8, 16
READERS = {
    "byol-s": {"hidden_size": 384, "num_hidden_layers": 6, "num_attention_heads": 12, "intermediate_size": 1536},
    "tiny": {"hidden_size": 64, "num_hidden_layers": 4, "num_attention_heads": 4, "intermediate_size": 128},
    "base": {},
    "xls-r-300m": {"hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16, "intermediate_size": 4096},
}
"""Shapes of BERT, as they differ from transformers' default, which is that of BERT base."""


def batches(inputs: list[torch.Tensor], device: str) -> list[tuple[torch.Tensor, ...]]:
    """Return padded batches of clips of like length, each clip with 5 to 40 random tokens."""
    rng = np.random.default_rng(0)
    order = np.argsort([len(clip) for clip in inputs], kind="stable")
    found = []
    for start in range(0, len(order), BATCH):
        here = order[start : start + BATCH]
        lengths = rng.integers(5, 41, len(here))
        texts = [torch.from_numpy(np.stack([rng.integers(1000, 28_000, n), np.zeros(n, int)], 1)) for n in lengths]
        found.append(tuple(x.to(device) for x in (*pad([inputs[i] for i in here]), *pad(texts))))
    return found


def main() -> None:
    """Time the encoders and each head, write the file."""
    given = side_by_side.arguments("fusion", {"cpu": 32, "cuda": 1024})
    clips = side_by_side.sounds(given.clips)
    encoder = side_by_side.encoder(given.size).to(given.device)
    torch.manual_seed(1)
    config = transformers.BertConfig(**READERS[given.size])
    reader = TextEncoder("bert", transformers.BertModel(config), None).to(given.device).eval()
    made = batches([encoder.prepare(clip) for clip in clips], given.device)

    def states(batch):
        audio, audio_lengths, texts, text_lengths = batch
        heard, read = encoder(audio, audio_lengths), reader(texts, text_lengths)
        return heard.states[-1], heard.mask, read.states[-1], read.mask

    with torch.no_grad():
        kept = [states(batch) for batch in made]
    heads = {
        kind: FusionClassifier(encoder, reader, N_CLASSES, kind=kind).head.to(given.device).eval() for kind in HEADS
    }

    def rate(side, over) -> float:
        start = side_by_side.synchronised()
        with torch.no_grad():
            for batch in over:
                side(batch)
        return len(clips) / (side_by_side.synchronised() - start)

    sides = {"encoders": functools.partial(rate, states, made)}
    for kind, head in heads.items():
        sides[kind] = functools.partial(rate, lambda batch, head=head: head(*batch), kept)
    for side in sides.values():
        side()  # what is made at the first call is not timed
    rates = measuring.turns(sides, given.repeats)
    middle = {name: side_by_side.spread(values) for name, values in rates.items()}
    results = {
        "clips_per_second": middle,
        "share_of_encoders": {kind: round(middle["encoders"]["median"] / middle[kind]["median"], 4) for kind in HEADS},
        "head_parameters": {kind: sum(p.numel() for p in head.parameters()) for kind, head in heads.items()},
        "reader_parameters": sum(parameter.numel() for parameter in reader.parameters()),
    }
    side_by_side.write(given, clips, encoder, results)


if __name__ == "__main__":
    main()

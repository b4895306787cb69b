"""How many clips a second are embedded: one at a time in float32, and by `features.batches.embed`.

From the repository, in the environment of `make test`; SER_WEIGHTS, if set, gives BYOL-S its published weights:

    python benchmarks/embedding.py --device cpu --size byol-s
    python benchmarks/embedding.py --device cpu --size tiny
    python benchmarks/embedding.py --device cpu --size base
    python benchmarks/embedding.py --device cuda --size byol-s
    python benchmarks/embedding.py --device cuda --size base
    python benchmarks/embedding.py --device cuda --size xls-r-300m

Each writes results/benchmarks/embedding.<device>.<size>.json and takes less than a minute on two idle cores. Both
sides have the same encoder, prepared inputs, process and cores. They must give the same vectors before they are timed.
"""

import functools

import measuring
import numpy as np
import side_by_side
import torch
from torch.profiler import ProfilerActivity, profile

from ser_core.systems.encoders import Encoder
from ser_core.systems.features.batches import embed
from ser_core.systems.networks import Pooling

TOLERANCE = {"cpu": {"fp32": 1e-4, "bf16": 0.03}, "cuda": {"fp32": 3e-3, "bf16": 0.03}}
"""How far a clip's vector may be from that of the plain loop, as a share of its length; on a GPU torch rounds the
products of float32 convolutions to ten bits (TF32), in an order that depends on the batch."""


def one_by_one(encoder: Encoder, inputs: list[torch.Tensor]) -> np.ndarray:
    """Return the mean state of each clip, as a plain loop computes it; all of torch's threads work on one clip."""
    device, pool, found = next(encoder.parameters()).device, Pooling("mean", encoder.dim), []
    with torch.no_grad():
        for clip in inputs:
            encoded = encoder(clip[None].to(device), torch.tensor([len(clip)], device=device))
            found.append(pool(encoded.states[-1], encoded.mask)[0].cpu().numpy())
    return np.stack(found)


def shares(encoder: Encoder, inputs: list[torch.Tensor]) -> dict[str, float]:
    """Return the operations that take most of the plain loop's time on a CPU, with their shares, on one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    one_by_one(encoder, inputs)
    with profile(activities=[ProfilerActivity.CPU], acc_events=True) as profiled:
        one_by_one(encoder, inputs)
    torch.set_num_threads(threads)
    seconds = {event.key: event.self_cpu_time_total for event in profiled.key_averages()}
    top = sorted(seconds, key=seconds.get, reverse=True)[:5]
    return {name.removeprefix("aten::"): round(seconds[name] / sum(seconds.values()), 3) for name in top}


def main() -> None:
    """Check that both sides give the same vectors, time them, write the file."""
    given = side_by_side.arguments("embedding", {"cpu": 24, "cuda": 1024})
    clips = side_by_side.sounds(given.clips)
    encoder = side_by_side.encoder(given.size).to(given.device)
    inputs = [encoder.prepare(clip) for clip in clips]

    expected, off = one_by_one(encoder, inputs), {}
    for precision, tolerance in TOLERANCE[given.device].items():
        found = embed(encoder, inputs, precision=precision)
        off[precision] = float((np.linalg.norm(found - expected, axis=1) / np.linalg.norm(expected, axis=1)).max())
        if not off[precision] <= tolerance:
            raise SystemExit(f"error: vectors in {precision} are off by {off[precision]:.2g}, more than {tolerance:g}")

    def rate(side) -> float:
        start = side_by_side.synchronised()
        side()
        return len(clips) / (side_by_side.synchronised() - start)

    sides = {
        "plain": functools.partial(one_by_one, encoder, inputs),
        "fp32": functools.partial(embed, encoder, inputs, precision="fp32"),
        "bf16": functools.partial(embed, encoder, inputs, precision="bf16"),
    }
    rates = measuring.turns({name: functools.partial(rate, side) for name, side in sides.items()}, given.repeats)
    results = {
        "clips_per_second": {name: side_by_side.spread(values) for name, values in rates.items()},
        "off": off,
        "tolerance": TOLERANCE[given.device],
    }
    if given.device == "cpu":
        results["plain_time_shares"] = shares(encoder, inputs)
    side_by_side.write(given, clips, encoder, results)


if __name__ == "__main__":
    main()

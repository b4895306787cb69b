"""How many clips are embedded at once: sorted by length, in small batches, in bfloat16 where the hardware has it."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np

from ser_core.errors import SerError
from ser_core.systems.precision import has_bfloat16

if TYPE_CHECKING:
    import torch

    from ser_core.systems.encoders import base

BATCH_SECONDS = {"cpu": 10.0, "cuda": 160.0}
"""Padded seconds of a batch by kind of device: on a CPU what stays in its caches, on a GPU what keeps it busy."""

_STEPS = {1: 16_000, 2: 100}
"""Steps of a second by the axes of a prepared clip: samples, spectra. An image counts as a second."""


def embed(
    encoder: "base.Encoder",
    inputs: Sequence["torch.Tensor"],
    *,
    pooling: str = "mean",
    layer: int | None = -1,
    batch_seconds: float | None = None,
    precision: str = "bf16",
    progress: bool = False,
) -> np.ndarray:
    """Return one vector a clip, the pooled states of one layer or all, computed where the encoder's weights are.

    Batches hold clips of like length. On a CPU each of torch's threads computes batches of its own: all threads on one
    clip would wait for each other at every step. A batch that does not fit into the memory of a GPU is halved. In
    ``fp32`` a clip's vector is the same, up to rounding, whatever is embedded beside it.

    Args:
        encoder: A pretrained encoder; it acts as in evaluation.
        inputs: What `Encoder.prepare` gave for each clip.
        pooling: A key of `ser_core.systems.networks.POOLINGS`, but none that is learnt.
        layer: Layer whose states are pooled, counted from 0, or from -1 backwards; None for all, side by side.
        batch_seconds: Audio in a batch, padding included, at most, but always one clip; `BATCH_SECONDS` if None.
        precision: ``bf16``, products in bfloat16 if the CPU or GPU has instructions for it, or ``fp32``.
        progress: Show a progress bar on standard error.

    Returns:
        float32, shape (n_clips, dim), in the order of the inputs; ``statistics`` has two values for each of the states.

    Raises:
        SerError: If there is no such pooling, layer or precision, or the pooling is a learnt one.

    Examples:
        >>> import torch
        >>> from ser_core.systems.encoders.byol import ByolS
        >>> embed(ByolS(), [torch.randn(n, 64) for n in (80, 250, 120)]).shape
        (3, 512)
    """
    import torch
    from tqdm import tqdm

    from ser_core.systems.encoders import pad
    from ser_core.systems.networks import Pooling

    pool = Pooling(pooling, encoder.dim)
    if next(pool.parameters(), None) is not None:
        raise SerError(
            f"{encoder.name}: the pooling '{pooling}' must be learnt first; take 'mean', or train a classifier"
        )
    if layer is not None and layer not in range(-encoder.n_layers, encoder.n_layers):
        raise SerError(
            f"{encoder.name}: no layer {layer}, it has {encoder.n_layers}; count from 0, or from -1 backwards"
        )
    if precision not in ("bf16", "fp32"):
        raise SerError(f"precision is one of ['bf16', 'fp32'], not '{precision}'")
    device = next(encoder.parameters()).device
    narrow = precision == "bf16" and has_bfloat16(device)

    def vectors(which: np.ndarray) -> torch.Tensor:
        # autocast and inference_mode are thread-local.
        with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=narrow):
            try:
                batch, lengths = pad([inputs[i] for i in which])
                encoded = encoder(batch.to(device), lengths.to(device))
                states = encoded.states if layer is None else [encoded.states[layer]]
                return torch.cat([pool(state, encoded.mask) for state in states], 1)
            except torch.OutOfMemoryError:
                if len(which) == 1:
                    raise
            return torch.cat([vectors(half) for half in np.array_split(which, 2)])

    batches = _batches(inputs, batch_seconds or BATCH_SECONDS[device.type])
    n_layers = encoder.n_layers if layer is None else 1
    found = np.empty((len(inputs), n_layers * pool.dim), dtype=np.float32)
    training, threads = encoder.training, torch.get_num_threads()
    workers = min(threads, max(1, len(batches))) if device.type == "cpu" else 1
    encoder.eval()
    try:
        with (
            ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(threads // workers,)) as executor,
            tqdm(total=len(inputs), desc=encoder.name, unit="clip", disable=not progress) as bar,
        ):
            for which, made in zip(batches, executor.map(vectors, batches), strict=True):
                found[which] = made.cpu().numpy()
                bar.update(len(which))
    finally:
        torch.set_num_threads(threads)
        encoder.train(training)
    return found


def _batches(inputs: Sequence["torch.Tensor"], seconds: float) -> list[np.ndarray]:
    """Return the places of the clips of each batch: the longest first, so that too little memory shows at once."""
    lengths = np.array([len(clip) / _STEPS.get(clip.ndim, 1) for clip in inputs])
    order, batches = np.argsort(-lengths, kind="stable"), []
    while len(order):
        # The first is the longest, to which the others are padded.
        n = max(1, int(seconds / lengths[order[0]]))
        batches.append(order[:n])
        order = order[n:]
    return batches

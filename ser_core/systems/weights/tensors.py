"""Tensors of a checkpoint as numpy arrays: read without running code, digested, compared."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ser_core.errors import SerError

Tensors = dict[str, np.ndarray]
"""Values by name."""


def digest(tensors: Mapping[str, np.ndarray]) -> str:
    """Return the sha256 of names, types, shapes and values, whatever the order and the file that they came in.

    Args:
        tensors: Values by name.

    Returns:
        64 hex digits.

    Examples:
        >>> one, other = np.zeros(2, "float32"), np.ones((3, 1), "float16")
        >>> digest({"a": one, "b": other}) == digest({"b": other, "a": one})
        True
        >>> digest({"a": one}) == digest({"a": one.astype("float16")})
        False
    """
    found = hashlib.sha256()
    for name in sorted(tensors):
        values = tensors[name].astype(tensors[name].dtype.newbyteorder("<"), copy=False)
        found.update(f"{name} {values.dtype.name} {list(values.shape)}\n".encode())
        found.update(values.tobytes())
    return found.hexdigest()


def differences(tensors: Mapping[str, np.ndarray], others: Mapping[str, np.ndarray]) -> list[str]:
    """Return in what tensors and others differ; nothing if all names, shapes and values are equal.

    Args:
        tensors: Values by name.
        others: What they are compared with; of any type, for values are compared.

    Examples:
        >>> differences({"a": np.zeros(2, "float16")}, {"a": np.zeros(2)})
        []
        >>> differences({"a": np.zeros(2), "b": np.zeros(2)}, {"a": np.array([0, 0.5])})
        ['1 of 2 tensors are missing there, such as b', 'the largest difference is 0.5, in a']
    """
    found = []
    if missing := sorted(set(tensors) - set(others)):
        found.append(f"{len(missing)} of {len(tensors)} tensors are missing there, such as {missing[0]}")
    if more := sorted(set(others) - set(tensors)):
        found.append(f"{len(more)} tensors are there only, such as {more[0]}")
    largest, at = 0.0, None
    for name in sorted(set(tensors) & set(others)):
        one, other = np.asarray(tensors[name], "float64"), np.asarray(others[name], "float64")
        if one.shape != other.shape:
            found.append(f"{name} has shape {list(one.shape)}, there {list(other.shape)}")
            continue
        difference = float(np.abs(one - other).max(initial=0.0))
        if not difference <= largest:
            largest, at = difference, name
    return [*found, f"the largest difference is {largest:.3g}, in {at}"] if at else found


def read_safetensors(path: Path) -> Tensors:
    """Return the tensors of a safetensors file.

    Raises:
        SerError: If it is truncated or something else.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        return load_file(path)
    except SafetensorError as error:
        raise SerError(f"{path}: not a whole safetensors file ({error}); delete it and get it again") from error


def read_torch(path: Path) -> dict:
    """Return what a file of torch holds: tensors, numbers, texts, and mappings of them, but nothing that runs.

    Raises:
        SerError: If it holds anything else, is truncated, or is no such file.
    """
    import torch

    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # as many kinds as there are files that are something else
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:120]
        raise SerError(f"{path}: not a whole file of torch with tensors alone ({reason}); get it again") from error
    if not isinstance(found, dict):
        raise SerError(f"{path}: holds a {type(found).__name__}, expected a state dict; name another file")
    return found


def of_torch(state: Mapping[str, object], path: Path) -> Tensors:
    """Return a state dict of torch as arrays.

    Args:
        state: Tensors by name.
        path: Where it is from, for messages.

    Raises:
        SerError: If a value is no tensor.
    """
    import torch

    for name, values in state.items():
        if not isinstance(values, torch.Tensor):
            raise SerError(f"{path}: '{name}' is a {type(values).__name__}, expected a tensor; name another file")
    # safetensors writes the bytes as they lie, whatever the strides.
    return {name: values.detach().contiguous().numpy() for name, values in state.items()}

"""Pretrained encoders of speech and of text behind one interface: which name stands for which."""

import importlib

from ser_core.errors import SerError
from ser_core.systems import registry
from ser_core.systems.encoders.base import Encoded, Encoder, pad

__all__ = ["Encoded", "Encoder", "load", "pad"]


def load(name: str, *, revision: str | None = None) -> Encoder:
    """Return a pretrained encoder.

    Args:
        name: ``byol-s``; a spectrogram network, such as ``vgg16-mel`` or ``lite0-mel``; ``whisper-base`` or
            ``whisper-tiny.en``, with ``-30s`` behind it or not, see `ser_core.systems.encoders.whisper.load`;
            ``lora:``, ``eager:``, ``layers:`` or ``lower:4:`` before one of these, see
            `ser_core.systems.encoders.adapted`, `ser_core.systems.encoders.eager`,
            `ser_core.systems.encoders.stacked` and `ser_core.systems.encoders.lower`; a Hub id or folder of a speech
            encoder of transformers, see `ser_core.systems.encoders.hub.load`; ``minilm``; or ``text:`` with the Hub id
            or folder of a text encoder behind it, see `ser_core.systems.encoders.text.load`.
        revision: The commit of a Hub id.

    Returns:
        The encoder, in evaluation mode.

    Raises:
        SerError: If a revision is given for what is no Hub id, or the checkpoint is not there or cannot be used.

    Examples:
        >>> load("vgg16-mel", revision="main")
        Traceback (most recent call last):
        ser_core.errors.SerError: vgg16-mel: only a Hub id has a revision, not this; leave the revision 'main' out
    """
    kind = registry.encoder(name)
    if revision is not None and not kind.revisions:
        raise SerError(f"{name}: only a Hub id has a revision, not this; leave the revision '{revision}' out")
    # Imported here, because each brings a library that the others can do without.
    module = importlib.import_module(f"ser_core.{kind.module}")
    options = {"revision": revision} if kind.revisions else {}
    return module.load(name.removeprefix(kind.prefix or ""), **options)

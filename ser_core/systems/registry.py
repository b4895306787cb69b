"""Names that an experiment file may use, and the code behind each; known without importing torch."""

from dataclasses import dataclass


@dataclass(frozen=True)
class EncoderKind:
    """Encoders that one module loads.

    Attributes:
        module: The module below ``ser_core``; it has ``load(name)``, or ``load(name, revision=...)``.
        names: The names of its encoders, if they are fixed.
        prefix: What the name of any other one begins with; it is taken off for ``load``.
        reads: Whether they take text; else they take sound.
        revisions: Whether a name may be a Hub id, of which there are revisions.
    """

    module: str
    names: tuple[str, ...] = ()
    prefix: str | None = None
    reads: bool = False
    revisions: bool = False


WHISPER = ("whisper-base", "whisper-tiny.en")
SPECTROGRAM_NETWORKS = ("vgg16-mel", "mobilenet-jet", "cnn1d-librosa94")
LITE0 = ("lite0-mel", "lite0-jet", "lite0-mel-random", "lite0-jet-random")
ENCODERS = (
    EncoderKind("systems.encoders.byol", names=("byol-s",)),
    EncoderKind("systems.encoders.spectrogram", names=SPECTROGRAM_NETWORKS),
    EncoderKind("systems.encoders.lite0", names=LITE0),
    EncoderKind("systems.encoders.whisper", names=(*WHISPER, *(f"{name}-30s" for name in WHISPER))),
    EncoderKind("systems.encoders.adapted", prefix="lora:"),
    EncoderKind("systems.encoders.eager", prefix="eager:"),
    EncoderKind("systems.encoders.stacked", prefix="layers:"),
    EncoderKind("systems.encoders.lower", prefix="lower:"),
    EncoderKind("systems.encoders.text", names=("minilm",), prefix="text:", reads=True, revisions=True),
)
"""The kinds of encoders that have names of their own; the first that a name fits is meant."""

HUB = EncoderKind("systems.encoders.hub", prefix="", revisions=True)
"""Any other name is the Hub id or the folder of a speech encoder of transformers."""

FUSION_HEADS = {
    "concat": ("systems.networks.fusion_heads.concat:Concat", "systems.networks.fusion_heads.base:AudioHead"),
    "plain-concat": (
        "systems.networks.fusion_heads.concat:PlainConcat",
        "systems.networks.fusion_heads.concat:PlainConcatControl",
    ),
    "gated": ("systems.networks.fusion_heads.gated:Gated", "systems.networks.fusion_heads.base:AudioHead"),
    "cross-attention": (
        "systems.networks.fusion_heads.cross_attention:CrossAttention",
        "systems.networks.fusion_heads.cross_attention:CrossAttentionControl",
    ),
}
"""Name of a fusion of audio frames and text tokens -> its class, and that of its audio-only control."""

RULES = {
    "mean": "mean of the probabilities",
    "product": "geometric mean of the probabilities",
    "weighted": "mean of the probabilities, with the weight that is best on the dev part",
    "stacked": "logistic regression on the log probabilities, fitted on the dev part",
}
"""Name of a rule of late fusion -> what it does with the systems' probabilities."""


def encoder(name: str) -> EncoderKind:
    """Return the kind of an encoder.

    Args:
        name: Its name, as in a recipe.

    Examples:
        >>> encoder("text:FacebookAI/roberta-base").module, encoder("facebook/wav2vec2-base").reads
        ('systems.encoders.text', False)
    """
    fits = (kind for kind in ENCODERS if name in kind.names or kind.prefix and name.startswith(kind.prefix))
    return next(fits, HUB)

"""How a network is trained: every setting of a fine-tuning, with its default."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields

from ser_core.errors import SerError


@dataclass(frozen=True)
class Recipe:
    """Settings of a fine-tuning.

    Attributes:
        encoder: ``byol-s``, a spectrogram network, a Hub id or a local folder; see `ser_core.encoders.load`.
        revision: Commit of a Hub id.
        freeze: Blocks of the encoder that stay as they are, counted from the input, or ``all``.
        layers: ``last``, ``weighted`` (learnt), or the number of a layer.
        pooling: ``mean``, ``max+mean``, ``statistics`` or ``attention``.
        dropout: On the pooled vector, in [0, 1).
        epochs: At most this many passes over the training part.
        patience: Stop after this many epochs without a better UAR on the dev part and keep the best; null for all
            epochs and the last, without a dev part.
        learning_rate: Peak, of the encoder's last block.
        head_learning_rate: Peak, of what is not in the encoder.
        layer_decay: Factor of the learning rate from a block to the one before it.
        weight_decay: Of AdamW.
        schedule: ``linear``, ``cosine`` or ``constant`` after the warm-up.
        warmup: Share of the planned steps in which the learning rate rises.
        batch_size: Clips of a step on a device.
        accumulation: Batches of a step.
        class_weights: Weigh the loss by the inverse frequency of the classes in the training part.
        label_smoothing: Share of a label that is spread over the classes.
        precision: ``bf16`` (products in bfloat16, weights in float32) or ``fp32``.
        max_seconds: A longer clip is cut to this, in training at a random place, else in the middle; null for none.
        trim: Cut the silence at both ends.
        augmentation: Fields of `ser_core.augmentation.Augmentation`; of the training part only. Masks and mixup act
            on what the first trained block takes.
        copies: How many versions of each training clip the waveform effects make, once, beside the clip itself; each
            epoch takes one of them. 0 for new effects in every epoch, with which nothing can be kept of what frozen
            blocks make of a clip.
        extra: Other corpora whose clips, as far as they have the classes of the training part, are trained on too.
    """

    encoder: str = "byol-s"
    revision: str | None = None
    freeze: int | str = 0
    layers: str | int = "last"
    pooling: str = "mean"
    dropout: float = 0.1
    epochs: int = 20
    patience: int | None = 5
    learning_rate: float = 1e-4
    head_learning_rate: float = 1e-3
    layer_decay: float = 1.0
    weight_decay: float = 0.01
    schedule: str = "linear"
    warmup: float = 0.1
    batch_size: int = 32
    accumulation: int = 1
    class_weights: bool = True
    label_smoothing: float = 0.0
    precision: str = "bf16"
    max_seconds: float | None = None
    trim: bool = False
    augmentation: Mapping = field(default_factory=dict, hash=False)
    copies: int = 0
    extra: tuple[str, ...] = ()

    def __post_init__(self):
        """Check what a wrong file could hold."""
        positive = {"epochs": 1, "batch_size": 1, "accumulation": 1, "copies": 0}
        for name, least in positive.items():
            if type(getattr(self, name)) is not int or getattr(self, name) < least:
                raise SerError(f"recipe: '{name}' must be a whole number from {least}, not {getattr(self, name)!r}")
        for name in ("learning_rate", "head_learning_rate", "layer_decay"):
            if not (isinstance(getattr(self, name), int | float) and getattr(self, name) > 0):
                # YAML reads 1e-4 as a word.
                raise SerError(
                    f"recipe: '{name}' must be a number above 0, such as 1.0e-4, not {getattr(self, name)!r}"
                )
        if not (isinstance(self.weight_decay, int | float) and self.weight_decay >= 0):
            raise SerError(f"recipe: 'weight_decay' must be a number from 0, not {self.weight_decay!r}")
        if self.max_seconds is not None and not (isinstance(self.max_seconds, int | float) and self.max_seconds > 0):
            raise SerError(f"recipe: 'max_seconds' must be a number above 0 or null, not {self.max_seconds!r}")
        if self.layers not in ("last", "weighted") and (type(self.layers) is not int or self.layers < 0):
            raise SerError(f"recipe: 'layers' is 'last', 'weighted' or the number of a layer, not {self.layers!r}")
        for name in ("dropout", "warmup", "label_smoothing"):
            if not (isinstance(getattr(self, name), int | float) and 0 <= getattr(self, name) < 1):
                raise SerError(f"recipe: '{name}' must be in [0, 1), not {getattr(self, name)!r}")
        for name, values in {"schedule": ("linear", "cosine", "constant"), "precision": ("bf16", "fp32")}.items():
            if getattr(self, name) not in values:
                raise SerError(f"recipe: '{name}' is one of {list(values)}, not {getattr(self, name)!r}")
        if self.freeze != "all" and (type(self.freeze) is not int or self.freeze < 0):
            raise SerError(f"recipe: 'freeze' is a number of blocks or 'all', not {self.freeze!r}")
        object.__setattr__(self, "extra", tuple(self.extra))
        if self.patience is not None and (type(self.patience) is not int or self.patience < 1):
            raise SerError(f"recipe: 'patience' is a whole number from 1 or null, not {self.patience!r}")

    def of_inputs(self) -> "Recipe":
        """Return a recipe with these settings alone that decide what the first trained block is given."""
        names = ("encoder", "revision", "freeze", "trim", "max_seconds", "precision", "augmentation", "copies")
        return Recipe(**{name: getattr(self, name) for name in names})


def recipe(mapping: Mapping) -> Recipe:
    """Return a recipe from a mapping, as a YAML file holds it.

    Args:
        mapping: Fields of `Recipe`; what is not named has its default.

    Returns:
        The recipe.

    Raises:
        SerError: If a field is unknown or a value is out of its range.

    Examples:
        >>> recipe({"freeze": "all"}).freeze
        'all'
    """
    known = [spec.name for spec in fields(Recipe)]
    if unknown := sorted(set(mapping) - set(known)):
        raise SerError(f"recipe: unknown settings {unknown}; expected some of {sorted(known)}")
    return Recipe(**mapping)

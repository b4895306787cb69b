"""How a network is trained: every setting of a fine-tuning, of its texts and of its augmentation, with its default."""

import dataclasses
import math
import numbers
from collections.abc import Mapping
from dataclasses import dataclass, field, fields

from ser_core.data import corpora, transcripts
from ser_core.errors import SerError
from ser_core.systems import registry

_RANGES = {"noise_snr_db": (-20, 100), "gain_db": (-60, 60), "speed": (0.5, 2), "pitch_semitones": (-12, 12)}
_MASKS = {"time_masks": "time_mask_frames", "frequency_masks": "frequency_mask_bins"}


def _is(value: object, kind: type) -> bool:
    """Return whether a value is a number of a kind; True and False are none."""
    return isinstance(value, kind) and not isinstance(value, bool)


@dataclass(frozen=True)
class Augmentation:
    """What is done to training clips; as made without arguments, nothing.

    A clip keeps its label, so the emotion must survive everything in the ranges: loudness, tempo and pitch carry it.

    Attributes:
        noise_snr_db: Lowest and highest signal-to-noise ratio of added white noise in dB, within -20 to 100; or None.
        gain_db: Lowest and highest gain in dB, within -60 to 60; or None.
        speed: Lowest and highest factor of speed, within 0.5 to 2; above 1 is faster and, by the same factor, higher
            (Ko et al., 2015); or None.
        pitch_semitones: Lowest and highest shift of pitch at kept tempo in semitones, within -12 to 12; the formants
            move along; or None.
        time_masks: Number of SpecAugment's time masks (Park et al., 2019).
        time_mask_frames: Widest time mask in frames.
        frequency_masks: Number of SpecAugment's frequency masks.
        frequency_mask_bins: Widest frequency mask in bins.
        mixup: Both parameters of the Beta distribution of the weights of mixup (Zhang et al., 2018); 0 is off.
        probability: Of each of the waveform effects that are on, to be applied to a clip.

    Raises:
        SerError: If a value is out of its range, or masks have a number but no width or the reverse.

    Examples:
        >>> how = Augmentation(speed=(0.9, 1.1), time_masks=2, time_mask_frames=40)
        >>> how.waveform, how.image, Augmentation().waveform
        (True, True, False)
    """

    noise_snr_db: tuple[float, float] | None = None
    gain_db: tuple[float, float] | None = None
    speed: tuple[float, float] | None = None
    pitch_semitones: tuple[float, float] | None = None
    time_masks: int = 0
    time_mask_frames: int = 0
    frequency_masks: int = 0
    frequency_mask_bins: int = 0
    mixup: float = 0.0
    probability: float = 1.0

    def __post_init__(self):
        """Refuse values that are out of range."""
        for name, (least, most) in _RANGES.items():
            span = getattr(self, name)
            pair = isinstance(span, tuple) and len(span) == 2 and all(_is(x, numbers.Real) for x in span)
            if span is not None and not (pair and least <= span[0] <= span[1] <= most):
                raise SerError(f"{name}={span!r}: expected two numbers, low and high, from {least} to {most}, or None")
        for name in (*_MASKS, *_MASKS.values()):
            if not _is(n := getattr(self, name), numbers.Integral) or n < 0:
                raise SerError(f"{name}={n!r}: expected a whole number of 0 or more")
        for masks, width in _MASKS.items():
            if bool(n := getattr(self, masks)) != bool(widest := getattr(self, width)):
                raise SerError(f"{masks}={n} with {width}={widest} masks nothing; give both or neither")
        if not _is(self.mixup, numbers.Real) or not 0 <= self.mixup < math.inf:
            raise SerError(
                f"mixup={self.mixup!r}: expected the parameter of a Beta distribution, above 0, or 0 for off"
            )
        if not _is(self.probability, numbers.Real) or not 0 <= self.probability <= 1:
            raise SerError(f"probability={self.probability!r}: expected a number from 0 to 1")

    @classmethod
    def from_mapping(cls, mapping: dict) -> "Augmentation":
        """Return the augmentation that a mapping read from YAML describes.

        Args:
            mapping: Field names and values; a range is a list of two numbers.

        Returns:
            The augmentation.

        Raises:
            SerError: If it is no mapping, a field is unknown, or a value is out of range.

        Examples:
            >>> Augmentation.from_mapping({"gain_db": [-6, 6]}).gain_db
            (-6, 6)
        """
        known = [field.name for field in dataclasses.fields(cls)]
        if not isinstance(mapping, dict):
            raise SerError(f"{mapping!r} is no mapping; expected one with some of the fields {known}")
        if unknown := [name for name in mapping if name not in known]:
            raise SerError(f"unknown fields {unknown}; expected some of {known}")
        return cls(**{name: tuple(value) if isinstance(value, list) else value for name, value in mapping.items()})

    @property
    def waveform(self) -> bool:
        """Whether `ser_core.systems.augmentation.augment_waveform` does anything."""
        return any(getattr(self, name) is not None for name in _RANGES)

    @property
    def image(self) -> bool:
        """Whether `ser_core.systems.augmentation.mask_image` does anything."""
        return any(getattr(self, name) > 0 for name in _MASKS)


def _reads(encoder: object) -> bool:
    """Return whether an encoder is one of text, by its name."""
    return isinstance(encoder, str) and registry.encoder(encoder).reads


@dataclass(frozen=True)
class Recipe:
    """Settings of a fine-tuning.

    Attributes:
        encoder: ``byol-s``, a spectrogram network, a Hub id or a local folder; ``minilm`` or ``text:`` with a Hub id or
            folder for a network that reads what is said and hears nothing; see `ser_core.systems.encoders.load`.
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
        max_seconds: Of a longer clip this much is kept, its middle; null for all.
        trim: Cut the silence at both ends.
        augmentation: Fields of `Augmentation`; of the training part only. Masks and mixup act on what is kept of a
            clip: what the frozen blocks make of it or, where nothing can be kept, what the encoder takes.
        copies: How many versions of each training clip the waveform effects make, once, beside the clip itself; each
            epoch takes one of them. 0 for new effects in every epoch, with which nothing can be kept of what frozen
            blocks make of a clip.
        balance: Fill every class of the training part up to the size of the largest, with versions of its clips that
            the waveform effects make, once; the clips themselves stay as they are.
        extra: Other corpora whose clips, as far as they have the classes of the training part, are trained on too;
            the harmonisation decides which classes are the same.
        select: Metric on the dev part that decides when to stop and which epoch is kept: ``uar`` or ``weighted_f1``.
        text: Encoder of what is said, beside that of what is heard: ``minilm`` or ``text:`` with a Hub id or folder;
            null for a network of one encoder.
        text_revision: Commit of its Hub id.
        text_freeze: Blocks of it that stay as they are, as ``freeze``.
        context: Turns of the dialogue that are read before the clip's own, for corpora that have dialogues.
        words: What the network reads, a key of `ser_core.data.transcripts.WORDS`; all but ``own`` are controls.
        fusion: How the two encoders' states are put together, a key of
            `ser_core.systems.registry.FUSION_HEADS`; or ``audio:`` with one of them behind
            it for its control, which hears alone and has as many trained parameters, within 1 %.
        width: Hidden values of the fusion, see `ser_core.systems.networks.fusion_heads.FusionHead`.
        modality_dropout: Probability, from 0 to 0.5, that a training clip is not heard, and the same that it is not
            read.
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
    balance: bool = False
    extra: tuple[str, ...] = ()
    select: str = "uar"
    text: str | None = None
    text_revision: str | None = None
    text_freeze: int | str = "all"
    context: int = 0
    words: str = "own"
    fusion: str = "concat"
    width: int = 512
    modality_dropout: float = 0.0

    def __post_init__(self):
        """Check what a wrong file could hold."""
        positive = {"epochs": 1, "batch_size": 1, "accumulation": 1, "copies": 0, "context": 0, "width": 1}
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
        choices = {
            "schedule": ("linear", "cosine", "constant"),
            "precision": ("bf16", "fp32"),
            "select": ("uar", "weighted_f1"),
            "words": tuple(transcripts.WORDS),
            "fusion": (*registry.FUSION_HEADS, *(f"audio:{kind}" for kind in registry.FUSION_HEADS)),
        }
        for name, values in choices.items():
            if getattr(self, name) not in values:
                raise SerError(f"recipe: '{name}' is one of {list(values)}, not {getattr(self, name)!r}")
        for name in ("freeze", "text_freeze"):
            blocks = getattr(self, name)
            if blocks != "all" and (type(blocks) is not int or blocks < 0):
                raise SerError(f"recipe: '{name}' is a number of blocks or 'all', not {blocks!r}")
        for name in ("trim", "class_weights", "balance"):
            if not isinstance(getattr(self, name), bool):
                raise SerError(f"recipe: '{name}' is true or false, not {getattr(self, name)!r}")
        try:
            how = Augmentation.from_mapping(self.augmentation)
        except SerError as error:
            raise SerError(f"recipe: augmentation: {error}") from error
        if self.copies and not how.waveform:
            raise SerError(f"recipe: 'copies' is {self.copies}, but 'augmentation' has no effect on the waveform")
        if self.balance and (self.copies or not how.waveform):
            raise SerError("recipe: 'balance' takes an 'augmentation' with an effect on the waveform, and no 'copies'")
        if not isinstance(self.extra, list | tuple) or any(name not in corpora.KNOWN for name in self.extra):
            raise SerError(f"recipe: 'extra' is a list of some of {sorted(corpora.KNOWN)}, not {self.extra!r}")
        object.__setattr__(self, "extra", tuple(self.extra))
        if self.patience is not None and (type(self.patience) is not int or self.patience < 1):
            raise SerError(f"recipe: 'patience' is a whole number from 1 or null, not {self.patience!r}")
        self._check_texts(how)

    def _check_texts(self, how: Augmentation) -> None:
        """Check what goes together of the settings of texts."""
        if not self.text:
            fusing = ("text", "text_revision", "text_freeze", "fusion", "width", "modality_dropout")
            if given := self._changed(*fusing):
                raise SerError(f"recipe: {given} are for a second encoder; name it by 'text', or leave them out")
            if not self.hears:
                if given := self._changed("trim", "max_seconds", "augmentation", "copies", "balance"):
                    raise SerError(f"recipe: {given} are for recordings, but '{self.encoder}' reads; leave them out")
            elif given := self._changed("context", "words"):
                raise SerError(f"recipe: {given} are for texts, but '{self.encoder}' hears; name an encoder by 'text'")
        elif not _reads(self.text):
            raise SerError(f"recipe: 'text' is 'minilm' or 'text:' with a Hub id or folder, not {self.text!r}")
        elif not self.hears:
            raise SerError(f"recipe: 'text' stands beside an encoder that hears; leave it out, '{self.encoder}' reads")
        elif self.pooling != "mean":
            raise SerError(f"recipe: a fusion takes the mean of the frames; leave 'pooling: {self.pooling}' out")
        elif how.mixup:
            raise SerError("recipe: sentences cannot be mixed; leave 'mixup' out beside 'text'")
        elif not (_is(self.modality_dropout, numbers.Real) and 0 <= self.modality_dropout <= 0.5):
            raise SerError(f"recipe: 'modality_dropout' is a number from 0 to 0.5, not {self.modality_dropout!r}")
        elif self.fusion.endswith("cross-attention") and self.width % 8:
            raise SerError(f"recipe: cross-attention has 8 heads, which do not divide a 'width' of {self.width}")
        elif not self.reads and (self.text_freeze != "all" or self._changed("words", "context", "modality_dropout")):
            raise SerError(
                f"recipe: '{self.fusion}' reads nothing; leave 'text_freeze', 'words', 'context' and "
                f"'modality_dropout' out"
            )
        if self.words == "random" and (self.text_freeze if self.text else self.freeze) != "all":
            name = "text_freeze" if self.text else "freeze"
            raise SerError(f"recipe: no block sees random tokens; set '{name}: all' beside 'words: random'")

    def _changed(self, *names: str) -> list[str]:
        """Return which settings are not at their default."""
        default = {spec.name: {} if spec.name == "augmentation" else spec.default for spec in fields(self)}
        return [name for name in names if getattr(self, name) != default[name]]

    @property
    def hears(self) -> bool:
        """Whether the network takes recordings."""
        return not _reads(self.encoder)

    @property
    def reads(self) -> bool:
        """Whether the network takes texts."""
        return not self.hears or (self.text is not None and not self.fusion.startswith("audio:"))

    @property
    def anew(self) -> bool:
        """Whether waveform effects are drawn anew in every epoch, so that nothing of a training clip can be kept."""
        once = self.copies or self.balance
        return bool(self.augmentation) and Augmentation.from_mapping(self.augmentation).waveform and not once

    def of_inputs(self) -> "Recipe":
        """Return a recipe with these settings alone that decide what the first trained block is given."""
        names = ("encoder", "revision", "freeze", "trim", "max_seconds", "precision", "augmentation", "copies")
        return Recipe(**{name: getattr(self, name) for name in (*names, *([] if self.hears else ["context", "words"]))})

    def of_texts(self) -> "Recipe":
        """Return the same of the second encoder, as a recipe in which it is the only one."""
        return Recipe(
            encoder=self.text,
            revision=self.text_revision,
            freeze=self.text_freeze,
            precision=self.precision,
            context=self.context,
            words=self.words,
        )


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

"""How a network is trained: every setting of a fine-tuning, of its texts and of its augmentation, with its default."""

import dataclasses
import functools
import inspect
from collections.abc import Mapping
from dataclasses import field, fields
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, ValidationError
from pydantic.dataclasses import dataclass

from ser_core.data import transcripts
from ser_core.errors import SerError
from ser_core.systems import registry

_WAVEFORM = ("noise_snr_db", "gain_db", "speed", "pitch_semitones")
_MASKS = {"time_masks": "time_mask_frames", "frequency_masks": "frequency_mask_bins"}


def _number(words: str, **bounds: float):
    """Return the type of a number within bounds, with the words that an error line has for it."""
    return Annotated[int | float, Field(allow_inf_nan=False, description=words, **bounds)]


def _whole(least: int):
    return Annotated[int, Field(ge=least, description=f"a whole number from {least}")]


def _one_of(*names: str):
    return Annotated[Literal[names], Field(description=f"one of {list(names)}")]


def _span(least: float, most: float):
    """Return the type of two numbers within bounds, the lower first; None for an effect that is off."""
    bound = Annotated[int | float, Field(ge=least, le=most, allow_inf_nan=False)]
    words = f"two numbers, low and high, from {least} to {most}, or null"
    return Annotated[tuple[bound, bound] | None, Field(description=words)]


_RATE = _number("a number above 0, such as 1.0e-4", gt=0)
_SHARE = _number("in [0, 1)", ge=0, lt=1)
_BLOCKS = Annotated[Annotated[int, Field(ge=0)] | Literal["all"], Field(description="a number of blocks or 'all'")]
_LAYERS = Annotated[
    Literal["last", "weighted"] | Annotated[int, Field(ge=0)],
    Field(description="'last', 'weighted' or the number of a layer"),
]
_FLAG = Annotated[bool, Field(description="true or false")]
_NAME = Annotated[str, Field(description="a name")]


def _settings(kind: type) -> type:
    """Make a frozen dataclass of declared types, in which a wrong value is a SerError of one line.

    A value of another type is refused, not converted: YAML 1.1 reads 1e-4 as a word, and yes as true.
    """
    made = dataclass(frozen=True, config=ConfigDict(strict=True))(kind)
    validate = made.__init__

    @functools.wraps(validate)
    def checked(self, *args, **values):
        try:
            validate(self, *args, **values)
        except ValidationError as error:
            first = error.errors()[0]
            if not first["loc"]:  # from __post_init__
                raise first["ctx"]["error"] from error
            name, known = first["loc"][0], made.__pydantic_fields__
            given = dict(zip(known, args, strict=False)) | values
            raise SerError(f"'{name}' must be {known[name].description}, not {given[name]!r}") from error

    # The API pages show names and defaults; the declared types are no words for a reader.
    plain = inspect.signature(made)
    bare = [parameter.replace(annotation=parameter.empty) for parameter in plain.parameters.values()]
    made.__signature__ = plain.replace(parameters=bare, return_annotation=plain.empty)
    made.__init__ = checked
    return made


@_settings
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

    noise_snr_db: _span(-20, 100) = None
    gain_db: _span(-60, 60) = None
    speed: _span(0.5, 2) = None
    pitch_semitones: _span(-12, 12) = None
    time_masks: _whole(0) = 0
    time_mask_frames: _whole(0) = 0
    frequency_masks: _whole(0) = 0
    frequency_mask_bins: _whole(0) = 0
    mixup: _number("a number from 0", ge=0) = 0.0
    probability: _number("a number from 0 to 1", ge=0, le=1) = 1.0

    def __post_init__(self):
        """Refuse a range whose ends are swapped, masks without a width, and widths without a mask."""
        for name in _WAVEFORM:
            if (span := getattr(self, name)) and span[0] > span[1]:
                raise SerError(f"'{name}' must be two numbers, low and high, not {span!r}")
        for masks, width in _MASKS.items():
            if bool(n := getattr(self, masks)) != bool(widest := getattr(self, width)):
                raise SerError(f"{masks}={n} with {width}={widest} masks nothing; give both or neither")

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
        return any(getattr(self, name) is not None for name in _WAVEFORM)

    @property
    def image(self) -> bool:
        """Whether `ser_core.systems.augmentation.mask_image` does anything."""
        return any(getattr(self, name) > 0 for name in _MASKS)


def _reads(encoder: object) -> bool:
    """Return whether an encoder is one of text, by its name."""
    return isinstance(encoder, str) and registry.encoder(encoder).reads


@_settings
class Recipe:
    """Settings of a fine-tuning.

    Attributes:
        encoder: ``byol-s``, a spectrogram network, ``whisper-base`` or ``whisper-tiny.en``, a Hub id or a local folder;
            ``lora:`` before Whisper's name to train adapters of low rank in place of its weights, ``eager:`` for
            attention by matrix products, ``layers:`` to keep what all its frozen layers say, ``lower:4:`` for its lower
            four layers alone; ``minilm`` or ``text:`` with a Hub id or folder for a network that reads what is said
            and hears nothing; see `ser_core.systems.encoders.load`.
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
        precision: ``bf16`` (products in bfloat16, weights in float32) or ``fp32``; or ``auto`` for bf16 where the
            processor or GPU has instructions for it. The Run records of each fold which it was.
        max_seconds: Of a longer clip this much is kept, its middle; null for all.
        trim: Cut the silence at both ends.
        augmentation: Fields of `Augmentation`; of the training part only. Masks and mixup act on what is kept of a
            clip: what the frozen blocks make of it or, where nothing can be kept, what the encoder takes.
        copies: How many versions of each training clip the waveform effects make, once, beside the clip itself; each
            epoch takes one of them. 0 for new effects in every epoch, with which nothing can be kept of what frozen
            blocks make of a clip.
        balance: Fill every class of the training part up to the size of the largest, with versions of its clips that
            the waveform effects make, once; the clips themselves stay as they are.
        select: Metric on the dev part that decides when to stop and which epoch is kept: ``uar`` or ``weighted_f1``.
        text: Encoder of what is said, beside that of what is heard: ``minilm`` or ``text:`` with a Hub id or folder;
            null for a network of one encoder.
        text_revision: Commit of its Hub id.
        text_freeze: Blocks of it that stay as they are, as ``freeze``.
        context: Turns of the dialogue that are read before the clip's own, for corpora that have dialogues.
        words: What the network reads, a key of `ser_core.data.transcripts.WORDS`; ``own`` and ``heard`` tell what is
            said in the clip, the others are controls.
        fusion: How the two encoders' states are put together, a key of
            `ser_core.systems.registry.FUSION_HEADS`; or ``audio:`` with one of them behind
            it for its control, which hears alone and has as many trained parameters, within 1 %.
        width: Hidden values of the fusion, see `ser_core.systems.networks.fusion_heads.FusionHead`.
    """

    encoder: _NAME = "byol-s"
    revision: Annotated[str | None, Field(description="a commit, or null")] = None
    freeze: _BLOCKS = 0
    layers: _LAYERS = "last"
    pooling: _one_of("mean", "max+mean", "statistics", "attention") = "mean"
    dropout: _SHARE = 0.1
    epochs: _whole(1) = 20
    patience: Annotated[_whole(1) | None, Field(description="a whole number from 1, or null")] = 5
    learning_rate: _RATE = 1e-4
    head_learning_rate: _RATE = 1e-3
    layer_decay: _RATE = 1.0
    weight_decay: _number("a number from 0", ge=0) = 0.01
    schedule: _one_of("linear", "cosine", "constant") = "linear"
    warmup: _SHARE = 0.1
    batch_size: _whole(1) = 32
    accumulation: _whole(1) = 1
    class_weights: _FLAG = True
    label_smoothing: _SHARE = 0.0
    precision: _one_of("bf16", "fp32", "auto") = "bf16"
    max_seconds: Annotated[_RATE | None, Field(description="a number above 0, or null")] = None
    trim: _FLAG = False
    augmentation: Annotated[Mapping, Field(description="a mapping")] = field(default_factory=dict, hash=False)
    copies: _whole(0) = 0
    balance: _FLAG = False
    select: _one_of("uar", "weighted_f1") = "uar"
    text: Annotated[str | None, Field(description="the name of an encoder, or null")] = None
    text_revision: Annotated[str | None, Field(description="a commit, or null")] = None
    text_freeze: _BLOCKS = "all"
    context: _whole(0) = 0
    words: _one_of(*transcripts.WORDS) = "own"
    fusion: _one_of(*registry.FUSION_HEADS, *(f"audio:{kind}" for kind in registry.FUSION_HEADS)) = "concat"
    width: _whole(1) = 512

    def __post_init__(self):
        """Check what goes together."""
        try:
            how = Augmentation.from_mapping(self.augmentation)
        except SerError as error:
            raise SerError(f"augmentation: {error}") from error
        if self.copies and not how.waveform:
            raise SerError(f"'copies' is {self.copies}, but 'augmentation' has no effect on the waveform")
        if self.balance and (self.copies or not how.waveform):
            raise SerError("'balance' takes an 'augmentation' with an effect on the waveform, and no 'copies'")
        self._check_texts(how)

    def _check_texts(self, how: Augmentation) -> None:
        """Check what goes together of the settings of texts."""
        if not self.text:
            fusing = ("text", "text_revision", "text_freeze", "fusion", "width")
            if given := self._changed(*fusing):
                raise SerError(f"{given} are for a second encoder; name it by 'text', or leave them out")
            if not self.hears:
                if given := self._changed("trim", "max_seconds", "augmentation", "copies", "balance"):
                    raise SerError(f"{given} are for recordings, but '{self.encoder}' reads; leave them out")
            elif given := self._changed("context", "words"):
                raise SerError(f"{given} are for texts, but '{self.encoder}' hears; name an encoder by 'text'")
        elif not _reads(self.text):
            raise SerError(f"'text' is 'minilm' or 'text:' with a Hub id or folder, not {self.text!r}")
        elif not self.hears:
            raise SerError(f"'text' stands beside an encoder that hears; leave it out, '{self.encoder}' reads")
        elif self.pooling != "mean":
            raise SerError(f"a fusion takes the mean of the frames; leave 'pooling: {self.pooling}' out")
        elif how.mixup:
            raise SerError("sentences cannot be mixed; leave 'mixup' out beside 'text'")
        elif self.fusion.endswith("cross-attention") and self.width % 8:
            raise SerError(f"cross-attention has 8 heads, which do not divide a 'width' of {self.width}")
        elif not self.reads and (self.text_freeze != "all" or self._changed("words", "context")):
            raise SerError(f"'{self.fusion}' reads nothing; leave 'text_freeze', 'words' and 'context' out")
        if self.words == "random" and (self.text_freeze if self.text else self.freeze) != "all":
            name = "text_freeze" if self.text else "freeze"
            raise SerError(f"no block sees random tokens; set '{name}: all' beside 'words: random'")

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
    try:
        return Recipe(**mapping)
    except SerError as error:
        raise SerError(f"recipe: {error}") from error

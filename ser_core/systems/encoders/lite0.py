"""EfficientNet-Lite0 on spectrograms as images: frozen or fine-tuned from ImageNet, or from nothing."""

from collections.abc import Mapping

import numpy as np
import timm
import torch
from torch import nn
from torchvision.transforms.v2 import functional as images

from ser_core.errors import SerError
from ser_core.systems import weights
from ser_core.systems.encoders.spectrogram import _Images, jet_images, mel_image
from ser_core.systems.registry import LITE0

WEIGHTS = "efficientnet-lite0"
RANDOM = "-random"
"""Behind the name of a network that starts from nothing."""

SIZE = 224
# From bytes to [-1, 1]: unlike torchvision's networks, those of this family saw each colour scaled alike.
MEAN, DEVIATION = [0.5, 0.5, 0.5], [0.5, 0.5, 0.5]

# The published names of layers, and timm's: outside the blocks, in the first block, in the other blocks.
_OUTSIDE = {"conv_stem": "conv_stem", "bn0": "bn1", "conv_head": "conv_head", "bn1": "bn2", "fc": "classifier"}
_FIRST = {"depthwise_conv": "conv_dw", "bn1": "bn1", "project_conv": "conv_pw", "bn2": "bn2"}
_OTHERS = {
    "expand_conv": "conv_pw",
    "bn0": "bn1",
    "depthwise_conv": "conv_dw",
    "bn1": "bn2",
    "project_conv": "conv_pwl",
    "bn2": "bn3",
}


def network(state: Mapping[str, torch.Tensor] | None = None) -> nn.Module:
    """Return timm's EfficientNet-Lite0 with its 1,000 classes.

    Args:
        state: The published weights by their own names, as `ser_core.systems.weights.load` gives them; if None, timm
            draws them by torch's global generator.

    Returns:
        The network, in training mode.

    Raises:
        SerError: If the weights are not those of this network, none missing and none more.

    Source: Tan and Le, *EfficientNet: Rethinking model scaling for convolutional neural networks*, ICML 2019; the Lite
    variants, without squeeze-and-excitation and with ReLU6: TensorFlow's models, 2020.

    Examples:
        >>> sum(parameter.numel() for parameter in network().parameters())
        4652008
    """
    model = timm.create_model("tf_efficientnet_lite0")
    if state is not None:
        try:
            model.load_state_dict(_renamed(state, model))
        except (KeyError, IndexError, ValueError, RuntimeError) as error:
            reason = " ".join(str(error).split())[:200]
            raise SerError(
                f"not the weights of EfficientNet-Lite0 ({reason}); get them by: ser weights get {WEIGHTS}"
            ) from error
    return model


def _renamed(state: Mapping[str, torch.Tensor], model: nn.Module) -> dict[str, torch.Tensor]:
    """Return weights by timm's names; the published ones count the blocks through all stages."""
    places = [f"blocks.{stage}.{at}" for stage, blocks in enumerate(model.blocks) for at in range(len(blocks))]
    renamed = {}
    for name, values in state.items():
        *block, layer, kind = name.removeprefix("_").split(".")
        if block:
            number = int(block[1])
            own = (_OTHERS if number else _FIRST)[layer.removeprefix("_")]
            renamed[f"{places[number]}.{own}.{kind}"] = values
        else:
            renamed[f"{_OUTSIDE[layer]}.{kind}"] = values
    return renamed


class Lite0(_Images):
    """EfficientNet-Lite0 without its classifier, whose 1,280 values are the average over an image.

    Its nine blocks are the first convolution, the seven stages, and the last convolution with the average.

    Args:
        name: One of `ser_core.systems.registry.LITE0`.
        model: What `network` gives.
    """

    dim = 1280

    def __init__(self, name: str, model: nn.Module):
        """Cut timm's model into blocks."""
        last = nn.Sequential(model.conv_head, model.bn2, model.global_pool)
        super().__init__(model, [nn.Sequential(model.conv_stem, model.bn1), *model.blocks, last], None)
        self.name = name
        if not name.endswith(RANDOM):
            self.initialisation = "ImageNet"

    def prepare(self, samples: np.ndarray) -> torch.Tensor:
        """Return the images of a clip as the sources make them, 224 x 224.

        Args:
            samples: One clip, float32 at 16 kHz.

        Returns:
            uint8: the tutorial's one grey image, of shape (1, 224, 224); or an image in the colours of ``jet`` of each
            second, of shape (n_seconds, 3, 224, 224). See `ser_core.systems.encoders.spectrogram`.
        """
        if "mel" in self.name:
            return mel_image(samples)
        return images.resize(jet_images(samples), [SIZE, SIZE], images.InterpolationMode.BICUBIC, antialias=True)

    def _enter(self, frames: torch.Tensor) -> torch.Tensor:
        colours = frames if frames.ndim == 4 else frames[:, None].expand(-1, 3, -1, -1)
        return images.normalize(colours.float() / 255, MEAN, DEVIATION)


def load(name: str) -> Lite0:
    """Return EfficientNet-Lite0 on one of the two kinds of images.

    Args:
        name: ``lite0-mel`` or ``lite0-jet``, which start from ImageNet; with `RANDOM` behind it the weights are drawn
            by torch's global generator, which the caller seeds.

    Returns:
        The encoder, in evaluation mode.

    Raises:
        SerError: If there is no such encoder, or the published weights are not there or not those that are known.

    Examples:
        >>> load("lite0-mel-random").initialisation
        'random initialisation'
    """
    if name not in LITE0:
        raise SerError(f"no encoder '{name}'; expected one of {list(LITE0)}")
    state = None
    if not name.endswith(RANDOM):
        state = {key: torch.tensor(values) for key, values in weights.load(WEIGHTS).items()}
    return Lite0(name, network(state)).eval()

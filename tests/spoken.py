"""Sounds that somebody seems to speak, and a small model that hears them."""

import numpy as np

from ser_core.systems import features
from ser_core.systems.linear import Linear

RATE = 16_000
FACTS = {
    "run": "toy/run",
    "calibrated_on": "toy/run",
    "accuracy_asked_for": 0.8,
    "held_out": {"ece": 0.1, "accuracy": 0.5, "coverage": 0.4, "accuracy_answered": 0.8},
}


def voice(seconds=1.0, hz=150.0):
    """A buzz with the harmonics of a voice, which Praat hears as voiced."""
    time = np.arange(round(seconds * RATE)) / RATE
    return (0.1 * sum(np.sin(2 * np.pi * hz * k * time) / k for k in range(1, 12))).astype("float32")


def toy(threshold=0.0, weight=1.0):
    """A model on duration, loudness and silence: 'long' the surer, the longer a clip lasts."""
    n = len(features.columns("levels"))
    weights = np.zeros((2, n), "float32")
    weights[0, 0] = weight
    numbers = np.zeros(n, "float32"), np.ones(n, "float32"), weights, np.float32([0, weight])
    return Linear("toy", "levels", ("long", "short"), *numbers, threshold=threshold, facts=FACTS)

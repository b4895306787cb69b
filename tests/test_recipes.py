import dataclasses

import pytest
import yaml

from ser_core.errors import SerError
from ser_core.systems.settings import Recipe, recipe


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("epochs: 0", "'epochs' must be a whole number from 1, not 0"),
        ("epochs: 2.5", "'epochs' must be a whole number from 1, not 2.5"),
        ("epochs: true", "'epochs' must be a whole number from 1, not True"),
        ("batch_size: -4", "'batch_size' must be a whole number from 1"),
        ("accumulation: '2'", "'accumulation' must be a whole number from 1, not '2'"),
        ("copies: -1", "'copies' must be a whole number from 0, not -1"),
        # What YAML 1.1 reads as a word is the mistake that is made with learning rates.
        ("learning_rate: 1e-4", "'learning_rate' must be a number above 0, such as 1.0e-4, not '1e-4'"),
        ("head_learning_rate: 1e-3", "'head_learning_rate' must be a number above 0, such as 1.0e-4, not '1e-3'"),
        ("learning_rate: 0", "'learning_rate' must be a number above 0"),
        ("learning_rate: .nan", "'learning_rate' must be a number above 0"),
        ("layer_decay: -0.5", "'layer_decay' must be a number above 0"),
        ("dropout: 1.0", r"'dropout' must be in \[0, 1\), not 1.0"),
        ("dropout: 10%", r"'dropout' must be in \[0, 1\), not '10%'"),
        ("warmup: -0.1", r"'warmup' must be in \[0, 1\)"),
        ("label_smoothing: 2", r"'label_smoothing' must be in \[0, 1\)"),
        ("schedule: step", r"'schedule' must be one of \['linear', 'cosine', 'constant'\], not 'step'"),
        ("precision: fp16", r"'precision' must be one of \['bf16', 'fp32', 'auto'\], not 'fp16'"),
        ("freeze: none", "'freeze' must be a number of blocks or 'all', not 'none'"),
        ("freeze: -1", "'freeze' must be a number of blocks or 'all', not -1"),
        ("freeze: true", "'freeze' must be a number of blocks or 'all', not True"),
        ("patience: 0", "'patience' must be a whole number from 1, or null, not 0"),
        ("patience: never", "'patience' must be a whole number from 1, or null, not 'never'"),
        ("weight_decay: 1e-2", "'weight_decay' must be a number from 0, not '1e-2'"),
        ("max_seconds: -1", "'max_seconds' must be a number above 0, or null, not -1"),
        ("layers: first", "'layers' must be 'last', 'weighted' or the number of a layer, not 'first'"),
        ("trim: 'no'", "'trim' must be true or false, not 'no'"),
        ("class_weights: 1", "'class_weights' must be true or false, not 1"),
        ("augmentation: {gain: [-6, 6]}", r"augmentation: unknown fields \['gain'\]"),
        ("augmentation: loud", "'augmentation' must be a mapping, not 'loud'"),
        (
            "augmentation: {gain_db: [6, -6]}",
            r"augmentation: 'gain_db' must be two numbers, .* not \(6, -6\)",
        ),
        ("balance: 2", "'balance' must be true or false, not 2"),
        ("balance: true", "'balance' takes an 'augmentation' with an effect on the waveform, and no 'copies'"),
        ("{balance: true, copies: 1, augmentation: {gain_db: [-6, 6]}}", "and no 'copies'"),
        ("{copies: 2, augmentation: {mixup: 0.4}}", "'copies' is 2, but 'augmentation' has no effect on the waveform"),
        ("{lr: 1.0e-4, epoch: 3}", r"unknown settings \['epoch', 'lr'\]; expected some of .*'learning_rate'"),
    ],
)
def test_a_bad_setting_gets_one_line(settings, message):
    with pytest.raises(SerError, match=message) as error:
        recipe(yaml.safe_load(settings))
    assert str(error.value).startswith("recipe: ")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "settings",
    [
        "{}",
        "{freeze: all, patience: null, layers: weighted, schedule: constant}",
        "{freeze: 3, learning_rate: 1.0e-3, layers: 2, dropout: 0, warmup: 0.0, label_smoothing: 0.1}",
        "{augmentation: {gain_db: [-6, 6]}, copies: 2, encoder: some/folder}",
    ],
)
def test_good_settings_come_back_from_a_run(settings):
    made = recipe(yaml.safe_load(settings))
    assert Recipe(**dataclasses.asdict(made)) == made


def test_recipes_with_the_same_inputs_share_them():
    """What is kept of the frozen blocks is looked up by this; equal keys must mean equal inputs."""
    shared = {"freeze": 2, "trim": True, "augmentation": {"gain_db": [-3, 3]}}
    base = recipe(shared)
    same = recipe(shared | {"learning_rate": 1.0, "epochs": 3, "pooling": "mean", "dropout": 0.5})
    assert base != same
    assert base.of_inputs() == same.of_inputs()
    assert hash(base.of_inputs()) == hash(same.of_inputs())
    for change in (
        {"encoder": "other"},
        {"revision": "abc"},
        {"freeze": 1},
        {"trim": False},
        {"max_seconds": 2.0},
        {"precision": "fp32"},
        {"augmentation": {"gain_db": [-6, 6]}},
        {"copies": 1},
    ):
        assert dataclasses.replace(base, **change).of_inputs() != base.of_inputs()

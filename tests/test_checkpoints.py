"""A training that is killed at any moment, and what a damaged checkpoint does to it: nothing."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
import test_training
from test_training import DiesAt

from ser_core.experiments import fitting
from ser_core.experiments.fitting import network
from ser_core.experiments.fitting.network import checkpoints

stores = test_training.stores
# With dropout, so that what is drawn decides; the best epoch is neither the first nor the last.
SETTINGS = test_training.QUICK | {"epochs": 5, "patience": 4, "dropout": 0.3}


def fit(folder=None, **changes):
    table, facts = fitting.fit_fold(test_training.cell(**SETTINGS | changes), 1, 0, folder)
    return table, facts["curve"]


def dying(monkeypatch, at):
    """Let the next training stop at the beginning of an epoch; return the epochs that trainings begin."""
    begun, original = [], network.make_trainer

    def trainer(*arguments):
        made = original(*arguments)
        made.add_callback(DiesAt(begun, at))
        return made

    monkeypatch.setattr(network, "make_trainer", trainer)
    return begun


def assert_same(found, expected):
    pd.testing.assert_frame_equal(found[0], expected[0], check_exact=True)
    assert found[1] == expected[1]


@pytest.fixture(scope="module")
def undisturbed(stores):
    return fit()


@pytest.fixture(scope="module")
def stopped(stores, tmp_path_factory):
    """The folder of a training that stopped when its last epoch began: two checkpoints, the best and the last."""
    folder = tmp_path_factory.mktemp("stopped") / "checkpoints"
    with pytest.MonkeyPatch.context() as patch:
        dying(patch, SETTINGS["epochs"])
        with pytest.raises(KeyboardInterrupt):
            fit(folder)
    found = sorted(folder.iterdir(), key=lambda path: int(path.name.partition("-")[2]))
    assert len(found) == 2 and all(map(checkpoints.whole, found))
    return SimpleNamespace(folder=folder, best=found[0].name, last=found[1].name)


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def empty(path):
    shutil.rmtree(path)
    path.mkdir()


# What is damaged, how, and how many of the five epochs are then trained again.
DAMAGES = {
    "nothing": ("last", "", lambda path: None, 1),
    "model cut": ("last", "model.safetensors", cut, 2),
    "model other": ("last", "model.safetensors", flip, 2),
    "optimizer cut": ("last", "optimizer.pt", cut, 2),
    "optimizer missing": ("last", "optimizer.pt", Path.unlink, 2),
    "scheduler missing": ("last", "scheduler.pt", Path.unlink, 2),
    "random state missing": ("last", "rng_state.pth", Path.unlink, 2),
    "trainer state cut": ("last", "trainer_state.json", cut, 2),
    "seal missing": ("last", checkpoints.SEAL, Path.unlink, 2),
    "empty folder": ("last", "", empty, 2),
    # The last checkpoint leads to the right epoch, but not to the best one.
    "best model missing": ("best", "model.safetensors", Path.unlink, 5),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_checkpoint_changes_no_prediction(stopped, undisturbed, tmp_path, monkeypatch, damage):
    which, name, spoil, again = DAMAGES[damage]
    folder = shutil.copytree(stopped.folder, tmp_path / "checkpoints")
    spoil(folder / getattr(stopped, which) / name)
    begun = dying(monkeypatch, None)
    assert_same(fit(folder), undisturbed)
    assert begun == list(range(5 - again, 5))


def test_a_folder_that_was_moved_still_predicts_by_the_best_epoch(stopped, undisturbed, tmp_path, monkeypatch):
    """All epochs are trained, and the checkpoint names its best one by the path it had."""
    folder = tmp_path / "before"
    fit(folder)
    begun = dying(monkeypatch, None)
    assert_same(fit(folder.rename(tmp_path / "after")), undisturbed)
    assert begun == []


def test_a_training_that_patience_had_stopped_is_not_trained_further(tmp_path, monkeypatch):
    """The next epoch would be better than all before it."""
    expected = fit(patience=1)
    assert len(expected[1]) < SETTINGS["epochs"]
    fit(tmp_path, patience=1)
    begun = dying(monkeypatch, None)
    assert_same(fit(tmp_path, patience=1), expected)
    assert begun == []


CHILD = """
import sys
sys.path.insert(0, sys.argv[2])
import test_checkpoints, test_training, torch
from ser_core.systems import encoders
encoders.load = test_training.drawn
torch.cuda.is_available = lambda: False
test_checkpoints.fit(sys.argv[1])
"""


def test_a_training_killed_while_it_writes_a_checkpoint_goes_on(undisturbed, tmp_path):
    folder = tmp_path / "checkpoints"
    seen = set()
    # Killed as soon as the first checkpoint can be seen, and its follower as soon as the second one can.
    for number in (1, 2):
        with subprocess.Popen([sys.executable, "-c", CHILD, folder, Path(__file__).parent]) as child:
            while child.poll() is None and len(seen) < number:
                seen |= {path.name for path in folder.glob("checkpoint-*")}
                time.sleep(0.0005)
            os.kill(child.pid, signal.SIGKILL)
        assert child.returncode == -signal.SIGKILL
    assert_same(fit(folder), undisturbed)

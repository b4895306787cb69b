"""What `make runs` makes: exactly the Runs that are missing, once, and all that can be made here."""

import os
import re
import shutil
import subprocess
import sys

import pytest
import yaml
from caches import forget

from ser_core import paths
from ser_core.data import corpora
from ser_core.errors import SerError
from ser_core.experiments import configuration, workflow
from ser_core.systems import encoders

ROOT = paths.repository()
SHARED = {"corpora": ["emodb"], "protocols": ["speaker"], "folds": 2}
MEMBER = "levels/knn/train"
FUSIONS = {name: {"members": [MEMBER], "rule": "mean", "average": False} for name in ("pair", "repaired", "repair")}


def write(folder, name, **content):
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump({"name": name, "question": "Is it made?", **SHARED, **content}))
    return path


@pytest.fixture
def clone(tmp_path):
    for folder in ("ser_core", "workflow"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "Makefile", tmp_path)
    for name in ("clips/emodb", "features/emodb.levels"):
        (tmp_path / "results" / name).parent.mkdir(parents=True)
        shutil.copy(ROOT / f"results/{name}.parquet", tmp_path / f"results/{name}.parquet")
    (tmp_path / "experiments").mkdir()
    return tmp_path


def make_runs(clone):
    """Call make runs; return the Runs there are with the time each was written, and what was said."""
    environment = {
        name: value
        for name, value in os.environ.items()
        # Of a make above this one; and what this machine has of data.
        if name not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL") and not name.startswith("SER_")
    }
    done = subprocess.run(
        ["make", "runs", f"VENV={sys.prefix}", "ALL=", "CORES=2"],
        cwd=clone,
        env={**environment, "PYTHONPATH": str(clone)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr + done.stdout
    made = {path.parent.relative_to(clone / "results/runs").as_posix(): path for path in clone.rglob("run.json")}
    return {name: path.stat().st_mtime_ns for name, path in made.items()}, done.stdout + done.stderr


def test_make_runs_makes_each_missing_run_once_and_says_what_it_cannot_make(clone):
    folder = clone / "experiments"
    # The name of one system contains that of another.
    write(folder, "fused", fusions=FUSIONS)
    write(folder, "plain", features=["levels"], models=["knn"], normalisations=["train", "none"])
    write(folder, "absent", features=["compare"], models=["knn", "bayes"], normalisations=["train"])
    write(folder, "unheard", recipe={"epochs": 1}, networks={"one": {}})
    write(folder, "mistaken", features=["level"], models=["knn"])
    expected = {f"fused/emodb.speaker.{name}" for name in FUSIONS}
    expected |= {f"plain/emodb.speaker.levels.knn.{how}" for how in ("train", "none")}
    made, said = make_runs(clone)
    assert set(made) == expected
    assert sorted(re.findall(r"^(.+): 1 Runs made", said, flags=re.M)) == sorted(name.split("/")[0] for name in made)
    assert not list(clone.rglob("injected"))
    skipped = re.findall(r"^skipped: (.*)", said, flags=re.M)
    assert [line.split(": ")[0] for line in skipped] == [
        "absent/emodb.speaker.compare.knn.train and 1 more",
        "mistaken",
        "unheard/emodb.speaker.one",
    ]
    assert "Traceback" not in said
    again, said = make_runs(clone)
    assert again == made and "Runs made" not in said


@pytest.fixture
def stores(tmp_path, monkeypatch):
    forget()
    monkeypatch.setenv("SER_RESULTS", str(shutil.copytree(ROOT / "results/clips", tmp_path / "results/clips").parent))
    monkeypatch.delenv("SER_DATA", raising=False)
    yield tmp_path
    forget()


def test_a_fusion_waits_for_its_members_and_is_left_out_with_them(stores, monkeypatch):
    network = "members/emodb.speaker.one"
    paths = [
        write(stores, "fused", fusions={"alone": {"members": [network], "rule": "mean", "average": True}}),
        write(stores, "members", networks={"one": {}}),
    ]
    found = workflow.plan(paths)
    assert found.jobs == {}
    assert [line.split(": ")[:2] for line in found.skipped] == [
        ["skipped", network],
        ["skipped", "fused/emodb.speaker.alone"],
    ]
    assert "no recordings of emodb" in found.skipped[0] and f"no Run '{network}'" in found.skipped[1]

    monkeypatch.setattr(workflow, "check_inputs", lambda cell: None)
    found = workflow.plan(paths)
    assert found.skipped == () and list(found.jobs) == [network, "fused/emodb.speaker.alone"]
    assert found.jobs["fused/emodb.speaker.alone"].after == (network,) and found.jobs[network].after == ()
    # Another key of a member is another key of the fusion.
    keys = [found.jobs["fused/emodb.speaker.alone"].key]
    write(stores, "members", networks={"one": {"epochs": 3}})
    keys.append(workflow.plan(paths).jobs["fused/emodb.speaker.alone"].key)
    assert keys[0] != keys[1]


def not_installed(name, revision):
    raise ImportError("No module named 'torch'", name="torch")


def test_a_network_needs_its_recordings_and_its_checkpoint(stores, monkeypatch):
    (cell,) = configuration.load(write(stores, "one", networks={"one": {}})).systems
    with pytest.raises(SerError, match="no recordings of emodb"):
        workflow.check_inputs(cell)
    monkeypatch.setattr(corpora, "audio_path", lambda row: None)
    monkeypatch.delenv("SER_WEIGHTS", raising=False)
    with pytest.raises(SerError, match="byol-s: SER_WEIGHTS is not set"):
        workflow.check_inputs(cell)
    with monkeypatch.context() as patch:
        patch.setattr(encoders, "load", not_installed)
        with pytest.raises(SerError, match="byol-s: torch is not installed; requirements.lock has it"):
            workflow.check_inputs(cell)

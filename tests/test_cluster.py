"""The commands of the page "From laptop to cluster", on engines that are installed here; the others skip."""

import importlib.util
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time

import pytest
import tiny
import yaml
from caches import forget

from ser_core import paths
from ser_core.data import corpora, synthetic

ROOT = paths.repository()
PAGE = ROOT / "book/from_laptop_to_cluster.md"
MODULES = {
    "snakemake": "snakemake",
    "ser": "ser_core.cli",
    "dask": "dask",
    "accelerate": "accelerate.commands.accelerate_cli",
}
PATH = f"{os.path.dirname(sys.executable)}:{os.environ['PATH']}"
COMMON = {"name": "plain", "question": "Is it made?", "protocols": ["speaker"], "folds": 2}


def commands(heading):
    """The commands of a section of the page, as they stand there."""
    section = PAGE.read_text().split(f"\n## {heading}\n")[1].split("\n## ")[0]
    return "".join(re.findall(r"^```\n(.*?)^```$", section, flags=re.M | re.S)).splitlines()


def here(command):
    """A command as an argument vector of this environment."""
    program, *words = command.split()
    return [sys.executable, "-m", MODULES[program], *words]


def done(command, clone, **environment):
    found = subprocess.run(command, cwd=clone, env=environment, capture_output=True, text=True, timeout=900)
    assert found.returncode == 0, (found.stderr + found.stdout)[-4000:]
    return found.stdout + found.stderr


def installed(*modules):
    return all(importlib.util.find_spec(name) for name in modules)


def answers(*command):
    try:
        return subprocess.run(command, capture_output=True, timeout=20).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


@pytest.fixture
def clone(tmp_path):
    """As much of a clone as two Runs take, and its environment."""
    for folder in ("ser_core", "workflow"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("clips/emodb", "features/emodb.levels"):
        (tmp_path / "results" / name).parent.mkdir(parents=True)
        shutil.copy(ROOT / f"results/{name}.parquet", tmp_path / f"results/{name}.parquet")
    (tmp_path / "experiments").mkdir()
    systems = {"corpora": ["emodb"], "features": ["levels"], "models": ["knn"], "normalisations": ["train", "none"]}
    (tmp_path / "experiments/plain.yaml").write_text(yaml.safe_dump(COMMON | systems))
    return tmp_path


@pytest.fixture
def environment(clone):
    found = {name: value for name, value in os.environ.items() if not name.startswith("SER_")}
    return found | {"PYTHONPATH": str(clone), "PATH": PATH, "OMP_NUM_THREADS": "1"}


def tables(clone):
    return {path.relative_to(clone).as_posix(): path.read_bytes() for path in clone.glob("results/runs/*/*/*.parquet")}


@pytest.fixture
def expected(clone, environment):
    """What one machine makes of the two Runs; they are removed again."""
    done(here("ser run experiments/plain.yaml --jobs 1"), clone, **environment)
    found = tables(clone)
    assert len(found) == 2
    shutil.rmtree(clone / "results/runs")
    return found


@pytest.mark.skipif(
    not (installed("snakemake_executor_plugin_slurm") and answers("sinfo")), reason="no Slurm that answers"
)
def test_slurm_makes_the_runs_of_one_machine(clone, environment, expected):
    (command,) = commands("Slurm")
    said = done(here(command), clone, **environment)
    assert len(re.findall("submitted with SLURM jobid", said)) == 2
    assert tables(clone) == expected


@pytest.mark.skipif(
    not (installed("snakemake_executor_plugin_cluster_generic") and shutil.which("kubernetes-validate", path=PATH)),
    reason="no executor, or no kubernetes-validate, which holds Jobs against the schema",
)
def test_kubernetes_is_given_jobs_that_its_schema_allows(clone, environment, expected):
    (made := clone / "made").mkdir()
    kubectl = clone / "bin/kubectl"
    kubectl.parent.mkdir()
    kubectl.write_text(f'#!/bin/sh\nexec {sys.executable} {ROOT}/tests/kubectl.py "$@"\n')
    kubectl.chmod(0o755)
    environment |= {"KUBECTL_FOLDER": str(made), "PATH": f"{kubectl.parent}:{environment['PATH']}"}
    (command,) = commands("Kubernetes")
    done(here(command), clone, **environment)
    jobs = [yaml.safe_load(path.read_text()) for path in made.iterdir()]
    assert len(jobs) == 2 and tables(clone) == expected
    for job in jobs:
        (container,) = job["spec"]["template"]["spec"]["containers"]
        assert container["resources"]["requests"] == {"cpu": "1", "memory": "4000M"}
        assert container["workingDir"] == str(clone)


def test_a_profile_is_of_the_page_and_names_its_executor():
    for name, executor in (("Slurm", "slurm"), ("Kubernetes", "cluster-generic")):
        (command,) = commands(name)
        profile = ROOT / command.split("--workflow-profile ")[1].split()[0] / "config.yaml"
        assert yaml.safe_load(profile.read_text())["executor"] == executor


def synthetic_clone(clone, monkeypatch, **sizes):
    """Give the clone recordings under the name of a corpus, and their table."""
    forget()
    monkeypatch.setenv("SER_RESULTS", str(clone / "results"))
    folder = synthetic.corpus(clone / "data/urdu", **sizes)
    corpora.write_table(corpora.local.read(folder / "clips.csv", name="urdu"))
    forget()
    return {"SER_DATA": str(clone / "data")}


@pytest.mark.skipif(not installed("distributed"), reason="Dask is not installed")
def test_dask_loses_nothing_with_a_worker(clone, environment, monkeypatch):
    environment |= synthetic_clone(
        clone, monkeypatch, speakers=8, sentences=8, emotions=("sad", "angry"), repetitions=4
    )
    systems = {"corpora": ["urdu"], "features": ["levels"], "models": ["knn"], "normalisations": ["train", "none"]}
    (clone / "experiments/plain.yaml").write_text(yaml.safe_dump(COMMON | systems))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    scheduler, worker, export, features, run = [
        line.replace("HEAD", "127.0.0.1").replace("8786", port) for line in commands("Dask")
    ]
    name, _, address = export.removeprefix("export ").partition("=")
    store = clone / "results/features/urdu.levels.parquet"
    for command in (features, f"{run} --jobs 1"):
        done(here(command), clone, **environment)
    expected = tables(clone) | {"": store.read_bytes()}
    assert len(expected) == 3
    shutil.rmtree(clone / "results/runs")
    store.unlink()

    quiet = {"cwd": clone, "env": environment, "stderr": subprocess.DEVNULL, "start_new_session": True}
    started = [
        subprocess.Popen([*here(line), *more], **quiet)
        for line, more in ((scheduler, ["--no-dashboard"]), (worker, ["--no-dashboard"]), (worker, ["--no-dashboard"]))
    ]
    try:
        # Both workers are there before the work begins, so that the one that is killed has some of it.
        import distributed

        with distributed.Client(address, timeout=60, set_as_default=False) as client:
            client.wait_for_workers(2, timeout=60)
        with subprocess.Popen(here(features), cwd=clone, env=environment | {name: address}) as extracting:
            while not (parts := list(clone.glob(".cache/partial/*/*.parquet"))) and extracting.poll() is None:
                time.sleep(0.01)
            os.killpg(started[-1].pid, signal.SIGKILL)
            assert len(parts) < 16  # of 512 clips, 32 at a time
        assert extracting.returncode == 0
        done(here(run), clone, **environment, **{name: address})
    finally:
        for process in started:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    assert tables(clone) | {"": store.read_bytes()} == expected


@pytest.mark.skipif(not installed("accelerate"), reason="accelerate is not installed")
def test_two_processes_have_the_losses_of_one(clone, environment, monkeypatch):
    environment |= synthetic_clone(clone, monkeypatch, speakers=4, sentences=4, emotions=("sad", "angry"))
    recipe = {"encoder": str(tiny.write("wav2vec2-base", clone / "encoder")), "freeze": 1, "max_seconds": 0.6}
    recipe |= {"dropout": 0.0, "class_weights": False, "epochs": 2, "batch_size": 4, "precision": "fp32"}
    recipe |= {"patience": None, "learning_rate": 1e-3}
    content = COMMON | {"name": "network", "corpora": ["urdu"], "recipe": recipe, "networks": {"one": {}}}
    (clone / "experiments/network.yaml").write_text(yaml.safe_dump(content))
    (command,) = commands("Several processes for one network")
    curves = []
    for said in (command, "ser run experiments/network.yaml --jobs 1"):
        done(here(said), clone, **environment)
        (path,) = clone.glob("results/runs/network/*/run.json")
        folds = json.loads(path.read_text())["folds"]
        curves.append([row["loss"] for fold in folds for row in fold["curve"]])
        shutil.rmtree(clone / "results/runs")
    assert len(curves[0]) == 4
    assert curves[0] == pytest.approx(curves[1], abs=1e-3)

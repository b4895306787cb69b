"""The benchmarks run from end to end at tiny size; how fast they are is not tested."""

import json
import subprocess
import sys

import pytest

from ser_core import paths


@pytest.mark.parametrize("name", ["embedding", "finetuning", "fusion"])
def test_a_benchmark_writes_its_measurements(name, tmp_path):
    out = tmp_path / "found.json"
    script = paths.repository() / "benchmarks" / f"{name}.py"
    arguments = ["--device", "cpu", "--size", "tiny", "--clips", "6", "--repeats", "1", "--out", str(out)]
    done = subprocess.run([sys.executable, str(script), *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    committed = paths.results() / "benchmarks" / f"{name}.cpu.tiny.json"
    assert set(json.loads(out.read_text())) == set(json.loads(committed.read_text()))

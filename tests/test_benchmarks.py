"""The benchmarks run from end to end at tiny size; how fast they are is not tested."""

import importlib
import json
import subprocess
import sys

import numpy as np
import pytest

from ser_core import paths

sys.path.insert(0, str(paths.repository() / "benchmarks"))
growth, ratios = map(importlib.import_module, ("growth", "ratios"))


@pytest.mark.parametrize("name", ["embedding", "finetuning", "fusion"])
def test_a_benchmark_writes_its_measurements(name, tmp_path):
    out = tmp_path / "found.json"
    script = paths.repository() / "benchmarks" / f"{name}.py"
    arguments = ["--device", "cpu", "--size", "tiny", "--clips", "6", "--repeats", "1", "--out", str(out)]
    done = subprocess.run([sys.executable, str(script), *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    committed = paths.results() / "benchmarks" / f"{name}.cpu.tiny.json"
    assert set(json.loads(out.read_text())) == set(json.loads(committed.read_text()))


def test_a_ratio_far_below_the_median_of_its_history_is_told():
    history = [{"cpu": "x", "ratios": {"scorer/loop": ratio}} for ratio in (90.0, 100.0, 500.0)]
    history.append({"cpu": "y", "ratios": {"scorer/loop": 9_000.0}})

    def told(ratio, cpu="x"):
        return ratios.slower({"scorer": {"ratios": {"loop": ratio, "new": 1.0}}}, history, cpu)

    assert told(70.0) == [] and told(5.0, "z") == []
    assert told(69.9) == ["scorer/loop: 69.9 times, before 100.0"]


def committed():
    folder = paths.results() / "benchmarks"
    rows = [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]
    return rows, json.loads((folder / "ratios.json").read_text())["cases"]


def test_the_history_holds_what_the_page_shows():
    rows, cases = committed()
    last = {key: ratio for row in rows for key, ratio in row["ratios"].items()}
    shown = {f"{case}/{name}": ratio for case, one in cases.items() for name, ratio in one["ratios"].items()}
    assert shown == last


def test_what_is_committed_is_what_the_code_measures():
    _, cases = committed()
    for case, one in cases.items():
        title, ours, _, others, goal = ratios.CASES[case]
        sides = {"ours": ours, **others}
        assert (one["title"], one["goal"], set(one["ratios"])) == (title, goal, set(others))
        assert {name: side["what"] for name, side in one["sides"].items()} == {
            name: side.__doc__.splitlines()[0] for name, side in sides.items()
        }
    steps = json.loads((paths.results() / "benchmarks" / "growth.json").read_text())["steps"]
    assert {name: step["what"] for name, step in steps.items()} == {
        name: growth.STEPS[name][0].__doc__.rstrip(".") for name in steps
    }


def test_a_comparison_is_added_in_the_form_of_what_is_committed(tmp_path, monkeypatch):
    rows, cases = committed()
    monkeypatch.setattr(ratios, "alone", lambda *words: cases[words[words.index("--one") + 1]])
    for case in ("help", "thousand", "help"):
        monkeypatch.setattr(sys, "argv", ["ratios.py", case, "--out", str(tmp_path)])
        ratios.main()
    made = [json.loads(line) for line in (tmp_path / "history.jsonl").read_text().splitlines()]
    assert [list(row) for row in made] == [list(rows[0])] * 3
    assert [list(row["ratios"]) for row in made] == [
        [f"{case}/{name}" for name in cases[case]["ratios"]] for case in ("help", "thousand", "help")
    ]
    assert json.loads((tmp_path / "ratios.json").read_text())["cases"] == {
        name: cases[name] for name in ("help", "thousand")
    }


def test_an_exponent_is_the_slope_of_the_largest_sizes():
    n = np.array([1e3, 1e4, 1e5])
    assert growth.exponent(n, 7 * n**1.5) == pytest.approx(1.5)

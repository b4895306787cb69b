"""Settings of the fuzz suite, and the table of what it tried.

`SER_FUZZ=500 pytest tests/fuzz` tries 500 inputs of each kind in place of 25. `SER_FUZZ_COUNTS=1` writes how many were
tried into counts.csv.
"""

import csv
import os
from pathlib import Path

import hypothesis
import outcomes
import pytest

hypothesis.settings.register_profile(
    "fuzz",
    max_examples=int(os.environ.get("SER_FUZZ", 25)),
    # The same inputs on every machine, so that what fails there fails here; a larger number tries others as well.
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(hypothesis.HealthCheck),
)
hypothesis.settings.load_profile("fuzz")
COUNTS = Path(__file__).with_name("counts.csv")


@pytest.fixture(autouse=True)
def stores(tmp_path, monkeypatch):
    """A cache and a folder of one's own, so that nothing is written elsewhere."""
    monkeypatch.setenv("SER_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("SER_TRACEBACK", raising=False)


def pytest_sessionfinish(session, exitstatus):
    if os.environ.get("SER_FUZZ_COUNTS") and exitstatus == 0:
        with COUNTS.open("w", newline="", encoding="utf-8") as stream:
            table = csv.writer(stream, lineterminator="\n")
            table.writerow(("kind", "inputs", "refused", "accepted", "wrong"))
            for kind, counts in sorted(outcomes.SEEN.items()):
                table.writerow((kind, sum(counts.values()), counts["refused"], counts["accepted"], counts["wrong"]))

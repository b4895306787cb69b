import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import joblib
import pytest

from ser_core.systems import workers

# Each worker notes its process id and then works for longer than the test waits.
PARENT = """
import os, sys, time
import joblib
from ser_core.systems import workers

def work(folder):
    open(f"{folder}/{os.getpid()}", "w").close()
    time.sleep(900)

with workers.pool(2):
    joblib.Parallel()(joblib.delayed(work)(sys.argv[1]) for _ in range(4))
"""


def wait_for(condition, seconds):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.1)
    return True


def alive(pid):
    """Whether a process is at work; one that has ended but was not yet collected is not."""
    state = Path(f"/proc/{pid}/stat")
    return state.exists() and state.read_text().rpartition(")")[2].split()[0] != "Z"


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="no /proc to look for processes in")
@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGKILL])
def test_workers_end_with_a_parent_that_is_killed(tmp_path, sent):
    with subprocess.Popen([sys.executable, "-c", PARENT, tmp_path], stderr=subprocess.DEVNULL) as parent:
        assert wait_for(lambda: len(list(tmp_path.iterdir())) == 2, 240)
        pids = [int(path.name) for path in tmp_path.iterdir()]
        assert all(map(alive, pids))
        parent.send_signal(sent)
    assert parent.returncode == -sent
    assert wait_for(lambda: not any(map(alive, pids)), 60)


def test_workers_are_in_the_folder_of_the_caller_wherever_it_was_before(tmp_path, monkeypatch):
    for name in ("first", "second", "first"):
        (tmp_path / name).mkdir(exist_ok=True)
        monkeypatch.chdir(tmp_path / name)
        with workers.pool(2):
            assert joblib.Parallel()(joblib.delayed(os.getcwd)() for _ in range(2)) == [str(tmp_path / name)] * 2


def test_workers_have_the_variables_of_the_caller_whatever_they_had_before(monkeypatch):
    monkeypatch.delenv("SER_WEIGHTS", raising=False)
    for folder in ("first", "second", None):
        if folder is None:
            monkeypatch.delenv("SER_WEIGHTS")
        else:
            monkeypatch.setenv("SER_WEIGHTS", folder)
        with workers.pool(2):
            found = joblib.Parallel()(joblib.delayed(os.getenv)("SER_WEIGHTS") for _ in range(2))
        assert found == [folder] * 2

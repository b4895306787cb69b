"""Two commands under one lock run one after the other, whichever is killed."""

import subprocess
import sys
import time


def start(lock, *words):
    command = [sys.executable, "-m", "ser_core.files.run_alone", str(lock), *words]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for(path):
    while not path.exists():
        time.sleep(0.02)


def test_the_second_command_waits_for_the_first_and_says_so(tmp_path):
    lock, log = tmp_path / "made/lock", tmp_path / "log"
    until_told = f"touch {tmp_path}/on; while [ ! -e {tmp_path}/go ]; do sleep 0.05; done; echo first >> {log}"
    first = start(lock, "sh", "-c", until_told)
    wait_for(tmp_path / "on")
    second = start(lock, "sh", "-c", f"echo second >> {log}; exit 3")
    assert second.stderr.readline() == f"waiting for another process that holds {lock}\n"
    (tmp_path / "go").touch()
    assert (first.wait(60), second.wait(60)) == (0, 3), "the exit status is that of the command"
    assert log.read_text().split() == ["first", "second"]


def test_a_command_that_is_killed_leaves_no_lock(tmp_path):
    first = start(tmp_path / "lock", sys.executable, "-c", f"open(r'{tmp_path}/on', 'w'); import time; time.sleep(600)")
    wait_for(tmp_path / "on")
    first.kill()
    first.wait(60)
    out, err = start(tmp_path / "lock", "echo", "done").communicate(timeout=60)
    assert (out, err) == ("done\n", "")

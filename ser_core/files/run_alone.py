"""Run a command while no other runs under the same lock: two at once of `make book` take turns.

    python -m ser_core.files.run_alone .snakemake/make.lock snakemake --cores all

The command takes the place of this process and keeps the lock, which so ends with it, in whatever way it ends. That of
`ser_core.files.alone` would end with this process, though the command may go on.
"""

import fcntl
import os
import sys
from collections.abc import Sequence
from pathlib import Path


def run(lock: Path, words: Sequence[str]) -> None:
    """Wait for the lock, and become the command.

    Args:
        lock: A file, which is made if it is not there, and stays.
        words: The command and what it is given.
    """
    lock.parent.mkdir(parents=True, exist_ok=True)
    held = os.open(lock, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print(f"waiting for another process that holds {lock}", file=sys.stderr, flush=True)
        fcntl.flock(held, fcntl.LOCK_EX)
    os.set_inheritable(held, True)
    os.execvp(words[0], words)


if __name__ == "__main__":
    run(Path(sys.argv[1]), sys.argv[2:])

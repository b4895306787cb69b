"""Worker processes that end when the process that started them does, however it ended."""

import os
import threading
import time
import warnings

from ser_core.errors import SerError


def pool(jobs: int):
    """Return the context in which `joblib.Parallel` runs processes of one thread that end with this one.

    Args:
        jobs: Processes; -1 is one per core.

    Raises:
        SerError: If there are to be 0.

    Examples:
        >>> import joblib
        >>> with pool(2):
        ...     joblib.Parallel()(joblib.delayed(abs)(number) for number in (-1, -2))
        [1, 2]
    """
    import joblib

    if jobs == 0:
        raise SerError("0 processes do nothing; give a number of 1 or more, or -1 for one per core")
    # Loky ends a worker that keeps much memory and starts another, and nothing is lost.
    warnings.filterwarnings("ignore", message="A worker stopped while some jobs were given")
    ending = {"initializer": end_with, "initargs": (os.getpid(),)}
    return joblib.parallel_config(backend="loky", n_jobs=jobs, inner_max_num_threads=1, **ending)


def end_with(parent: int) -> None:
    """End this process soon after its parent has ended: an initialiser of workers.

    A parent that is killed cannot tell its workers, which would fit several folds more and then wait for minutes.

    Args:
        parent: Process id of the parent; it is given, because a worker that starts late has another parent already.
    """
    threading.Thread(target=_watch, args=(parent,), daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    # Not sys.exit, which would end this thread alone.
    os._exit(1)

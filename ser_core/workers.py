"""Worker processes that end when the process that started them does, however it ended."""

import os
import threading
import time


def end_with(parent: int) -> None:
    """End this process soon after its parent has ended: an initialiser of workers.

    A parent that is killed cannot tell its workers, which would fit several folds more and then wait for minutes.

    Args:
        parent: Process id of the parent; it is given, because a worker that starts late has another parent already.

    Examples:
        >>> import joblib
        >>> with joblib.parallel_config(backend="loky", n_jobs=2, initializer=end_with, initargs=(os.getpid(),)):
        ...     joblib.Parallel()(joblib.delayed(abs)(number) for number in (-1, -2))
        [1, 2]
    """
    threading.Thread(target=_watch, args=(parent,), daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    # Not sys.exit, which would end this thread alone.
    os._exit(1)

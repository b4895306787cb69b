"""Where work is done at once: worker processes of this machine, or a Dask cluster that ``SER_DASK`` names."""

import contextlib
import os
import threading
import time
import warnings
from collections.abc import Iterator

from ser_core.errors import SerError

_WAIT_S = 30


@contextlib.contextmanager
def pool(jobs: int) -> Iterator[None]:
    """Give the context in which `joblib.Parallel` runs workers of one thread.

    Without ``SER_DASK`` they are processes of this machine, in the present folder, that end with this one, however it
    ended. With it, they are the workers of the Dask scheduler at that address, such as ``tcp://head:8786``; those see
    the same files and have the same environment. What a worker that is lost has not given back is computed by another.

    Args:
        jobs: Processes on this machine; -1 is one per core. On a cluster all workers are used.

    Yields:
        Nothing, while workers are there.

    Raises:
        SerError: If there are to be 0, the scheduler does not answer, or its workers are not fit.

    Examples:
        >>> import joblib
        >>> with pool(2):
        ...     joblib.Parallel()(joblib.delayed(abs)(number) for number in (-1, -2))
        [1, 2]
    """
    import joblib

    if jobs == 0:
        raise SerError("0 processes do nothing; give a number of 1 or more, or -1 for one per core")
    if address := os.environ.get("SER_DASK"):
        with _client(address) as client, joblib.parallel_config(backend="dask", n_jobs=-1, client=client):
            yield
        return
    # Loky ends a worker that keeps much memory and starts another, and nothing is lost.
    warnings.filterwarnings("ignore", message="A worker stopped while some jobs were given")
    # It keeps its workers for the next call, unless that gives other arguments: relative paths, and the folders that
    # variables such as SER_WEIGHTS name, are those of the caller.
    start = {"initializer": start_worker, "initargs": (os.getpid(), os.getcwd(), _variables())}
    with joblib.parallel_config(backend="loky", n_jobs=jobs, inner_max_num_threads=1, **start):
        yield


@contextlib.contextmanager
def _client(address: str) -> Iterator:
    """Give a client of a Dask scheduler whose workers have one thread each."""
    try:
        import distributed
    except ModuleNotFoundError as error:
        raise SerError("SER_DASK needs Dask; get it with: pip install 'ser-core[cluster]'") from error
    try:
        client = distributed.Client(address, timeout=_WAIT_S, set_as_default=False)
    except (OSError, ValueError) as error:
        raise SerError(f"SER_DASK is '{address}', where no Dask scheduler answers within {_WAIT_S} s") from error
    with client:
        try:
            client.wait_for_workers(1, timeout=_WAIT_S)
        except TimeoutError as error:
            raise SerError(f"{address}: no worker came within {_WAIT_S} s; start: dask worker {address}") from error
        several = [name for name, threads in client.nthreads().items() if threads > 1]
        if several:
            # Warnings, and the time and memory that a Run records, are those of a whole process.
            raise SerError(f"{several[0]} has several threads; start workers with: dask worker {address} --nthreads 1")
        yield client


def _variables() -> dict[str, str]:
    """Return the environment variables of this package."""
    return {name: value for name, value in os.environ.items() if name.startswith("SER_")}


def start_worker(parent: int, folder: str, variables: dict[str, str]) -> None:
    """Go to the parent's folder, and end this process soon after the parent has ended: an initialiser of workers.

    A parent that is killed cannot tell its workers, which would fit several folds more and then wait for minutes.

    Args:
        parent: Process id of the parent; it is given, because a worker that starts late has another parent already.
        folder: The folder in which the parent works, to which its relative paths belong.
        variables: The parent's environment variables that begin with ``SER_``.
    """
    os.chdir(folder)
    for name in _variables():
        del os.environ[name]
    os.environ.update(variables)
    threading.Thread(target=_watch, args=(parent,), daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    # Not sys.exit, which would end this thread alone.
    os._exit(1)

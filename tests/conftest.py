import gc
import os
import sys
from collections import namedtuple

import pytest

from ser_core import cli
from ser_core.systems import weights

Done = namedtuple("Done", "code out err")


def pytest_collection_modifyitems(config, items):
    for variable, marker in (("SER_DATA", "needs_data"), ("SER_WEIGHTS", "needs_weights")):
        for item in items:
            if not os.environ.get(variable) and marker in item.keywords:
                item.add_marker(pytest.mark.skip(reason=f"{variable} is not set"))
    for item in items:
        for name in {name for marker in item.iter_markers("needs_fetched") for name in marker.args}:
            if weights.find(name) is None:
                item.add_marker(pytest.mark.skip(reason=f"not there; get it by: ser weights get {name}"))


def pytest_collection_finish():
    """Take modules and tests out of garbage collection: they stay, and each training forces a full one."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def ser(monkeypatch, capsys):
    """Run `ser` with arguments; returns exit status, standard output, standard error."""

    def call(*words):
        monkeypatch.setattr(sys, "argv", ["ser", *map(str, words)])
        code = 0
        try:
            cli.main()
        except SystemExit as stop:
            code = stop.code or 0
        return Done(code, *capsys.readouterr())

    return call

import os

import pytest

from ser_core.systems import weights


def pytest_collection_modifyitems(config, items):
    for variable, marker in (("SER_DATA", "needs_data"), ("SER_WEIGHTS", "needs_weights")):
        for item in items:
            if not os.environ.get(variable) and marker in item.keywords:
                item.add_marker(pytest.mark.skip(reason=f"{variable} is not set"))
    for item in items:
        for name in {name for marker in item.iter_markers("needs_fetched") for name in marker.args}:
            if weights.find(name) is None:
                item.add_marker(pytest.mark.skip(reason=f"not there; get it by: ser weights get {name}"))

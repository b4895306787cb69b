import os

import pytest


def pytest_collection_modifyitems(config, items):
    for variable, marker in (("SER_DATA", "needs_data"), ("SER_WEIGHTS", "needs_weights")):
        for item in items:
            if not os.environ.get(variable) and marker in item.keywords:
                item.add_marker(pytest.mark.skip(reason=f"{variable} is not set"))

"""What `ser_core` remembers within one process, forgotten: a test that changes what lies in the stores asks anew."""

import sys


def forget():
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] == "ser_core":
            for value in list(vars(module).values()):
                if hasattr(value, "cache_clear"):
                    value.cache_clear()

"""All that is measured, by name."""

from __future__ import annotations

import pkgutil
from importlib import import_module

from scenario import Scenario

SCENARIOS: dict[str, Scenario] = {
    module.name: import_module(f"{__name__}.{module.name}").SCENARIO
    for module in pkgutil.iter_modules(__path__)
}

"""Prints every table that needs nothing but this package: `python -m benchmarks`."""

from __future__ import annotations

import os
import platform

from benchmarks import client, first_minute, imports, memory, saturation, scaling, scenarios

print(f"Python {platform.python_version()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the start")
for part in (scenarios, first_minute, saturation, client, memory, scaling, imports):
    part.main()

"""Prints every table: `python -m benchmarks`."""

from __future__ import annotations

import os
import platform

from benchmarks import client, imports, memory

print(f"Python {platform.python_version()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the start")
for part in (client, memory, imports):
    part.main()

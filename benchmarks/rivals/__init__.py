"""The library beside what one would take instead, over real sockets: `python -m benchmarks.rivals`."""

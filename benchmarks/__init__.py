"""What the library costs: `python -m benchmarks` prints the tables of docs/explanation/performance.md."""

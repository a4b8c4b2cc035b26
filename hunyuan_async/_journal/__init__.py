"""The durable recorder: items and their steps in an SQLite file."""

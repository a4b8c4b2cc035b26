"""Faults: what the emulated service can do wrong, when told so."""

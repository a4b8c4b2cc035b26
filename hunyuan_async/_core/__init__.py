"""Decisions: plain functions and small classes, without await, clock, randomness or logging."""

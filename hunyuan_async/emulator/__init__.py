"""A stand-in for the image service, for tests, demonstrations and work without a key.

It shares no code with the client that it is to test, so that no mistake passes twice.
"""

from hunyuan_async.emulator._emulator import Emulator
from hunyuan_async.emulator._faults.injector import Injected
from hunyuan_async.emulator._faults.kinds import Kind as FaultKind
from hunyuan_async.emulator._faults.rules import Fault, read_faults
from hunyuan_async.emulator._faults.table import KINDS as FAULT_KINDS
from hunyuan_async.emulator._latency import LATENCIES, Latency, bimodal, fixed, lognormal, uniform
from hunyuan_async.emulator._service import EmulatedService, Get, Picture, Post
from hunyuan_async.emulator._settings import EmulatorSettings
from hunyuan_async.emulator._shapes import ACCEPTED, FAILURES, SHAPES

__all__ = [
    "ACCEPTED",
    "FAILURES",
    "FAULT_KINDS",
    "LATENCIES",
    "SHAPES",
    "EmulatedService",
    "Emulator",
    "EmulatorSettings",
    "Fault",
    "FaultKind",
    "Get",
    "Injected",
    "Latency",
    "Picture",
    "Post",
    "bimodal",
    "fixed",
    "lognormal",
    "read_faults",
    "uniform",
]

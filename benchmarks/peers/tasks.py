"""The module in which some systems look for tasks: those of the one that runs."""

import os
from importlib import import_module

import_module(f"peers.systems.{os.environ['CQ_BENCH_PEER']}")

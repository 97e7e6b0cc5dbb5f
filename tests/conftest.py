# SPDX-License-Identifier: MIT
"""Fixtures for every suite; under CI=true a skip whose reason the machine does not excuse fails."""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

from harness import profile, sandbox  # noqa: E402,F401  (fixtures)

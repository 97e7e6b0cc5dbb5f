# SPDX-License-Identifier: MIT
"""The randomised model test: the same operations on a plain directory and on union mounts."""

# SPDX-License-Identifier: MIT
"""Prints "passed failed skipped" for a JUnit file, as pytest and meson write it."""
import sys
import xml.etree.ElementTree

counts = [0, 0, 0]
for case in xml.etree.ElementTree.parse(sys.argv[1]).iter("testcase"):
    marks = {child.tag for child in case}
    counts[1 if marks & {"failure", "error"} else 2 if "skipped" in marks else 0] += 1
print(*counts)

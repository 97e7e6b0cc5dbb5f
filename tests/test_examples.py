# SPDX-License-Identifier: MIT
"""The examples run, do what they say, and leave nothing behind."""
import os
import pathlib

import pytest

from harness import PLYFS, ROOT, need_fuse, need_root, run

EXAMPLES = sorted(path.stem for path in (ROOT / "examples").glob("*.sh")
                  if path.stem not in ("quickstart", "sandbox"))


@pytest.mark.parametrize("name", EXAMPLES)
def test_example(sandbox, name):
    need_fuse()
    if name == "copyups":
        need_root()
    place = sandbox.directory("tmp")
    done = run("sh", ROOT / "examples" / f"{name}.sh", check=False, timeout=120,
               env={**os.environ, "PLYFS": str(PLYFS), "TMPDIR": str(place)})
    assert done.returncode == 0, done.stdout + done.stderr
    assert not list(pathlib.Path(place).iterdir()), "the example left something behind"
    assert str(place) not in pathlib.Path("/proc/self/mountinfo").read_text()

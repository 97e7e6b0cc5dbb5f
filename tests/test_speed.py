# SPDX-License-Identifier: MIT
"""Whether something became slower: the benchmark's quick form against what is recorded in the tree.

Only ratios within the one run count, and what seems worse is run again before it is believed."""
import subprocess

from harness import ROOT, can_mount_kernel, need, need_fuse, need_root, need_tool

BENCH = ROOT / "tests" / "bench"


def test_no_ratio_to_kernel_overlayfs_is_worse_by_half_than_recorded(tmp_path):
    need_root()
    need_fuse()
    need_tool("sqlite3")
    need(can_mount_kernel(), "needs overlayfs in the kernel")
    done = subprocess.run(["sh", BENCH / "run.sh", "--quick", "--against", BENCH / "recorded.json", "--contenders",
                           "native,kernel,plyfs-stateless,plyfs-passthrough", "--output", tmp_path / "bench.json"],
                          text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    assert done.returncode == 0, done.stdout

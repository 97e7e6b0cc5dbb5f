# SPDX-License-Identifier: MIT
"""The probes for tracers, and the example that listens to them."""
import os
import pathlib
import re
import signal
import subprocess

import layers_kit as kit
from harness import PLYFS, ROOT, need, need_root, need_tool, run
from storekit import wait_for

SCRIPT = ROOT / "examples/copyups.bt"


def need_probes():
    need_tool("readelf")
    notes = run("readelf", "-n", PLYFS).stdout
    need("stapsdt" in notes, "the program was built without sys/sdt.h")
    return notes


def need_bpftrace():
    need_root()
    need_tool("bpftrace")
    can = run("bpftrace", "-e", "BEGIN { exit(); }", check=False).returncode == 0
    need(can and os.path.exists("/sys/bus/event_source/devices/uprobe"), "bpftrace cannot attach here")


def test_the_program_has_the_probes_that_its_header_promises():
    told = re.findall(r"Name: (\w+)", need_probes())
    header = (ROOT / "fs/probes.h").read_text()
    promised = re.findall(r"^ \*   ([a-z_]+)\(", header, re.M)
    promised += re.findall(r"^ \*   [a-z_]+\(\w+(?:, \w+)*\), ([a-z_]+)\(", header, re.M)
    assert promised and set(told) == set(promised)


def daemon_of(at):
    for pid in os.listdir("/proc"):
        try:
            command = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if pid.isdigit() and os.fsencode(at) in command and b"mount" in command:
            return int(pid)
    return None


def test_the_example_names_who_copies_up_in_a_mount_without_a_name(sandbox):
    need_probes()
    need_bpftrace()
    base = pathlib.Path(sandbox.directory("base"))
    kit.put(base / "f", "x" * 5000)
    kit.put(base / "g", "y")
    said = sandbox.path / "said"
    with sandbox.plyfs([base], sandbox.directory("upper")) as mount:
        pid = daemon_of(mount.at)
        with open(said, "wb") as out:
            tracer = subprocess.Popen(["bpftrace", "-p", str(pid), SCRIPT], stdout=out, stderr=out,
                                      stdin=subprocess.DEVNULL)
        try:
            wait_for(lambda: "Attaching" in said.read_text(), "bpftrace to begin")
            # Attached is not yet listening: from the first line that is seen it is.
            def heard():
                kit.put(mount / "new", "")
                run("sh", "-c", f"mkdir -p {mount.at}/d && rmdir {mount.at}/d && chmod 600 {mount.at}/g"
                                f" && rm -f {mount.at}/g")
                (mount / "g").write_text("again")
                return "whiteout" in said.read_text()
            wait_for(heard, "the first event to be heard")
            run("sh", "-c", f"echo more >> {mount.at}/f")
            wait_for(lambda: re.search(r"^(open|write) +sh +\d+ +5000 /f$", said.read_text(), re.M),
                     "the copy-up to be told")
        finally:
            tracer.send_signal(signal.SIGINT)
            tracer.wait(30)
    assert "@moved[sh]: 5000" in said.read_text()

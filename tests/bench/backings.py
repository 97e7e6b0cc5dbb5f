# SPDX-License-Identifier: MIT
"""What everything lies on: a tmpfs, or a filesystem of its own in a file of the temporary directory,
through a loop device, so that what is synced goes to the disk."""
import os
import subprocess

SIZE = 8 << 30  # of the file, which has as many bytes as were written to it

MAKERS = {
    # Nothing is left for a thread of the kernel to do while contenders are timed.
    "ext4": ("mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0,nodiscard"),
    "xfs": ("mkfs.xfs", "-q", "-f", "-K"),
    "btrfs": ("mkfs.btrfs", "-q", "-f", "-K"),
}
BACKINGS = ("tmpfs", *MAKERS)


def mount(backing, at):
    """In the mount namespace that it goes away with; so does the loop device, and the file with that."""
    if backing == "tmpfs":
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=75%", "tmpfs", at], check=True)
        return
    image = f"{at}.{backing}"
    try:
        with open(image, "wb") as file:
            file.truncate(SIZE)
        subprocess.run([*MAKERS[backing], image], check=True, stdout=subprocess.DEVNULL)
        subprocess.run(["mount", "-t", backing, "-o", "loop", image, at], check=True)
    finally:
        os.unlink(image)

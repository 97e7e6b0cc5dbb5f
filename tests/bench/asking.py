# SPDX-License-Identifier: MIT
"""The emptiest request there is: asking.py FILE COUNT sends an ioctl that nobody knows, one after the other,
and prints the seconds and the number of those that were refused, as they all should be."""
import errno
import fcntl
import json
import sys
import time

UNKNOWN = 0x5A5A  # without an argument: nothing is copied


def refused(file):
    try:
        fcntl.ioctl(file, UNKNOWN)
    except OSError as error:
        return error.errno in (errno.ENOTTY, errno.EINVAL, errno.ENOSYS)
    return False


with open(sys.argv[1], "rb") as asked:
    started = time.perf_counter()
    count = sum(refused(asked) for _ in range(int(sys.argv[2])))
    print(json.dumps({"seconds": time.perf_counter() - started, "refused": count}))

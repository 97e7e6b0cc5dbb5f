# SPDX-License-Identifier: MIT
"""A snapshotter for containerd that answers as its fuse-overlayfs snapshotter does: with mounts of the
type fuse3.fuse-overlayfs, which containerd itself then has made by mount.fuse3. Debian has no package of
the real one. Run as: snapshotter.py SOCKET DIRECTORY.

It speaks the service containerd.services.snapshots.v1.Snapshots (api/services/snapshots/v1/snapshots.proto
of containerd) as far as `ctr` asks for it. Messages are written and read field by field: a message is a
list of (number, value), where a value is a number or bytes.
"""
import concurrent.futures
import os
import pathlib
import sys
import threading

import grpc

KINDS = {"view": 1, "active": 2, "committed": 3}
SERVICE = "containerd.services.snapshots.v1.Snapshots"


# ---- messages ------------------------------------------------------------------------------------

def varint(number):
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes(out) + bytes([number])


def pack(*fields):
    """(number, int | str | bytes) each."""
    out = b""
    for number, value in fields:
        if isinstance(value, int):
            out += varint(number << 3) + varint(value)
        else:
            data = value.encode() if isinstance(value, str) else value
            out += varint(number << 3 | 2) + varint(len(data)) + data
    return out


def unpack(data):
    """{number: [value, ...]}"""
    def read_varint():
        nonlocal at
        result = shift = 0
        while True:
            byte = data[at]
            at += 1
            result |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return result
    at, fields = 0, {}
    while at < len(data):
        key = read_varint()
        value = read_varint()
        if key & 7 == 2:
            value, at = data[at:at + value], at + value
        fields.setdefault(key >> 3, []).append(value)
    return fields


def word(fields, number):
    return fields.get(number, [b""])[0].decode()


# ---- snapshots -----------------------------------------------------------------------------------

class Snapshots:
    def __init__(self, root):
        self.root, self.lock = pathlib.Path(root), threading.Lock()
        self.known, self.counter = {}, 0  # name: (kind, parent, directory)

    def make(self, fields, kind, context):
        name, parent = word(fields, 2), word(fields, 3)
        if name in self.known:
            context.abort(grpc.StatusCode.ALREADY_EXISTS, f"snapshot {name}: already exists")
        self.counter += 1
        directory = self.root / str(self.counter)
        (directory / "fs").mkdir(parents=True)
        (directory / "work").mkdir()
        self.known[name] = (kind, parent, directory)
        return pack(*((1, mount) for mount in self.mounts_of(name)))

    def mounts_of(self, name):
        """As the real one: a bind mount where there is one directory, else an overlay."""
        kind, parent, directory = self.known[name]
        lowers = []
        while parent:
            _, above, lower = self.known[parent]
            lowers.append(str(lower / "fs"))
            parent = above
        if kind == "active" and not lowers:
            return [pack((1, "bind"), (2, str(directory / "fs")), (4, "rw"), (4, "rbind"))]
        if kind == "view" and len(lowers) == 1:
            return [pack((1, "bind"), (2, lowers[0]), (4, "ro"), (4, "rbind"))]
        options = [f"workdir={directory}/work", f"upperdir={directory}/fs"] if kind == "active" else []
        options.append("lowerdir=" + ":".join(lowers))
        return [pack((1, "fuse3.fuse-overlayfs"), (2, "overlay"), *((4, option) for option in options))]

    def find(self, name, context):
        if name not in self.known:
            context.abort(grpc.StatusCode.NOT_FOUND, f"snapshot {name}: not found")
        return self.known[name]

    def info(self, name):
        kind, parent, _ = self.known[name]
        return pack((1, name), (2, parent), (3, KINDS[kind]))

    # The calls of the service, by their names.

    def Prepare(self, fields, context):
        return self.make(fields, "active", context)

    def View(self, fields, context):
        return self.make(fields, "view", context)

    def Mounts(self, fields, context):
        self.find(word(fields, 2), context)
        return pack(*((1, mount) for mount in self.mounts_of(word(fields, 2))))

    def Commit(self, fields, context):
        name, key = word(fields, 2), word(fields, 3)
        _, parent, directory = self.find(key, context)
        del self.known[key]
        self.known[name] = ("committed", parent, directory)
        return b""

    def Remove(self, fields, context):
        _, _, directory = self.find(word(fields, 2), context)
        del self.known[word(fields, 2)]
        directory.rename(directory.with_name(f"removed-{directory.name}"))
        return b""

    def Stat(self, fields, context):
        self.find(word(fields, 2), context)
        return pack((1, self.info(word(fields, 2))))

    def Update(self, fields, context):
        return pack((1, self.info(word(unpack(fields[2][0]), 1))))

    def Usage(self, fields, context):
        self.find(word(fields, 2), context)
        return pack((1, 0), (2, 1))

    def Cleanup(self, fields, context):
        return b""

    def list_all(self, _, context):
        yield pack(*((1, self.info(name)) for name in self.known))

    def handlers(self):
        def locked(call):
            def act(fields, context):
                with self.lock:
                    return call(fields, context)
            return grpc.unary_unary_rpc_method_handler(act, request_deserializer=unpack)
        calls = {name: locked(getattr(self, name)) for name in
                 ("Prepare", "View", "Mounts", "Commit", "Remove", "Stat", "Update", "Usage", "Cleanup")}
        calls["List"] = grpc.unary_stream_rpc_method_handler(self.list_all, request_deserializer=unpack)
        return grpc.method_handlers_generic_handler(SERVICE, calls)


def main():
    socket, directory = sys.argv[1:]
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(8))
    server.add_generic_rpc_handlers((Snapshots(directory).handlers(),))
    server.add_insecure_port(f"unix:{socket}")
    server.start()
    print("serving", flush=True)
    sys.stdin.read()  # until whoever started it lets go
    server.stop(None)
    os._exit(0)


main()

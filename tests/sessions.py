# SPDX-License-Identifier: MIT
"""The scripted session: what somebody does with buildah and podman from an empty store to a pushed
image. The tests compare what it leaves on plyfs and on the kernel's overlayfs, and the benchmark
(tests/bench/session.py) measures it.

Everything is dated 0 by the tools (--timestamp), so that the same content has the same DiffIDs.
"""
import json
import os
import pathlib
import shutil
import tarfile

from engines import populate
from harness import run

DOCKERFILE = """\
FROM localhost/edited
ENV PLACE=/srv/app
RUN mkdir -p $PLACE/data && echo built > $PLACE/built && rm /usr/lib/lib3.so && chmod 0700 /etc/conf.d
COPY --chown=12:34 sources $PLACE/sources
COPY single /etc/single
RUN mv $PLACE/sources/sub $PLACE/moved && ln $PLACE/built $PLACE/again && rm -r /opaque && mkdir /opaque \\
    && echo fresh > /opaque/fresh
VOLUME /srv/app/data
USER 12:34
WORKDIR /srv/app
RUN id -u > /tmp/whoami && test "$(cat /tmp/whoami)" = 12 && rm /tmp/whoami
CMD ["/bin/cat", "/srv/app/built"]
"""

# What somebody does by hand in a container that is mounted: every kind of change of what lies below.
EDIT = """\
mv gone/deep gone/moved
rm usr/lib/lib1.so
rm -r opaque/in
echo more >> usr/lib/lib2.so
chmod 0640 etc/note
ln usr/lib/lib4.so usr/lib/lib4.again
ln -s lib4.so usr/lib/lib4.link
mkfifo etc/pipe2
touch -d @1500000000 usr/lib/lib5.so
"""


def make_base(sandbox, fifo=True):
    """A tar of a small root with a shell, without what only root may unpack."""
    root = sandbox.directory("base")
    populate(root)
    (root / "bin/sh").unlink()
    shutil.copy(shutil.which("busybox"), root / "bin/busybox")
    for applet in run(root / "bin/busybox", "--list").stdout.split():
        if not os.path.lexists(root / "bin" / applet):
            (root / "bin" / applet).symlink_to("busybox")
    for name in ("tmp", "proc", "sys", "dev", "srv", "root"):
        (root / name).mkdir(exist_ok=True)
    (root / "tmp").chmod(0o1777)
    (root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\napp:x:12:34::/srv/app:/bin/sh\n")
    (root / "etc/group").write_text("root:x:0:\napp:x:34:\n")
    (root / "etc/null").unlink()
    os.removexattr(root / "bin/ping", "security.capability")
    if not fifo:
        (root / "etc/pipe").unlink()
    path = sandbox.path / f"{root.name}.tar"
    run("tar", "--numeric-owner", "--xattrs", "--xattrs-include=*", "--sort=name", "-C", root, "-cf", path, ".")
    path.chmod(0o644)
    return path


def make_sources(sandbox):
    """What is copied into images: a directory, a file, an archive; and the Dockerfile."""
    context = sandbox.directory("context")
    (context / "sources/sub").mkdir(parents=True)
    for number in range(20):
        (context / "sources" / f"source{number}.c").write_text(f"int f{number};\n" * number)
        (context / "sources/sub" / f"part{number}").write_text(str(number))
    (context / "single").write_text("a single file\n")
    (context / "Dockerfile").write_text(DOCKERFILE)
    with tarfile.open(context / "archive.tar.gz", "w:gz") as tar:
        tar.add(context / "sources", "unpacked")
    return context


def by_hand(storage, base, context):
    """localhost/base from the tar, and localhost/edited from that: from, add, copy, mount, run, commit."""
    first = storage.buildah("from", "scratch")
    storage.buildah("add", "-q", first, base, "/")
    storage.buildah("commit", "-q", "--timestamp", "0", "--rm", first, "localhost/base")
    second = storage.buildah("from", "--pull-never", "localhost/base")
    storage.buildah("copy", "-q", "--chown", "12:34", second, context / "sources", "/usr/src")
    storage.buildah("add", "-q", second, context / "archive.tar.gz", "/opt")
    storage.inside(second, EDIT)
    storage.run_in(second, "echo run > /etc/run; rm /usr/lib/lib7.so; mv /usr/src /usr/sources; cat /etc/run")
    storage.buildah("config", "--cmd", "/bin/sh", second)
    storage.buildah("commit", "-q", "--timestamp", "0", "--rm", second, "localhost/edited")


def by_file(storage, context, tool="buildah"):
    """localhost/built of the Dockerfile."""
    storage.call(tool, "build", "-q", "--isolation", "chroot", "--pull-never", "--timestamp", "0",
                 "--layers", "-t", "localhost/built", context)


def push(storage, name, to, *options):
    """An image as a directory and as an OCI layout; the DiffIDs that the layout has."""
    storage.buildah("push", "-q", *options, name, f"dir:{to}/dir")
    storage.buildah("push", "-q", *options, name, f"oci:{to}/oci:x")
    return diff_ids_of(to / "oci")


def diff_ids_of(layout):
    def blob(descriptor):
        return json.loads((layout / "blobs/sha256" / descriptor["digest"][7:]).read_text())
    manifest = blob(json.loads((layout / "index.json").read_text())["manifests"][0])
    return blob(manifest["config"])["rootfs"]["diff_ids"]


def whole(storage, base, context, tool="buildah"):
    """All of it; {image: DiffIDs}."""
    by_hand(storage, base, context)
    by_file(storage, context, tool)
    found = {}
    for name in ("base", "edited", "built"):
        to = pathlib.Path(storage.place) / "tmp" / name
        storage.call("mkdir", to)
        found[name] = push(storage, f"localhost/{name}", to)
    return found

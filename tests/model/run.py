# SPDX-License-Identifier: MIT
"""Runs the model test: python3 tests/model/run.py --seed N --ops N --against kernel|plyfs|...

Each round makes a stack from the seed, mounts it, and does operations to it and to a plain directory.
A difference prints the seed, the shortest failing sequence, and the name of a file for --replay.
"""
import argparse
import ast
import os
import pathlib
import pprint
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from model import generate, play, rights, stack, tree  # noqa: E402

ROUND = 1000


def features_of(arguments):
    features = {"owners", "devices", "trusted", "links", "acl", "users", "nested"}
    if arguments.userns:
        features -= {"owners", "devices", "trusted", "users", "acl"}
    if arguments.form == "o":
        features.discard("links")
    if arguments.wh:
        features.add("wh")
    return features - set(arguments.without)


def config_of(arguments):
    return {"against": arguments.against.split(","), "profile": arguments.profile,
            "form": arguments.form, "userns": arguments.userns, "options": arguments.option,
            "features": sorted(features_of(arguments)), "seed": arguments.seed}


class Limited:
    """A generator that ends."""

    def __init__(self, generator, count):
        self.generator, self.left = generator, count
        self.happened, self.refresh = generator.happened, generator.refresh

    def next(self):
        if self.left == 0:
            self.left = -1
            return ("tree", "lookup")
        if self.left < 0:
            return None
        self.left -= 1
        return self.generator.next()


def report(config, number, layers, operations, difference, seconds):
    print(f"DIFFERENCE: seed {config['seed']}, round {number}, operation {difference.position}")
    print("\n".join(difference.lines))
    print(f"shrinking for at most {seconds} s ...", flush=True)
    layers, shorter, found = play.shrink(config, layers, operations[:difference.position + 1],
                                         seconds)
    if found is None:
        print("it did not come again when the same operations were played on a fresh mount")
    print(f"the shortest failing sequence, {len(shorter)} operations of {len(operations)}, seed "
          f"{config['seed']}, round {number}:")
    case = {"config": config, "stack": layers, "operations": shorter}
    fd, path = tempfile.mkstemp(prefix="plyfs-model-", suffix=".txt")
    with os.fdopen(fd, "w", encoding="ascii") as file:
        pprint.pprint(case, file, width=120, sort_dicts=False)
    if len(shorter) <= 60:
        for operation in shorter:
            print("   ", repr(operation))
    entries = [(i, e) for i, layer in enumerate(layers[0]) for e in layer if e[1]]
    entries += [("upper", e) for e in layers[1] or () if e[1]]
    for entry in entries if len(entries) <= 30 else ():
        print("    layer", *entry)
    if found:
        print("\n".join(found.lines))
    print(f"replay with: python3 tests/model/run.py --replay {path}", flush=True)


def run_rounds(arguments):
    config = config_of(arguments)
    features = set(config["features"])
    begun, done, number = time.monotonic(), 0, 0
    while done < arguments.ops:
        seed = f"{arguments.seed}/{number}"
        layers = stack.random_stack(seed, features)
        generator = generate.Generator(seed, features, arguments.every, arguments.remount_every)
        count = min(arguments.round, arguments.ops - done)
        operations = []
        try:
            if number >= arguments.first_round:
                play.play(config, layers, Limited(generator, count), operations)
        except play.Difference as difference:
            report(config, number, layers, operations, difference, arguments.shrink)
            return 1
        done += count
        number += 1
    print(f"{done} operations in {number} rounds against {arguments.against} without a difference, "
          f"{time.monotonic() - begun:.0f} s, seed {arguments.seed}", flush=True)
    return 0


def replay(path):
    case = ast.literal_eval(pathlib.Path(path).read_text(encoding="ascii"))
    found = play.try_out(case["config"], tuple(case["stack"]), case["operations"])
    print("\n".join(found.lines) if found else "no difference")
    return 1 if found else 0


def parser():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--ops", type=int, default=20000)
    p.add_argument("--against", default="kernel",
                   help="comma list of plyfs, kernel, fuse-overlayfs, mixed (plyfs and the kernel in "
                        "turn), and two that are wrong on purpose: forgetful, scribbler")
    p.add_argument("--profile", choices=("stateless", "writeback", "tracked", "auto"))
    p.add_argument("--form", choices=("mount", "o"), default="mount",
                   help="own form (redirect, metacopy, index on), or drop-in form (off)")
    p.add_argument("--option", action="append", default=[], help="a mount option for plyfs")
    p.add_argument("--wh", action="store_true", help=".wh. files in lower layers too")
    p.add_argument("--without", action="append", default=[],
                   help="leave out a feature: owners devices trusted links acl users nested")
    p.add_argument("--userns", action="store_true",
                   help="run by root of a user namespace (unshare -Urm)")
    p.add_argument("--round", type=int, default=ROUND, help="operations for each stack")
    p.add_argument("--first-round", type=int, default=0, help="skip earlier rounds")
    p.add_argument("--every", type=int, default=200, help="operations between whole looks")
    p.add_argument("--remount-every", type=int, default=250)
    p.add_argument("--shrink", type=int, default=240, help="seconds to spend on shrinking")
    p.add_argument("--replay", help="play a case that an earlier run wrote")
    p.add_argument("--rights", action="store_true", help="print what may differ, and why")
    return p


def own_mount_namespace():
    """Mounts that only this process sees: a namespace made elsewhere meanwhile would keep a copy of
    them, and with it the upper in use after umount(2). They also end with this process."""
    CLONE_NEWNS, MS_REC, MS_PRIVATE = 0x20000, 0x4000, 0x40000
    if tree.LIBC.unshare(CLONE_NEWNS) == 0:
        tree.LIBC.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None)


def prepare():
    """What a process is that plays: alone with its mounts, and without anything that opens doors."""
    os.umask(0o022)
    own_mount_namespace()
    try:
        os.setgroups([])    # so that another user's rights do not come from root's groups
    except OSError:
        pass


def main(argv=None):
    arguments = parser().parse_args(argv)
    prepare()
    if arguments.rights:
        for what, why in rights.TABLE:
            print(f"{what}: {why}")
        return 0
    return replay(arguments.replay) if arguments.replay else run_rounds(arguments)


if __name__ == "__main__":
    sys.exit(main())

# SPDX-License-Identifier: MIT
"""Searches for differences: python3 tests/model/fuzz.py --seconds N --seed S

Each round takes a seed and the next of the ways below, and compares plyfs with kernel overlayfs and a
plain tree (rights.py says what may differ). A difference is written to a file, made short where it comes
again, and played by --replay; what is kept of them lies in tests/model/corpus and is played by the suite
`model`.
"""
import argparse
import ast
import pathlib
import pprint
import random
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

import harness  # noqa: E402
from model import crowd, generate, history, linear, ops, play, stack  # noqa: E402
from model.run import Limited, prepare  # noqa: E402

FEATURES = {"owners", "devices", "trusted", "links", "acl", "users", "nested", "odd", "sockets"}
PROFILES = ("stateless", "writeback", "tracked")
SETTINGS = ("metacopy=off", "passthrough=off", "spin=off", "timeout=0", "threads=1")
SHIFT = 100000
PROCESSES = 4
WAYS = {}


def way(function):
    WAYS[function.__name__.strip("_")] = function
    return function


def _config(seed, against, features, **more):
    dice = random.Random(f"config {seed}")
    return {"against": against, "profile": dice.choice(PROFILES), "form": "mount", "options": [],
            "features": sorted(features), "seed": seed, **more}


def _round(case, count):
    """Plays `count` operations that the seed gives, or those that the case has."""
    config, layers = case["config"], case["stack"]
    generator = generate.Generator(config["seed"], set(config["features"]), 150, 200)
    play.play(config, layers, Limited(generator, count), case["operations"])
    return len(case["operations"])


@way
def layers(seed, count):
    """Random layers, whose whiteouts and opaque marks plyfs finds in every form of the field."""
    return {"config": _config(seed, ["plyfs", "kernel"], FEATURES, disguise=1 + hash_of(seed)),
            "stack": stack.random_stack(seed, FEATURES), "operations": []}, _round


@way
def left(seed, count):
    """Layers that mounts of the kernel left: redirects, metacopy files, origins."""
    features = FEATURES - {"links"}
    lowers = stack.random_stack(seed, features)[0], None
    dug = history.invent(seed, lowers, features, random.Random(f"dug {seed}").randint(1, 3), 60)
    return {"config": _config(seed, ["plyfs", "kernel"], features, disguise=1 + hash_of(seed), history=dug),
            "stack": lowers, "operations": []}, _round


@way
def turns(seed, count):
    """plyfs and the kernel take turns on one upper."""
    return {"config": _config(seed, ["mixed"], FEATURES), "stack": stack.random_stack(seed, FEATURES),
            "operations": []}, _round


@way
def volume(seed, count):
    """A directory of the host over a path, with names that would be whiteouts in a layer."""
    features = FEATURES - {"nested"} | {"dotwh"}
    return {"config": _config(seed, ["volume"], features), "stack": stack.random_stack(seed, features),
            "operations": []}, _round


@way
def settings(seed, count):
    """Other ways to do the same: no metacopy, no passthrough, answers that hold for a moment alone..."""
    dice = random.Random(f"settings {seed}")
    options = [option for option in SETTINGS if dice.random() < 0.5]
    return {"config": _config(seed, ["plyfs"], FEATURES, options=options),
            "stack": stack.random_stack(seed, FEATURES), "operations": []}, _round


@way
def recorded(seed, count):
    """Owners and modes that are recorded in an attribute."""
    return {"config": _config(seed, ["plyfs"], FEATURES, options=["xattr_permissions=2"]),
            "stack": stack.random_stack(seed, FEATURES), "operations": []}, _round


@way
def mapped(seed, count):
    """Owners that are other numbers on disk."""
    options = [f"{kind}={SHIFT}:0:65536" for kind in ("uidmapping", "gidmapping")]
    return {"config": _config(seed, ["plyfs"], FEATURES, options=options, shift=SHIFT),
            "stack": stack.random_stack(seed, FEATURES), "operations": []}, _round


@way
def together(seed, count):
    """Processes at once, each in a subtree of its own."""
    stacks = [stack.random_stack(f"{seed}/{n}", FEATURES) for n in range(PROCESSES)]
    return {"config": _config(seed, ["plyfs", "kernel"], FEATURES), "stack": crowd.combine(stacks),
            "operations": []}, _together


def _together(case, count):
    config = case["config"]
    generators = [generate.Generator(f"{config['seed']}/{n}", {"crowd", *config["features"]}, 1 << 30, 1 << 30)
                  for n in range(PROCESSES)]
    epochs = case.get("epochs") or [[Limited(g, count // 2 // PROCESSES) for g in generators] for _ in range(2)]
    crowd.play_together(config, case["stack"], epochs, case["operations"])
    return sum(len(operations) for epoch in case["operations"] for operations in epoch)


@way
def names(seed, count):
    """Processes at once on the same few names: what they are answered must be one story."""
    return {"config": _config(seed, ["plyfs"], {"names"}), "stack": ([], None), "operations": []}, _names


def _names(case, count):
    config, rounds, lines = case["config"], max(1, count // 480), []
    sandbox = harness.Sandbox()
    try:
        root, shared = mount_of_names(sandbox, config["against"][0], config["profile"])
        for number in range(rounds):
            lines += linear.faults(root, shared, PROCESSES, f"{config['seed']}/{number}", 120)
    finally:
        sandbox.close()
    if lines:
        raise play.Difference(0, lines, "names")
    return rounds * PROCESSES * 120


def mount_of_names(sandbox, kind, profile=None):
    """(root, names): a mount whose lower layer has a file and a directory of those names; a third is new."""
    lower = sandbox.directory("lower")
    (lower / "a").write_bytes(b"of the layer")
    (lower / "b").mkdir()
    if kind == "plain":
        return lower, [b"a", b"b", b"c"]
    places = [lower], sandbox.directory("upper"), sandbox.directory("work")
    mount = sandbox.kernel(*places, options=history.OPTIONS) if kind == "kernel" \
        else sandbox.plyfs(*places, profile=profile)
    return mount.mount().at, [b"a", b"b", b"c"]


def hash_of(seed):
    return random.Random(f"hash {seed}").randint(0, 1 << 30)


# ---- searching and keeping ------------------------------------------------------------------------

def shorter(case, step, seconds):
    """The same case with fewer operations and entries, if it fails without chance; else itself."""
    if "history" not in case["config"]:
        layers, operations, found = play.shrink(case["config"], case["stack"], case["operations"], seconds)
        return {**case, "stack": layers, "operations": operations}, found
    best, deadline = dict(case), time.monotonic() + seconds

    def fails(config, layers, operations):
        try:
            found = play.try_out(config, layers, operations)
        except history.NoModel:
            return False
        return found is not None and found.step == step

    best["operations"] = play.minimise(
        best["operations"], lambda some: fails(best["config"], best["stack"], some), deadline)
    for number in range(len(best["config"]["history"])):
        def with_history(some, n=number):
            dug = list(best["config"]["history"])
            dug[n] = some
            return {**best["config"], "history": dug}
        kept = play.minimise(best["config"]["history"][number],
                             lambda some: fails(with_history(some), best["stack"], best["operations"]), deadline)
        best["config"] = with_history(kept)
    return best, play.try_out(best["config"], best["stack"], best["operations"])


def keep(case, difference, seconds):
    print("\n".join(difference.lines[:60]), flush=True)
    if case["operations"] and isinstance(case["operations"][0], tuple) or "history" in case["config"]:
        short, again = shorter(case, difference.step, seconds)
        if again:
            case = short
            print("made shorter:\n" + "\n".join(again.lines[:20]))
        else:
            print("it did not come again on fresh mounts")
    file = tempfile.NamedTemporaryFile("w", prefix="plyfs-fuzz-", suffix=".txt", delete=False, encoding="ascii")
    with file:
        pprint.pprint(case, file, width=120, sort_dicts=False)
    print(f"replay with: /usr/bin/python3 tests/model/fuzz.py --replay {file.name}", flush=True)


def replay(path):
    """The Difference that a case still is, or None."""
    case = ast.literal_eval(pathlib.Path(path).read_text(encoding="ascii"))
    config, layers = case["config"], tuple(case["stack"])
    if "names" in config["features"]:
        return _found(lambda: _names(case, 4800))
    if case["operations"] and isinstance(case["operations"][0], list):
        epochs = [[play.Replay(operations) for operations in epoch] for epoch in case["operations"]]
        return _found(lambda: crowd.play_together(config, layers, epochs, []))
    return play.try_out(config, layers, case["operations"])


def _found(act):
    try:
        act()
    except play.Difference as difference:
        return difference
    return None


def search(seed, most, seconds, ways, count, shrink=120):
    """Rounds, so many (0: without end) or until the time is over: (how many, operations, differences)."""
    begun, rounds, done, found = time.monotonic(), 0, 0, 0
    while rounds == 0 or (rounds < most if most else time.monotonic() - begun < seconds):
        name = ways[rounds % len(ways)]
        rounds += 1
        case, act = WAYS[name](f"{seed}/{rounds}", count)
        try:
            done += act(case, count)
        except history.NoModel:
            continue
        except play.Difference as difference:
            found += 1
            print(f"DIFFERENCE: {name}, seed {seed}, round {rounds}, {case['config']['profile']}")
            keep(case, difference, shrink)
    return rounds, done, found


def parser():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter,
                                epilog="\n".join(f"  {n}: {f.__doc__}" for n, f in WAYS.items()))
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--seconds", type=int, default=60)
    p.add_argument("--rounds", type=int, default=0, help="how many rounds, however long they take")
    p.add_argument("--way", action="append", choices=sorted(WAYS), help="one of the ways; all in turn without it")
    p.add_argument("--ops", type=int, default=600, help="operations of a round")
    p.add_argument("--shrink", type=int, default=120, help="seconds to spend on making a difference shorter")
    p.add_argument("--replay", help="play a case that was kept")
    return p


def main(argv=None):
    arguments = parser().parse_args(argv)
    prepare()
    if arguments.replay:
        found = replay(arguments.replay)
        print("\n".join(found.lines) if found else "no difference")
        return 1 if found else 0
    rounds, done, found = search(arguments.seed, arguments.rounds, arguments.seconds, arguments.way or list(WAYS), arguments.ops,
                                 arguments.shrink)
    print(f"{done} operations in {rounds} rounds, seed {arguments.seed}, {found} differences", flush=True)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())

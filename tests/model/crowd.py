# SPDX-License-Identifier: MIT
"""Several processes at once, each in a subtree of its own, all on one mount.

What one process is answered must not depend on what the others do beside it: each plays its operations
on its part of the plain tree and of each union, and compares as play does. Between epochs the mounts are
made anew, and at the end the whole trees are compared.
"""
import os
import pickle
import types

import harness

from . import ops, play

PLACE = b"p%d/in/root"      # two directories around it, for symlinks that lead upward


def combine(stacks):
    """One stack that has all of them, each under its place."""
    deepest = max(len(layers) for layers, _ in stacks)
    layers = [_beside([_layer(stack[0], deepest - 1 - depth) for stack in stacks]) for depth in range(deepest)]
    upper = _beside([stack[1] for stack in stacks]) if any(stack[1] for stack in stacks) else None
    return layers, upper


def _layer(layers, height):
    """The layer at that height above the lowest, or None."""
    return layers[len(layers) - 1 - height] if height < len(layers) else None


def _dir(path):
    return ("dir", path, 0o755, 0, 0, 1_000_000_000, (), "")


def _beside(layers):
    entries = [_dir(b"")]
    for number, layer in enumerate(layers):
        place = PLACE % number
        if layer:
            entries += [_dir(place[:2]), _dir(place[:5])]
        for kind, path, *facts, more in layer or ():
            path = place + b"/" + path if path else place
            entries.append((kind, path, *facts, place + b"/" + more if kind == "link" else more))
    return entries


class Part:
    """What one process has of a target."""

    def __init__(self, target, number):
        self.name, self.claims = target.name, target.claims
        self.tree = ops.Tree(os.path.join(target.tree.root, PLACE % number))

    def perform(self, operation):
        return ops.perform(self.tree, operation)


def _child(config, stack, targets, number, source, out):
    parts, recorded, found = [Part(target, number) for target in targets], [], None
    try:
        play._play(config, stack, parts, source, recorded, types.SimpleNamespace(beat=0))
    except play.Difference as difference:
        found = (difference.position, difference.lines, difference.step)
    pickle.dump((recorded, found), out)


def _epoch(config, stack, targets, sources, dog):
    """Lets each source be played by a process; [(operations, difference or None)]."""
    children = []
    for number, source in enumerate(sources):
        from_child, to_parent = os.pipe()
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                with os.fdopen(to_parent, "wb") as out:
                    _child(config, stack, targets, number, source, out)
                status = 0
            finally:
                os._exit(status)
        os.close(to_parent)
        children.append((pid, from_child))
    results = []
    for pid, from_child in children:
        with os.fdopen(from_child, "rb") as source:
            text = source.read()
        dog.beat += 1
        assert os.waitpid(pid, 0)[1] == 0, "a process ended badly"
        results.append(pickle.loads(text))
    return results


def play_together(config, stack, epochs, recorded):
    """epochs: lists of sources (see play.play), one for each process. What they did is appended to
    `recorded`, an epoch as a list of lists. Raises play.Difference."""
    sandbox, targets, dog, found = harness.Sandbox(), [], None, None
    try:
        targets.append(play.Plain(sandbox, config, stack))
        for kind in config["against"]:
            targets.append(play.UNIONS.get(kind, play.Union)(sandbox, config, stack, kind))
            targets[-1].enter()
        dog = play.Watchdog(targets)
        for sources in epochs:
            results = _epoch(config, stack, targets, sources, dog)
            recorded.append([operations for operations, _ in results])
            for number, (_, difference) in enumerate(results):
                if difference:
                    position, lines, step = difference
                    raise play.Difference(position, [f"process {number}:"] + lines, step)
            for target in targets:
                target.remount()
            play._compare_trees("deep", targets[0], targets[1:], [play.Inodes() for _ in targets[1:]], 0,
                                shared=(b"",))
    except play.Difference as difference:
        found = difference
        raise
    finally:
        if dog:
            dog.end()
        for target in targets:
            target.leave()
        try:
            sandbox.close()
        except AssertionError:
            if not found:
                raise

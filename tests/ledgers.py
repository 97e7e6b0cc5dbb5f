# SPDX-License-Identifier: MIT
"""Made-up ledgers in the form that `plyfs report` gives its page, to look at a page without a mount."""
import json
import random
import re

KINDS = ["copyup", "whiteout", "opaque", "redirect", "warned", "denied"]
TYPES = ["file", "directory", "symlink"]
MEANS = ["none", "reflink", "copy_file_range", "read and write", "metacopy"]
CAUSES = ["write", "chmod", "chown", "truncate", "rename", "link", "setxattr", "open", "mmap"]
COMMANDS = ["dpkg", "apt-get", "sed", "chown", "python3", "ldconfig", "update-alternati", "sh", "perl", "rsyslogd"]
FOLDERS = ["/usr/lib/x86_64-linux-gnu", "/usr/share/doc/libc6", "/usr/share/doc/nginx", "/etc", "/etc/nginx/sites-enabled",
           "/var/lib/dpkg/info", "/var/log", "/usr/bin", "/opt/application/releases/2026/assets", "/srv/data", "/"]


class Words:
    """A dictionary: words numbered as they come."""

    def __init__(self):
        self.list, self.numbers = [], {}

    def number(self, word, entry=None):
        if word not in self.numbers:
            self.numbers[word] = len(self.list)
            self.list.append(entry if entry is not None else word)
        return self.numbers[word]


def caller(command, pid, writeback):
    return "unknown (writeback)" if writeback else f"{command}[{pid}]" if pid else "unknown"


def ledger(rows):
    """rows: dicts with Time (ns after the first), Path, and what else an event has."""
    folders, names, processes, causes = Words(), Words(), Words(), Words()
    columns = {name: [] for name in ("Time", "Event", "Directory", "Name", "Layer", "Type", "Cause", "Process", "Size",
                                     "Moved", "Means", "Duration")}
    for row in rows:
        folder, _, name = row["Path"].rpartition("/")
        who = (row.get("Command"), row.get("Pid"), row.get("Uid"), row.get("Writeback", False))
        for column, value in {
                "Time": row["Time"], "Event": KINDS.index(row.get("Event", "copyup")),
                "Directory": folders.number(folder or "/"), "Name": names.number(name),
                "Layer": row.get("Layer", 1), "Type": TYPES.index(row.get("Type", "file")),
                "Cause": causes.number(row.get("Cause", "write")),
                "Process": processes.number(who, {"Command": who[0], "Pid": who[1], "Uid": who[2],
                                                  "Caller": caller(who[0], who[1], who[3])}),
                "Size": row.get("Size", 0), "Moved": row.get("Moved", 0),
                "Means": MEANS.index(row.get("Means", "none")), "Duration": row.get("Duration", 0)}.items():
            columns[column].append(value)
    return {"Count": len(rows), "Lost": 0, "From": "2026-11-21T09:30:00.250000000Z" if rows else None,
            "Directories": folders.list, "Names": names.list, "Processes": processes.list, "Causes": causes.list,
            "Kinds": KINDS, "Types": TYPES, "Means": MEANS, "Events": columns}


def story(count, seed=1):
    """Rows like those of package work and what comes after it."""
    rng, rows, time = random.Random(seed), [], 0
    for number in range(count):
        time += int(rng.expovariate(1) * 2e6 * (40 if rng.random() < .02 else 1))
        phase = number / max(count, 1)
        command = rng.choices(COMMANDS, [30 * (phase < .6) + 1, 4, 3 + 20 * (phase > .7), 8, 5, 2, 2, 1, 1, 3])[0]
        folder = rng.choices(FOLDERS, [8, 20, 12, 5, 3, 18, 2, 9, 12, 4, 1])[0]
        cause = rng.choices(CAUSES, [40, 15, 12, 4, 6, 3, 2, 5, 2])[0]
        kind = rng.choices(KINDS[:4], [90, 7, 1, 2])[0]
        size = int(rng.lognormvariate(8, 2)) if kind == "copyup" else 0
        means = "metacopy" if cause in ("chmod", "chown", "setxattr") else "none" if not size else \
            rng.choice(["copy_file_range", "copy_file_range", "read and write", "reflink"])
        unknown = rng.random() < .03
        rows.append({
            "Time": time, "Event": kind, "Path": f"{folder.rstrip('/')}/{'file' if number % 7 else 'data'}-{number}.conf",
            "Layer": rng.choice([1, 1, 1, 2, 2, 3]) if kind == "copyup" else None, "Cause": cause,
            "Command": None if unknown else command, "Pid": None if unknown else 1000 + number // 40 * 3 + COMMANDS.index(command),
            "Uid": None if unknown else 0, "Writeback": unknown, "Size": size,
            "Moved": size if means in ("copy_file_range", "read and write") else 0, "Means": means if kind == "copyup" else "none",
            "Duration": int(rng.lognormvariate(11, 1))})
    return rows


def report(rows, volumes=True, layers=3):
    """Everything that a page shows."""
    top = [{"Layer": "upper", "Name": None, "Id": None, "Path": None, "Source": None,
            "Size": sum(row.get("Size", 0) for row in rows), "Files": len(rows)}]
    rng = random.Random(layers)
    below = [{"Layer": n, "Name": None, "Id": f"{n:064x}"[::-1], "Path": f"/layers/{n}", "Source": f"debian.tar, layer {n}",
              "Size": int(rng.lognormvariate(16, 1.5)), "Files": rng.randrange(20, 9000)} for n in range(layers, 0, -1)]
    over = [{"Destination": "/var/lib/data", "Type": "volume", "Source": "data", "ReadOnly": False,
             "Hides": "7 files, 91.2kB: 2 files, 1.2kB of the changes; 5 files, 90kB of layer 2",
             "Hidden": {"Files": 7, "Bytes": 91200, "Directories": 1, "Layers": [
                 {"Layer": 0, "Files": 2, "Bytes": 1200}, {"Layer": 2, "Files": 5, "Bytes": 90000}]},
             "Paths": [{"Path": f"/var/lib/data/table-{n}", "Layer": "upper" if n < 2 else "2", "Size": 600 if n < 2 else 18000}
                       for n in range(7)]},
            {"Destination": "/run", "Type": "tmpfs", "Source": None, "ReadOnly": False, "Hides": "nothing",
             "Hidden": {"Files": 0, "Bytes": 0, "Directories": 0, "Layers": []}, "Paths": []}]
    return {"Generated": "2026-11-21T10:00:00.000000000Z", "Version": "0.1.0",
            "Mount": {"Id": "ab" * 32, "Name": "web", "Image": "debian:12", "State": "mounted", "Mountpoint": "/srv/web",
                      "MountedAt": "2026-11-21T09:29:58.000000000Z", "CreatedAt": "2026-11-20T18:02:11.000000000Z",
                      "Size": 12345678, "Served": {"Profile": "tracked"}},
            "Layers": top + below, "Ledger": ledger(rows), "Volumes": over if volumes else []}


DATA = re.compile(r'(<script type="application/json" id="data">).*?(</script>)', re.S)


def page_with(template, data):
    """The page of a report with other data in it."""
    text = json.dumps(data, separators=(",", ":")).replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    return DATA.sub(lambda found: found.group(1) + text + found.group(2), template)

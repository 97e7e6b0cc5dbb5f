# SPDX-License-Identifier: MIT
"""The house rules that a machine can hold the tree to: floors, headers, format, words, lengths, pages."""
import fnmatch
import functools
import itertools
import json
import os
import pathlib
import re
import shlex
import subprocess

import pytest

from harness import PLYFS, ROOT, need, need_tool, run

FLOORS = ROOT / "tests" / "floors.txt"
SOURCES = ("layers", "fs")
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"]+)[>"]', re.M)
COMMENT = re.compile(r'/\*.*?\*/|//[^\n]*|("(?:\\.|[^"\\\n])*")', re.S)

# A library that one file alone may include, so that what it replaces is replaced in one place.
ONE_DOOR = {"sqlite3.h": "layers/catalogdb", "xxhash.h": "layers/hash", "archive.h": "layers/tarball",
            "archive_entry.h": "layers/tarball", "curl/curl.h": "layers/pluginpost"}
REPLY = "fs/reply.c"

LONGEST = 100
# Functions that may be longer, and why: "file.c:function": "one straight story about ...".
LONGER = {}

MAKESHIFT_NAMES = re.compile(r"(^|_)(utils?|common|internal|helpers?|misc)(\.|_|$)")


def code_files(*folders, suffixes=(".c", ".h")):
    return sorted(p for folder in folders for p in (ROOT / folder).rglob("*")
                  if p.suffix in suffixes and p.is_file())


def tree_files():
    """Every file of the tree: builds, caches and the repository's own data left out."""
    for directory, names, files in os.walk(ROOT):
        names[:] = [n for n in names if n not in (".git", "__pycache__", ".pytest_cache")
                    and not (directory == str(ROOT) and re.fullmatch(r"build(-.*)?", n))]
        for name in files:
            yield pathlib.Path(directory) / name


def rel(path):
    return str(path.relative_to(ROOT))


def no_findings(findings):
    assert not findings, "\n" + "\n".join(findings)


def without_comments(text):
    return COMMENT.sub(lambda m: m.group(1) or re.sub(r"[^\n]", " ", m.group(0)), text)


# ---- floors -------------------------------------------------------------------------------------

def floors():
    """The list of tests/floors.txt: {file without its suffix: how high it stands}."""
    lines = (line.split("#")[0].strip() for line in FLOORS.read_text().splitlines())
    order = [line for line in lines if line]
    assert len(order) == len(set(order)), "a file stands in tests/floors.txt twice"
    return {name: height for height, name in enumerate(order)}


def stem(path):
    return rel(path.with_suffix(""))


def height_of(path, order):
    """Where a file stands: by its own name, where the list parts a header from its source, or by both's."""
    return order.get(rel(path), order.get(stem(path)))


def included(path):
    """The headers that a file includes: (quoted or not, name as written)."""
    text = COMMENT.sub(lambda m: m.group(1) or " ", path.read_text())
    return [(kind == '"', name) for kind, name in INCLUDE.findall(text)]


def project_header(path, name):
    for base in (path.parent, ROOT, *(ROOT / folder for folder in SOURCES)):
        header = pathlib.Path(os.path.normpath(base / name))
        if header.is_file() and header.is_relative_to(ROOT):
            return header
    return None


def test_every_source_stands_in_the_list_of_floors():
    order, files = floors(), code_files(*SOURCES)
    present = {rel(p) for p in files} | {stem(p) for p in files}
    no_findings([f"{rel(p)}: not in tests/floors.txt" for p in files if height_of(p, order) is None] +
                [f"{name}: in tests/floors.txt, but there is no such file"
                 for name in sorted(set(order) - present)])


def test_a_file_includes_only_what_stands_below_it():
    order, findings = floors(), []
    for path in code_files(*SOURCES):
        for quoted, name in included(path):
            header = project_header(path, name)
            if header is None:
                if quoted:
                    findings.append(f'{rel(path)}: "{name}" is no file of the tree')
                continue
            mine, other = height_of(path, order), height_of(header, order)
            if stem(path) != stem(header) and (mine is None or other is None or other > mine):
                findings.append(f"{rel(path)} includes {rel(header)}, which does not stand below it")
    no_findings(findings)


def test_a_source_includes_its_own_header_first():
    no_findings([f"{rel(path)}: its first include is {included(path)[:1]}, not its own header"
                 for path in code_files(*SOURCES, suffixes=(".c",))
                 if path.with_suffix(".h").exists()
                 and (not included(path)
                      or project_header(path, included(path)[0][1]) != path.with_suffix(".h"))])


def test_a_library_has_one_door():
    no_findings([f"{rel(path)} includes {name}: only {ONE_DOOR[name]} may"
                 for path in code_files(*SOURCES) for _, name in included(path)
                 if name in ONE_DOOR and stem(path) != ONE_DOOR[name]])


def test_replies_leave_by_one_file():
    no_findings([f"{rel(path)}:{number}: {line.strip()}"
                 for path in code_files(*SOURCES) if rel(path) != REPLY
                 for number, line in enumerate(without_comments(path.read_text()).splitlines(), 1)
                 if re.search(r"\bfuse_reply_\w+\s*\(", line)])


def test_the_layers_know_nothing_of_fuse():
    no_findings([f"{rel(path)} includes {name}" for path in code_files("layers")
                 for _, name in included(path)
                 if re.match(r"(fuse|linux/fuse)", name) or name.startswith("fs/")])


# ---- headers ------------------------------------------------------------------------------------

@functools.cache
def compile_flags():
    """-I, -D and -std of the build, as its compile_commands.json has them; the union over its files."""
    commands = pathlib.Path(PLYFS).parent / "compile_commands.json"
    need(commands.exists(), f"no {commands}: build it first")
    flags = []
    for entry in json.loads(commands.read_text()):
        if not re.search(r"(^|/)(layers|fs)/", entry["file"]):
            continue
        words = shlex.split(entry["command"])
        for number, word in enumerate(words):
            if word in ("-I", "-isystem"):
                word = word + os.path.join(entry["directory"], words[number + 1])
            elif word.startswith(("-I", "-isystem")):
                option = "-isystem" if word.startswith("-isystem") else "-I"
                word = option + os.path.join(entry["directory"], word[len(option):])
            elif not word.startswith(("-D", "-std=")):
                continue
            if word not in flags:
                flags.append(word)
    return flags


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_every_header_compiles_alone(compiler):
    need_tool(compiler)
    findings = []
    for header in code_files(*SOURCES, suffixes=(".h",)):
        done = subprocess.run([compiler, "-Wall", "-Wextra", "-Werror", *compile_flags(),
                               "-fsyntax-only", "-x", "c", "-"], text=True, capture_output=True,
                              input=f'#include "{header}"\n', cwd=ROOT, check=False)
        if done.returncode != 0:
            findings.append(f"{rel(header)}:\n{done.stderr}")
    no_findings(findings)


# ---- text ---------------------------------------------------------------------------------------

def test_every_source_names_its_licence():
    """One SPDX line near the top of whatever can carry a comment."""
    findings = []
    for path in tree_files():
        if path.suffix in (".c", ".h", ".py", ".sh", ".build", ".1") or rel(path) in (
                ".ci/run", "meson_options.txt", "meson.options"):
            head = path.read_text(errors="replace").splitlines()[:5]
            if sum("SPDX-License-Identifier: MIT" in line for line in head) != 1:
                findings.append(rel(path))
    no_findings(findings)


def test_no_file_has_a_makeshift_name():
    no_findings([rel(path) for path in tree_files() if MAKESHIFT_NAMES.search(path.name)])


def test_names_of_files_are_plain():
    """Whatever else a name holds was made by a slip of the shell."""
    no_findings([f"{str(path.relative_to(ROOT))!a}" for path in tree_files()
                 if not re.fullmatch(r"[A-Za-z0-9._-]+", path.name)])


def test_no_mirror_and_no_path_of_one_machine_is_written_down():
    """The mirror is the one that the machine is set up with; nothing depends on where the tree lies."""
    host = re.compile(r"\b[\w-]+\.(?:debian\.(?:org|net)|ubuntu\.com|fedoraproject\.org)\b", re.I)
    words = [("a mirror's host name", host), ("a home directory", re.compile(r"/home/(?!guest\b)\w+/"))]
    if len(ROOT.parts) > 2:
        words.append(("the path of this tree", re.compile(re.escape(f"{ROOT}/"))))
    findings = []
    for path in tree_files():
        data = path.read_bytes()
        if path.is_symlink() or b"\0" in data:
            continue
        for number, line in enumerate(data.decode(errors="replace").splitlines(), 1):
            findings += [f"{rel(path)}:{number}: {what}: {line.strip()}" for what, word in words
                         if word.search(line)]
    no_findings(findings)


def test_the_format_is_clang_formats():
    need_tool("clang-format")
    version = int(re.search(r"version (\d+)", run("clang-format", "--version").stdout).group(1))
    need(version >= 14, "needs clang-format 14")
    done = run("clang-format", "--dry-run", "-Werror", "--style=file",
               *code_files("layers", "fs", "tests"), check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr[:8000]


def functions(path):
    """(name, first line, lines) of each function. The format puts its braces alone in column one."""
    lines = without_comments(path.read_text()).splitlines()
    start = None
    for number, line in enumerate(lines):
        if line.rstrip() == "{":
            start = number
        elif line.rstrip() == "}" and start is not None:
            # The head: back to the blank line or the end of whatever stands before it.
            head = start
            while head > 0 and lines[head - 1].strip() and lines[head - 1].rstrip()[-1] not in ";}":
                head -= 1
            called = re.search(r"(\w+)\s*\(", " ".join(lines[head:start]))
            yield called.group(1) if called else "?", head + 1, number - start - 1
            start = None


def test_functions_are_short():
    findings, used = [], set()
    for path in code_files(*SOURCES, suffixes=(".c",)):
        for name, line, length in functions(path):
            if length > LONGEST:
                key = f"{rel(path)}:{name}"
                used.add(key)
                if key not in LONGER:
                    findings.append(f"{rel(path)}:{line}: {name} has {length} lines")
    no_findings(findings + [f"{key} is excused as long, and is not" for key in set(LONGER) - used])


def test_every_unit_test_is_built():
    listed = (ROOT / "tests" / "meson.build").read_text()
    no_findings([f"tests/unit/{path.name} is not in tests/meson.build"
                 for path in sorted((ROOT / "tests" / "unit").glob("test_*.c"))
                 if f"'{path.stem[5:]}'" not in listed])


def test_every_suite_is_a_python_module_that_compiles_and_every_script_is_sh():
    for path in sorted((ROOT / "tests").rglob("*.py")):
        compile(path.read_text(), rel(path), "exec")
    for path in [*(ROOT / "tests").rglob("*.sh"), *(ROOT / "examples").rglob("*.sh")]:
        run("sh", "-n", path)


def unknown_names(*paths):
    """What pyflakes says of names that nothing defines. The rest of what it finds is not looked at: a fixture
    looks to it like an import without use and a name defined again."""
    need_tool("pyflakes3")
    done = run("pyflakes3", *paths, check=False, cwd=ROOT)
    assert done.returncode in (0, 1) and not done.stderr, done.stderr
    return [line for line in done.stdout.splitlines() if " undefined name " in line]


def test_every_name_in_a_suite_is_defined():
    """Where only a long run comes by, nothing else would tell."""
    no_findings(unknown_names(*sorted((ROOT / "tests").rglob("*.py"))))


def test_a_name_that_nothing_defines_is_found(tmp_path):
    suite = tmp_path / "test_suite.py"
    suite.write_text("from storekit import wait_for\n\n\ndef test_it(wait_for):\n    wait_until(wait_for)\n")
    assert unknown_names(suite) == [f"{suite}:5:5: undefined name 'wait_until'"]


# ---- promises -----------------------------------------------------------------------------------

# The first table of README's sections "What is safe when" and "Who gets how far" is kept in this form, a
# promise a line:
#   | What holds. | `test_io.py`: `test_a`, `test_b_*_c`; `unit/test_upper.c`: `a_claim` |
# that is files of tests/, each with the names of its tests; a * stands for any part of a name. A line
# names one test at least, and each name must be found.
PROMISES = ("What is safe when", "Who gets how far")
# What they must speak of.
PROMISED = ("`fsync`", "`write`", "copy-up", "deletion", "killed", "`volatile`")
NAMED_TESTS = re.compile(r"`([^`]+)`: ((?:`[^`]+`(?:, )?)+)(?:; |$)")


def first_table(section):
    """The lines of it, as lists of their columns."""
    text = (ROOT / "README.md").read_text().split(f"\n## {section}\n")[1].split("\n## ")[0]
    lines = itertools.dropwhile(lambda line: not line.startswith("|"), text.splitlines())
    rows = [line.strip().strip("|").split(" | ")
            for line in itertools.takewhile(lambda line: line.startswith("|"), lines)]
    assert rows[0] == [" promise", "tests "] and set("".join(rows[1])) <= set("-|"), rows[:2]
    assert all(len(row) == 2 for row in rows[2:]), "a line of the table has not two columns"
    return rows[2:]


def promises():
    """[(promise, what its line names as tests)], of README's tables."""
    return [(promise.strip(), tests.strip()) for section in PROMISES for promise, tests in first_table(section)]


def claims_of(path):
    """The names of the tests that a file of tests/ runs, Python or C; None where there is no file."""
    if not path.is_file():
        return None
    form = r"^ *def (test_\w+)\(" if path.suffix == ".py" else r"\b(?:cmocka_unit|kit)_test\w*\((\w+)"
    return re.findall(form, path.read_text(), re.M)


def unkept(promise, tests):
    """What is wrong with a line of the table, as lines."""
    if not tests or NAMED_TESTS.sub("", tests):
        return [f"{promise}: its tests are not in the form of the table: {tests!r}"]
    findings = []
    for file, names in NAMED_TESTS.findall(tests):
        found = claims_of(ROOT / "tests" / file)
        if found is None:
            findings.append(f"{promise}: there is no tests/{file}")
            continue
        findings += [f"{promise}: tests/{file} has no test {name}" for name in re.findall(r"`([^`]+)`", names)
                     if not fnmatch.filter(found, name)]
    return findings


def test_every_promise_of_the_readme_names_tests_that_exist():
    table = promises()
    said = " ".join(promise for promise, _ in table)
    no_findings([line for row in table for line in unkept(*row)] +
                [f"nothing is promised of {word}" for word in PROMISED if word not in said])


@pytest.mark.parametrize("tests, wrong", [
    ("`test_house.py`: `test_every_promise_*_exist`", 0),
    ("`test_house.py`: `test_functions_are_short`, `test_nothing`; `unit/test_fd.c`: `nothing`", 2),
    ("`test_nowhere.py`: `test_functions_are_short`", 1),
    ("`test_house.py`", 1),
    ("", 1),
])
def test_a_promise_without_its_test_is_found(tests, wrong):
    assert len(unkept("It holds.", tests)) == wrong


# ---- manual pages -------------------------------------------------------------------------------

def subcommands():
    """The names that `plyfs --help` lists below its line "commands:"."""
    need(os.path.exists(PLYFS), f"no program at {PLYFS}: build it first")
    text = run(PLYFS, "--help").stdout
    section = re.search(r"^commands:\n((?:[ \t]+\S.*\n?)+)", text, re.M | re.I)
    assert section, f"`plyfs --help` has no list of commands:\n{text}"
    return re.findall(r"^ {1,4}(?:plyfs )?([a-z][a-z-]*)\b", section.group(1), re.M)


def pages():
    return sorted((ROOT / "fs" / "man").glob("*.[1-9]"))


def test_every_command_has_a_manual_page():
    names = {page.name for page in pages()}
    main = ROOT / "fs" / "man" / "plyfs.1"
    assert main.exists(), "no fs/man/plyfs.1"
    no_findings([f"plyfs {name}: neither fs/man/plyfs-{name}.1 nor a heading in plyfs.1"
                 for name in subcommands() if f"plyfs-{name}.1" not in names
                 and not re.search(rf"\b{name}\b", main.read_text())])


def test_manual_pages_have_no_mistakes():
    need_tool("groff")
    findings = []
    for page in pages():
        done = run("groff", "-mandoc", "-Tutf8", "-Kutf8", "-t", "-ww", "-z", page, check=False)
        if done.returncode != 0 or done.stderr:
            findings.append(f"{rel(page)}: {done.stderr}")
        if not re.search(r"^\.S[Hh] NAME", page.read_text(), re.M):
            findings.append(f"{rel(page)}: no section NAME")
    no_findings(findings)

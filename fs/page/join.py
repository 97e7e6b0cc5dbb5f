#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""join.py OUTPUT.c PAGE.html PAGE.css SCRIPT.js...: the page of `plyfs report` as C, in two halves between
which the data goes. The scripts become one, and see each other in their order. The page lets run only the style
and the script that it has: their hashes are written into it."""
import base64
import hashlib
import pathlib
import re
import sys


def source_hash(text):
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def join(page, style, *scripts):
    script = '"use strict";\n(() => {\n' + "\n".join(scripts) + "})();\n"
    for text, end in ((style, "</style"), (script, "</script"), (script, "<!--")):
        if end in text:
            raise SystemExit(f"join.py: {end} would end the element early")
    parts = {"STYLE": style, "SCRIPT": script, "STYLE_HASH": source_hash(style), "SCRIPT_HASH": source_hash(script)}
    whole = re.sub("@(STYLE|SCRIPT|STYLE_HASH|SCRIPT_HASH)@", lambda found: parts[found.group(1)], page)
    halves = whole.split("@DATA@")
    if len(halves) != 2:
        raise SystemExit("join.py: the page names @DATA@ once")
    return halves


def as_array(name, text):
    numbers = list(text.encode())
    lines = [", ".join(map(str, numbers[at:at + 24])) for at in range(0, len(numbers), 24)]
    return f"const unsigned char {name}[] = {{\n" + ",\n".join(lines) + f"}};\nconst size_t {name}_size = sizeof({name});\n"


def main(output, *sources):
    halves = join(*(pathlib.Path(source).read_text(encoding="utf-8") for source in sources))
    pathlib.Path(output).write_text('#include "fs/page.h"\n\n' + as_array("page_before", halves[0]) + "\n" +
                                    as_array("page_after", halves[1]), encoding="ascii")


if __name__ == "__main__":
    main(*sys.argv[1:])

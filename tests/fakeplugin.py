# SPDX-License-Identifier: MIT
"""A volume plug-in for tests, run as a program: fakeplugin.py SOCKET DIRECTORY.

Its volumes are directories in DIRECTORY, and what it was asked is a line each in DIRECTORY/.log. It lies
or hangs as DIRECTORY/.mode says when it is asked: `hang` (never answers), `lie` (mounts nowhere),
`refuse` (an Err with status 200), `nonsense` (no JSON). Without that file it is honest."""
import http.server
import json
import os
import pathlib
import shutil
import socketserver
import sys
import threading


class Refusal(Exception):
    """What goes into Err."""


class Plugin:
    def __init__(self, directory):
        self.directory = pathlib.Path(directory)

    def mode(self):
        file = self.directory / ".mode"
        return file.read_text().strip() if file.exists() else ""

    def volume(self, name):
        path = self.directory / name
        if not path.is_dir():
            raise Refusal(f"no volume {name}")
        return path

    def answer(self, path, asked):
        name, mode = asked.get("Name", ""), self.mode()
        with open(self.directory / ".log", "a") as log:
            print(path, name, asked.get("ID", ""), file=log)
        if mode == "hang":
            threading.Event().wait()
        if path == "/Plugin.Activate":
            return {"Implements": ["VolumeDriver"]}
        if mode == "refuse":
            raise Refusal("I would rather not")
        if path == "/VolumeDriver.Create":
            (self.directory / name).mkdir()
            return {"Err": ""}
        if path == "/VolumeDriver.Get":
            return {"Volume": {"Name": name, "Mountpoint": str(self.volume(name))}}
        if path == "/VolumeDriver.Remove":
            shutil.rmtree(self.volume(name))
            return {}
        if path == "/VolumeDriver.Mount":
            return {"Mountpoint": "/nowhere/at/all" if mode == "lie" else str(self.volume(name))}
        if path == "/VolumeDriver.Unmount":
            return {}
        raise Refusal(f"{path} is unknown")


class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or b"{}")
        try:
            answer = json.dumps(self.server.plugin.answer(self.path, asked))
        except Refusal as refusal:
            answer = json.dumps({"Err": str(refusal)})
        if self.server.plugin.mode() == "nonsense":
            answer = "<html>"
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer.encode())

    def address_string(self):
        return "a socket"

    def log_message(self, *args):
        pass


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True


def main(socket, directory):
    if os.path.exists(socket):
        os.unlink(socket)
    with Server(socket, Handler) as server:
        server.plugin = Plugin(directory)
        server.serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:3])

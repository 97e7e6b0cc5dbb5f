# SPDX-License-Identifier: MIT
"""A headless Chromium, spoken to through its debugging pipe: pages from files, keys, scripts, pictures.

Whatever a page says on the console, whatever it throws, and whatever it asks the network for is kept.
"""
import base64
import contextlib
import fcntl
import json
import os
import select
import shutil
import signal
import tempfile
import time

SWITCHES = ["--headless", "--remote-debugging-pipe", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
            "--disable-quic", "--no-first-run", "--no-default-browser-check", "--disable-background-networking",
            "--disable-component-update", "--disable-sync", "--disable-extensions", "--disable-default-apps",
            "--disable-breakpad", "--metrics-recording-only", "--mute-audio", "--hide-scrollbars",
            "--force-color-profile=srgb", "--font-render-hinting=none"]
KEYS = {"Tab": 9, "Enter": 13, "Escape": 27, "Backspace": 8, " ": 32, "PageUp": 33, "PageDown": 34, "End": 35,
        "Home": 36, "ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40}


class Browser:
    """One process and one tab at a time; use as a context manager."""

    def __init__(self):
        self.profile = tempfile.mkdtemp(prefix="chromium.", dir=os.environ.get("PLYFS_TEST_DIR"))
        # Chromium reads from 3 and writes to 4; ours are kept out of the way of both.
        pipes = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for _ in range(2) for end in self._pipe()]
        read, self.out, self.into, write = pipes
        self.pid = os.posix_spawn(
            shutil.which("chromium"), ["chromium", *SWITCHES, f"--user-data-dir={self.profile}", "about:blank"],
            {**os.environ, "HOME": self.profile, "DBUS_SESSION_BUS_ADDRESS": "disabled:"},
            file_actions=[(os.POSIX_SPAWN_DUP2, read, 3), (os.POSIX_SPAWN_DUP2, write, 4),
                          (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0)],
            setpgroup=0)
        os.close(read)
        os.close(write)
        self.left, self.number, self.session = b"", 0, None
        self.answers, self.complaints, self.requests = {}, [], []

    @staticmethod
    def _pipe():
        ends = os.pipe()
        for end in ends:
            yield end
            os.close(end)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with contextlib.suppress(OSError, AssertionError):
            self.ask("Browser.close", session=False)
        end = time.monotonic() + 5
        while os.waitpid(self.pid, os.WNOHANG) == (0, 0):
            if time.monotonic() > end:
                os.killpg(self.pid, signal.SIGKILL)
                os.waitpid(self.pid, 0)
                break
            time.sleep(.01)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        os.close(self.out)
        os.close(self.into)
        shutil.rmtree(self.profile, ignore_errors=True)

    # ---- the pipe --------------------------------------------------------------------------------

    def ask(self, method, session=True, seconds=60, **params):
        self.number += 1
        message = {"id": self.number, "method": method, "params": params}
        if session and self.session:
            message["sessionId"] = self.session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self.out, data):]
        end = time.monotonic() + seconds
        while self.number not in self.answers:
            self._hear(end, method)
        answer = self.answers.pop(self.number)
        assert "error" not in answer, f"{method}: {answer}"
        return answer["result"]

    def _hear(self, end, waiting_for):
        ready, _, _ = select.select([self.into], [], [], max(0, end - time.monotonic()))
        assert ready, f"chromium did not answer in time: {waiting_for}"
        piece = os.read(self.into, 1 << 20)
        assert piece, f"chromium has ended: {waiting_for}"
        *messages, self.left = (self.left + piece).split(b"\0")
        for message in map(json.loads, messages):
            if "id" in message:
                self.answers[message["id"]] = message
            else:
                self._note(message["method"], message.get("params", {}))

    def _note(self, method, params):
        if method == "Runtime.consoleAPICalled":
            self.complaints.append(f"{params['type']}: {[a.get('value', a.get('description')) for a in params['args']]}")
        elif method == "Runtime.exceptionThrown":
            details = params["exceptionDetails"]
            self.complaints.append(details.get("exception", {}).get("description", details["text"]))
        elif method == "Log.entryAdded":
            self.complaints.append(params["entry"]["text"])
        elif method == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])

    # ---- the tab ---------------------------------------------------------------------------------

    def open(self, path, width=1280, height=900, scheme="light", media=""):
        """Loads a file and waits until its script has drawn it."""
        if not self.session:
            target = self.ask("Target.createTarget", url="about:blank")["targetId"]
            self.session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
            for domain in ("Page", "Runtime", "Log", "Network"):
                self.ask(f"{domain}.enable")
        self.size(width, height)
        self.look(scheme, media)
        # What the blank page before it may have asked for is not this page's.
        self.complaints, self.requests = [], []
        self.ask("Page.navigate", url=f"file://{path}")
        self.wait("document.readyState === 'complete' && document.documentElement.dataset.ready === 'yes'")

    def size(self, width, height):
        self.ask("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def look(self, scheme, media=""):
        self.ask("Emulation.setEmulatedMedia", media=media, features=[
            {"name": "prefers-color-scheme", "value": scheme}, {"name": "prefers-reduced-motion", "value": "reduce"}])

    def eval(self, expression):
        result = self.ask("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    def wait(self, expression, seconds=30):
        end = time.monotonic() + seconds
        while not self.eval(f"!!({expression})"):
            assert time.monotonic() < end, f"waited {seconds} s in vain for {expression}; console: {self.complaints}"
            time.sleep(.01)

    def press(self, key, times=1, shift=False):
        for _ in range(times):
            what = {"key": key, "code": "Space" if key == " " else key, "windowsVirtualKeyCode": KEYS[key],
                    "modifiers": 8 if shift else 0}
            if key in ("Enter", " "):
                what["text"] = "\r" if key == "Enter" else " "
            self.ask("Input.dispatchKeyEvent", type="keyDown", **what)
            self.ask("Input.dispatchKeyEvent", type="keyUp", **what)

    def type(self, text):
        self.ask("Input.insertText", text=text)

    def picture(self, path):
        """The whole page as a PNG."""
        whole = self.ask("Page.getLayoutMetrics")["cssContentSize"]
        shot = self.ask("Page.captureScreenshot", captureBeyondViewport=True,
                        clip={"x": 0, "y": 0, "width": whole["width"], "height": whole["height"], "scale": 1})
        with open(path, "wb") as file:
            file.write(base64.b64decode(shot["data"]))

"""Chromium without a window, told what to do over a pipe (the DevTools protocol), with a profile of its own that trusts one certificate
more. No certificate error is passed over."""
import base64
import json
import os
import select
import shutil
import subprocess
import tempfile
import time

OPTIONS = ("--headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking --disable-component-update "
           "--disable-sync --disable-quic --hide-scrollbars --remote-debugging-pipe").split()


class Browser:
    def __init__(self, certificate):
        self.home = tempfile.mkdtemp(prefix="hauspost-chromium-")
        database = os.path.join(self.home, ".pki/nssdb")
        os.makedirs(database)
        for command in (["-N", "--empty-password"], ["-A", "-t", "C,,", "-n", "hauspost", "-i", certificate]):
            subprocess.run(["certutil", *command, "-d", "sql:" + database], check=True, capture_output=True)
        (its_input, self.output), (self.input, its_output) = os.pipe(), os.pipe()

        def arrange():
            # Chromium reads from 3 and writes to 4. First out of the way, or one could cover the other.
            high = [os.dup(fd) for fd in (its_input, its_output)]
            os.dup2(high[0], 3)
            os.dup2(high[1], 4)

        self.process = subprocess.Popen(
            ["chromium", *OPTIONS, "--user-data-dir=" + os.path.join(self.home, "profile"), "about:blank"], preexec_fn=arrange,
            close_fds=False, env=dict(os.environ, HOME=self.home), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(its_input)
        os.close(its_output)
        self.number, self.unread, self.events, self.session = 0, b"", [], None
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for part in ("Page", "Network", "Log"):
            self.ask(part + ".enable")

    def end(self):
        self.process.kill()
        self.process.wait()
        os.close(self.input)
        os.close(self.output)
        shutil.rmtree(self.home, ignore_errors=True)

    def ask(self, method, **parameters):
        self.number += 1
        command = {"id": self.number, "method": method, "params": parameters}
        if self.session:
            command["sessionId"] = self.session
        os.write(self.output, json.dumps(command).encode() + b"\0")
        while True:
            said = self.hear()
            if said.get("id") == self.number:
                if "error" in said:
                    raise RuntimeError(method + ": " + said["error"]["message"])
                return said["result"]
            self.events.append(said)

    def hear(self, seconds=60):
        limit = time.monotonic() + seconds
        while b"\0" not in self.unread:
            if not select.select([self.input], [], [], max(0, limit - time.monotonic()))[0]:
                raise RuntimeError("Chromium says nothing")
            read = os.read(self.input, 1 << 20)
            if not read:
                raise RuntimeError("Chromium has ended")
            self.unread += read
        said, _, self.unread = self.unread.partition(b"\0")
        return json.loads(said)

    def look(self, width, language, dark=False):
        """What the next page is shown on."""
        self.ask("Emulation.setDeviceMetricsOverride", width=width, height=640, deviceScaleFactor=2, mobile=True)
        self.ask("Emulation.setEmulatedMedia",
                 features=[{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}])
        agent = self.ask("Browser.getVersion")["userAgent"]
        self.ask("Emulation.setUserAgentOverride", userAgent=agent, acceptLanguage=language)

    def open(self, url):
        """Opens a page; what keeps it from being shown is an error."""
        self.events.clear()
        failed = self.ask("Page.navigate", url=url).get("errorText")
        if failed:
            raise RuntimeError(url + ": " + failed)
        while not any(event.get("method") == "Page.loadEventFired" for event in self.events):
            self.events.append(self.hear())

    def value(self, expression):
        return self.ask("Runtime.evaluate", expression=expression, returnByValue=True)["result"]["value"]

    def copied(self, button):
        """What lies in the clipboard once a button has been pressed."""
        self.ask("Browser.grantPermissions", permissions=["clipboardReadWrite", "clipboardSanitizedWrite"])
        self.ask("Page.bringToFront")
        press = "(async b => { const was = b.textContent; b.click(); for (let i = 0; i < 100 && b.textContent === was; i++) " \
                "await new Promise(f => setTimeout(f, 20)); return navigator.clipboard.readText() })(document.querySelector(%s))"
        return self.ask("Runtime.evaluate", expression=press % json.dumps(button), returnByValue=True, awaitPromise=True,
                        userGesture=True)["result"].get("value")

    def complaints(self):
        """What it says on its console: of a style that is not allowed, of a script."""
        entries = [event["params"]["entry"] for event in self.events if event.get("method") == "Log.entryAdded"]
        return [entry["text"] for entry in entries if "favicon" not in entry.get("url", "")]

    def screenshot(self, path):
        """All of the page."""
        size = self.ask("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
        taken = self.ask("Page.captureScreenshot", captureBeyondViewport=True, clip=clip)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as f:
            f.write(base64.b64decode(taken["data"]))

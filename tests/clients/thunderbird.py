"""Thunderbird under a virtual screen, driven from inside by its own remote control (Marionette)."""
import base64
import json
import os
import shutil
import socket
import ssl
import subprocess
import tempfile
import time

PREFERENCES = {
    # As people have it: remote control would like others.
    "remote.prefs.recommended": False,
    # Nothing but what the test wants.
    "app.update.enabled": False,
    "app.normandy.enabled": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "toolkit.telemetry.enabled": False,
    "extensions.getAddons.cache.enabled": False,
    "extensions.systemAddon.update.enabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "mail.shell.checkDefaultClient": False,
    "mail.rights.version": 1,
    "mail.provider.enabled": False,
    "mailnews.start_page.enabled": False,
    "browser.aboutConfig.showWarning": False,
    # Chains are built from what the server sends and from what the profile has.
    "security.OCSP.enabled": 0,
}

# For scripts: waits for something, and finds what somebody sees, in shadow trees too.
TOOLS = """
    const { setTimeout } = ChromeUtils.importESModule("resource://gre/modules/Timer.sys.mjs");
    const until = async condition => {
        for (let tries = 0; tries < 600; tries++) {
            const met = await condition();
            if (met) {
                return met;
            }
            await new Promise(resolve => setTimeout(resolve, 100));
        }
        throw new Error(`waited in vain: ${condition}`);
    };
    const all = (root, selector) => [...root.querySelectorAll("*")].flatMap(element => [
        ...(element.matches(selector) ? [element] : []),
        ...(element.shadowRoot ? all(element.shadowRoot, selector) : []),
    ]);
    const visible = selector => {
        const window = Services.wm.getMostRecentWindow("mail:3pane");
        return window && all(window.document, selector).find(element => element.checkVisibility());
    };
"""


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Thunderbird:
    """One that has just been installed, with these preferences besides."""

    def __init__(self, preferences):
        self.folder = tempfile.mkdtemp(prefix="hauspost-thunderbird-")
        self.processes = []
        port = free_port()
        every = {**PREFERENCES, "marionette.port": port, **preferences}
        with open(os.path.join(self.folder, "user.js"), "w") as f:
            f.writelines("user_pref(%s, %s);\n" % (json.dumps(name), json.dumps(value)) for name, value in every.items())
        self.log = open(os.path.join(self.folder, "log"), "wb")
        reader, writer = os.pipe()
        self.begin(["Xvfb", "-displayfd", str(writer), "-screen", "0", "1280x900x24", "-nolisten", "tcp"], pass_fds=(writer,))
        os.close(writer)
        with os.fdopen(reader) as f:
            self.display = ":" + f.readline().strip()
        environment = {**os.environ, "DISPLAY": self.display, "HOME": self.folder, "MOZ_CRASHREPORTER_DISABLE": "1"}
        self.begin(["thunderbird", "--no-remote", "--profile", self.folder, "--marionette", "--remote-allow-system-access"],
                   env=environment)
        self.number = 0
        try:
            self.connect(port)
        except Exception:
            self.close()
            raise

    def begin(self, command, **how):
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log, **how)
        self.processes.append(process)

    def connect(self, port):
        limit = time.monotonic() + 90
        while True:
            try:
                self.socket = socket.create_connection(("127.0.0.1", port), timeout=120)
                break
            except OSError:
                if time.monotonic() > limit or self.processes[-1].poll() is not None:
                    raise
                time.sleep(0.2)
        self.stream = self.socket.makefile("rb")
        self.read()
        self.ask("WebDriver:NewSession", {})
        self.ask("Marionette:SetContext", {"value": "chrome"})
        self.ask("WebDriver:SetTimeouts", {"script": 100000})

    def read(self):
        length = b""
        while not length.endswith(b":"):
            byte = self.stream.read(1)
            if not byte:
                raise EOFError("Thunderbird has gone")
            length += byte
        return json.loads(self.stream.read(int(length[:-1])))

    def ask(self, command, parameters):
        self.number += 1
        text = json.dumps([0, self.number, command, parameters]).encode()
        self.socket.sendall(b"%d:%s" % (len(text), text))
        _, _, error, result = self.read()
        if error:
            raise AssertionError("%s: %s\n%s" % (error["error"], error["message"], error.get("stacktrace")))
        return result

    def run(self, script, *arguments):
        """What the body of an asynchronous function returns, run with the rights of Thunderbird itself; `given` are the arguments."""
        wrapped = """
            const [given, resolve] = [arguments[0], arguments[arguments.length - 1]];
            (async () => { %s %s })().then(
                value => resolve({ value }), error => resolve({ error: `${error}\\n${error?.stack}` }));
        """ % (TOOLS, script)
        asked = {"script": wrapped, "args": [list(arguments)], "sandbox": "system"}
        result = self.ask("WebDriver:ExecuteAsyncScript", asked)["value"]
        if "error" in result:
            picture = os.path.join(tempfile.gettempdir(), "hauspost-thunderbird.png")
            with open(picture, "wb") as f:
                f.write(base64.b64decode(self.ask("WebDriver:TakeScreenshot", {"full": False})["value"]))
            raise AssertionError("%s\nThe window is in %s.\n%s" % (result["error"], picture, self.log_text()[-2000:]))
        return result.get("value")

    # -- what somebody does who sits in front of it
    def trust(self, path):
        """Imports an authority for servers."""
        with open(path) as f:
            certificate = ssl.PEM_cert_to_DER_cert(f.read())
        self.run("""
            const certificates = Cc["@mozilla.org/security/x509certdb;1"].getService(Ci.nsIX509CertDB);
            certificates.addCertFromBase64(given[0], "CTu,u,u");
        """, base64.b64encode(certificate).decode())

    def type(self, field, text):
        self.run("""
            const field = await until(() => visible(given[0]));
            field.focus();
            field.value = given[1];
            field.dispatchEvent(new field.ownerDocument.defaultView.InputEvent("input", { bubbles: true }));
        """, field, text)

    def press(self, button):
        """Once it can be pressed."""
        self.run("(await until(() => visible(`${given[0]}:not([disabled])`))).click();", button)

    def go_on(self):
        self.press("#forward")

    def text(self, place):
        return self.run("return await until(() => visible(given[0])?.textContent.trim());", place)

    def log_text(self):
        with open(os.path.join(self.folder, "log"), errors="replace") as f:
            return f.read()

    def close(self):
        for process in reversed(self.processes):
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.log.close()
        shutil.rmtree(self.folder, ignore_errors=True)

"""Evolution's IMAP (Camel) without Evolution, which takes NOTIFY and QRESYNC when they are offered: evolution.py PROVIDER PORT PASSWORD FOLDER, with orders on standard input.

    count N         waits until INBOX has that many messages
    flags N FLAG    waits until that many messages of INBOX have the flag (Camel's name of it)
    flag N FLAG     sets a flag on the first N messages of INBOX and writes it to the server
    quit

Each order is answered `ok` or `no WHAT-IS` on standard error; standard output has what goes over the line (CAMEL_DEBUG=imapx:io).
Nothing but news makes INBOX grow: the program asks for none.
"""
import os
import sys
import time

os.environ.update(GSETTINGS_BACKEND="memory", GIO_USE_NETWORK_MONITOR="base", CAMEL_DEBUG="imapx:io")

import gi

gi.require_version("Camel", "1.2")
from gi.repository import Camel, GLib

SECONDS = 30


class Session(Camel.Session):
    def do_get_filter_driver(self, kind, for_folder):
        self.driver = Camel.FilterDriver.new(self)
        return self.driver

    def do_authenticate_sync(self, service, mechanism, cancellable):
        service.set_password(PASSWORD)
        return service.authenticate_sync(mechanism, cancellable) == Camel.AuthenticationResult.ACCEPTED


def answer(wanted, ask):
    """Lets Camel work until what it knows is what is wanted."""
    limit, context = time.monotonic() + SECONDS, GLib.MainContext.default()
    while ask() != wanted and time.monotonic() < limit:
        while context.iteration(False):
            pass
        time.sleep(0.02)
    print("ok" if ask() == wanted else "no %s" % ask(), file=sys.stderr, flush=True)


def flagged(inbox, flag):
    bit = getattr(Camel.MessageFlags, flag)
    return sum(bool(inbox.get_message_info(uid).get_flags() & int(bit)) for uid in inbox.get_uids())


def main():
    store = session.add_service("home", "imapx", Camel.ProviderType.STORE)
    settings = store.ref_settings()
    for name, value in {"host": "127.0.0.1", "port": PORT, "user": "me", "auth-mechanism": "PLAIN", "use-qresync": True,
                        "security-method": Camel.NetworkSecurityMethod.NONE}.items():
        settings.set_property(name, value)
    store.set_online_sync(True, None)
    store.connect_sync(None)
    inbox = store.get_folder_sync("INBOX", 0, None)
    inbox.refresh_info_sync(None)
    print("ok", file=sys.stderr, flush=True)
    for line in sys.stdin:
        order, *words = line.split()
        if order == "count":
            answer(int(words[0]), inbox.get_message_count)
        elif order == "flags":
            answer(int(words[0]), lambda: flagged(inbox, words[1]))
        elif order == "flag":
            bit = getattr(Camel.MessageFlags, words[1])
            for uid in inbox.get_uids()[:int(words[0])]:
                inbox.set_message_flags(uid, bit, bit)
            inbox.synchronize_sync(False, None)
            print("ok", file=sys.stderr, flush=True)
        elif order == "quit":
            break
    inbox.synchronize_sync(False, None)
    store.disconnect_sync(True, None)
    print("ok", file=sys.stderr, flush=True)


PROVIDER, PORT, PASSWORD, FOLDER = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4]
Camel.init(FOLDER, False)
Camel.provider_load(PROVIDER)
session = Session(user_data_dir=os.path.join(FOLDER, "data"), user_cache_dir=os.path.join(FOLDER, "cache"))
session.set_online(True)
main()

"""Postfix and Dovecot from Debian: Postfix takes mail and hands it to Dovecot by LMTP. What is not said here or in
tests/clients/postfix.py is their own default."""
import os
import pwd
import subprocess

import postfix
from beside.servers import Server, allocated
MAIN = postfix.MAIN + """\
myhostname = mail.bench.test
virtual_mailbox_domains = bench.test
virtual_mailbox_maps = inline:{{ {{user@bench.test=x}} }}
virtual_transport = lmtp:unix:{run}/lmtp
message_size_limit = 41943040
smtputf8_enable = yes
"""

DOVECOT = """\
base_dir = {run}/dovecot
listen = 127.0.0.1
protocols = imap pop3 lmtp
log_path = {logs}/{name}-dovecot
ssl = yes
ssl_cert = <{certificate}
ssl_key = <{key}
disable_plaintext_auth = no
auth_mechanisms = plain login
mail_home = {folder}/mail
mail_location = {location}
mail_uid = mail
mail_gid = mail
first_valid_uid = 1
mail_max_userip_connections = 200
passdb {{
  driver = passwd-file
  args = scheme=PLAIN username_format=%n {conf}/users
}}
userdb {{
  driver = static
  args = uid=mail gid=mail home={folder}/mail
}}
namespace inbox {{
  inbox = yes
}}
service imap-login {{
  inet_listener imap {{
    port = {imap}
  }}
  inet_listener imaps {{
    port = {imaps}
    ssl = yes
  }}
}}
service pop3-login {{
  inet_listener pop3 {{
    port = {pop3}
  }}
  inet_listener pop3s {{
    port = 0
  }}
}}
service lmtp {{
  unix_listener {run}/lmtp {{
    mode = 0666
  }}
}}
protocol lmtp {{
  auth_username_format = %n
}}
"""

LOCATIONS = {"maildir": "maildir:~/Maildir", "sdbox": "sdbox:~/sdbox"}


class PostfixDovecot(Server):
    """`kind`: how Dovecot keeps mail."""

    # A Maildir is looked through once for each command: with one message a command, 100,000 take hours.
    filled_at_once = 1000

    def __init__(self, kind, place, base):
        super().__init__(kind, place, base)
        self.conf, self.run = place.path("conf", kind), place.path("run", kind)
        for folder in self.conf, self.run:
            os.makedirs(folder)
        words = {"name": kind, "folder": self.folder, "logs": place.path("logs"), "log": self.log_of_postfix(), "wake": 300,
                 "run": self.run, "conf": self.conf, "certificate": place.certificate, "key": place.key,
                 "location": LOCATIONS[kind], "smtp": base + 25, "imap": base + 143, "imaps": base + 993, "pop3": base + 110}
        for name, text in ("master.cf", postfix.MASTER), ("main.cf", MAIN), ("dovecot.conf", DOVECOT):
            with open(os.path.join(self.conf, name), "w") as file:
                file.write(text.format(**words))
        with open(self.conf + "/users", "w") as file:
            file.write("%s:{PLAIN}%s\n" % (self.user, self.password))

    def prepare(self):
        for name, owner in ("mail", "mail"), ("queue", None), ("data", "postfix"):
            folder = os.path.join(self.folder, name)
            os.makedirs(folder, exist_ok=True)
            if owner:
                os.chown(folder, pwd.getpwnam(owner).pw_uid, pwd.getpwnam(owner).pw_gid)
        # Its tools write there before its master does, with its rights.
        log = self.log_of_postfix()
        with open(log, "a"):
            os.chown(log, pwd.getpwnam("postfix").pw_uid, -1)
        if os.path.exists(self.run + "/dovecot/master.pid"):
            os.remove(self.run + "/dovecot/master.pid")
        subprocess.run(["postfix", "-c", self.conf, "check"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def log_of_postfix(self):
        return self.place.path("logs", self.name + "-postfix")

    def commands(self):
        return [["dovecot", "-F", "-c", self.conf + "/dovecot.conf"], ["postfix", "-c", self.conf, "start"]]

    def stop_commands(self):
        return [["postfix", "-c", self.conf, "stop"], ["doveadm", "-c", self.conf + "/dovecot.conf", "stop"]]

    def store_bytes(self):
        return allocated(self.folder + "/mail")

"""Postfix and Dovecot from Debian: Postfix takes mail and hands it to Dovecot by LMTP. What is not said here is their own default."""
import os
import pwd
import subprocess

from beside.servers import Server, allocated

MASTER = """\
127.0.0.1:{smtp} inet n - n - - smtpd
pickup    unix  n - n 60 1 pickup
cleanup   unix  n - n - 0 cleanup
qmgr      unix  n - n 300 1 qmgr
tlsmgr    unix  - - n 1000? 1 tlsmgr
rewrite   unix  - - n - - trivial-rewrite
bounce    unix  - - n - 0 bounce
defer     unix  - - n - 0 bounce
trace     unix  - - n - 0 bounce
verify    unix  - - n - 1 verify
flush     unix  n - n 1000? 0 flush
proxymap  unix  - - n - - proxymap
proxywrite unix - - n - 1 proxymap
smtp      unix  - - n - - smtp
relay     unix  - - n - - smtp
showq     unix  n - n - - showq
error     unix  - - n - - error
retry     unix  - - n - - error
discard   unix  - - n - - discard
lmtp      unix  - - n - - lmtp
anvil     unix  - - n - 1 anvil
scache    unix  - - n - 1 scache
postlog   unix-dgram n - n - 1 postlogd
"""

MAIN = """\
compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/queue-data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
mail_owner = postfix
setgid_group = postdrop
maillog_file = {logs}/{name}-postfix
maillog_file_prefixes = {logs}
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = mail.bench.test
mydestination =
mynetworks = 127.0.0.1/32
local_transport = error:no local mail
alias_maps =
virtual_mailbox_domains = bench.test
virtual_mailbox_maps = inline:{{ {{user@bench.test=x}} }}
virtual_transport = lmtp:unix:{run}/lmtp
smtpd_relay_restrictions = permit_mynetworks, reject_unauth_destination
smtpd_tls_cert_file = {certificate}
smtpd_tls_key_file = {key}
smtpd_tls_security_level = may
message_size_limit = 41943040
virtual_mailbox_limit = 0
smtputf8_enable = yes
biff = no
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

    def __init__(self, kind, place, base):
        super().__init__(kind, place, base)
        self.conf, self.run = place.path("conf", kind), place.path("run", kind)
        for folder in self.conf, self.run:
            os.makedirs(folder)
        words = {"name": kind, "folder": self.folder, "logs": place.path("logs"), "run": self.run, "conf": self.conf,
                 "certificate": place.certificate, "key": place.key, "location": LOCATIONS[kind],
                 "smtp": base + 25, "imap": base + 143, "imaps": base + 993, "pop3": base + 110}
        for name, text in ("master.cf", MASTER), ("main.cf", MAIN), ("dovecot.conf", DOVECOT):
            with open(os.path.join(self.conf, name), "w") as file:
                file.write(text.format(**words))
        with open(self.conf + "/users", "w") as file:
            file.write("%s:{PLAIN}%s\n" % (self.user, self.password))

    def prepare(self):
        for name, owner in ("mail", "mail"), ("queue", None), ("queue-data", "postfix"):
            folder = os.path.join(self.folder, name)
            os.makedirs(folder, exist_ok=True)
            if owner:
                os.chown(folder, pwd.getpwnam(owner).pw_uid, pwd.getpwnam(owner).pw_gid)
        # Its tools write there before its master does, with its rights.
        log = self.place.path("logs", self.name + "-postfix")
        with open(log, "a"):
            os.chown(log, pwd.getpwnam("postfix").pw_uid, -1)
        if os.path.exists(self.run + "/dovecot/master.pid"):
            os.remove(self.run + "/dovecot/master.pid")
        subprocess.run(["postfix", "-c", self.conf, "check"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def commands(self):
        return [["dovecot", "-F", "-c", self.conf + "/dovecot.conf"], ["postfix", "-c", self.conf, "start"]]

    def stop_commands(self):
        return [["postfix", "-c", self.conf, "stop"], ["doveadm", "-c", self.conf + "/dovecot.conf", "stop"]]

    def store_bytes(self):
        return allocated(self.folder + "/mail")

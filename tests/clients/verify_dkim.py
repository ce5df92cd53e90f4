"""Verifies the DKIM signatures of the message on stdin by dkimpy: verify_dkim.py DNS_PORT. One line "SELECTOR pass" or "fail"
for each, from the top. Run by the system's own Python, which is the one that has Debian's modules."""
import re
import sys

import dkim
import dns.resolver

resolver = dns.resolver.Resolver(configure=False)
resolver.nameservers = ["127.0.0.1"]
resolver.port = int(sys.argv[1])


def ask(name, timeout=5):
    name = name.decode() if isinstance(name, bytes) else name
    try:
        return b"".join(next(iter(resolver.resolve(name, "TXT"))).strings)
    except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
        return None


message = sys.stdin.buffer.read()
for at, (name, value) in enumerate(f for f in dkim.rfc822_parse(message)[0] if f[0].lower() == b"dkim-signature"):
    selector = re.search(rb"\bs=([^;\s]+)", value).group(1).decode()
    try:
        good = dkim.DKIM(message, minkey=1024).verify(idx=at, dnsfunc=ask)
    except dkim.DKIMException as e:
        print(e, file=sys.stderr)
        good = False
    print(selector, "pass" if good else "fail")

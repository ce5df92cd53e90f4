#!/usr/bin/env python3
"""Makes a mailbox as people have them, of any length, always the same for the same seed.

message(number, seed) depends on nothing else, so that two servers can be filled with the same mail.

The mix: plain text 40 %, multipart/alternative 25 %, a base64 attachment 12 %, mailing lists 18 %, base64 text in
UTF-8 5 %. Some 60 % answer another message (In-Reply-To, References). Sizes are log-normal, 8 KB on average, 1 KB to
some 300 KB.

What a search can be checked with:
  Subject has "Quokka"      number % 100 == 3
  the text has "zanzibarite" number % 1000 == 7, and 507, where it is inside base64

  mkmail.py maildir FOLDER COUNT [--seed S]
  mkmail.py mbox FILE COUNT [--seed S]
  mkmail.py stats COUNT [--seed S]
"""
import argparse
import base64
import os
import random
import time

WORDS = """the of and to in a is that for it as was with be by on not he his but at are this have from
or had an they which one you were all her she there would their we him been has when who will no more if
out so what time up go about than into could state only new year some take come these know see use get
like then first any work now may such give over think most even find day also after way many must look
before great back through long where much should well people down own just because good each those feel
seem how high too place little world very still nation hand old life tell write become here show house
both between need mean call develop under last right move thing general school never same another begin
while number part turn real leave might want point form off child few small since against ask late home
interest large person end open public follow during present without again hold govern around possible
head consider word program problem however lead system set order eye plan run keep face fact group play
stand increase early course change help line invoice meeting budget release server patch kernel review
deadline travel booking ticket reservation delivery parcel tracking account update newsletter photo
weekend garden recipe insurance contract signature attachment schedule conference agenda minutes""".split()
ACCENT = ["Grüße", "façade", "naïve", "Ærø", "Łódź", "żółw", "señor", "corazón", "東京", "会議",
          "привет", "встреча", "Müller", "Škoda", "öffnen", "été", "crème", "résumé", "مرحبا", "🙂"]
FIRST = ["Alice", "Bob", "Carol", "Dmitri", "Elena", "Farid", "Greta", "Hiro", "Inês", "Jürgen",
         "Katya", "Liam", "Müge", "Noor", "Olaf", "Priya", "Quentin", "Rosa", "Søren", "Tuấn"]
LAST = ["Anders", "Brown", "Castillo", "Dvořák", "Eriksen", "Fischer", "García", "Hansen", "Ito",
        "Jones", "Kowalski", "López", "Meyer", "Nowak", "Okafor", "Petrov", "Quist", "Rossi", "Sato"]
DOMAINS = ["example.org", "example.net", "mail.example.com", "corp.example", "uni.example.edu"]
LISTS = ["dev", "announce", "users", "bugs", "garden-club"]
EPOCH = 1_650_000_000


def _ascii_local(name):
    return "".join(c for c in name.lower() if "a" <= c <= "z") or "user"


def _encword(text):
    """RFC 2047 encoded word, only when needed."""
    if text.isascii():
        return text
    return "=?UTF-8?B?" + base64.b64encode(text.encode()).decode() + "?="


def _b64(data):
    return base64.encodebytes(data).decode().replace("\n", "\r\n")


def _date(ts):
    return time.strftime("%a, %d %b %Y %H:%M:%S +0000", time.gmtime(ts))


def _prose(rng, size, accents=0.0):
    lines, used = [], 0
    while used < size:
        n = rng.randint(8, 13)
        words = rng.choices(WORDS, k=n)
        if accents and rng.random() < accents:
            words[rng.randrange(n)] = rng.choice(ACCENT)
        if rng.random() < 0.12:
            line = ""
        elif rng.random() < 0.1:
            line = "> " + " ".join(words)
        else:
            line = " ".join(words)
        lines.append(line[:180])
        used += len(line) + 2
    return "\r\n".join(lines) + "\r\n"


def _thread_root(i):
    """~60 % of messages hang in threads of up to 8, rooted at a multiple of 13."""
    k = i % 13
    return i - k if 1 <= k <= 7 else i


def msgid(i, seed):
    return "<%08x.%d@%s>" % ((i * 2654435761 + seed) & 0xFFFFFFFF, i, DOMAINS[i % len(DOMAINS)])


def message(i, seed=1, to="user@bench.test", size=None):
    """Message number i as bytes, lines ended by CRLF; plain text of exactly `size` bytes, where one is given."""
    rng = random.Random(seed * 1_000_003 + i)
    target = size or int(min(120_000, max(1_000, rng.lognormvariate(8.45, 0.95))))
    first, last = FIRST[i * 7 % len(FIRST)], LAST[i * 11 % len(LAST)]
    addr = "%s.%s@%s" % (_ascii_local(first), _ascii_local(last), DOMAINS[i % len(DOMAINS)])
    root = _thread_root(i)
    subj_rng = random.Random(seed * 7 + root)
    subject = " ".join(subj_rng.choices(WORDS, k=subj_rng.randint(3, 8))).capitalize()
    if subj_rng.random() < 0.2:
        subject += " " + subj_rng.choice(ACCENT)
    if i % 100 == 3:
        subject = "Quokka " + subject
    if root != i:
        subject = "Re: " + subject
    ts = EPOCH + i * 1800 + rng.randrange(1500)
    h = [
        "Return-Path: <%s>" % addr,
        "Received: from mx%d.%s (mx%d.%s [192.0.2.%d])\r\n\tby mail.bench.test with ESMTPS id %08x\r\n"
        "\tfor <%s>; %s" % (i % 9, DOMAINS[i % 5], i % 9, DOMAINS[i % 5], i % 250 + 1,
                            rng.getrandbits(32), to, _date(ts + 2)),
        "DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=%s; s=sel1;\r\n"
        "\th=from:to:subject:date:message-id; bh=%s;\r\n\tb=%s" % (
            DOMAINS[i % 5], base64.b64encode(rng.randbytes(32)).decode(),
            "\r\n\t ".join(base64.b64encode(rng.randbytes(48)).decode() for _ in range(4))),
        "Date: " + _date(ts),
        "From: %s <%s>" % (_encword(first + " " + last), addr),
        "To: Bench User <%s>" % to,
        "Subject: " + _encword(subject),
        "Message-ID: " + msgid(i, seed),
        "User-Agent: BenchMail/%d.%d" % (i % 7, i % 10),
        "MIME-Version: 1.0",
    ]
    if root != i:
        refs = [msgid(j, seed) for j in range(root, i)]
        h.append("In-Reply-To: " + refs[-1])
        h.append("References: " + "\r\n ".join(refs))
    if i % 4 == 1:
        h.append("Cc: " + ", ".join("%s <%s@%s>" % (_encword(rng.choice(FIRST)), rng.choice(WORDS),
                                                   rng.choice(DOMAINS)) for _ in range(1 + i % 3)))

    kind = rng.random()
    needle_b64 = i % 1000 == 507
    needle = "the zanzibarite stone\r\n" if i % 1000 == 7 else ""
    if needle_b64:
        kind = 0.99
    if needle or size:
        kind = 0.0
    head_len = sum(len(x) + 2 for x in h)
    room = max(200, target - head_len - 300)
    if kind < 0.40 or 0.77 <= kind < 0.95:
        if kind >= 0.77:
            name = LISTS[i % len(LISTS)]
            h += ["List-Id: <%s.lists.example.org>" % name,
                  "List-Post: <mailto:%s@lists.example.org>" % name,
                  "List-Unsubscribe: <https://lists.example.org/u/%s/%d>" % (name, i),
                  "List-Archive: <https://lists.example.org/a/%s>" % name,
                  "Precedence: list", "Sender: %s-bounces@lists.example.org" % name]
        h += ["Content-Type: text/plain; charset=utf-8", "Content-Transfer-Encoding: 7bit"]
        body = needle + _prose(rng, room)
    elif kind < 0.65:
        b = "=_alt_%08x" % rng.getrandbits(32)
        h.append('Content-Type: multipart/alternative; boundary="%s"' % b)
        text = _prose(rng, room // 3, 0.1)
        html = "<html><body>\r\n" + "".join(
            '<p style="margin:0;font-family:sans-serif">%s</p>\r\n' % ln
            for ln in _prose(rng, room // 2, 0.1).split("\r\n")) + "</body></html>\r\n"
        body = ("--%s\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
                "%s\r\n--%s\r\nContent-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
                "%s\r\n--%s--\r\n" % (b, text, b, html, b))
    elif kind < 0.77:
        b = "=_mix_%08x" % rng.getrandbits(32)
        h.append('Content-Type: multipart/mixed; boundary="%s"' % b)
        att = rng.randbytes(max(300, int(room * 2.2)))
        name, ctype = rng.choice([("photo%d.jpg", "image/jpeg"), ("report%d.pdf", "application/pdf"),
                                  ("archive%d.zip", "application/zip")])
        name %= i
        body = ("--%s\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\n%s\r\n--%s\r\n"
                'Content-Type: %s; name="%s"\r\nContent-Disposition: attachment; filename="%s"\r\n'
                "Content-Transfer-Encoding: base64\r\n\r\n%s\r\n--%s--\r\n" % (
                    b, _prose(rng, 400), b, ctype, name, name, _b64(att), b))
    else:
        h += ["Content-Type: text/plain; charset=utf-8", "Content-Transfer-Encoding: base64"]
        text = ("the zanzibarite stone\r\n" if needle_b64 else "") + _prose(rng, room * 3 // 4, 0.6)
        body = _b64(text.encode())
    raw = ("\r\n".join(h) + "\r\n\r\n" + body).encode()
    return _fit(raw, size) if size else raw


def _fit(raw, size):
    """Cut or filled up to `size` bytes, the line end at the end included."""
    line = b"padding " * 9 + b"\r\n"
    raw += line * max(0, (size - len(raw)) // len(line) + 1)
    raw = raw[:size - 2].rstrip(b"\r\n")
    return raw + b"=" * (size - 2 - len(raw)) + b"\r\n"


def big_message(size, seed=1, to="user@bench.test"):
    """A message with a base64 attachment that does not compress; `size` bytes and a few hundred."""
    blob = random.Random(seed).randbytes(size * 57 // 78)
    return ("From: a@example.org\r\nTo: %s\r\nSubject: big\r\nMessage-ID: <big.%d@example.org>\r\nDate: %s\r\n"
            "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=bb\r\n\r\n--bb\r\nContent-Type: text/plain\r\n\r\n"
            "see file\r\n--bb\r\nContent-Type: application/octet-stream; name=big.bin\r\nContent-Transfer-Encoding: base64\r\n"
            "Content-Disposition: attachment; filename=big.bin\r\n\r\n%s\r\n--bb--\r\n" % (
                to, seed, _date(EPOCH), _b64(blob))).encode()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["maildir", "mbox", "stats"])
    parser.add_argument("target", nargs="?", help="folder or file")
    parser.add_argument("count", type=int)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    messages = (message(i, asked.seed) for i in range(asked.count))
    if asked.what == "stats":
        sizes = sorted(map(len, messages))
        print("count %d total %d mean %d median %d max %d" % (
            len(sizes), sum(sizes), sum(sizes) // len(sizes), sizes[len(sizes) // 2], sizes[-1]))
    elif asked.what == "maildir":
        for folder in ("cur", "new", "tmp"):
            os.makedirs(os.path.join(asked.target, folder), exist_ok=True)
        for i, raw in enumerate(messages):
            with open(os.path.join(asked.target, "new", "%d.M%07dP1.bench" % (EPOCH + i, i)), "wb") as file:
                file.write(raw.replace(b"\r\n", b"\n"))
    else:
        with open(asked.target, "wb") as file:
            for raw in messages:
                file.write(b"From a@example.org " + time.asctime(time.gmtime(EPOCH)).encode() + b"\n")
                file.write(raw.replace(b"\r\n", b"\n").replace(b"\nFrom ", b"\n>From ") + b"\n")


if __name__ == "__main__":
    main()

"""Messages as people and bad software write them, from a seed: always the same ones."""
import base64
import quopri
import random

WORDS = ["plans", "lunch", "Invoice", "report", "tea", "engine", "Sommer", "offer", "winter", "notes", "RE", "zebra", "Übung"]
FOREIGN = ["Grüße aus Köln", "Привет мир", "日本語のテスト", "Ångström", "déjà vu", "ΣΊΣΥΦΟΣ", "żółw", "naïve café"]
PEOPLE = [("Zoe Adams", "anna@x.example"), ("", "zeno@y.example"), ("Jürgen Müller", "juergen@home.test"), ("o'Brien, Pat", "pat@x.example"),
          ("Дарья", "darya@z.example"), ('Quote "Q" Smith', "q.smith@sub.x.example"), ("list owner", "owner-list@lists.example")]
PREFIXES = ["Re: ", "RE:", "re[2]: ", "Fwd: ", "FW: ", "fw : ", "[list] ", "[list] Re: ", "Re: [list] ", "[a][b] ", "Re: Fwd: Re: ", "AW: ",
            "Re [list]: ", "", "", "", ""]
SUFFIXES = ["", "", "", "", " (fwd)", "  ", " (fwd) (FWD)"]
DATES = ["Thu, 1 Jan 1998 12:00:00 +0000", "1 Jan 98 12:00 GMT", "Fri, 2 Jan 1998 02:00:00 +0600", "Thu, 31 Dec 1998 16:01:33 -0800",
         "Thu, 1 Jan 1998 12:00:00 EST", "Mon, 13 Oct 2003 09:00:00 +0200 (CEST)", "Sat, 01 Mar 2014 10:20:30 +0100", None]
CHARSETS = ["utf-8", "iso-8859-1", "windows-1252", "koi8-r", "iso-2022-jp", "shift_jis", "big5"]


class Ugly:
    """The messages of one seed, as [(name, bytes, INTERNALDATE)]."""

    def __init__(self, seed, count):
        self.random = random.Random(seed)
        self.ids = []
        self.messages = []
        for number in range(count):
            day, hour = 1 + number % 28, number % 24
            date = b"%02d-Feb-2020 %02d:%02d:00 +0000" % (day, hour, number % 60)
            self.messages.append(("ugly-%d" % number, self.message(number), date))

    def encodable(self, text):
        fit = []
        for charset in CHARSETS:
            try:
                text.encode(charset)
                fit.append(charset)
            except UnicodeEncodeError:
                pass
        return self.random.choice(fit)

    def encoded(self, text):
        """Text outside ASCII as encoded words, or raw."""
        if text.isascii():
            return text.encode()
        charset = self.encodable(text)
        raw = text.encode(charset)
        way = self.random.randrange(5)
        if way == 0:
            return text.encode("utf-8")
        if way == 1 and len(text) > 4:
            half = len(text) // 2
            return self.word(text[:half], charset) + b"\r\n " + self.word(text[half:], charset)
        if way == 2:
            return b"=?%s?b?%s?=" % (charset.encode(), base64.b64encode(raw))
        return self.word(text, charset)

    def word(self, text, charset):
        raw = text.encode(charset)
        if self.random.random() < 0.5:
            return b"=?%s?B?%s?=" % (charset.upper().encode(), base64.b64encode(raw))
        safe = b"".join(bytes([c]) if chr(c).isalnum() and c < 128 else b"_" if c == 32 else b"=%02X" % c for c in raw)
        return b"=?%s?Q?%s?=" % (charset.encode(), safe)

    def subject(self):
        r = self.random
        core = r.choice(WORDS) if r.random() < 0.6 else r.choice(FOREIGN)
        core = core.upper() if r.random() < 0.2 else core
        subject = r.choice(PREFIXES).encode() + self.encoded(core)
        if r.random() < 0.15:
            subject += b"\r\n\t" + r.choice(WORDS).encode("utf-8")
        subject += r.choice(SUFFIXES).encode()
        return b"[Fwd: %s]" % subject if r.random() < 0.08 else subject

    def address(self):
        r = self.random
        name, spec = r.choice(PEOPLE)
        spec = spec.encode()
        way = r.randrange(6)
        if not name or way == 0:
            return spec if r.random() < 0.5 else b"<%s>" % spec
        if not name.isascii():
            return self.encoded(name) + b" <%s>" % spec
        if way == 1:
            return b"%s (%s)" % (spec, name.replace('"', "").encode())
        if way == 2:
            return b"\"%s\"\r\n <%s>" % (name.replace('"', '\\"').encode(), spec)
        return b"\"%s\" <%s>" % (name.replace('"', '\\"').encode(), spec)

    def addresses(self):
        r = self.random
        listed = b", ".join(self.address() for _ in range(r.choice([1, 1, 1, 2, 3])))
        way = r.random()
        if way < 0.06:
            return b"Friends: %s;" % listed
        return b"undisclosed-recipients:;" if way < 0.1 else listed

    def threading(self, number):
        """Message-ID, References and In-Reply-To: right, truncated, in circles, missing."""
        r = self.random
        own = "<m%d@x.example>" % number
        lines = []
        if r.random() < 0.05 and self.ids:
            own = r.choice(self.ids)
        if r.random() > 0.08:
            lines.append("Message-ID: " + own)
        known = self.ids[-12:] + ["<gone%d@x.example>" % r.randrange(6), "<m%d@x.example>" % (number + r.randrange(1, 4))]
        way = r.random()
        if way < 0.35:
            chain = [r.choice(known) for _ in range(r.randrange(1, 5))]
            lines.append("References: " + r.choice([" ", "\r\n ", "\t"]).join(chain))
            if r.random() < 0.5:
                lines.append("In-Reply-To: " + chain[-1])
        elif way < 0.5:
            lines.append("In-Reply-To: " + r.choice(["", "Your message of yesterday "]) + r.choice(known) + r.choice(["", " <other@x.example>"]))
        elif way < 0.55:
            lines.append("References: none")
        self.ids.append(own)
        return [line.encode() for line in lines]

    def text(self):
        r = self.random
        text = "\r\n".join(r.choice(FOREIGN + WORDS) + " " + r.choice(WORDS) for _ in range(r.randrange(1, 6))) + "\r\n"
        html = r.random() < 0.25
        if html:
            text = "<html><body><p>" + text.replace("\r\n", "<br>\r\n") + "</p></body></html>\r\n"
        charset = self.encodable(text) if r.random() < 0.8 else "utf-8"
        try:
            raw = text.encode(charset)
        except UnicodeEncodeError:
            charset, raw = "utf-8", text.encode()
        head = [b"Content-Type: text/%s; charset=%s" % (b"html" if html else b"plain", r.choice([charset, '"%s"' % charset]).encode())]
        way = r.randrange(3)
        if way == 0:
            head.append(b"Content-Transfer-Encoding: base64")
            raw = base64.encodebytes(raw).replace(b"\n", b"\r\n")
        elif way == 1:
            head.append(b"Content-Transfer-Encoding: quoted-printable")
            raw = quopri.encodestring(raw.replace(b"\r\n", b"\n")).replace(b"\n", b"\r\n")
        elif r.random() < 0.5:
            head.append(b"Content-Transfer-Encoding: 8bit")
        return head, raw

    def part(self, depth):
        r = self.random
        way = r.random()
        if depth > 3 or way < 0.55:
            return self.text()
        if way < 0.85:
            boundary = b"b%d" % r.randrange(10 ** 9)
            parts = []
            for _ in range(r.randrange(1, 4)):
                head, body = self.part(depth + 1)
                parts.append(b"--%s\r\n%s\r\n\r\n%s\r\n" % (boundary, b"\r\n".join(head), body))
            end = b"--%s--\r\n" % boundary if r.random() > 0.1 else b""
            kind = r.choice([b"mixed", b"alternative", b"related"])
            preamble = b"This is MIME.\r\n" if r.random() < 0.3 else b""
            return [b"Content-Type: multipart/%s;\r\n boundary=\"%s\"" % (kind, boundary)], preamble + b"".join(parts) + end
        if way < 0.93:
            return [b"Content-Type: message/rfc822"], self.message(-1)
        name = r.choice([b"a.bin", b"\"b c.pdf\"", b"=?utf-8?q?=C3=A4.txt?="])
        return ([b"Content-Type: application/octet-stream; name=%s" % name, b"Content-Transfer-Encoding: base64",
                 b"Content-Disposition: attachment; filename=%s" % name, b"Content-ID: <c@x>"],
                base64.encodebytes(r.randbytes(60)).replace(b"\n", b"\r\n"))

    def message(self, number):
        r = self.random
        fields = []
        date = r.choice(DATES)
        if date:
            fields.append(b"Date: " + date.encode())
        if r.random() < 0.95:
            fields.append(b"From: " + self.address())
        for name, often in ((b"To", 0.9), (b"Cc", 0.4), (b"Bcc", 0.1), (b"Reply-To", 0.2), (b"Sender", 0.1)):
            if r.random() < often:
                fields.append(name + b": " + (self.address() if name == b"Sender" else self.addresses()))
        if r.random() < 0.93:
            fields.append(b"Subject: " + self.subject())
        if number >= 0:
            fields += self.threading(number)
        if r.random() < 0.3:
            fields.append(b"X-Spam-Status: " + r.choice([b"No, score=1", b"Yes,\r\n score=9", b""]))
        r.shuffle(fields)
        head, body = self.part(0)
        if r.random() < 0.9:
            fields.append(b"MIME-Version: 1.0")
        return b"\r\n".join(fields + head) + b"\r\n\r\n" + body

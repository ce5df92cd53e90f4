"""Dovecot and we are asked the same of the same ugly messages, and must say the same: ENVELOPE, structures, texts, SEARCH, SORT, THREAD.

HAUSPOST_CORPUS=FOLDER adds a folder of .eml files, of which differences are only counted and told. They are no part of
the project.
"""
import glob
import os
import re
import unittest

from agree import Client, Dovecot
from node import Node
from ugly import Ugly, WORDS

SEED, MESSAGES = 5256, 400

# What is written in different ways and means the same is brought to one form before it is compared:
# - names of types, encodings and parameters in any case (RFC 2045 sections 5.1, 6.1); charset us-ascii, which is what text without
#   a charset is (RFC 2045 section 5.2); the first digit of a day (RFC 3501 section 9, `date-day-fixed`);
# - spaces in an ENVELOPE: unfolding takes away the line end and nothing else (RFC 5322 section 2.2.3), Dovecot makes one of several.
# Not asked: BODY[1.1] of a part 1 that is no multipart, which does not exist (RFC 3501 section 6.4.5) and is part 1 to Dovecot.

# Searches in which we find all that Dovecot finds, and more: (pattern, reason).
MORE = [
    (r"^BODY ", "RFC 3501 section 6.4.4, RFC 5322 section 2.1: the body is all behind the header, with the headers of parts and of messages inside"),
    (r'^(FROM|TO|CC|BCC) "o\'brien"', "RFC 3501 section 6.4.4: the string is in the field of the envelope, where both show it"),
]


# Classes of broken messages in which an RFC decides against Dovecot: (which answers, whether this pair is of the class, reason).
OTHERS = [
    (r"BODY|BODYSTRUCTURE", lambda ours, theirs: kind_of(theirs) == ("", "") and kind_of(ours) in (("text", "plain"), ("message", "rfc822")),
     "RFC 2045 section 5.2: a Content-Type that cannot be read counts as none, text/plain; Dovecot shows two empty strings"),
    (r"BODY|BODYSTRUCTURE", lambda ours, theirs: isinstance(theirs[0], list) and kind_of(ours) == ("text", "plain"),
     "RFC 2045 section 5.2, RFC 2046 section 5.1.1: a multipart without a boundary is none; Dovecot shows it with a part that is not there"),
    (r"BODY\[.*(MIME|FIELDS).*\]", lambda ours, theirs: ours[0] in (theirs[0] + "\r\n", theirs[0] + "\r\n\r\n"),
     "RFC 3501 section 6.4.5: the empty line is part of the fields that are shown, even where the header of the message has none"),
]


def kind_of(body):
    return tuple(str(lower(part)).lower() for part in body[:2])


def lower(value):
    return value[0].lower() if isinstance(value, tuple) else value


def parameters(value):
    if not isinstance(value, list):
        return value
    pairs = sorted((lower(value[at]), value[at + 1]) for at in range(0, len(value) - 1, 2))
    return [pair for pair in pairs if pair[0] != "charset" or lower(pair[1]) != "us-ascii"] or None


def structure(body):
    """BODY or BODYSTRUCTURE without what may be written in different ways."""
    if isinstance(body[0], list):
        count = next((at for at, part in enumerate(body) if not isinstance(part, list)), len(body))
        subtype, rest = body[count:count + 1], body[count + 1:]
        return ([structure(part) for part in body[:count]] + [lower(name) for name in subtype] + [parameters(part) for part in rest[:1]]
                + [disposition(part) for part in rest[1:]])
    body = list(body)
    kind = (lower(body[0]), lower(body[1]))
    body[0], body[1], body[2], body[5] = kind[0], kind[1], parameters(body[2]), lower(body[5])
    at = 7
    if kind == ("message", "rfc822") and len(body) > 9 and isinstance(body[8], list):
        body[7], body[8], at = envelope(body[7]), structure(body[8]), 10
    elif kind[0] == "text":
        at = 8
    return body[:at + 1] + [disposition(part) for part in body[at + 1:]]


def disposition(value):
    if isinstance(value, list) and len(value) == 2 and isinstance(value[1], (list, type(None))):
        return [lower(value[0]), parameters(value[1])]
    if isinstance(value, list):
        return [lower(part) for part in value]
    return value


def envelope(value):
    if isinstance(value, tuple):
        return (re.sub(r"\s+", " ", value[0]).strip(),)
    return [envelope(part) for part in value] if isinstance(value, list) else value


def date(value):
    """The day of `date-time` may begin with a space or a zero (RFC 3501 section 9, `date-day-fixed`)."""
    return (re.sub("^0", " ", value[0]),)


def present(value):
    """A section that is not there is NIL or empty (RFC 3501 section 7.4.2)."""
    return value or ("",)


ITEMS = [(b"RFC822.SIZE", None), (b"INTERNALDATE", date), (b"ENVELOPE", envelope), (b"BODY", structure), (b"BODYSTRUCTURE", structure)]
SECTIONS = [b"", b"HEADER", b"TEXT", b"1", b"1.MIME", b"2", b"2.MIME", b"1.2", b"2.HEADER", b"1.TEXT",
            b"HEADER.FIELDS (Subject From Content-Type)", b"HEADER.FIELDS.NOT (Received X-Spam-Status)"]

SEARCHES = ["ALL", "SEEN", "UNSEEN", "FLAGGED NOT SEEN", "KEYWORD $Junk", "UNKEYWORD $Junk", "1:50 UNDELETED", "OR SEEN FLAGGED", "UNANSWERED DELETED",
            "LARGER 600", "SMALLER 400", "BEFORE 10-Feb-2020", "ON 10-Feb-2020", "SINCE 10-Feb-2020", "UID 7:90", "NOT 3:400", "DRAFT",
            "HEADER Date 199 SENTBEFORE 2-Jan-1998", "HEADER Date 1 SENTON 1-Jan-1998", "SENTSINCE 1-Jan-1998 HEADER Date 1",
            'HEADER X-Spam-Status ""', 'HEADER X-Spam-Status "score=9"', 'HEADER Message-ID "m1"', 'HEADER References "gone"', 'HEADER Subject "fwd"']
TEXTS = ["grüße", "GRÜßE aus", "GRÜSSE AUS", "привет", "テスト", "ångström", "żółw", "Σίσυφος", "über", "pat", "darya", "juergen@home", "o'brien", "müller", "multipart",
         "friends", "x.example", "text/html", "zzz", "=?"] + [word.lower() for word in WORDS]
for key in ("SUBJECT", "FROM", "TO", "CC", "BCC", "TEXT", "BODY"):
    SEARCHES += ['%s "%s"' % (key, text) for text in TEXTS]

KEYS = ["ARRIVAL", "CC", "DATE", "FROM", "SIZE", "SUBJECT", "TO", "DISPLAYFROM", "DISPLAYTO"]
SORTS = KEYS + ["REVERSE " + key for key in KEYS] + ["SUBJECT DATE", "FROM REVERSE DATE", "REVERSE TO SUBJECT SIZE", "CC REVERSE SUBJECT", "DISPLAYTO REVERSE ARRIVAL",
                                                    "SUBJECT REVERSE DISPLAYFROM DATE"]
ALGORITHMS = ["ORDEREDSUBJECT", "REFERENCES", "REFS"]


def flags_of(number):
    flags = [flag for flag, every in (("\\Seen", 2), ("\\Flagged", 5), ("\\Answered", 7), ("\\Deleted", 11), ("$Junk", 3)) if number % every == 0]
    return " ".join(flags)


class Pair:
    """The same mailbox in both."""

    def __init__(self, node, dovecot, mailbox, messages):
        self.both = [Client(node.port("imap")), Client(dovecot.port)]
        self.agreed, self.differ = 0, []
        for client in self.both:
            client.fill(mailbox, [(message, date) for _, message, date in messages])
            for number in range(1, len(messages) + 1):
                if flags_of(number):
                    client.ok(b"STORE %d +FLAGS.SILENT (%s)" % (number, flags_of(number).encode()))
        self.names = [name for name, _, _ in messages]

    def compare(self, what, ours, theirs):
        if ours == theirs:
            self.agreed += 1
        else:
            self.differ.append((what, ours, theirs))

    def fetch(self):
        for item, form in ITEMS:
            ours, theirs = (client.fetch(item) for client in self.both)
            for number, name in enumerate(self.names, 1):
                values = [found.get(number) for found in (ours, theirs)]
                self.compare((item.decode(), name), *[form(value) if form and value else value for value in values])
        for section in SECTIONS:
            ours, theirs = (client.fetch(b"BODY.PEEK[%s]" % section) for client in self.both)
            for number, name in enumerate(self.names, 1):
                self.compare(("BODY[%s]" % section.decode(), name), present(ours.get(number)), present(theirs.get(number)))

    def search(self):
        for search in SEARCHES:
            command = b"SEARCH CHARSET UTF-8 " + search.encode()
            ours, theirs = (client.numbers(command) for client in self.both)
            if any(re.search(pattern, search) for pattern, _ in MORE):
                # More, but nothing that is not in the message at all.
                anywhere = self.both[1].numbers(b"SEARCH CHARSET UTF-8 TEXT " + search.split(" ", 1)[1].encode())
                if set(theirs) <= set(ours) and (set(ours) <= set(anywhere) or "o'brien" in search):
                    theirs = ours
            self.compare(("SEARCH", search), ours, theirs)

    def sort(self):
        for criteria in SORTS:
            for which in ("ALL", "UNSEEN", "NOT FLAGGED"):
                command = b"SORT (%s) UTF-8 %s" % (criteria.encode(), which.encode())
                self.compare(("SORT", criteria, which), *[client.numbers(command) for client in self.both])

    def thread(self):
        for algorithm in ALGORITHMS:
            for which in ("ALL", "UNSEEN", "1:100", "NOT FLAGGED"):
                command = b"THREAD %s UTF-8 %s" % (algorithm.encode(), which.encode())
                threads = [client.thread(command) for client in self.both]
                if algorithm == "REFS":
                    # Many newest messages have the same date, and nothing says in which order such threads stand.
                    threads = [sorted(some, key=str) for some in threads]
                self.compare(("THREAD", algorithm, which), *threads)


class Agree(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.node, cls.dovecot = Node(), Dovecot()
        cls.addClassCleanup(cls.node.stop)
        cls.addClassCleanup(cls.dovecot.stop)

    def assert_agree(self, pair):
        told = "\n".join("%s\n  ours    %.600r\n  Dovecot %.600r" % difference for difference in pair.differ[:10])
        self.assertEqual(pair.differ, [], "%d answers agree, %d do not:\n%s" % (pair.agreed, len(pair.differ), told))

    def test_ugly_messages(self):
        pair = Pair(self.node, self.dovecot, b"ugly", Ugly(SEED, MESSAGES).messages)
        for ask in (pair.fetch, pair.search, pair.sort, pair.thread):
            with self.subTest(ask.__name__):
                ask()
                self.assert_agree(pair)
                pair.differ = []

    if os.environ.get("HAUSPOST_CORPUS"):
        def test_corpus(self):
            files = sorted(glob.glob(os.environ["HAUSPOST_CORPUS"] + "/*.eml"))
            dates = (b"%02d-Nov-2026 %02d:%02d:00 +0000" % (1 + at // 1440 % 28, at // 60 % 24, at % 60) for at in range(len(files)))
            messages = [(os.path.basename(path), open(path, "rb").read(), date) for path, date in zip(files, dates)]
            pair = Pair(self.node, self.dovecot, b"corpus", messages)
            for ask in (pair.fetch, pair.search, pair.sort, pair.thread):
                ask()
            kinds, others = {}, {}
            for difference in list(pair.differ):
                (what, *_), ours, theirs = difference
                reason = next((why for answers, holds, why in OTHERS if re.fullmatch(answers, what) and ours and theirs and holds(ours, theirs)), None)
                if reason:
                    pair.differ.remove(difference)
                    others[reason] = others.get(reason, 0) + 1
            for reason, count in others.items():
                print("  %d as they must: %s" % (count, reason))
            for what, ours, theirs in pair.differ:
                kinds.setdefault(what[0], []).append((what[1:], ours, theirs))
            print("%d answers agree, %d do not" % (pair.agreed, len(pair.differ)))
            for kind, found in sorted(kinds.items()):
                print("  %s: %d, such as %s" % (kind, len(found), " ".join(str(what) for what, _, _ in found[:3])))
            self.assertGreater(pair.agreed, 100 * len(pair.differ))


if __name__ == "__main__":
    unittest.main()

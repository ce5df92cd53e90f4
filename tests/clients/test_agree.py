"""Dovecot and we are asked the same of the same ugly messages, and must say the same: ENVELOPE, structures, texts, SEARCH, SORT, THREAD.

HAUSPOST_CORPUS=FOLDER adds a folder of .eml files. They are no part of the project.
"""
import glob
import os
import re
import unittest

from agree import Client, Dovecot
from differences import MORE, ODD, OTHERS, kind_of, lower
from node import Node
from ugly import Ugly, WORDS

SEED, MESSAGES = 5256, 400

# What is written in different ways and means the same is brought to one form before it is compared:
# - names of types, encodings and parameters in any case (RFC 2045 sections 5.1, 6.1); charset us-ascii, which is what text without
#   a charset is (RFC 2045 section 5.2); the first digit of a day (RFC 3501 section 9, `date-day-fixed`);
# - spaces in an ENVELOPE: unfolding takes away the line end and nothing else (RFC 5322 section 2.2.3), Dovecot makes one of several.
# Not asked: BODY[1.1] of a part 1 that is no multipart, which does not exist (RFC 3501 section 6.4.5) and is part 1 to Dovecot.

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
        self.agreed, self.differ, self.justified = 0, [], {}
        for client in self.both:
            client.fill(mailbox, [(message, date) for _, message, date in messages])
            for number in range(1, len(messages) + 1):
                if flags_of(number):
                    client.ok(b"STORE %d +FLAGS.SILENT (%s)" % (number, flags_of(number).encode()))
        self.names = [name for name, _, _ in messages]
        self.messages = [message for _, message, _ in messages]

    def compare(self, what, ours, theirs, message=None):
        if ours == theirs:
            self.agreed += 1
            return
        for answers, holds, reason in OTHERS if message and ours and theirs else []:
            if re.fullmatch(answers, what[0]) and holds(ours, theirs, message):
                self.justified[reason] = self.justified.get(reason, 0) + 1
                return
        self.differ.append((what, ours, theirs))

    def fetch(self):
        for item, form in ITEMS:
            ours, theirs = (client.fetch(item) for client in self.both)
            for number, (name, message) in enumerate(zip(self.names, self.messages), 1):
                values = [found.get(number) for found in (ours, theirs)]
                self.compare((item.decode(), name), *[form(value) if form and value else value for value in values], message)
        for section in SECTIONS:
            ours, theirs = (client.fetch(b"BODY.PEEK[%s]" % section) for client in self.both)
            for number, (name, message) in enumerate(zip(self.names, self.messages), 1):
                self.compare(("BODY[%s]" % section.decode(), name), present(ours.get(number)), present(theirs.get(number)), message)

    def agree_on(self, what, ask):
        """`ask` gives both answers to a command with one more key. Where they differ, once more without the messages of a class."""
        command, odd, reasons = " ".join(what), set(), []
        ours, theirs = ask(b"")
        for commands, is_of_class, reason in ODD:
            if ours == theirs:
                break
            found = {number for number, message in enumerate(self.messages, 1) if is_of_class(message)} if re.fullmatch(commands, command) else set()
            if found - odd:
                odd |= found
                before = ours, theirs
                ours, theirs = ask(b" NOT " + ",".join(map(str, sorted(odd))).encode())
                if (ours, theirs) != before:
                    reasons.append(reason)
        if reasons and ours == theirs:
            for reason in reasons:
                self.justified[reason] = self.justified.get(reason, 0) + 1
            return
        self.compare(what, ours, theirs)

    def search(self):
        for search in SEARCHES:
            def ask(key):
                ours, theirs = (client.numbers(b"SEARCH CHARSET UTF-8 " + search.encode() + key) for client in self.both)
                if any(re.search(pattern, search) for pattern, _ in MORE):
                    # More, but nothing that is not in the message at all.
                    anywhere = self.both[1].numbers(b"SEARCH CHARSET UTF-8 TEXT " + search.split(" ", 1)[1].encode() + key)
                    if set(theirs) <= set(ours) and (set(ours) <= set(anywhere) or "o'brien" in search):
                        theirs = ours
                return ours, theirs
            self.agree_on(("SEARCH", search), ask)

    def sort(self):
        for criteria in SORTS:
            for which in ("ALL", "UNSEEN", "NOT FLAGGED"):
                command = b"SORT (%s) UTF-8 %s" % (criteria.encode(), which.encode())
                self.agree_on(("SORT", criteria, which), lambda key: [client.numbers(command + key) for client in self.both])

    def thread(self):
        for algorithm in ALGORITHMS:
            for which in ("ALL", "UNSEEN", "1:100", "NOT FLAGGED"):
                command = b"THREAD %s UTF-8 %s" % (algorithm.encode(), which.encode())

                def ask(key):
                    threads = [client.thread(command + key) for client in self.both]
                    # Many newest messages have the same date, and nothing says in which order such threads stand.
                    return [sorted(some, key=str) for some in threads] if algorithm == "REFS" else threads
                self.agree_on(("THREAD", algorithm, which), ask)


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
            for reason, count in sorted(pair.justified.items()):
                print("  %d as they must: %s" % (count, reason))
            print("%d answers agree, %d do not as they must, %d do not" % (pair.agreed, sum(pair.justified.values()), len(pair.differ)))
            self.assert_agree(pair)


if __name__ == "__main__":
    unittest.main()

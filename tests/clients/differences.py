"""Where an RFC decides against Dovecot, or leaves it to us: which answers differ, of which messages, and why.

What is not in these lists must be the same. `Pair` in test_agree.py asks again without the messages of a class; then both must agree.
"""
import re


def kind_of(body):
    return tuple(str(lower(part)).lower() for part in body[:2])


def lower(value):
    return value[0].lower() if isinstance(value, tuple) else value


def header_of(message):
    return re.split(rb"\r?\n\r?\n", message, maxsplit=1)[0]


def field(message, name):
    """The last field of that name in the header, unfolded; None without one."""
    found = re.findall(rb"(?im)^" + name + rb":((?:.*)(?:\r?\n[ \t].*)*)", header_of(message))
    return re.sub(rb"\s+", b" ", found[-1]).strip() if found else None


def flat(value):
    if isinstance(value, list):
        return [inner for part in value for inner in flat(part)]
    return [value]


def is_shorter_by_a_line_end(ours, theirs):
    """Of a message at the end of a part: two bytes and one line."""
    pairs = [(one, other) for one, other in zip(flat(ours), flat(theirs)) if one != other]
    numbers = all(isinstance(value, str) and value.isdigit() for pair in pairs for value in pair)
    return len(flat(ours)) == len(flat(theirs)) and numbers and all(int(other) - int(one) in (1, 2) for one, other in pairs)


def has_broken_type(message):
    return re.search(rb"(?im)^content-type:\s*[^/\s;]+\s*(;|\r?$)", message) is not None


def without_broken_types(body):
    """`binary`, `unknown` and two empty strings become the same."""
    if isinstance(body, list) and len(body) > 6 and not isinstance(body[0], list) and (kind_of(body)[1] == "unknown" or kind_of(body) == ("", "")):
        return ["broken", "type"] + body[2:]
    return [without_broken_types(part) for part in body] if isinstance(body, list) else body


# Classes of broken messages in which an RFC decides against Dovecot: (which answers, whether this pair is of the class, reason).
OTHERS = [
    (r"BODY|BODYSTRUCTURE", lambda ours, theirs, message: kind_of(theirs) == ("", "") and kind_of(ours) in (("text", "plain"), ("message", "rfc822")),
     "RFC 2045 section 5.2: a Content-Type that cannot be read counts as none, text/plain; Dovecot shows two empty strings"),
    (r"BODY|BODYSTRUCTURE", lambda ours, theirs, message: has_broken_type(message) and without_broken_types(ours) == without_broken_types(theirs),
     "RFC 3501 section 7.4.2: a type without a subtype is shown as it stands, with `unknown`; Dovecot shows two empty strings"),
    (r"BODY|BODYSTRUCTURE", lambda ours, theirs, message: isinstance(theirs[0], list) and kind_of(ours) == ("text", "plain"),
     "RFC 2045 section 5.2, RFC 2046 section 5.1.1: a multipart without a boundary is none; Dovecot shows it with a part that is not there"),
    (r"BODY\[1(\.MIME)?\]", lambda ours, theirs, message: theirs == ("",) and (field(message, b"Content-Type") or b"").lower().startswith(b"multipart"),
     "RFC 3501 section 6.4.5: a multipart without a boundary is text, and its part 1 that text; Dovecot has a part 1 that is not there"),
    (r"BODY\[.*(MIME|FIELDS).*\]", lambda ours, theirs, message: ours[0] in (theirs[0] + "\r\n", theirs[0] + "\r\n\r\n"),
     "RFC 3501 section 6.4.5: the empty line is part of the fields that are shown, even where the header of the message has none"),
    (r"BODY\[2\]", lambda ours, theirs, message: theirs[0] == ours[0] + "\r\n" and b"message/rfc822" in message.lower(),
     "RFC 2046 section 5.1.1: the line end before a boundary belongs to it, also where a message inside ends within its header"),
    (r"BODY|BODYSTRUCTURE", lambda ours, theirs, message: b"message/rfc822" in message.lower() and is_shorter_by_a_line_end(ours, theirs),
     "RFC 2046 section 5.1.1: the line end before a boundary belongs to it, also where a message inside ends within its header"),
    (r"RFC822.SIZE|BODY.*", lambda ours, theirs, message: message.endswith(b"\n\r"),
     "a message is kept as it came; Dovecot drops a CR at its end"),
]


def is_odd_date(message):
    """Whether Dovecot does not read the Date field as RFC 5322 has it."""
    date = field(message, b"Date")
    date = date and re.sub(rb" *\([^()]*\)", b"", date)
    read = re.fullmatch(rb"(?:[A-Za-z]{3}, ?)?\d{1,2} [A-Za-z]{3} (\d{2}|\d{4}) \d\d:\d\d(?::\d\d)?(?: [+-]\d{4}| [A-Za-z]{1,3})?", date or b"1 Jan 2000 00:00")
    return not read or len(read.group(1) or b"") == 4 and not 1970 <= int(read.group(1)) <= 2105


def has_language(message):
    return re.search(rb"=\?[^?\s]+\*[^?\s]*\?[bqBQ]\?", header_of(message)) is not None


def has_8_bits(message):
    try:
        return header_of(message).decode() is None
    except UnicodeDecodeError:
        return True


def names_odd_encoding(message):
    named = re.findall(rb"(?im)^content-transfer-encoding:[ \t]*([^\s;]+)", message)
    return any(encoding.lower() not in (b"7bit", b"8bit", b"binary", b"base64", b"quoted-printable") for encoding in named)


def twice(message):
    return any(len(re.findall(rb"(?im)^" + name + rb":", header_of(message))) > 1 for name in (b"Subject", b"From", b"To", b"Cc"))


# Messages that are left out when SEARCH, SORT or THREAD differ: (which commands, which messages, reason).
ODD = [
    (r"SORT .*DATE.*|THREAD .*|SEARCH .*SENT.*", is_odd_date,
     "RFC 5256 section 2.2, RFC 5322 sections 3.3 and 4.3: a Date is read as far as it makes sense, with any year from 1900 on; Dovecot wants it "
     "well-formed and keeps 32 bits of it, so that 1969 is 2105 and 3609 is 1966"),
    (r"(SORT|SEARCH) .*(SUBJECT|DISPLAY|FROM|TO|TEXT).*|THREAD .*", has_language,
     "RFC 2231 section 5: an encoded word may name a language behind its charset; Dovecot does not decode such words"),
    (r"(SORT|SEARCH) .*(SUBJECT|DISPLAY|FROM|TO|TEXT).*|THREAD .*", has_8_bits,
     "bytes outside ASCII that are no UTF-8 are read as windows-1252, so that they are found and sorted as they are shown; Dovecot passes them over"),
    (r"SORT .*(SUBJECT|DISPLAY|FROM|TO|CC).*|THREAD .*", twice,
     "RFC 5322 section 3.6: a field may stand once; of two ENVELOPE shows the last one, and that is sorted by. Dovecot shows the last and sorts by the first"),
    (r"SORT .*DISPLAY.*", lambda message: re.search(rb'(?im)^(from|to):[^"\r\n]*\w"', header_of(message)) is not None,
     "RFC 5957 section 3: what is sorted by is the name that ENVELOPE shows, also where quotation marks stand in the middle of it; Dovecot sorts by another"),
    (r"SEARCH (TEXT|BODY) .*", names_odd_encoding,
     "a text in an unknown encoding, mostly `7-bit` or `8bits`, is searched as it stands; Dovecot passes it over (RFC 2045 section 6.4 lets it)"),
    (r"SEARCH (TEXT|BODY) .*", lambda message: re.match(rb"multipart/(?![^\r]*boundary=\s*[^\s;])", field(message, b"Content-Type") or b"", re.I) is not None,
     "RFC 2046 section 5.1.1: a multipart without a boundary is text, which is searched; Dovecot passes it over"),
    (r"SEARCH BODY .*", lambda message: re.search(rb"(?m)^--", header_of(message)) is not None,
     "a multipart without parts has no text; Dovecot finds nothing in it, too, unless other messages were searched before it"),
]

# Searches in which we find all that Dovecot finds, and more: (pattern, reason).
MORE = [
    (r"^BODY ", "RFC 3501 section 6.4.4, RFC 5322 section 2.1: the body is all behind the header, with the headers of parts and of messages inside"),
    (r'^(FROM|TO|CC|BCC) "o\'brien"', "RFC 3501 section 6.4.4: the string is in the field of the envelope, where both show it"),
]

"""Reads a configuration profile as Apple's reference describes it, and says what is wrong with it.

    profile.py FILE ADDRESS DEVICE_LOGIN CA.PEM

The file is the property list, taken out of its signature already."""

import plistlib
import re
import ssl
import sys
import uuid

COMMON = {"PayloadType": str, "PayloadVersion": int, "PayloadUUID": str, "PayloadIdentifier": str, "PayloadDisplayName": str}
# What the reference calls required, and what makes the account work without a question.
MAIL = {
    "EmailAccountType": str,
    "EmailAddress": str,
    "EmailAccountDescription": str,
    "IncomingMailServerAuthentication": str,
    "IncomingMailServerHostName": str,
    "IncomingMailServerPortNumber": int,
    "IncomingMailServerUseSSL": bool,
    "IncomingMailServerUsername": str,
    "OutgoingMailServerAuthentication": str,
    "OutgoingMailServerHostName": str,
    "OutgoingMailServerPortNumber": int,
    "OutgoingMailServerUseSSL": bool,
    "OutgoingMailServerUsername": str,
    "OutgoingPasswordSameAsIncomingPassword": bool,
}


def want(keys, payload):
    for key, kind in keys.items():
        assert type(payload.get(key)) is kind, f"{key}: {payload.get(key)!r}"


def check(path, address, login, authority):
    with open(path, "rb") as file:
        profile = plistlib.load(file)
    want({**COMMON, "PayloadContent": list, "PayloadOrganization": str, "PayloadDescription": str}, profile)
    assert profile["PayloadType"] == "Configuration" and profile["PayloadVersion"] == 1
    assert profile["PayloadRemovalDisallowed"] is False
    assert set(profile["ConsentText"]) == {"default", "en", "de"}, profile["ConsentText"]
    payloads = [profile, *profile["PayloadContent"]]
    for payload in payloads:
        want(COMMON, payload)
        uuid.UUID(payload["PayloadUUID"])
        assert re.fullmatch(r"[a-z0-9][a-z0-9._-]+", payload["PayloadIdentifier"]), payload["PayloadIdentifier"]
    for key in ("PayloadUUID", "PayloadIdentifier"):
        assert len({payload[key] for payload in payloads}) == len(payloads), key
    by_type = {payload["PayloadType"]: payload for payload in profile["PayloadContent"]}
    assert set(by_type) == {"com.apple.security.root", "com.apple.mail.managed"}, set(by_type)
    root = by_type["com.apple.security.root"]
    with open(authority) as file:
        assert root["PayloadContent"] == ssl.PEM_cert_to_DER_cert(file.read())
    mail = by_type["com.apple.mail.managed"]
    want(MAIL, mail)
    assert mail["EmailAccountType"] == "EmailTypeIMAP"
    assert (mail["EmailAddress"], mail["IncomingMailServerUsername"]) == (address, login)
    assert mail["OutgoingMailServerUsername"] == login
    assert {mail[f"{way}MailServerAuthentication"] for way in ("Incoming", "Outgoing")} == {"EmailAuthPassword"}
    return mail


if __name__ == "__main__":
    print(check(*sys.argv[1:])["IncomingPassword"])

//! What the server says it can do, in one table (RFC 3501 section 7.2.1).

use super::conversation::Terms;
use crate::wire::sasl::Mechanism;
use std::fmt::Write;

/// Announced whatever the state.
#[rustfmt::skip]
const ALWAYS: &[&str] = &[
    "IMAP4rev1",
    // For clients that ENABLE it (RFC 9051 appendix A).
    "IMAP4rev2",
    // Not LITERAL-, which must not stand beside it and allows nothing that this does not (RFC 7888 section 5); so it is what
    // RFC 9051 section 4.3 asks for, too. What is too large is read and thrown away, or ends the connection.
    "LITERAL+",
    "ID",
    "ENABLE",
    "LANGUAGE",
];

/// Announced once the client has logged in. What stands here must work.
const AFTER_LOGIN: &[&str] = &[
    "BINARY",
    // URLAUTH and URL-PARTIAL are not announced: URLs only name what the client itself may read, in CATENATE.
    "CATENATE",
    "MULTIAPPEND",
    "REPLACE",
    "IDLE",
    "NAMESPACE",
    "UIDPLUS",
    "UIDONLY",
    // In one thing not as RFC 6855 section 4 says: an APPEND of a header with 8 bits by a client that has not enabled it is taken
    // like any other, not refused. Old mail that an owner moves in has such headers, and those who move it (imapsync, mbsync,
    // offlineimap) would leave it behind; the same message is taken at port 25. Nor is a message downgraded for such a client
    // (section 7): it is told as it is, 8 bits in literals alone.
    "UTF8=ACCEPT",
    "UNSELECT",
    "OBJECTID",
    "SAVEDATE",
    "PREVIEW",
    "CHILDREN",
    "MOVE",
    "CONDSTORE",
    "QRESYNC",
    "ESEARCH",
    "SEARCHRES",
    "PARTIAL",
    "SEARCH=FUZZY",
    "CONTEXT=SEARCH",
    "MULTISEARCH",
    "INPROGRESS",
    "WITHIN",
    "I18NLEVEL=1",
    "SORT",
    "SORT=DISPLAY",
    "ESORT",
    "THREAD=ORDEREDSUBJECT",
    "THREAD=REFERENCES",
    "THREAD=REFS",
    "LIST-EXTENDED",
    "LIST-STATUS",
    "SPECIAL-USE",
    "CREATE-SPECIAL-USE",
    "STATUS=SIZE",
    "UNAUTHENTICATE",
    "COMPRESS=DEFLATE",
    "ACL",
    "RIGHTS=kxte",
    "LIST-MYRIGHTS",
    "METADATA",
    "LIST-METADATA",
    "NOTIFY",
    "QUOTA",
    "QUOTA=RES-STORAGE",
];

/// The list for CAPABILITY responses and codes, without the word CAPABILITY.
///
/// Before login only what helps to log in is told: LOGINDISABLED or the AUTH mechanisms, SASL-IR, STARTTLS.
pub fn capabilities(terms: &Terms, logged_in: bool) -> String {
    let mut list = ALWAYS.join(" ");
    if logged_in {
        for name in AFTER_LOGIN {
            list.push(' ');
            list.push_str(name);
        }
        // RFC 7889: one limit for all mailboxes. Writing to a String cannot fail.
        let _ = write!(list, " APPENDLIMIT={}", terms.append_bytes_max);
        return list;
    }
    list.push_str(" SASL-IR");
    if terms.starttls && !terms.tls {
        list.push_str(" STARTTLS");
    }
    match terms.login_allowed() {
        true => list.push_str(&Mechanism::names_offered(terms.tls && terms.channel_binding, " AUTH=")),
        false => list.push_str(" LOGINDISABLED"),
    }
    list
}

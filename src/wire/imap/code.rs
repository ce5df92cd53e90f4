//! The codes in brackets that make a status response readable for programs.

use super::flag::SystemFlags;
use super::object_id::ObjectId;
use super::response::{push, push_defined_flags, push_number, push_string};
use super::sequence::NumberSet;
use crate::limits::IMAP_BAD_URL_BYTES_MAX;

/// Response codes (RFC 3501 section 7.1, RFC 5530, 4315, 5464, 7162, 6154, 7888, 7889, 5182, 3516).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code<'a> {
    /// No code.
    None,
    /// `ALERT`: must be shown to the person.
    Alert,
    /// `ALREADYEXISTS`
    AlreadyExists,
    /// `APPENDUID`
    AppendUid {
        /// UIDVALIDITY of the target.
        uid_validity: u32,
        /// The new UIDs in the order of the messages, which is ascending.
        uids: &'a NumberSet,
    },
    /// `AUTHENTICATIONFAILED`
    AuthenticationFailed,
    /// `AUTHORIZATIONFAILED`
    AuthorizationFailed,
    /// `BADCHARSET` with what is supported.
    BadCharset,
    /// `BADURL` with the URL (RFC 4469 section 4.1).
    BadUrl(&'a str),
    /// `CANNOT`
    Cannot,
    /// `CAPABILITY` with the list.
    Capability(&'a str),
    /// `CLIENTBUG`
    ClientBug,
    /// `CLOSED`: the mailbox selected before is closed.
    Closed,
    /// `COMPRESSIONACTIVE` (RFC 4978 section 3)
    CompressionActive,
    /// `CONTACTADMIN`
    ContactAdmin,
    /// `COPYUID`: (source UID, new UID) pairs in the order of the source UIDs. Nothing is written when there are none.
    CopyUid {
        /// UIDVALIDITY of the target.
        uid_validity: u32,
        /// Source UIDs.
        from: &'a NumberSet,
        /// New UIDs; as many.
        to: &'a NumberSet,
    },
    /// `EXPIRED`
    Expired,
    /// `EXPUNGEISSUED`
    ExpungeIssued,
    /// `HASCHILDREN` (RFC 9051)
    HasChildren,
    /// `HIGHESTMODSEQ`
    HighestModSeq(u64),
    /// `INUSE`
    InUse,
    /// `LIMIT`
    Limit,
    /// `BADEVENT` with the events of NOTIFY that are supported.
    BadEvent,
    /// `NOTIFICATIONOVERFLOW`: from here on nothing is told unasked.
    NotificationOverflow,
    /// `METADATA LONGENTRIES`: bytes of the longest value that was left out (RFC 5464 section 4.2.1).
    MetadataLongEntries(u64),
    /// `METADATA MAXSIZE`: bytes that a value may have.
    MetadataMaxSize(u64),
    /// `METADATA TOOMANY`
    MetadataTooMany,
    /// `MAILBOXID` (RFC 8474 section 4)
    MailboxId(ObjectId),
    /// `MODIFIED`: messages refused by UNCHANGEDSINCE (UIDs for UID STORE, else sequence numbers).
    Modified(&'a NumberSet),
    /// `NOMODSEQ`
    NoModSeq,
    /// `NONEXISTENT`
    Nonexistent,
    /// `NOPERM`
    NoPerm,
    /// `NOUPDATE`: the search of that tag is not kept up to date (RFC 5267 section 4.3.1).
    NoUpdate(&'a str),
    /// `INPROGRESS` (RFC 9585): the tag of the command, how far it is and of how much; `done` is not above `goal`.
    InProgress {
        /// Its tag.
        tag: &'a str,
        /// How far it is.
        done: Option<u64>,
        /// How far it will be in the end.
        goal: Option<u64>,
    },
    /// `NOTSAVED` (RFC 5182)
    NotSaved,
    /// `OVERQUOTA`
    OverQuota,
    /// `PARSE`
    Parse,
    /// `PERMANENTFLAGS`: these system flags, these keywords, and `\*` when new keywords can be made.
    PermanentFlags {
        /// System flags.
        system: SystemFlags,
        /// Keyword names.
        keywords: &'a [String],
        /// Whether new ones can be made.
        new_keywords: bool,
    },
    /// `PRIVACYREQUIRED`
    PrivacyRequired,
    /// `READ-ONLY`
    ReadOnly,
    /// `READ-WRITE`
    ReadWrite,
    /// `SERVERBUG`
    ServerBug,
    /// `TOOBIG`
    TooBig,
    /// `TRYCREATE`
    TryCreate,
    /// `UIDREQUIRED` (RFC 9586)
    UidRequired,
    /// `UIDNEXT`
    UidNext(u32),
    /// `UIDVALIDITY`
    UidValidity(u32),
    /// `UNAVAILABLE`
    Unavailable,
    /// `UNKNOWN-CTE`: a transfer encoding cannot be undone (RFC 3516 section 4.3).
    UnknownCte,
    /// `UNSEEN`: sequence number of the first unseen message.
    Unseen(u32),
    /// `USEATTR`
    UseAttr,
}

/// `[code] ` with the space behind it; nothing for [`Code::None`] and an empty COPYUID.
pub(super) fn push_code(out: &mut Vec<u8>, code: Code<'_>) {
    if matches!(code, Code::None) || matches!(code, Code::CopyUid { from, .. } if from.is_empty()) {
        return;
    }
    out.push(b'[');
    push(out, code_name(code));
    match code {
        Code::AppendUid { uid_validity, uids } => {
            push_number(out, u64::from(uid_validity));
            out.push(b' ');
            uids.encode(out);
        }
        Code::CopyUid { uid_validity, from, to } => {
            push_number(out, u64::from(uid_validity));
            out.push(b' ');
            from.encode(out);
            out.push(b' ');
            to.encode(out);
        }
        Code::Capability(list) => push(out, list),
        Code::BadEvent => {
            out.push(b'(');
            push(out, super::notify::EVENTS);
            out.push(b')');
        }
        Code::BadUrl(url) => push_url(out, url),
        Code::HighestModSeq(number) | Code::MetadataLongEntries(number) | Code::MetadataMaxSize(number) => {
            push_number(out, number);
        }
        Code::Modified(set) => set.encode(out),
        Code::MailboxId(id) => {
            out.push(b'(');
            id.push(out);
            out.push(b')');
        }
        Code::NoUpdate(tag) => push_string(out, tag.as_bytes()),
        Code::InProgress { tag, done, goal } => {
            out.push(b'(');
            push_string(out, tag.as_bytes());
            for number in [done, goal] {
                out.push(b' ');
                match number {
                    Some(number) => push_number(out, number),
                    None => push(out, "NIL"),
                }
            }
            out.push(b')');
        }
        Code::PermanentFlags { system, keywords, new_keywords } => {
            push_defined_flags(out, system, keywords, new_keywords);
        }
        Code::UidNext(number) | Code::UidValidity(number) | Code::Unseen(number) => {
            push_number(out, u64::from(number));
        }
        _ => {}
    }
    push(out, "] ");
}

/// A URL as `url-resp-text` in quotes, as in the examples of RFC 4469: what may not stand in it leaves percent-encoded.
fn push_url(out: &mut Vec<u8>, url: &str) {
    out.push(b'"');
    for byte in url.bytes().take(IMAP_BAD_URL_BYTES_MAX) {
        match byte {
            b' '..=b'~' if !matches!(byte, b']' | b'"' | b'\\') => out.push(byte),
            _ => push(out, &format!("%{byte:02X}")),
        }
    }
    out.push(b'"');
}

/// The word of a code, with the space before its argument when it has one.
fn code_name(code: Code<'_>) -> &'static str {
    match code {
        Code::None => "",
        Code::Alert => "ALERT",
        Code::AlreadyExists => "ALREADYEXISTS",
        Code::AppendUid { .. } => "APPENDUID ",
        Code::AuthenticationFailed => "AUTHENTICATIONFAILED",
        Code::AuthorizationFailed => "AUTHORIZATIONFAILED",
        Code::BadCharset => "BADCHARSET (US-ASCII UTF-8)",
        Code::BadUrl(_) => "BADURL ",
        Code::Cannot => "CANNOT",
        Code::Capability(_) => "CAPABILITY ",
        Code::ClientBug => "CLIENTBUG",
        Code::Closed => "CLOSED",
        Code::CompressionActive => "COMPRESSIONACTIVE",
        Code::ContactAdmin => "CONTACTADMIN",
        Code::CopyUid { .. } => "COPYUID ",
        Code::Expired => "EXPIRED",
        Code::ExpungeIssued => "EXPUNGEISSUED",
        Code::HasChildren => "HASCHILDREN",
        Code::HighestModSeq(_) => "HIGHESTMODSEQ ",
        Code::InUse => "INUSE",
        Code::MailboxId(_) => "MAILBOXID ",
        Code::Limit => "LIMIT",
        Code::BadEvent => "BADEVENT ",
        Code::NotificationOverflow => "NOTIFICATIONOVERFLOW",
        Code::MetadataLongEntries(_) => "METADATA LONGENTRIES ",
        Code::MetadataMaxSize(_) => "METADATA MAXSIZE ",
        Code::MetadataTooMany => "METADATA TOOMANY",
        Code::Modified(_) => "MODIFIED ",
        Code::NoModSeq => "NOMODSEQ",
        Code::Nonexistent => "NONEXISTENT",
        Code::NoPerm => "NOPERM",
        Code::NoUpdate(_) => "NOUPDATE ",
        Code::InProgress { .. } => "INPROGRESS ",
        Code::NotSaved => "NOTSAVED",
        Code::OverQuota => "OVERQUOTA",
        Code::Parse => "PARSE",
        Code::PermanentFlags { .. } => "PERMANENTFLAGS ",
        Code::PrivacyRequired => "PRIVACYREQUIRED",
        Code::ReadOnly => "READ-ONLY",
        Code::ReadWrite => "READ-WRITE",
        Code::ServerBug => "SERVERBUG",
        Code::TooBig => "TOOBIG",
        Code::TryCreate => "TRYCREATE",
        Code::UidNext(_) => "UIDNEXT ",
        Code::UidRequired => "UIDREQUIRED",
        Code::UidValidity(_) => "UIDVALIDITY ",
        Code::Unavailable => "UNAVAILABLE",
        Code::UnknownCte => "UNKNOWN-CTE",
        Code::Unseen(_) => "UNSEEN ",
        Code::UseAttr => "USEATTR",
    }
}

//! Every command a client can give, as values. Grammar makes them, the driver carries them out.
//!
//! Not here: APPEND, whose message is a stream ([`Append`] is its beginning), and anything about state.
//! Every list in here is bounded by the command's own byte cap and the counts in [`crate::limits`].

use super::acl::Acl;
use super::annotation::{EntryName, GetMetadata, SetMetadata};
use super::esearch::{PartialRange, SearchReturn};
use super::flag::{Flags, SpecialUse, SystemFlags};
use super::mailbox::MailboxName;
use super::multisearch::MultiSearch;
use super::notify::Notify;
use super::object_id::ObjectId;
use super::order::{Sort, Thread};
use super::sequence::{SequenceNumber, SequenceSet};
use crate::wire::date::Timestamp;
use std::fmt;

/// The client's name for a command, echoed in its tagged answer. 1..=[`crate::limits::IMAP_TAG_BYTES_MAX`]
/// bytes of printable ASCII.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Tag(pub(super) Box<str>);

impl Tag {
    /// The tag as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Text or bytes that must not reach a log: Debug shows no content.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret<T>(pub T);

impl<T> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

/// One complete command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// RFC 3501 section 6.1.1.
    Capability,
    /// RFC 3501 section 6.1.2.
    Noop,
    /// RFC 3501 section 6.1.3.
    Logout,
    /// RFC 3501 section 6.2.1.
    StartTls,
    /// RFC 3501 section 6.2.2, RFC 4959.
    Authenticate {
        /// The mechanism in capitals.
        mechanism: String,
        /// The initial response as it stood on the line: base64, or `=` for an empty one (RFC 4959). For
        /// [`crate::wire::sasl::Exchange::begin`].
        initial: Option<Secret<Vec<u8>>>,
    },
    /// RFC 3501 section 6.2.3.
    Login {
        /// Login name.
        user: String,
        /// Password.
        password: Secret<String>,
    },
    /// SELECT and EXAMINE.
    Select(Select),
    /// RFC 3501 section 6.3.3; RFC 6154 section 3.
    Create {
        /// Name, a trailing delimiter already removed.
        mailbox: MailboxName,
        /// `USE (...)`: the uses asked for. A use that this server does not know is refused by the conversation.
        special_use: Vec<SpecialUse>,
    },
    /// RFC 3501 section 6.3.4.
    Delete(MailboxName),
    /// RFC 3501 section 6.3.5.
    Rename {
        /// Old name.
        from: MailboxName,
        /// New name, a trailing delimiter already removed.
        to: MailboxName,
    },
    /// RFC 3501 section 6.3.6.
    Subscribe(MailboxName),
    /// RFC 3501 section 6.3.7.
    Unsubscribe(MailboxName),
    /// RFC 3501 section 6.3.8, RFC 5258, RFC 5819.
    List(List),
    /// RFC 3501 section 6.3.9.
    Lsub {
        /// Reference name (UTF-8), put before the pattern.
        reference: String,
        /// Pattern with `*` and `%` (UTF-8).
        pattern: String,
    },
    /// RFC 2342.
    Namespace,
    /// RFC 3501 section 6.3.10.
    Status {
        /// Which mailbox.
        mailbox: MailboxName,
        /// What to tell, in order, each once.
        items: Vec<StatusItem>,
    },
    /// RFC 9208 section 4.1.1: the name of a root.
    GetQuota(String),
    /// RFC 9208 section 4.1.2.
    GetQuotaRoot(MailboxName),
    /// RFC 5465 section 3.1.
    Notify(Notify),
    /// RFC 5464 section 4.2.
    GetMetadata(GetMetadata),
    /// RFC 5464 section 4.3.
    SetMetadata(SetMetadata),
    /// SETACL, DELETEACL, GETACL, LISTRIGHTS, MYRIGHTS (RFC 4314).
    Acl(Acl),
    /// RFC 5161: capability names in capitals.
    Enable(Vec<String>),
    /// RFC 2971: (field, value) pairs; empty for NIL.
    Id(Vec<(String, Option<String>)>),
    /// RFC 5255 section 3.2: language ranges, the best first; empty asks which there are.
    Language(Vec<String>),
    /// RFC 8437.
    Unauthenticate,
    /// RFC 2177. The driver answers with [`super::Conversation::begin_idle`].
    Idle,
    /// RFC 4978 section 3, with DEFLATE.
    Compress,
    /// RFC 3501 section 6.4.1.
    Check,
    /// RFC 3501 section 6.4.2.
    Close,
    /// RFC 3691.
    Unselect,
    /// RFC 3501 section 6.4.3.
    Expunge,
    /// RFC 4315 section 2.1.
    UidExpunge(SequenceSet),
    /// SEARCH and UID SEARCH.
    Search(Search),
    /// SORT and UID SORT.
    Sort(Sort),
    /// THREAD and UID THREAD.
    Thread(Thread),
    /// ESEARCH (RFC 7377).
    MultiSearch(MultiSearch),
    /// CANCELUPDATE (RFC 5267 section 4.3.5): the tags of searches.
    CancelUpdate(Vec<String>),
    /// FETCH and UID FETCH.
    Fetch(Fetch),
    /// STORE and UID STORE.
    Store(Store),
    /// COPY and UID COPY.
    Copy(Transfer),
    /// MOVE and UID MOVE (RFC 6851).
    Move(Transfer),
}

/// SELECT (RFC 3501 section 6.3.1) or EXAMINE (section 6.3.2), with the parameters of RFC 7162.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Select {
    /// Which mailbox.
    pub mailbox: MailboxName,
    /// EXAMINE.
    pub read_only: bool,
    /// `(CONDSTORE)`
    pub condstore: bool,
    /// `(QRESYNC (...))`
    pub qresync: Option<QResync>,
}

/// What a client remembers of a mailbox (RFC 7162 section 3.2.5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QResync {
    /// The UIDVALIDITY it knows.
    pub uid_validity: u32,
    /// The HIGHESTMODSEQ it knows, at least 1.
    pub modseq: u64,
    /// The UIDs it knows; `None` means all.
    pub known_uids: Option<SequenceSet>,
    /// Message sequence numbers and the UIDs that they had, pairwise.
    pub sequence_match: Option<(SequenceSet, SequenceSet)>,
}

/// LIST in its basic and extended forms.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct List {
    /// Whether the extended syntax was used (selection options, several patterns or RETURN). The basic form with one
    /// empty pattern asks for the hierarchy delimiter (RFC 3501 section 6.3.8).
    pub extended: bool,
    /// Reference name (UTF-8), put before each pattern.
    pub reference: String,
    /// Patterns with `*` and `%` (UTF-8), at least one.
    pub patterns: Vec<String>,
    /// `(SUBSCRIBED)`: only subscribed names, also those that do not exist.
    pub select_subscribed: bool,
    /// `(SPECIAL-USE)`: only mailboxes with a special use (RFC 6154 section 2).
    pub select_special_use: bool,
    /// `(RECURSIVEMATCH)`: also parents of names that match; answers carry CHILDINFO.
    pub recursive_match: bool,
    /// `RETURN (SUBSCRIBED)`
    pub return_subscribed: bool,
    /// `RETURN (CHILDREN)`
    pub return_children: bool,
    /// `RETURN (SPECIAL-USE)`
    pub return_special_use: bool,
    /// `RETURN (MYRIGHTS)`, RFC 8440.
    pub return_my_rights: bool,
    /// `RETURN (STATUS (...))`, RFC 5819; empty: not asked.
    pub return_status: Vec<StatusItem>,
    /// `RETURN (METADATA (...))`, RFC 9590; empty: not asked.
    pub return_metadata: Vec<EntryName>,
}

/// What STATUS can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StatusItem {
    /// `MESSAGES`
    Messages,
    /// `RECENT`
    Recent,
    /// `UIDNEXT`
    UidNext,
    /// `UIDVALIDITY`
    UidValidity,
    /// `UNSEEN`
    Unseen,
    /// `DELETED` (RFC 9051)
    Deleted,
    /// `DELETED-STORAGE` (RFC 9208)
    DeletedStorage,
    /// `SIZE` (RFC 8438)
    Size,
    /// `HIGHESTMODSEQ` (RFC 7162)
    HighestModSeq,
    /// `APPENDLIMIT` (RFC 7889)
    AppendLimit,
    /// `MAILBOXID` (RFC 8474)
    MailboxId,
}

impl StatusItem {
    /// Each item with its spelling.
    pub const ALL: [(StatusItem, &'static str); 11] = [
        (StatusItem::Messages, "MESSAGES"),
        (StatusItem::Recent, "RECENT"),
        (StatusItem::UidNext, "UIDNEXT"),
        (StatusItem::UidValidity, "UIDVALIDITY"),
        (StatusItem::Unseen, "UNSEEN"),
        (StatusItem::Deleted, "DELETED"),
        (StatusItem::DeletedStorage, "DELETED-STORAGE"),
        (StatusItem::Size, "SIZE"),
        (StatusItem::HighestModSeq, "HIGHESTMODSEQ"),
        (StatusItem::AppendLimit, "APPENDLIMIT"),
        (StatusItem::MailboxId, "MAILBOXID"),
    ];

    /// Its spelling.
    pub fn name(self) -> &'static str {
        StatusItem::ALL.iter().find(|(one, _)| *one == self).map_or("", |(_, name)| name)
    }
}

/// The beginning of APPEND (RFC 3501 section 6.3.11) or REPLACE (RFC 8508).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Append {
    /// The tag of the command.
    pub tag: Tag,
    /// Where to.
    pub mailbox: MailboxName,
    /// REPLACE: the message of the selected mailbox that goes.
    pub replaced: Option<Replaced>,
}

/// The message that REPLACE takes away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Replaced {
    /// UID REPLACE.
    pub uid: bool,
    /// Its number or its UID.
    pub message: SequenceNumber,
}

/// One message of an APPEND, everything before its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppendMessage {
    /// First flags.
    pub flags: Flags,
    /// INTERNALDATE, if given.
    pub date: Option<Timestamp>,
    /// Its size in bytes: at least 1, at most the conversation's limit. `None`: it is made of parts (RFC 4469).
    pub bytes: Option<u64>,
}

/// SEARCH (RFC 3501 section 6.4.4, RFC 4731).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Search {
    /// UID SEARCH: results are UIDs.
    pub uid: bool,
    /// `RETURN (...)`: answer with ESEARCH. `None`: answer with SEARCH.
    pub returns: Option<SearchReturn>,
    /// `UPDATE (...)`: what is told of messages that are new to the result (RFC 5465 section 7).
    pub update_fetch: Vec<FetchItem>,
    /// What to find.
    pub key: SearchKey,
}

/// One search key, at most [`crate::limits::IMAP_SEARCH_DEPTH_MAX`] deep. Strings are UTF-8, converted from the CHARSET.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SearchKey {
    /// `ALL`
    All,
    /// All of these; never empty.
    And(Vec<SearchKey>),
    /// `OR`
    Or(Box<SearchKey>, Box<SearchKey>),
    /// `NOT`
    Not(Box<SearchKey>),
    /// Message sequence numbers.
    Sequence(SequenceSet),
    /// `UID`
    Uid(SequenceSet),
    /// `ANSWERED`, `DELETED`, `DRAFT`, `FLAGGED`, `SEEN`: this one flag is set.
    Has(SystemFlags),
    /// `UNANSWERED` and so on: this one flag is not set.
    Lacks(SystemFlags),
    /// `KEYWORD`
    Keyword(String),
    /// `UNKEYWORD`
    Unkeyword(String),
    /// `RECENT`. (`NEW` is `RECENT UNSEEN`, `OLD` is `NOT RECENT`.)
    Recent,
    /// `BEFORE`: INTERNALDATE earlier than the day.
    Before(Day),
    /// `ON`: INTERNALDATE within the day.
    On(Day),
    /// `SINCE`: INTERNALDATE within or later than the day.
    Since(Day),
    /// `SAVEDBEFORE`: SAVEDATE earlier than the day (RFC 8514 section 4.3).
    SavedBefore(Day),
    /// `SAVEDON`
    SavedOn(Day),
    /// `SAVEDSINCE`
    SavedSince(Day),
    /// `EMAILID`: `None` for an id that this server gives to nothing (RFC 8474 section 6).
    EmailId(Option<ObjectId>),
    /// `THREADID`
    ThreadId(Option<ObjectId>),
    /// `SENTBEFORE`: Date field.
    SentBefore(Day),
    /// `SENTON`
    SentOn(Day),
    /// `SENTSINCE`
    SentSince(Day),
    /// `YOUNGER`: INTERNALDATE within this many seconds (RFC 5032).
    Younger(u32),
    /// `OLDER`: INTERNALDATE not within this many seconds.
    Older(u32),
    /// `FROM`
    From(String),
    /// `TO`
    To(String),
    /// `CC`
    Cc(String),
    /// `BCC`
    Bcc(String),
    /// `SUBJECT`
    Subject(String),
    /// `HEADER`: an empty value asks for the field's presence.
    Header {
        /// Field name as given.
        name: String,
        /// Substring of its value.
        value: String,
    },
    /// `BODY`
    Body(String),
    /// `TEXT`
    Text(String),
    /// `FUZZY`: what is inside, found by more than it says (RFC 6203).
    Fuzzy(Box<SearchKey>),
    /// `LARGER`: RFC822.SIZE greater than this many bytes.
    Larger(u64),
    /// `SMALLER`: RFC822.SIZE less than this many bytes.
    Smaller(u64),
    /// `MODSEQ`: modseq at least this (RFC 7162 section 3.1.5; entry names are ignored, as it allows).
    ModSeq(u64),
}

impl SearchKey {
    /// Whether this key or one inside it asks for modseqs, so that the answer must carry MODSEQ (RFC 7162 section 3.1.5).
    pub fn mentions_modseq(&self) -> bool {
        self.mentions(&|key| matches!(key, SearchKey::ModSeq(_)))
    }

    /// Whether this key or one inside it is FUZZY, so that there can be scores (RFC 6203 section 4).
    pub fn mentions_fuzzy(&self) -> bool {
        self.mentions(&|key| matches!(key, SearchKey::Fuzzy(_)))
    }

    /// Whether `$` is in this key or in one inside it (RFC 5182).
    pub fn mentions_saved(&self) -> bool {
        self.mentions(&|key| matches!(key, SearchKey::Sequence(set) | SearchKey::Uid(set) if set.saved))
    }

    /// Whether this key or one inside it is such a one.
    fn mentions(&self, such: &impl Fn(&SearchKey) -> bool) -> bool {
        if such(self) {
            return true;
        }
        match self {
            SearchKey::And(keys) => keys.iter().any(|key| key.mentions(such)),
            SearchKey::Or(one, other) => one.mentions(such) || other.mentions(such),
            SearchKey::Not(key) | SearchKey::Fuzzy(key) => key.mentions(such),
            _ => false,
        }
    }
}

/// A date without time or zone: days since 1970-01-01.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Day(pub i64);

/// FETCH (RFC 3501 section 6.4.5) with the modifiers of RFC 7162 and RFC 9394.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetch {
    /// UID FETCH: `set` holds UIDs and every answer carries UID.
    pub uid: bool,
    /// Which messages.
    pub set: SequenceSet,
    /// What, in the order asked, macros already replaced; never empty.
    pub items: Vec<FetchItem>,
    /// `CHANGEDSINCE`: only messages whose modseq is greater; every answer carries MODSEQ.
    pub changed_since: Option<u64>,
    /// `PARTIAL`: only these of the messages in `set`, before `changed_since` is looked at (RFC 9394 section 3.3); only with UID FETCH.
    pub partial: Option<PartialRange>,
    /// `VANISHED`: also tell what was expunged (only with UID FETCH and CHANGEDSINCE; needs QRESYNC enabled).
    pub vanished: bool,
}

/// One thing to fetch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FetchItem {
    /// `ENVELOPE`
    Envelope,
    /// `FLAGS`
    Flags,
    /// `INTERNALDATE`
    InternalDate,
    /// `RFC822`: like `BODY[]`, under its own name.
    Rfc822,
    /// `RFC822.HEADER`: like `BODY.PEEK[HEADER]`, under its own name.
    Rfc822Header,
    /// `RFC822.TEXT`: like `BODY[TEXT]`, under its own name.
    Rfc822Text,
    /// `RFC822.SIZE`
    Rfc822Size,
    /// `BODY` without section: structure without extension data.
    Body,
    /// `BODYSTRUCTURE`
    BodyStructure,
    /// `UID`
    Uid,
    /// `MODSEQ` (RFC 7162)
    ModSeq,
    /// `EMAILID` (RFC 8474)
    EmailId,
    /// `THREADID` (RFC 8474)
    ThreadId,
    /// `SAVEDATE` (RFC 8514)
    SaveDate,
    /// `PREVIEW` or `PREVIEW (LAZY)` (RFC 8970)
    Preview {
        /// NIL is an answer when there is none at hand.
        lazy: bool,
    },
    /// `BODY[section]<partial>`
    Section(BodySection),
    /// `BINARY[section]<partial>` (RFC 3516, RFC 9051 section 6.4.5)
    Binary(BinarySection),
    /// `BINARY.SIZE[section]`: the part numbers.
    BinarySize(Vec<u32>),
}

impl FetchItem {
    /// Whether fetching it sets `\Seen` (RFC 3501 section 6.4.5).
    pub fn sets_seen(&self) -> bool {
        match self {
            FetchItem::Rfc822 | FetchItem::Rfc822Text => true,
            FetchItem::Section(section) => !section.peek,
            FetchItem::Binary(section) => !section.peek,
            _ => false,
        }
    }
}

/// `BODY[...]` or `BODY.PEEK[...]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BodySection {
    /// Does not set `\Seen`.
    pub peek: bool,
    /// Part numbers from 1, at most [`crate::limits::IMAP_SECTION_DEPTH_MAX`]; empty for the message itself.
    pub path: Vec<u32>,
    /// Which text of that part.
    pub text: SectionText,
    /// `<first.count>`: only these bytes.
    pub partial: Option<Partial>,
}

/// `BINARY[...]` or `BINARY.PEEK[...]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BinarySection {
    /// Does not set `\Seen`.
    pub peek: bool,
    /// As in [`BodySection`].
    pub path: Vec<u32>,
    /// `<first.count>`: only these of the decoded bytes.
    pub partial: Option<Partial>,
}

/// Which text of a part (RFC 3501 section 6.4.5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SectionText {
    /// `BODY[]`: the whole message; `BODY[1.2]`: the part's body.
    Whole,
    /// `HEADER`
    Header,
    /// `HEADER.FIELDS`: names as given, at least one.
    HeaderFields(Vec<String>),
    /// `HEADER.FIELDS.NOT`
    HeaderFieldsNot(Vec<String>),
    /// `TEXT`
    Text,
    /// `MIME`: only with a path.
    Mime,
}

/// A byte range of a section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Partial {
    /// Offset of the first byte.
    pub first: u64,
    /// Number of bytes. RFC 3501 wants at least 1; 0 is taken, and asks for nothing.
    pub count: u64,
}

/// STORE (RFC 3501 section 6.4.6, RFC 7162 section 3.1.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Store {
    /// UID STORE.
    pub uid: bool,
    /// Which messages.
    pub set: SequenceSet,
    /// How.
    pub change: StoreChange,
    /// `.SILENT`
    pub silent: bool,
    /// What. `\Recent` is dropped: only the server sets it.
    pub flags: Flags,
    /// `UNCHANGEDSINCE`
    pub unchanged_since: Option<u64>,
}

/// FLAGS, +FLAGS, -FLAGS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreChange {
    /// Set exactly these.
    Replace,
    /// Set these too.
    Add,
    /// Clear these.
    Remove,
}

/// COPY (RFC 3501 section 6.4.7) and MOVE (RFC 6851).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transfer {
    /// UID COPY, UID MOVE.
    pub uid: bool,
    /// Which messages.
    pub set: SequenceSet,
    /// Where to.
    pub mailbox: MailboxName,
}

//! IMAP (RFC 3501, with the extensions named in [`capability`]): bytes to commands, and answers to bytes.
//!
//! | file | receives | hands on |
//! | --- | --- | --- |
//! | [`conversation`] | bytes in any cut, what the driver did | [`Step`]s: commands, message bytes, responses of SASL and IDLE |
//! | `framing` | bytes | whole commands with their literals, under caps |
//! | [`url`] | a URL in CATENATE | the section that it names |
//! | `grammar` | one whole command | a [`Command`] |
//! | [`response`], [`fetch_row`], [`esearch`], [`order`] | what shall be told | lines |
//! | [`annotation`], [`quota`] | the same of annotations and room | lines |

pub mod acl;
pub mod annotation;
pub mod capability;
mod code;
pub mod command;
pub mod conversation;
pub mod datetime;
mod enabled;
pub mod esearch;
pub mod fetch_row;
pub mod flag;
mod framing;
mod grammar;
mod language;
pub mod mailbox;
pub mod multisearch;
pub mod notify;
mod object_id;
pub mod order;
mod out;
pub mod quota;
pub mod response;
pub mod rights;
pub mod sequence;
pub mod url;

pub use annotation::{Depth, EntryName, GetMetadata, SetMetadata};
pub use capability::capabilities;
pub use command::*;
pub use conversation::{Conversation, Step, Terms};
pub use enabled::Enabled;
pub use esearch::{Correlators, Esearch, PartialRange, Results, SearchReturn};
pub use fetch_row::{FetchRow, push_binary_name, push_binary_size_name, push_section_name};
pub use flag::{Flags, SpecialUse, SystemFlags};
pub use language::Language;
pub use mailbox::{BadName, DELIMITER, MailboxName, below, is_in_subtree, matches_pattern};
pub use object_id::ObjectId;
pub use out::{Dialect, Out};
pub use response::{Code, ListRow, Status, StatusValue};
pub use rights::Rights;
pub use sequence::{NumberSet, SequenceNumber, SequenceSet};

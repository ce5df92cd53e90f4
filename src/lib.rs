//! Hauspost: a mail server of one's own in one small program.
//!
//! It receives mail for its owner's domain, takes what the owner's devices send and relays it, and serves the
//! mailboxes by IMAP and POP3. It is made for a small board on a home line: little memory, a flash card that wears
//! out, a plug that gets pulled, an owner who is not a mail administrator.
//!
//! # Rooms
//!
//! Imports go only downwards; `store` and `net` do not know each other. `tests/tidy.rs` checks it.
//!
//! | room | receives | hands on |
//! | --- | --- | --- |
//! | [`wire`] | bytes | meaning, and bytes again: SMTP, IMAP, POP3, SASL, HTTP, RFC 5322 and MIME. No I/O |
//! | [`mail`] | meaning and facts | pure decisions: views, search, routes, retries, bounces, trace headers |
//! | [`store`] | changes as Ops | snapshots, bodies, bells: what is remembered, durably |
//! | [`net`] | names and addresses | streams with deadlines, TLS, DNS, a clock; and a twin of each in memory |
//! | [`serve`] | a connection | a conversation carried out between `wire`, `mail`, `store` and `net` |
//! | [`node`] | the command line | the running program: configuration, listeners, supervision |
//!
//! `wire` and `mail` hold no async, files, sockets, clock or randomness: bytes, answers and `now` come in as arguments.
//! [`limits`] names every bound; their sum is what the program can need of memory. [`order`] sorts for all of them.
//!
//! # Walks
//!
//! *Port 25 to phone.* listener → [`serve::admission`] → [`serve::reception`] (whose it is, TLS) → [`wire::smtp::Server`] →
//! policy (the address book, [`mail::addressbook`]) → body streamed through dot-decoder (or counted chunks), MIME index and
//! chunker in one pass ([`serve::Intake`]) → [`store::Op::Deliver`] → journal, one flush → 250 → bell → IDLE →
//! [`store::Snapshot::changes_since`] → [`mail::view`] → `* 24 EXISTS`.
//!
//! *Phone to the world.* the same machine with submission policy → [`serve::Logins`] → missing headers added →
//! hashed on its way in and signed ([`mail::dkim`]; the signatures go ahead of the message and are not in its body) →
//! [`store::Op::Enqueue`] (queue rows and the Sent copy in one Op) → 250 → bell → [`serve::relay`] takes due entries →
//! [`mail::route`] (round by the smarthost where [`mail::learned`] says so) → [`mail::tls_policy`] (what DNS proves and the domain
//! asks of TLS) → [`wire::smtp::client`] streams the body (through [`mail::downgrade`] to a server of 7 bits) →
//! [`store::Op::Settle`]: done, deferred with the next time, or bounced into the owner's inbox in the same Op; once, after some
//! hours, with a notice that it waits.
//!
//! *Port 25 to elsewhere.* an address with a forward or a gateway: the same, but → [`store::Op::Enqueue`] (mailboxes and queue
//! entries, one body, one Op; a forward's sender rewritten by [`mail::srs`]) → 250 → the relay, as above; its bounce goes to
//! whoever wrote, through the queue. A bounce to a rewritten sender is unwrapped at RCPT and goes on to whom it stands for.
//!
//! *Terminal to queue.* `hauspost queue hold 12` → [`node::control`] (a Unix socket in the data folder; or, where no node runs, the
//! store itself) → [`serve::queue`] → [`store::Op::Hold`] → bell → the relay, which looks once more before each transaction.
//!
//! *Terminal to phone.* `hauspost device remove phone` → [`serve::devices`] → its row gone, in one Op → bell → each session of the phone
//! looks its rights up ([`serve::Standing`]) and says goodbye.
//!
//! *Code on the terminal to an account on the phone.* `hauspost device add phone` → [`serve::devices::link`] (the password and a secret, in
//! memory) → the phone scans it: listener → [`serve::web`] → [`wire::http::request`] → the link is used up and leads on to a page that
//! nobody else is led to → the password, the settings ([`serve::Entrances`], [`mail::setup`]) and what the phone has to trust.
//!
//! *From nothing to a certificate.* start → [`serve::certificates`] (an authority for the node's own names, and what it vouches for, kept in
//! the store) → [`net::tls::ServerTls`] → every listener; each hour the same again, which renews what is due, and a new site for new sessions.
//!
//! *Flag from phone A to phone B.* STORE → [`store::Op::SetFlags`] → journal → A's answer → bell → B's IDLE → view → FETCH.
//!
//! *From Outbox back to Drafts.* Each queue entry has one message in Outbox, kept in the Ops of the entry, which says why it waits. MOVE →
//! [`store::Op::Copy`] → the message as it was written in Drafts, the entry and the copy in Sent gone, in one Op → the relay asks before
//! it sends, and does not.
//!
//! # Decided by measurement
//!
//! - A batch of changes waits up to two milliseconds until it has as many as the one before it: ten senders at once then need 0.14
//!   flushes a message instead of 0.74 and a quarter less of the processor, and a sender alone never waits.
//! - Whoever brings mail is answered once it is flushed, while redb commits, and a snapshot that is asked for meanwhile waits for
//!   that. With every change answered so, a sender alone got a tenth more messages through.
//! - A body of more than [`limits::BODY_HELD_BYTES_MAX`] compressed goes straight into redb and its Op waits for a checkpoint:
//!   through the journal it would be written twice, and a checkpoint costs two flushes.
//! - Bodies are cut every 32 KiB of input and their compressed chunks lie end to end in rows that end where redb's pages
//!   end: a body begins in what the one before it has left of a page, whatever compresses, and a chunk is still read alone.
//! - A header of up to [`limits::BODY_PLAIN_HEADER_BYTES_MAX`] is kept as it is: most of the time that listing a mailbox by header
//!   fields took went into Huffman codes used for a few hundred letters. A file of mail grows by a tenth.
//! - Base64 of pictures and archives goes into blocks of one Huffman code that is known beforehand ([`wire::deflate`]): as small as a
//!   compressor makes it, at a fifth of the time, and read in half of it. Most bytes of most mail are such.
//! - A session that compresses sends these chunks as they lie, between runs of its own text: fetching all bodies over TLS with
//!   COMPRESS costs a tenth of the CPU time of a server that deflates, and less than sending them plain.
//! - Which UIDs a mailbox has is remembered as runs once it was opened, at most 256 KiB for all: most of SELECT was reading ten
//!   thousand keys to find out that nothing is new.
//! - Rows of one table that go together are cut out of its pages together: by themselves each rebuilds the branch above it, and
//!   that was most of EXPUNGE and a seventh of STORE.
//! - What FETCH shows of a message, what SEARCH looks at first, and what finds its bytes are three rows: none reads the others.
//! - Rows of bodies are asked for in the order of the bodies, mostly, and are then stepped to: coming down from the root for each was a
//!   sixth of SEARCH and a tenth of listing envelopes.
//! - In static programs each thread keeps some of the memory that it frees: the store's two readers spent a third of their time waiting
//!   for each other at the heap.
//! - redb checks its pages only when it repairs: every row ends with a checksum of its own, and costs four bytes. What redb
//!   panics on is caught, so that a damaged page costs what lay in it; any other panic ends the process.
//! - redb's cache is 4 MiB: 8 would take about 4 MiB more of memory, which the goal for an idle node does not leave.
//! - Passwords of devices are random: a quick hash finds them, at a microsecond each. They are hashed for SCRAM with the owner's salt, so
//!   that a phone set up with the owner's address can use it too.
//! - Server certificates are renewed with the key that they had, so that a TLSA record of it stays true.
//! - There is no pool for blocking work. The store has a writer and two readers, password hashing has one thread; sessions run
//!   on one executor per core, up to four, and core 0 accepts for all.
//! - DNSSEC is validated here, not by whoever answers, and costs about 190 KB of program. Mail uses it only where the way to the
//!   name servers carries signatures: behind a router that loses them all answers would look forged.
//!
//! # States and what a restart does with them
//!
//! | state | where | after a crash |
//! | --- | --- | --- |
//! | message arriving, small | memory of its session | gone; the sender has no 250 and sends again |
//! | message arriving, large | chunks in redb under a `staged` mark | freed at the next start; the sender sends again |
//! | Op applied, journal not yet flushed | redb transaction not committed | gone; nobody was told |
//! | Op flushed to the journal, not checkpointed | journal | applied again at the next start |
//! | journal batch half written | journal tail, checksum wrong | the end of the journal; nobody was told |
//! | journal lost, or another store's, before a clean close | nowhere | the store says so and does not open |
//! | checkpointed | redb | there |
//! | message queued | queue rows, with what shows them in Outbox in the same Op | tried again when due |
//! | message held by the owner | its queue row | held until it is released, whatever time passes |
//! | command over the control socket | memory, and Ops one by one | what was done is there; its client is told that the node broke off |
//! | message being taken out by the owner | memory until one Op | there as it was, or gone and its sender told, both or neither |
//! | control socket | the data folder | a dead one stays after a kill; commands pass it over, the next start replaces it |
//! | which destinations refuse our address, or that the line blocks port 25 | one row of the settings | there, until it runs out |
//! | the same before the smarthost has been reached; how mail to a destination went last | memory | gone; learned again |
//! | delivery attempt in progress | memory of the relay | tried again; a crash after the other server's 250 can duplicate, never lose |
//! | delivery settled with a bounce | one Op | both or neither |
//! | whether the name servers carry DNSSEC | memory | found out anew |
//! | a link that sets a device up, the page that it opened, the password on it | memory, for a quarter of an hour | gone, the device stays; `hauspost device link` makes another |
//! | a password that a device gets when its link is opened | one Op before the page is shown | the new one counts, or the old one |
//! | who asked for links that there are not | memory | gone; counted anew |
//! | a self-test's device and message | its row, INBOX | there; nobody knows the password, the next self-test removes the device; the message stays |
//! | another system being written beside the one that runs | the slot of the boot partition that nothing points at | half written, and empty after the next try |
//! | that the next start tries another system, that it is on trial | `select.txt` on the boot partition, one sector | tried; taken back, and said so |
//! | a device of the owner's, its password and rights | its row among the credentials, one Op each | there; a removed one is gone |
//! | when a device was used last, from where, as what program | memory; once a day, and at the end, settings, `devices/seen` | what that day has brought is gone |
//! | who guessed passwords, from where the owner logged in | memory | gone; counted anew |
//! | which sent copies were filed | memory | gone; a client may file what it was sending a second time |
//! | MTA-STS policy of a domain | settings, `sts/DOMAIN` | there, and enforced until it runs out |
//! | what DNS said of a policy, a policy that could not be fetched | memory | asked again |
//! | which servers are left alone, who waits for the network | memory of the relay | gone; found out anew, and who waits is read from the queue |
//! | counts of sessions for reports about TLS | memory; hourly and at the end settings, `tlsrpt/DAY` | what the last hour brought is not reported |
//! | report about TLS sent, its counts not yet removed | queue, settings | sent again with the same id |
//! | which device has its maildrop open by POP3, and when it came last | memory | gone; the next session begins at once |
//! | POP3 deletions before QUIT | memory of the session | nothing is deleted |
//! | message taken back from Outbox, its copy in Sent too | one Op | all or nothing; an attempt under way tries no further server |
//! | annotation of a mailbox or of the server | settings, `metadata/MAILBOX/ENTRY`; the mailbox's go in the Op that deletes it | there |
//! | the node's own authority and certificate, certificates of the owner's | settings, `tls/`, made before they are shown | there; devices trust what they trusted |
//! | that the owner was warned of a certificate's end | settings, `tls/warned/` | not warned again |
//! | IMAP session | memory | gone; the client reconnects and resynchronises by UID and modseq |
#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod limits;
pub mod mail;
pub mod net;
pub mod node;
pub mod order;
pub mod serve;
pub mod store;
pub mod wire;

//! Every bound of the product, with its unit in its name and its reason beside it.
//!
//! A line, literal, count, wait, queue or buffer that the network can make grow has its bound here.

mod imap;

pub use imap::*;

mod routes;

pub use routes::*;

mod tls;

pub use tls::*;

mod update;

pub use update::*;

mod web;

pub use web::*;

mod relay;

pub use relay::*;
use std::time::Duration;

// ---- every service

/// Seconds that an armed timer may ring before the deadline asked for and be left as it is: a busy session arms its timer
/// once in a minute, and one at rest is woken in vain once at most.
pub const ALARM_EARLY_SECONDS_MAX: u64 = 60;
/// Bytes one read from a socket may bring into a session.
pub const READ_BUFFER_BYTES: usize = 4096;

/// Bytes of a PROXY header of version 2 after its first 16: addresses take 36, what fronts add (a name, an id, facts of TLS)
/// some hundred.
pub const PROXY_V2_BYTES_MAX: usize = 2048;
/// Seconds for a front to send its header: it has it ready; one lost packet is forgiven.
pub const PROXY_HEADER_SECONDS_MAX: u64 = 5;

/// Bytes of one base64 line of a SASL exchange. RFC 4954 section 4 names 12,288 as enough for every mechanism; the
/// ones spoken here stay below a quarter of it, and larger lines are kept by nobody.
pub const SASL_LINE_BYTES_MAX: usize = 3072;
/// Bytes of a login name: an address and a little more.
pub const SASL_NAME_BYTES_MAX: usize = 320;
/// Bytes of a password: RFC 4616 section 2 allows any length; nobody types more.
pub const SASL_PASSWORD_BYTES_MAX: usize = 1024;
/// Bytes of the client's part of a SCRAM nonce: clients send 18 to 44. Ours and the salt fit one SMTP reply line with it.
pub const SCRAM_CLIENT_NONCE_BYTES_MAX: usize = 128;
/// Fewest rounds of PBKDF2 that a smarthost may ask for at a login by SCRAM (RFC 7677 section 4).
pub const SCRAM_ITERATIONS_MIN: u32 = 4096;
/// Most rounds of PBKDF2 that a smarthost may ask for: what is advised for stored passwords today, and 1.2 s on a small board.
pub const SCRAM_ITERATIONS_MAX: u32 = 600_000;
/// Password checks waiting for the one thread that does them. Each costs tens of milliseconds on a small board.
pub const LOGIN_CHECKS_WAITING_MAX: usize = 16;
/// Successful logins remembered, so that a phone that reconnects costs no password hash. More than one person's devices.
pub const LOGIN_SUCCESSES_MAX: usize = 64;
/// How long a successful login is remembered without being used again.
pub const LOGIN_SUCCESS_SECONDS: u64 = 24 * 3600;
/// Prefix of the IPv4 network that counts as one peer where sessions are counted, in bits: behind one address may be a
/// household, and its neighbours must not pay for it.
pub const ADMISSION_IPV4_PREFIX_BITS: u32 = 32;
/// Sessions that were turned out for others and have not gone yet: they go as soon as their core looks at them.
pub const ADMISSION_LEAVING_MAX: usize = 32;
/// Milliseconds between two looks whether they have gone, when a connection waits for a place of theirs.
pub const ADMISSION_WAIT_MILLISECONDS: u64 = 5;
/// Looks before the connection is refused after all: a quarter of a second, which a busy small board may need.
pub const ADMISSION_WAITS_MAX: u32 = 50;
/// The same where wrong passwords are counted: an attacker often has a whole /24.
pub const LOGIN_IPV4_PREFIX_BITS: u32 = 24;
/// The same where the owner is shown where a device was, in bits: whose line it was can be seen, not which of its machines.
pub const SIGHTING_IPV4_PREFIX_BITS: u32 = 24;
/// What is kept of the last visits of devices is not renewed before it is this old, in seconds: a day, and so a write a day at most.
pub const SIGHTINGS_STALE_SECONDS: u64 = 86_400;
/// How often it is looked whether one is, in seconds.
pub const SIGHTINGS_LOOK_SECONDS: u64 = 3600;
/// Characters of the name and version that a program gives itself, as far as they are kept: "Thunderbird 153.8.0" has twenty. For
/// 64 devices a row of 14 KB at most.
pub const CLIENT_NAME_CHARACTERS_MAX: usize = 48;
/// Peer networks whose failures are remembered (about 120 bytes each); the one longest silent is forgotten first.
pub const LOGIN_NETWORKS_MAX: usize = 2048;
/// Different wrong passwords that a network may try before it has to wait: typing errors.
pub const LOGIN_FAILURES_FREE: u32 = 3;
/// The first wait after that; it doubles with every further failure.
pub const LOGIN_DELAY_MILLIS_FIRST: u64 = 500;
/// The longest wait: below the patience of mail programs, which give up on a silent server after 20 to 60 seconds. Whoever would
/// have to wait longer, because others are waiting, is refused for now.
pub const LOGIN_DELAY_MILLIS_MAX: u64 = 15_000;
/// A network's failures are forgiven this long after the last one that was looked at.
pub const LOGIN_FAILURES_SECONDS: u64 = 15 * 60;
/// Different wrong passwords of a network from which the owner has not logged in; then no more are looked at until they are
/// forgiven. Nobody mistypes one password in ten ways.
pub const LOGIN_FAILURES_MAX: u32 = 10;
/// Attempts of a network that were refused without a look, but for one at what was right before; then it gets none of those
/// either, and if its passwords were many it is not even greeted, which saves a TLS handshake each.
pub const LOGIN_REFUSALS_MAX: u32 = 10;
/// Addresses from which the owner has logged in: home, work and what a mobile network gave lately. 40 bytes each.
pub const LOGIN_KNOWN_ADDRESSES_MAX: usize = 256;
/// How long such an address is remembered without being used again: a fortnight away from home.
pub const LOGIN_KNOWN_ADDRESS_SECONDS: u64 = 14 * 86_400;
/// Logins whose failures from all unknown addresses together are counted. Only the owner's names matter; the others are there
/// so that nobody can tell which are.
pub const LOGIN_NAMES_MAX: usize = 256;
/// Failures of one login from unknown addresses before they have to take turns.
pub const LOGIN_NAME_FAILURES_FREE: u32 = 20;
/// From one turn to the next: 720 guesses in an hour, however many networks guess, beside [`LOGIN_REFUSALS_MAX`] of each.
pub const LOGIN_NAME_TURN_MILLIS: u64 = 5_000;

/// Messages filed as sent that are remembered, so that the same one is not filed twice: 100 bytes each, and more than a person
/// sends in the time.
pub const SENT_COPIES_REMEMBERED_MAX: usize = 256;
/// How long: a mail program files what it sent at once, or when it is online again.
pub const SENT_COPY_REMEMBERED_SECONDS: u64 = 24 * 3600;
/// Messages looked at for the one that was remembered: it is the first but for what came in at the same moment.
pub const SENT_COPY_ROWS_LOOKED_AT_MAX: usize = 64;

// ---- SMTP

/// Bytes of a command line with its CRLF. RFC 5321 section 4.5.3.1.4 asks for 512; extensions add to it (SIZE 26, BODY
/// 16, AUTH 500, ENVID 107 and ORCPT 507 with their kin, SMTPUTF8 10, REQUIRETLS 11, HOLDUNTIL 34); as the field has it.
pub const SMTP_LINE_BYTES_MAX: usize = 2048;
/// Bytes of a reply line with its CRLF: RFC 5321 section 4.5.3.1.5.
pub const SMTP_REPLY_LINE_BYTES_MAX: usize = 512;
/// Bytes thrown away while a line that is void already does not end.
pub const SMTP_SKIPPED_BYTES_MAX: usize = 64 << 10;
/// Bytes of a message thrown away beyond the largest message while its end is awaited: a sender that has not looked at
/// SIZE is told 552 after its message, one that never ends is cut off.
pub const SMTP_DISCARDED_BYTES_MAX: u64 = 4 << 20;
/// Replies waiting to be written, in bytes; more than this and they are written before the next command is looked at.
pub const SMTP_REPLIES_BYTES: usize = 2048;
/// Recipients of one message: RFC 5321 section 4.5.3.1.8 forbids less.
pub const SMTP_RECIPIENTS_MAX: usize = 100;
/// Recipients beyond those that are refused for now before the session is ended: a sender that pipelines names a whole list
/// at once, and sends the message again to those refused.
pub const SMTP_RECIPIENTS_BEYOND_MAX: u32 = 1000;
/// Refused commands and recipients in one session. An honest server makes a few; a guesser of names makes many.
pub const SMTP_ERRORS_MAX: u32 = 20;
/// Unknown commands in one session: whoever says more does not speak SMTP.
pub const SMTP_UNKNOWN_COMMANDS_MAX: u32 = 5;
/// Commands other than MAIL, RCPT and DATA between two messages.
pub const SMTP_IDLE_COMMANDS_MAX: u32 = 100;
/// Failed logins in one session.
pub const SMTP_LOGINS_FAILED_MAX: u32 = 5;
/// How long the owner's mail may be held before it is sent (FUTURERELEASE, RFC 4865): a year covers every birthday.
pub const SMTP_HOLD_SECONDS_MAX: u64 = 366 * 24 * 3600;
/// Messages in one session, accepted or not. A session keeps the configuration it began with, so it has to end some day.
pub const SMTP_MESSAGES_MAX: u32 = 20_000;
/// Longest session, for the same reason; longer than the largest message takes on a slow line.
pub const SMTP_SESSION_SECONDS_MAX: u64 = 6 * 3600;
/// How long the next command may take: RFC 5321 section 4.5.3.2.7 forbids less.
pub const SMTP_COMMAND_SECONDS: u64 = 300;
/// How long each piece of a message may take: RFC 5321 section 4.5.3.2.5.
pub const SMTP_DATA_SECONDS: u64 = 180;
/// Bytes of such a piece. A peer that brings less in its time only holds the session; any line in use is a thousand times as
/// fast.
pub const SMTP_DATA_PIECE_BYTES: usize = 2048;
/// How long a peer may take to accept replies, which are small.
pub const SMTP_WRITE_SECONDS: u64 = 60;
/// How long a TLS handshake may take after STARTTLS.
pub const SMTP_TLS_SECONDS: u64 = 60;
/// Header bytes of one message. It is kept in memory until it is complete, so that it can be judged and mended before
/// anything is stored. Postfix cuts at 102,400.
pub const SMTP_HEADER_BYTES_MAX: usize = 128 << 10;
/// Received fields beyond which a message counts as going in circles. RFC 5321 section 6.3 speaks of 100, servers in the
/// field stop at 25 to 50; no honest route is near either, and half the turns of a loop are enough.
pub const SMTP_RECEIVED_FIELDS_MAX: usize = 50;
/// Octets of a local part. RFC 5321 section 4.5.3.1.1 asks senders to stay within 64; return addresses that carry the
/// recipient in them (VERP) are longer in the wild, and their mail is wanted.
pub const LOCAL_PART_BYTES_MAX: usize = 128;
/// Octets of a domain: RFC 5321 section 4.5.3.1.2.
pub const DOMAIN_BYTES_MAX: usize = 255;
/// Octets of a path with its angle brackets, without a source route: RFC 5321 section 4.5.3.1.3.
pub const PATH_BYTES_MAX: usize = 256;

// ---- DKIM

/// Bytes of a header block that is signed, as it goes over the wire: more than any that is taken ([`SMTP_HEADER_BYTES_MAX`]),
/// also when every stray line end in it has become two bytes.
pub const DKIM_HEADER_BYTES_MAX: usize = 2 * SMTP_HEADER_BYTES_MAX + 4096;
/// Names in `h=`: twice what a message from a list has. Each costs its name in the signature.
pub const DKIM_FIELDS_MAX: usize = 80;
/// Keys that sign each message: one of each kind, and their successors while receivers learn them.
pub const DKIM_KEYS_MAX: usize = 4;
/// Bytes of the signatures of one message: four of the largest, with every name in `h=`.
pub const DKIM_SIGNATURES_BYTES_MAX: usize = 12 << 10;
/// Bytes of a file with a private key: an RSA key of 4096 bits takes 3,300.
pub const DKIM_KEY_FILE_BYTES_MAX: u64 = 64 << 10;

/// Bytes of one string of a TXT record (RFC 1035 section 3.3).
pub const DNS_TEXT_BYTES_MAX: usize = 255;
/// Records that `hauspost dns --check` asks for at once: those of one domain, mostly.
pub const DNS_COMPARED_AT_ONCE_MAX: usize = 16;
/// Seconds that others keep the records we propose: an hour, in which a mistake is mended.
pub const DNS_RECORD_TTL_SECONDS: u32 = 3600;
/// Questions that an SPF record may cause (RFC 7208 section 4.6.4).
pub const SPF_LOOKUPS_MAX: u32 = 10;
/// Bytes read of the system's list of addresses, some 60 for each.
pub const INTERFACE_FILE_BYTES_MAX: u64 = 64 << 10;
/// Bytes read of a certificate file: a chain of ten large ones is a fifth of it.
pub const CERTIFICATE_FILE_BYTES_MAX: u64 = 256 << 10;

// ---- addresses

/// Letters of the keyed hash in a rewritten sender, five bits each: 2^30 guesses, each a refused recipient, for one bounce to
/// a stranger. Longer ones would push long senders over the bound of a local part.
pub const SRS_HASH_CHARS: usize = 6;
/// Days that a rewritten sender takes bounces: other servers give up after five, and some answer late.
pub const SRS_DAYS_MAX: i64 = 21;
/// Addresses that one of ours is forwarded to: a family, not a mailing list.
pub const FORWARD_TARGETS_MAX: usize = 32;

/// Seconds that a server inside may take to say whether it has a recipient: RFC 5321 section 4.5.3.2.3 lets the sender wait for
/// five minutes, and several recipients may be asked about.
pub const INQUIRY_SECONDS_MAX: u64 = 15;
/// Seconds that a yes is believed: a mailbox that goes is rare, and the queue then bounces what was taken.
pub const INQUIRY_YES_SECONDS: u64 = 3600;
/// Seconds that a no is believed: a mailbox that is made is soon written to.
pub const INQUIRY_NO_SECONDS: u64 = 300;
/// Seconds before a server that could not say is asked again.
pub const INQUIRY_LATER_SECONDS: u64 = 10;
/// Questions under way at once: strangers who guess names must not flood the house.
pub const INQUIRIES_AT_ONCE_MAX: usize = 4;
/// Answers remembered, of some 200 bytes.
pub const INQUIRY_ANSWERS_MAX: usize = 1024;

// ---- POP3

/// Bytes of a command line. RFC 2449 section 4 has 255; some clients send long passwords and initial responses.
pub const POP3_LINE_BYTES_MAX: usize = 512;
/// Replies that pile up before they are written out: answers to pipelined commands share packets.
pub const POP3_REPLIES_BYTES: usize = 16 << 10;
/// Bytes of headers in ASCII that stand in a message for headers with UTF-8: what one answer to RETR holds of it. Headers of mail have
/// some kilobytes; a message with more needs a client that takes UTF-8.
pub const SURROGATE_BYTES_MAX: usize = 128 << 10;
/// Bytes of a message that RETR asks the store for at once.
pub const POP3_PIECE_BYTES: u64 = 64 << 10;
/// The same for TOP, which mostly wants the header.
pub const POP3_TOP_PIECE_BYTES: u64 = 8 << 10;
/// Messages that are read ahead for a client that takes one after the other: answers need not wait for the store then.
pub const POP3_AHEAD_MESSAGES: usize = 16;
/// Bytes of them that are read at once; a session holds at most twice as much.
pub const POP3_AHEAD_BYTES: u64 = 64 << 10;
/// Messages of a maildrop; the oldest first, the others appear when these are gone. Some 4 bytes each: 1 MB.
pub const POP3_MESSAGES_MAX: usize = 250_000;
/// Rows that one read of the store returns while a maildrop is opened, some 72 bytes each.
pub const POP3_ROWS_PER_READ: usize = 1000;
/// Bodies that one such read looks into, of messages whose form was never noted, or that have UTF-8 in their headers: some 100
/// microseconds each.
pub const POP3_FORMS_PER_READ: usize = 100;
/// Commands that cannot be obeyed before the session is ended.
pub const POP3_ERRORS_MAX: u32 = 20;
/// Wrong passwords before the session is ended.
pub const POP3_LOGINS_FAILED_MAX: u32 = 5;
/// Silence before the session is ended, at least 10 minutes (RFC 1939 section 3).
pub const POP3_IDLE_SECONDS: u64 = 600;
/// Seconds from the greeting to a successful login, whatever is said meanwhile: strangers hold no session for ever. As long as
/// silence may last, because RFC 1939 section 3 makes no exception before login.
pub const POP3_LOGIN_SECONDS_MAX: u64 = POP3_IDLE_SECONDS;
/// Silence after which another login of the same device takes its maildrop over: a phone that has lost its network comes again
/// within seconds, and must not wait for [`POP3_IDLE_SECONDS`].
pub const POP3_SILENT_SECONDS: u64 = 30;
/// Longest time that a device can be made to wait between two sessions: a day.
pub const POP3_LOGIN_DELAY_SECONDS_MAX: u32 = 24 * 3600;
/// Time a client has to take what was sent.
pub const POP3_WRITE_SECONDS: u64 = 120;
/// Time for the TLS handshake after STLS.
pub const POP3_TLS_SECONDS: u64 = 60;

// ---- MIME

/// Bytes of the text of an encoded word. RFC 2047 section 2 has 75; some software never folds. Bounds the search for its
/// end, which each of very many beginnings starts anew.
pub const ENCODED_WORD_BYTES_MAX: usize = 4096;
/// A boundary has 70 octets at most (RFC 2046 section 5.1.1); longer ones are told apart by this much.
pub const MIME_BOUNDARY_BYTES_MAX: usize = 80;
/// Parts inside parts inside parts. Mail that people send has 5; more is somebody testing stacks.
pub const MIME_DEPTH_MAX: usize = 64;
/// Parts of one message that are told apart: a forward of several hundred messages. Their index is a row of the store of
/// some 200 KB then, which every look at the message reads whole; a row of megabytes pushes all else out of the cache.
pub const MIME_PARTS_MAX: usize = 2_000;
/// One header field that ENVELOPE or BODYSTRUCTURE shows: a To field with 3,000 addresses. What is longer is cut.
pub const MIME_FIELD_BYTES_MAX: usize = 128 << 10;
/// All such fields of one message together; what comes after them is shown as NIL.
pub const MIME_FACTS_BYTES_MAX: usize = 1 << 20;

/// Messages that one message is said to answer, kept for threads: the first and the last of a longer list.
pub const REFERENCES_MAX: usize = 32;

/// Bits of a search signature for each trigram of the text, 380 bytes for a message of 9 KB: two in five are set then. A rare
/// string of five letters opens some 6% of the messages in vain, one of eleven 0.1%; three bits would halve the former.
pub const SIGNATURE_BITS_PER_TRIGRAM: usize = 2;
/// Bytes of a search signature: a search reads one for every message.
pub const SIGNATURE_BYTES_MAX: usize = 1024;
/// Different trigrams of a text beyond which there is no signature: they would set more than 60% of the bits of the largest.
pub const SIGNATURE_TRIGRAMS_MAX: usize = 7000;

/// White space that quoted-printable holds back until it knows whether the line ends there. Lines have 998 octets at
/// most (RFC 5322 section 2.1.1); more is no line's end but somebody's art, and is kept.
pub const QUOTED_PRINTABLE_SPACE_BYTES_MAX: usize = 1000;

// ---- store

/// Size of the journal ring in bytes. Preallocated and overwritten in place.
pub const RING_BYTES: u64 = 16 << 20;
/// Messages that the journal's records may name before a checkpoint is due, however short the records are: a client that
/// moves a whole mailbox to and fro writes 4 KiB each time, and a restart has to do all of it again. A tenth of a second
/// of a fast machine, a second or two of a small board.
pub const RING_ROWS_MAX: usize = 20_000;
/// Memory redb may use for its page cache, in bytes.
pub const STORE_CACHE_BYTES: usize = 4 << 20;

/// Header fields that a message in Outbox gets: enough for some recipients with the longest replies; the others are counted.
pub const OUTBOX_HEAD_BYTES_MAX: usize = 6 * 1024;
/// Lines of them are folded there (RFC 5322 section 2.1.1).
pub const OUTBOX_LINE_BYTES: usize = 76;

/// Bytes of a body in one chunk: what is decompressed to read any byte of it, and what an open body holds uncompressed.
/// Below 64 KiB so that a stored block of DEFLATE can hold it.
pub const BODY_CHUNK_BYTES: usize = 32 << 10;
/// Bytes after which one read of a body ends with the chunk it is at: what is held of it at once.
pub const BODY_READ_BYTES: u64 = 64 << 10;
/// Compressed bytes that an open body holds in memory; longer ones go to the disk as they arrive, and their Op costs a
/// checkpoint (about 40 KiB of writes) instead of a second copy in the journal.
pub const BODY_HELD_BYTES_MAX: usize = 128 << 10;
/// A header at least this long gets a chunk of its own, so that reading it reads no more: listing a mailbox by header fields is
/// several times faster for some percent of the space.
pub const BODY_HEADER_CHUNK_BYTES_MIN: usize = 512;
/// A header of at most so many bytes is kept as it is: half of the time of taking it apart would go into its Huffman codes, which
/// also are a tenth of what it takes compressed. It costs a message at most a sixth of a page.
pub const BODY_PLAIN_HEADER_BYTES_MAX: usize = 2 << 10;
/// Base64 of at least this length that encodes what is compressed already is cut from the text around it, and kept without a
/// compressor. A cut costs some hundred bytes.
pub const BODY_BASE64_BYTES_MIN: usize = 4 << 10;
/// Changes waiting for the writer; more senders wait their turn. With held bodies at most 4 MiB.
pub const STORE_CHANGES_WAITING_MAX: usize = 32;
/// Questions waiting for the two readers.
pub const STORE_READS_WAITING_MAX: usize = 64;
/// Mailboxes whose UIDs are remembered once they were opened, with at most [`UID_MAP_RUNS_MAX`] runs each: 256 KiB at most, some
/// hundred bytes mostly.
pub const UID_MAPS_MAX: usize = 8;
/// See [`UID_MAPS_MAX`].
pub const UID_MAP_RUNS_MAX: usize = 4096;
/// Expunges after which a mailbox is read anew instead of being brought up to date.
pub const UID_MAP_CHANGES_MAX: usize = 2048;
/// Threads that answer questions: one more than one, so that a long walk delays nobody.
pub const STORE_READERS: usize = 2;
/// How long a batch waits until it has as many changes as the one before it: one flush for many wears the card less. Who changes
/// something alone never waits; whoever does so right after many did, once for so long.
pub const BATCH_GATHERS_FOR: Duration = Duration::from_millis(2);
/// A batch so long after the one before it waits for nothing.
pub const BATCH_REMEMBERED_FOR: Duration = Duration::from_millis(20);
/// Bytes of records that make a batch full. The rest waits one flush longer.
pub const BATCH_BYTES_FULL: usize = 256 << 10;
/// Free bytes on the disk below which nothing new is taken in, so that flags, expunges and checkpoints still have room.
pub const DISK_RESERVE_BYTES: u64 = 32 << 20;
/// Below the reserve, but not below half of it, mail may take the room that deleted mail has left inside the store's file. So
/// many bytes of it must be there for each new one: pages that are only partly free hold nothing new.
pub const ROOM_PER_NEW_BYTE: u64 = 2;
/// Expunged UIDs remembered per mailbox for QRESYNC, 16 bytes each; a device that was away for longer compares UIDs.
pub const EXPUNGED_PER_MAILBOX_MAX: u32 = 20_000;
/// Generations of 4,096 bodies in which the thread of a new message is looked for, the youngest first: 131,072 messages back.
/// Each is a page of the card for every Message-ID that is not there, and a message can name 32 of them: with all generations
/// of a million messages one such message took 8,000 look-ups, while everybody waited for the writer.
pub const THREAD_GENERATIONS_MAX: u64 = 32;
/// Bytes of a mailbox name with all its levels.
pub const MAILBOX_NAME_BYTES_MAX: usize = 512;
/// Levels of a mailbox name.
pub const MAILBOX_DEPTH_MAX: usize = 16;
/// Mailboxes of the owner; LIST answers hold all of them in memory at once.
pub const MAILBOXES_MAX: u64 = 2_000;
/// Keyword names of a mailbox: the bits of a row.
pub const KEYWORDS_PER_MAILBOX_MAX: usize = 64;
/// Bytes of a keyword name.
pub const KEYWORD_BYTES_MAX: usize = 128;
/// Bytes of a setting's value.
pub const SETTING_BYTES_MAX: usize = 64 << 10;
/// Bytes of a setting's key or a login name.
pub const SETTING_KEY_BYTES_MAX: usize = 320;
/// Bytes of the last reply kept with a queued recipient: one line.
pub const LAST_REPLY_BYTES_MAX: usize = 512;
/// Bytes of ENVID kept with a queued message (RFC 3461 section 4.4).
pub const ENVELOPE_ID_BYTES_MAX: usize = 100;
/// Bytes of ORCPT kept with a queued recipient (RFC 3461 section 4.2).
pub const ORIGINAL_RECIPIENT_BYTES_MAX: usize = 500;
/// Findings of damage that are told apart, so that each is logged once; a card with more of them is beyond a log.
pub const DAMAGE_REMEMBERED_MAX: usize = 1_000;
/// Bytes of changes that are kept in memory while a store is only looked at: a whole journal replayed, several times over.
pub const OVERLAY_BYTES_MAX: u64 = 256 << 20;
/// The same per file while a store serves mail for reading only, on a board with little memory: replaying a
/// journal of 1,500 messages fits. What needs more stays closed until the disk takes writes.
pub const READING_BYTES_MAX: u64 = 64 << 20;
/// Shortest time between two attempts to open a store for writing again: each may replay the journal, and questions wait.
pub const REOPEN_AFTER: Duration = Duration::from_secs(1);
/// Longest time between two such attempts while nobody changes anything: each may write to a card that is ill.
pub const REOPEN_AFTER_MAX: Duration = Duration::from_secs(60);
/// Bodies that are checked in one question, so that a reader thread lives with one snapshot for a short time.
pub const INSPECT_BODIES_PAGE: usize = 200;
/// Bytes of bodies in one transaction of a salvage: what a small board has in memory for it.
pub const SALVAGE_TRANSACTION_BYTES: u64 = 4 << 20;
/// Steps in one transaction of a salvage, a few hundred bytes each.
pub const SALVAGE_TRANSACTION_STEPS: usize = 4_000;
/// UIDs that are left out where the last ones given are not known: more than a mailbox gets between two checkpoints.
pub const SALVAGE_UIDS_SKIPPED: u32 = 100_000;
/// Modseqs that are left out likewise.
pub const SALVAGE_MODSEQS_SKIPPED: u64 = 1 << 32;
/// Longest time a durable change stays in the journal alone. Each checkpoint costs about 40 KiB of writes.
pub const CHECKPOINT_AFTER: Duration = Duration::from_secs(300);

// ---- net

/// Bytes thrown away after we closed, before the socket is given back: more than a peer has under way after an error
/// reply, little enough to be no work.
pub const CLOSE_DISCARD_BYTES_MAX: usize = 64 << 10;
/// Answers the DNS cache keeps: a person writes to few domains, and the servers asked have caches of their own.
pub const DNS_CACHE_ANSWERS: u64 = 64;
/// Records of one DNS answer that are looked at.
pub const DNS_RECORDS_MAX: usize = 64;
/// Seconds one DNS server may take for one answer.
pub const DNS_TIMEOUT_SECONDS: u64 = 5;
/// Times a DNS question is asked again when nobody answered.
pub const DNS_ATTEMPTS: usize = 1;
/// Seconds one DNS question may take in all, whatever the number of servers.
pub const DNS_ANSWER_SECONDS_MAX: u64 = 20;
/// Aliases that lead from a name to its records.
pub const DNS_ALIASES_MAX: usize = 12;
/// Seconds for which a way to the name servers that carries DNSSEC, or does not, is taken to stay so.
pub const DNSSEC_JUDGED_SECONDS: u64 = 6 * 3600;
/// Seconds after which it is judged again when nobody answered, or when the clock is behind.
pub const DNSSEC_JUDGED_AGAIN_SECONDS: u64 = 60;
/// Questions that one proving resolver answers: it keeps about 2 KB of what it proved for each.
pub const DNSSEC_ASKED_MAX: usize = 400;
/// TLSA records of one name that are looked at: more are not published by anybody who means it.
pub const DANE_RECORDS_MAX: usize = 32;
/// Certificates after a server's own that are compared with TLSA records.
pub const DANE_CHAIN_MAX: usize = 8;
/// TLS sessions remembered for resumption as a client: the smarthost and the few servers written to often.
pub const TLS_CLIENT_SESSIONS_MAX: usize = 16;
/// Days from the start of a self-signed certificate to its end: Apple's devices accept at most 398 for trusted ones.
pub const CERTIFICATE_VALID_DAYS: i64 = 397;
/// Days from the start of the node's own authority to its end: devices are told to trust another one every few years.
pub const AUTHORITY_VALID_DAYS: i64 = 3653;
/// Days before its end when the authority after it is made.
pub const AUTHORITY_OVERLAP_DAYS: u32 = 730;
/// Days that devices have to get to know the next authority.
pub const AUTHORITY_ANNOUNCED_DAYS: u32 = 90;
/// Certificates that the owner has brought, each for names of its own: about 6 KB each in memory.
pub const CERTIFICATES_IMPORTED_MAX: usize = 16;
/// Seconds between two looks at the certificates.
pub const CERTIFICATE_CHECK_SECONDS: u64 = 3600;
/// Seconds between two of the first looks, when the clock may just be set.
pub const CERTIFICATE_FIRST_CHECK_SECONDS: u64 = 60;
/// How many looks are first ones.
pub const CERTIFICATE_FIRST_CHECKS: u32 = 30;
/// Seconds without a change after which files that have changed are read.
pub const FILE_SETTLE_SECONDS: u64 = 2;
/// Names and addresses in one certificate.
pub const CERTIFICATE_NAMES_MAX: usize = 100;
/// Days a self-signed certificate begins before it is made: clocks of boards and phones disagree.
pub const CERTIFICATE_BACKDATED_DAYS: i64 = 7;
/// Bytes under way in one direction of a connection in memory: small enough that tests meet a full pipe.
pub const TWIN_PIPE_BYTES: usize = 64 << 10;

// ---- node

/// Threads that run sessions, one per core up to this: a board has four, and each costs memory.
pub const CORE_THREADS_MAX: usize = 4;
/// Stack of a session thread in bytes. Sessions live on the heap; only what is being polled is on the stack.
pub const CORE_STACK_BYTES: usize = 1 << 20;
/// Seconds for a TLS handshake: a weak board and a bad mobile network together stay well below.
pub const TLS_HANDSHAKE_SECONDS_MAX: u64 = 20;
/// Seconds that sessions get to end when the node stops; the rest of the promised five belongs to the store.
pub const DRAIN_SECONDS_MAX: u64 = 4;
/// Milliseconds without accepting after the system refused a connection for want of descriptors or memory.
pub const ACCEPT_PAUSE_MILLISECONDS: u64 = 200;
/// Connections the kernel keeps for us until they are accepted.
pub const ACCEPT_BACKLOG: i32 = 512;
/// Milliseconds a refused connection gets to take its refusal. It fits the empty send buffer of any healthy one.
pub const REFUSAL_MILLISECONDS_MAX: u64 = 500;
/// Seconds between two lines in the log about refused connections of one listener.
pub const REFUSAL_LOG_SECONDS: u64 = 10;
/// File descriptors that sessions leave to the store, the relay, DNS and the listeners.
pub const DESCRIPTORS_RESERVED: u64 = 384;
/// File descriptors asked of the system at most; more sessions than that have no place in memory anyway.
pub const DESCRIPTORS_MAX: u64 = 16_384;
/// Size of a configuration file in bytes: far above any real one, far below what could hurt.
pub const CONFIGURATION_BYTES_MAX: u64 = 1 << 20;
/// Size of a password in bytes.
pub const PASSWORD_BYTES_MAX: usize = 1024;
/// Rounds of PBKDF2 in a stored password verifier (RFC 7677 section 4 advises 15,000): some 30 ms on a small board.
pub const PBKDF2_ITERATIONS: u32 = 15_000;
/// Bytes of one line in the log; what is longer is cut, because part of it came from the network.
pub const LOG_LINE_BYTES_MAX: usize = 2048;
/// Warnings and errors that are kept for `hauspost status`.
pub const LOG_KEPT_LINES_MAX: usize = 8;
/// Bytes that are kept of one of them.
pub const LOG_KEPT_BYTES_MAX: usize = 400;
/// Mailboxes that `hauspost status` names: the largest ones.
pub const MAILBOXES_SHOWN_IN_STATUS: usize = 8;
/// Bytes of a command over the control socket: some thousand ids of queued messages.
pub const CONTROL_REQUEST_BYTES_MAX: usize = 32 << 10;
/// Bytes of text that are collected before a piece of an answer goes over the control socket.
pub const CONTROL_PIECE_BYTES: usize = 8 << 10;
/// Bytes of a piece of an answer that a client takes.
pub const CONTROL_PIECE_BYTES_MAX: usize = 64 << 10;
/// Commands that are answered at once over the control socket: one person has that many terminals.
pub const CONTROL_CLIENTS_MAX: usize = 8;
/// Seconds for a command to come over the control socket: its client sends it at once.
pub const CONTROL_REQUEST_SECONDS_MAX: u64 = 5;
/// Seconds for a client to take a piece of its answer: its reader may be a person with a pager.
pub const CONTROL_WRITE_SECONDS_MAX: u64 = 600;
/// Seconds that a client waits for the next piece of its answer: a slow card has flushed some thousand changes by then.
pub const CONTROL_ANSWER_SECONDS_MAX: u64 = 120;

// ---- the system of a board

/// Questions of a packet of multicast DNS that are looked at: a program asks two.
pub const MDNS_QUESTIONS_MAX: u16 = 16;
/// Labels and jumps of a name in such a packet that are followed: ours has two labels.
pub const MDNS_LABELS_MAX: usize = 32;
/// Addresses in an answer: an interface has a few.
pub const MDNS_ADDRESSES_MAX: usize = 8;
/// Bytes of a packet of multicast DNS (RFC 6762 section 17): questions are far shorter.
pub const MDNS_PACKET_BYTES_MAX: usize = 1500;
/// Seconds between two answers, whoever asks (RFC 6762 section 6).
pub const MDNS_PAUSE_SECONDS: u64 = 1;

/// Seconds between two writes to the watchdog: the hardware of a Raspberry Pi waits 15 at most.
pub const WATCHDOG_FEED_SECONDS: u64 = 4;
/// Seconds between two looks whether the writer and the listeners answer: each costs some connections on loopback, and
/// two lines in the log.
pub const WATCHDOG_LOOK_SECONDS: u64 = 120;
/// Seconds that all of them together have to answer: a worn card has finished a large checkpoint by then.
pub const WATCHDOG_PATIENCE_SECONDS: u64 = 180;
/// Seconds until what refused to answer is asked again.
pub const WATCHDOG_RETRY_SECONDS: u64 = 5;
/// Seconds for a time server to answer: a slow line takes less than one.
pub const CLOCK_ANSWER_SECONDS_MAX: u64 = 4;
/// Time servers that are asked at once, one after the other: with three, one liar is outvoted; the fourth may be down.
pub const CLOCK_SERVERS_MAX: usize = 4;
/// Milliseconds that a clock may be off and stay: less than what mail shows of times.
pub const CLOCK_TOLERANCE_MILLISECONDS: i64 = 200;

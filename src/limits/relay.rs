//! The bounds of mail on its way to other servers.

/// Wait for the greeting of another server, in seconds (RFC 5321 section 4.5.3.2.1).
pub const RELAY_GREETING_SECONDS: u64 = 300;
/// Wait for the answer to EHLO, STARTTLS, AUTH, MAIL and RCPT, in seconds (RFC 5321 sections 4.5.3.2.2 and 3).
pub const RELAY_COMMAND_SECONDS: u64 = 300;
/// Wait for the answer to DATA, in seconds (RFC 5321 section 4.5.3.2.4).
pub const RELAY_DATA_SECONDS: u64 = 120;
/// Wait for one block of content to be sent, in seconds (RFC 5321 section 4.5.3.2.5).
pub const RELAY_BLOCK_SECONDS: u64 = 180;
/// Time for a server that takes no more bytes to say why, in seconds: what it says is there already, or will not come.
pub const RELAY_LAST_WORDS_SECONDS: u64 = 1;
/// Wait for the answer to the final dot, in seconds (RFC 5321 section 4.5.3.2.6).
pub const RELAY_CONTENT_SECONDS: u64 = 600;
/// Wait for the answer to RSET and QUIT, in seconds: nothing depends on it.
pub const RELAY_QUIT_SECONDS: u64 = 10;
/// Longest reply line in bytes with its end; RFC 5321 section 4.5.3.1.5 says 512, servers in the field send more.
pub const RELAY_REPLY_LINE_BYTES: usize = 2048;
/// Lines in one reply; EHLO answers have 10 to 20, long refusals fewer.
pub const RELAY_REPLY_LINES: usize = 100;
/// Bytes kept of the lines of one reply: enough for any EHLO answer.
pub const RELAY_REPLY_KEPT_BYTES: usize = 8192;
/// Bytes of reply text that go into the queue, the log and bounces; with code and status it fits the queue's 512.
pub const RELAY_REPLY_TEXT_BYTES: usize = 480;
/// Recipients in one transaction: what every server takes (RFC 5321 section 4.5.3.1.8).
pub const RELAY_RECIPIENTS_PER_TRANSACTION: usize = 100;
/// Chunks of a message (RFC 3030) that may be under way before the first of them is answered, where commands may be pipelined:
/// with those of [`RELAY_BODY_READ_BYTES`] a quarter of a megabyte, more than most lines hold between here and there.
pub const RELAY_CHUNKS_UNANSWERED_MAX: u32 = 4;
/// Hosts tried for one domain in one attempt; large providers name five.
pub const RELAY_HOSTS_MAX: usize = 8;
/// Shortest wait before another attempt, in seconds: a schedule of zeros must not spin.
pub const RELAY_RETRY_SECONDS_MIN: u64 = 1;
/// Connections to other servers at once, those that are being opened included. A quarter of them can stand; over TLS that is
/// about 20 KB each.
pub const RELAY_CONNECTIONS_MAX: usize = RELAY_OPENING_MAX + RELAY_OPENING_SLOW_MAX + 24;
/// Connections that are opened at once, of those that may come about in a moment.
pub const RELAY_OPENING_MAX: usize = 8;
/// Milliseconds after which what is looked up or connected to counts as slow and leaves its place to the next: with eight places,
/// sixteen dead servers are passed in a second. Most servers of the world are reached in less.
pub const RELAY_QUICK_MILLISECONDS: u64 = 500;
/// Connections that are long in coming, at once: a socket and some kilobytes each. When there are more, the longest is given
/// up; with nothing but dead servers each so gets five seconds, in which two packets may be lost.
pub const RELAY_OPENING_SLOW_MAX: usize = 80;
/// Connections that transfer messages at once: each holds two buffers of [`RELAY_BODY_READ_BYTES`].
pub const RELAY_WORKING_MAX: usize = 8;
/// Seconds after which a transfer leaves its place to others.
pub const RELAY_WORK_SECONDS: u64 = 20;
/// Transfers that go on after that, beside the others.
pub const RELAY_WORKING_SLOWLY_MAX: usize = 8;
/// Seconds that one message may take over a connection, beside [`RELAY_BYTES_PER_SECOND_MIN`]: every single wait of RFC 5321 section
/// 4.5.3.2 is granted, but not a hundred of them in a row.
pub const RELAY_TRANSACTION_SECONDS: u64 = 1800;
/// Bytes of a message in a second that a server has to take: a tenth of the slowest line in use.
pub const RELAY_BYTES_PER_SECOND_MIN: u64 = 500;
/// Connections to one destination at once; more than a few look like an attack there.
pub const RELAY_CONNECTIONS_PER_DESTINATION: usize = 2;
/// Messages over one connection before it is given up, so that no destination keeps others waiting.
pub const RELAY_MESSAGES_PER_CONNECTION: usize = 100;
/// How long a connection without work is kept for the next message, in seconds.
pub const RELAY_LINGER_SECONDS: u64 = 2;
/// Queue entries in memory at once.
pub const RELAY_ENTRIES_TAKEN_MAX: usize = 256;
/// Recipients in memory at once, over all entries; an entry that has more is taken alone.
pub const RELAY_RECIPIENTS_TAKEN_MAX: usize = 2048;
/// Queue entries one look into the store brings.
pub const RELAY_LOOK_ENTRIES: usize = 64;
/// Rows of the queue's order read at once during a look.
pub const RELAY_LOOK_PAGE: usize = 256;
/// Queue entries to the same domain in memory at once: the rest of the room is for others.
pub const RELAY_ENTRIES_PER_DOMAIN: usize = 64;
/// After a look that passed over more entries than this, the next one waits for room or for
/// [`RELAY_LOOK_GAP_MILLISECONDS`].
pub const RELAY_PASSED_OVER_MAX: usize = 256;
/// See [`RELAY_PASSED_OVER_MAX`], in milliseconds.
pub const RELAY_LOOK_GAP_MILLISECONDS: u64 = 250;
/// Entries beside [`RELAY_ENTRIES_TAKEN_MAX`] that have just come: the message that the owner sends now does not wait behind old
/// ones.
pub const RELAY_NEW_ENTRIES_RESERVED: usize = 32;
/// Entries that became due last which a look begins with.
pub const RELAY_LOOK_NEWEST: usize = 32;
/// Entries that one look takes of these.
pub const RELAY_LOOK_NEW_ENTRIES: usize = 16;
/// Entries of which the domain is remembered after they were passed over, some 20 bytes each, so that the next look does not
/// read them again.
pub const RELAY_PASSED_OVER_KNOWN_MAX: usize = 16_384;
/// Deliveries whose settlement may be under way while the next message is sent: what a power cut can duplicate.
pub const RELAY_UNSETTLED_MAX: usize = 32;
/// Names looked up at once, of those that are answered in a moment ([`RELAY_QUICK_MILLISECONDS`]).
pub const RELAY_LOOKUPS_MAX: usize = 16;
/// Names that take longer, at once; each has a socket or two. More are given up.
pub const RELAY_LOOKUPS_SLOW_MAX: usize = 64;
/// Wait for a TCP connection, in seconds: the minute of RFC 1123 would stall a host with dead addresses too long.
pub const RELAY_CONNECT_SECONDS: u64 = 30;
/// Wait for a TLS handshake, in seconds.
pub const RELAY_TLS_SECONDS: u64 = 60;
/// Addresses tried in one attempt.
pub const RELAY_ADDRESSES_TRIED_MAX: usize = 8;
/// Servers that were reached but did not decide, in one attempt.
pub const RELAY_SERVERS_TRIED_MAX: usize = 3;
/// How long a server that could not be used is left alone at first, in seconds. It doubles with each failure, and is always
/// shorter than any wait between attempts.
pub const RELAY_BACKOFF_SECONDS: u64 = 10;
/// The longest of these waits, in seconds.
pub const RELAY_BACKOFF_SECONDS_MAX: u64 = 600;
/// Servers out of reach, without one that is reached, before that is taken for an outage of the network.
pub const RELAY_OUTAGE_SERVERS: usize = 3;
/// Entries remembered as waiting for the network, some 20 bytes each.
pub const RELAY_OUTAGE_ENTRIES_MAX: usize = 16_384;
/// After entries were brought forward because the network seemed to be back, such signs are passed over for this long, in
/// seconds; twice as long each time that it did not help.
pub const RELAY_OUTAGE_DEAF_SECONDS: u64 = 30;
/// The longest of these times, in seconds.
pub const RELAY_OUTAGE_DEAF_SECONDS_MAX: u64 = 3600;
/// Seconds after the kernel has told of a link or a route: addresses, routes and name servers come one after the other.
pub const RELAY_NETWORK_SETTLES_SECONDS: u64 = 3;
/// Seconds until a name that was not answered for is asked about again while mail waits for it; then twice as long each time.
pub const RELAY_PROBE_SECONDS: u64 = 10;
/// The longest of these waits, in seconds.
pub const RELAY_PROBE_SECONDS_MAX: u64 = 300;
/// Entries brought forward in one change of the store: a batch of the journal.
pub const RELAY_BROUGHT_FORWARD_AT_ONCE: usize = 1000;
/// Failures count no more this long after the wait for the last one, in seconds.
pub const RELAY_BACKOFF_FORGOTTEN_SECONDS: u64 = 3600;
/// The same after a failed login, in seconds: providers lock out who tries too often.
pub const RELAY_LOGIN_BACKOFF_SECONDS: u64 = 300;
/// Servers and names remembered as unusable, some 300 bytes each.
pub const RELAY_BACKOFF_KEPT_MAX: usize = 1024;
/// Bytes of a body in memory per connection and read.
pub const RELAY_BODY_READ_BYTES: usize = 64 << 10;
/// Bytes of the header of one part that is written anew for a server of 7 bits: as much as a message may begin with. Parts with
/// longer ones stay as they are. One is in memory per connection, and what a piece of the body becomes: three times as much.
pub const DOWNGRADE_HEADER_BYTES_MAX: usize = super::SMTP_HEADER_BYTES_MAX + 4096;
/// How long the relay finishes what is under way when the node stops, in seconds.
pub const RELAY_STOP_SECONDS: u64 = 2;
/// Longest wait before the relay looks into the queue again, in seconds: notices a clock that was set.
pub const RELAY_LOOK_AGAIN_SECONDS: u64 = 600;
/// Wait before the relay asks a store in trouble again, in seconds.
pub const RELAY_STORE_RETRY_SECONDS: u64 = 10;
/// Bytes of the original header that a bounce returns.
pub const BOUNCE_HEADER_BYTES: usize = 16 << 10;
/// Bytes of a message that a bounce returns whole where the sender asked for that (RET=FULL); of larger ones the header. It is
/// held in memory while the bounce is written.
pub const BOUNCE_MESSAGE_BYTES_MAX: u64 = 256 << 10;
/// Recipients that one bounce lists, those beyond are counted: 100 lines of 512 bytes are more than anyone reads.
pub const BOUNCE_RECIPIENTS: usize = 200;
/// Entries of the queue in memory at once while it is listed.
pub const QUEUE_PAGE_ENTRIES: usize = 64;
/// Recipients that the list of the queue names of one message; those beyond are counted.
pub const QUEUE_RECIPIENTS_LISTED: usize = 5;
/// Characters of an address that are shown.
pub const ADDRESS_CHARACTERS_SHOWN: usize = 200;
/// Characters of a subject that the list of the queue shows.
pub const SUBJECT_CHARACTERS_LISTED: usize = 80;
/// Characters of a reply or a header field that are shown.
pub const REPLY_CHARACTERS_SHOWN: usize = 500;
/// Seconds that taking a message out of the queue waits for what is being sent of it: most transactions take less.
pub const QUEUE_REST_SECONDS_MAX: u64 = 10;
/// Entries that are changed at once when the owner names many: they share their flushes.
pub const QUEUE_CHANGES_AT_ONCE: usize = 64;

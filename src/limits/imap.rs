//! Bounds of IMAP: commands, answers, what a session may hold.

// ---- IMAP

/// Bytes of a tag. Clients use about ten; a tag is echoed in every answer.
pub const IMAP_TAG_BYTES_MAX: usize = 64;
/// Bytes of one command with its literals before login: a LOGIN or AUTHENTICATE fits many times over.
pub const IMAP_COMMAND_BYTES_BEFORE_LOGIN_MAX: usize = 8 * 1024;
/// Bytes of one command with its literals after login, the message of APPEND not counted. RFC 7162 section 4 wants 8192 at
/// least; clients that list single UIDs send several times that.
pub const IMAP_COMMAND_BYTES_MAX: usize = 64 * 1024;
/// Bytes of one literal that is part of a command: names and search strings, not messages.
pub const IMAP_LITERAL_BYTES_MAX: u64 = 16 * 1024;
/// Bytes of a refused non-synchronising literal that are read and thrown away; beyond it the connection is closed
/// (RFC 7888 section 4).
pub const IMAP_SKIPPED_LITERAL_BYTES_MAX: u64 = 1 << 30;
/// Pieces (messages and parts of CATENATE) in one line of an APPEND: each costs a look into the store.
pub const IMAP_CATENATE_PARTS_MAX: usize = 1024;
/// Bytes of a URL that are said again when it is refused.
pub const IMAP_BAD_URL_BYTES_MAX: usize = 1024;
/// Capacity in bytes that an idle session keeps for the next command line.
pub const IMAP_COMMAND_BUFFER_KEPT_BYTES: usize = 1024;
/// Commands not understood, one after the other, before login; with one more BYE. A person at a keyboard gets a few.
pub const IMAP_BAD_COMMANDS_BEFORE_LOGIN_MAX: u32 = 5;
/// Commands not understood, one after the other, after login; with one more BYE. A client that loops is stopped.
pub const IMAP_BAD_COMMANDS_MAX: u32 = 20;
/// Ranges in one sequence set after neighbours were joined: 16 bytes each, and more than a command of single UIDs in
/// five digits can hold.
pub const IMAP_SET_RANGES_MAX: usize = 12 * 1024;
/// How deep search keys may lie inside each other: parsing and evaluation are recursive.
pub const IMAP_SEARCH_DEPTH_MAX: usize = 32;
/// Search keys in one command: each may cost a walk over a body.
pub const IMAP_SEARCH_KEYS_MAX: usize = 1024;
/// Items of one FETCH, patterns of one LIST, fields of one ID, header names of one section, keywords of one STORE.
pub const IMAP_LIST_ITEMS_MAX: usize = 128;
/// Part numbers in one section: deeper than any real message.
pub const IMAP_SECTION_DEPTH_MAX: usize = 64;
/// Bytes of a mailbox name in UTF-8: as many as the store takes.
pub const IMAP_MAILBOX_NAME_BYTES_MAX: usize = super::MAILBOX_NAME_BYTES_MAX;
/// Levels of a new mailbox name, as many as the store takes: each level that is missing becomes a mailbox of its own.
pub const IMAP_MAILBOX_LEVELS_MAX: usize = super::MAILBOX_DEPTH_MAX;
/// Bytes of one keyword.
pub const IMAP_KEYWORD_BYTES_MAX: usize = 128;
/// Characters of the text for people in a response.
pub const IMAP_REPLY_TEXT_CHARACTERS_MAX: usize = 400;

/// Devices with passwords of their own: each login with a wrong password looks at every one (a microsecond each).
pub const DEVICES_MAX: usize = 64;
/// Bytes of the name of a device: a word that people can type.
pub const DEVICE_NAME_BYTES_MAX: usize = 64;
/// Mailboxes that have rights of their own for one device: about 8 bytes each in its row and in every session of it.
pub const DEVICE_MAILBOXES_MAX: usize = 64;

/// Different strings that one SEARCH may look for in texts: one bit of a word each.
pub const SEARCH_NEEDLES_MAX: usize = 64;

/// Searches that one session has kept up to date (RFC 5267): each is looked at with every change.
pub const SEARCH_UPDATES_MAX: usize = 4;
/// Ranges of UIDs in the result of one of them, 8 bytes each.
pub const SEARCH_UPDATES_RANGES_MAX: usize = 8 * 1024;
/// Seconds before a command that takes long says how far it is (RFC 9585). Few take so long.
pub const PROGRESS_FIRST_SECONDS: u64 = 5;
/// Seconds from one such word to the next.
pub const PROGRESS_SECONDS: u64 = 10;
/// Words of one FUZZY string: more is no search by a person, and each costs as much as a string.
pub const FUZZY_STRING_WORDS_MAX: usize = 16;
/// Accents that a word of a text may have and FUZZY still finds it by its letters alone: each more doubles how many messages
/// have to be read in vain. A word that was written with more is found with as many.
pub const FUZZY_ACCENTS_MAX: usize = 2;
/// Words of a header field that FUZZY compares by spelling; all of them count where a word is there as it is.
pub const FUZZY_FIELD_WORDS_MAX: usize = 512;
/// Characters of a word that FUZZY compares by spelling: comparing costs their square.
pub const FUZZY_WORD_CHARS_MAX: usize = 32;

/// Ranges of UIDs that a session saves for `$` (RFC 5182): 8 bytes each. Half of a mailbox of 30,000 picked at random.
pub const SEARCH_SAVED_RANGES_MAX: usize = 16 * 1024;

/// Changed messages that a session takes in at once when it asks for news (about 72 bytes each): however long it has not asked,
/// it needs no more memory.
pub const NEWS_ROWS_MAX: usize = 1024;
/// Messages whose flags one STORE sets in one Op: bounds its journal record and its answer in memory.
pub const STORE_PAGE_MESSAGES: usize = 1000;
/// Bytes of responses that gather before they are sent.
pub const IMAP_OUT_BYTES_MAX: usize = 32 << 10;
/// Capacity in bytes that an idle session keeps for its next answer.
pub const IMAP_OUT_BYTES_KEPT: usize = 512;
/// Messages that are read one after the other, each before it is asked for, while a client fetches one by one. No more than one page
/// of them is there at a time.
pub const FETCH_ONWARD_MESSAGES: u32 = 64;
/// Bytes after which a page of a FETCH ends. With one literal more each, three of them are the memory of a FETCH: one is sent, one
/// comes next, one is read ahead.
pub const FETCH_PAGE_BYTES: usize = 96 << 10;
/// Rows looked at for one page of a FETCH: bounds how long a reader thread is taken. However few are read first, so many of
/// 56 bytes each may lie in its memory.
pub const FETCH_PAGE_ROWS_MAX: usize = 512;
/// Rows read first for a page of a FETCH, then twice as many each time: bodies fill it long before that bound.
pub const FETCH_ROWS_FIRST: usize = 16;
/// The same where nothing but what stands in the rows is told: a hundred of them take less room than one header.
pub const FETCH_LONE_ROWS_FIRST: usize = 128;
/// Messages that FETCH gives `\Seen` at once, before it tells their bodies.
pub const FETCH_SEEN_ROWS_MAX: usize = 64;
/// Bytes of a literal that is read whole into its page; larger ones are streamed.
pub const FETCH_INLINE_BYTES_MAX: u64 = 64 << 10;
/// Bytes read from a body at once.
pub const FETCH_PIECE_BYTES: u64 = 64 << 10;
/// Encoded bytes of a part that BINARY decodes at once: a few milliseconds of a reader thread.
pub const BINARY_PAGE_BYTES: u64 = 1 << 20;
/// Characters of a preview: RFC 8970 section 3.3 says 200.
pub const PREVIEW_CHARACTERS_MAX: usize = 200;
/// First bytes of a message in which a preview is looked for: a header and the style sheet of most HTML fit.
pub const PREVIEW_READ_BYTES: u64 = 64 << 10;
/// Bytes read for previews that are not kept, after which a page of a FETCH ends: some milliseconds of a reader thread.
pub const PREVIEW_PAGE_BYTES: u64 = 1 << 20;
/// Bytes of a header that HEADER.FIELDS and SEARCH HEADER look at. Real headers have a few KiB.
pub const FETCH_HEADER_BYTES_MAX: u64 = 256 << 10;
/// Rows that SELECT looks at for the first unseen message before it leaves UNSEEN out.
pub const IMAP_UNSEEN_ROWS_MAX: usize = 512;
/// Rows of one page of a SEARCH.
pub const SEARCH_PAGE_ROWS: usize = 2048;
/// Bytes of messages read for one page of a SEARCH: a few milliseconds of a reader thread.
pub const SEARCH_PAGE_BYTES: u64 = 1 << 20;
/// Bytes that the keys of one SORT share: with 24 bytes more for each message it is the memory of a SORT, for 100,000
/// messages 26 MiB at most and, with subjects as people write them, about 7.
pub const SORT_KEYS_BYTES_MAX: usize = 24 << 20;
/// Bytes of one message's key, however many messages there are: enough to tell most of them apart.
pub const SORT_KEY_BYTES_MIN: usize = 64;
/// Bytes of one string in a key, however few messages there are.
pub const SORT_STRING_BYTES_MAX: usize = 1024;
/// Rows of one page of a SORT that reads facts: a few milliseconds of a reader thread.
pub const SORT_PAGE_ROWS: usize = 1024;
/// Results that are written before the line is asked whether it is full.
pub const SORT_NUMBERS_AT_ONCE: usize = 2048;
/// Messages that are only named by others and for which one THREAD keeps a place. With about 110 bytes for each of them
/// and of those that are there it is the memory of a THREAD: for 100,000 messages about 11 MiB, and 32 at most. Of further ones
/// nothing is known.
pub const THREAD_ABSENT_MAX: usize = 200_000;
/// Steps up in threads that one THREAD takes to find loops: tens of milliseconds. No real mailbox needs a hundredth.
pub const THREAD_STEPS_MAX: u32 = 10_000_000;
/// Seconds from one answer to the next command after which a session ends that does not wait to be told of news: RFC 9051 section 5.4
/// wants 30 minutes at least.
pub const IMAP_IDLE_SECONDS_MAX: u64 = 30 * 60;
/// Fewest seconds from one keep-alive to the next: no router forgets sooner, and each wakes a phone's radio.
pub const IMAP_KEEPALIVE_SECONDS_MIN: u64 = 60;
/// Most seconds from one keep-alive to the next: what RFC 2177 allows a client that keeps its connection open itself.
pub const IMAP_KEEPALIVE_SECONDS_MAX: u64 = 29 * 60;
/// Seconds from the greeting to a successful login.
pub const IMAP_LOGIN_SECONDS_MAX: u64 = 120;
/// Bytes that the messages of one APPEND wait in memory before those that follow wait on the disk.
pub const APPEND_HELD_BYTES_MAX: usize = 256 << 10;
/// Bytes of memory that the messages of one APPEND may take while they wait, those on the disk a few KiB each: beyond it the command is
/// refused.
pub const APPEND_WAITING_BYTES_MAX: usize = 1 << 20;
/// Seconds without a byte of a message that is being appended.
pub const IMAP_APPEND_SECONDS_MAX: u64 = 5 * 60;
/// Seconds for a client to take what is sent to it, at most [`IMAP_OUT_BYTES_MAX`] or one page.
pub const IMAP_WRITE_SECONDS_MAX: u64 = 2 * 60;

// ---- COMPRESS

/// Sessions that compress at the same time: a window of what the client says and a history of our own text, about 60 KiB each.
/// More than one person's devices; others are told NO and go on without.
pub const IMAP_COMPRESSING_SESSIONS_MAX: usize = 64;
/// Bytes of our own text that what we say next may refer to.
pub const DEFLATE_HISTORY_BYTES: usize = 8 << 10;
/// Bytes of text, what was said before included, below which it is sent as it is: alone it would hardly get smaller.
pub const DEFLATE_TEXT_BYTES_MIN: usize = 128;
/// Bytes of the value of one annotation (METADATA MAXSIZE): RFC 5464 section 4.1 wants 1024 at least, and no literal of a command
/// is larger.
pub const METADATA_VALUE_BYTES_MAX: usize = IMAP_LITERAL_BYTES_MAX as usize;
/// Bytes of the name of an entry: with its mailbox it is the key of a setting.
pub const METADATA_ENTRY_NAME_BYTES_MAX: usize = 256;
/// Annotations of one mailbox, or of the server: RFC 5464 section 4.1 wants 10 at least.
pub const METADATA_ENTRIES_PER_MAILBOX_MAX: usize = 64;
/// Bytes of their names and values together: one answer holds them in memory at once.
pub const METADATA_BYTES_PER_MAILBOX_MAX: usize = 128 << 10;
/// Annotations in all: each change counts them, and a session that watches them remembers what it has told of each.
pub const METADATA_ENTRIES_MAX: usize = 2000;
/// Bytes of their names and values together, on the card.
pub const METADATA_BYTES_MAX: usize = 1 << 20;
/// Mailboxes that a session may watch by NOTIFY: of each it remembers what it has told, about 150 bytes and the name.
pub const NOTIFY_MAILBOXES_MAX: usize = 1000;

//! Bounds of what is asked and told about TLS with other servers: policies, their fetching, reports.

// ---- MTA-STS

/// Bytes of the id in an MTA-STS record (RFC 8461 section 3.1), and of a field's name.
pub const STS_ID_BYTES_MAX: usize = 32;
/// Bytes of a policy file: RFC 8461 section 3.3 suggests 64 KB.
pub const STS_POLICY_BYTES_MAX: usize = 64 << 10;
/// MX patterns in one policy: large providers have five, and a domain may have as many hosts as are tried, several times over.
/// One with more is no policy; each is kept in memory and on the card.
pub const STS_PATTERNS_MAX: usize = 32;
/// Longest life of a policy in seconds (RFC 8461 section 3.2).
pub const STS_AGE_SECONDS_MAX: u64 = 31_557_600;
/// A policy is fetched anew after this time at the latest, in seconds: a week. RFC 8461 section 3.3 suggests a day, of which
/// every one would be a write to the card for each domain.
pub const STS_REFRESH_SECONDS: u64 = 7 * 86_400;
/// A policy is not fetched anew any more when no mail has gone to the domain for this long, in seconds.
pub const STS_UNUSED_SECONDS: u64 = 60 * 86_400;
/// Domains whose policies are kept: far more than a person writes to in two months. Some 400 bytes each, in memory too.
pub const STS_DOMAINS_MAX: usize = 256;
/// Domains for which is remembered in memory what the DNS said of a policy.
pub const STS_LOOKS_MAX: usize = 256;
/// How long that is remembered, in seconds: mail to a busy domain does not ask for each message.
pub const STS_LOOK_SECONDS: u64 = 300;
/// How long a policy that could not be fetched is left alone, in seconds: RFC 8461 section 3.3 asks for five minutes or more.
pub const STS_FETCH_AGAIN_SECONDS: u64 = 600;
/// Policies fetched at once.
pub const STS_FETCHES_MAX: usize = 8;
/// How long mail waits for the policy of its domain to be fetched, in seconds, the wait for a turn and for DNS included.
pub const STS_FETCH_SECONDS_MAX: u64 = 90;
/// How long a policy that could not be fetched anew is left alone while no mail asks for it, in seconds: a day.
pub const STS_REFRESH_AGAIN_SECONDS: u64 = 86_400;
/// How often the relay looks for policies that should be fetched anew, in seconds.
pub const STS_SWEEP_SECONDS: u64 = 3600;
/// How far the wall clock may be behind the latest time that is known before certificates are not judged by it, in seconds.
pub const CLOCK_BEHIND_SECONDS_MAX: u64 = 86_400;

// ---- HTTPS

/// One HTTPS exchange in all, in seconds: RFC 8461 section 3.3 suggests a minute.
pub const HTTPS_SECONDS_MAX: u64 = 60;
/// Wait for one address of a web server, in seconds: a minute in all is to do for several.
pub const HTTPS_CONNECT_SECONDS: u64 = 10;
/// Bytes of the head of an HTTP answer: what servers in the field allow.
pub const HTTPS_HEAD_BYTES_MAX: usize = 16 << 10;
/// Header fields of an HTTP answer.
pub const HTTPS_FIELDS_MAX: usize = 100;
/// Answers of class 1xx before the one that counts (RFC 9110 section 15.2).
pub const HTTPS_INTERIM_MAX: usize = 4;
/// Bytes of one line of a chunked body (RFC 9112 section 7.1): a length and extensions nobody uses.
pub const HTTPS_CHUNK_LINE_BYTES_MAX: usize = 256;

// ---- reports about TLS

/// Places to which the report of one domain goes: records name one or two.
pub const TLSRPT_PLACES_MAX: usize = 4;
/// Policies of one domain in one day: the MTA-STS policy before and after a change, TLSA records of several hosts.
pub const TLSRPT_POLICIES_MAX: usize = 16;
/// Kinds of failure that are told apart under one policy.
pub const TLSRPT_DETAILS_MAX: usize = 16;
/// Bytes of the words about a failure.
pub const TLSRPT_REASON_BYTES_MAX: usize = 200;
/// Bytes of the counts of one day: some 200 domains. It is written to the card whenever it has changed for an hour.
pub const TLSRPT_DAY_BYTES_MAX: usize = 24 << 10;
/// Days whose reports may still be waiting: today, and those before it that are not given up.
pub const TLSRPT_DAYS_MAX: usize = 8;
/// How often the relay looks whether a day is over, in seconds.
pub const TLSRPT_LOOK_SECONDS: u64 = 900;
/// How often changed counts go to the card, in seconds: what a power cut costs.
pub const TLSRPT_SAVE_SECONDS: u64 = 3600;
/// Longest delay after the end of a day, in seconds: RFC 8460 section 4.1 suggests up to four hours, at random.
pub const TLSRPT_DELAY_SECONDS_MAX: u64 = 4 * 3600;
/// A report that could not be sent is given up this long after its day, in seconds (RFC 8460 section 5.5: a day after the
/// first attempt).
pub const TLSRPT_GIVE_UP_SECONDS: u64 = 30 * 3600;

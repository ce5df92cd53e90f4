//! Bounds of what is remembered about routes.

/// How long a refusal of our address is remembered, in seconds: lists and policies change in days.
pub const ROUTES_LEARNED_SECONDS: u64 = 7 * 86_400;
/// The same for what was found by not getting through at all: then one message tries the direct way again.
pub const ROUTES_ALL_SECONDS: u64 = 86_400;
/// How long such a try may take before another message tries too: longer than all connects of a round.
pub const ROUTES_TRIAL_SECONDS: u64 = 600;
/// How long servers that could not be reached are held against the line, in seconds.
pub const ROUTES_UNREACHED_SECONDS: u64 = 6 * 3600;
/// A destination that is unreachable twice, this far apart in seconds, gets its mail through the smarthost.
pub const ROUTES_TWICE_SECONDS: u64 = 240;
/// Domains, and networks of their servers, that are unreachable when the line is to blame.
pub const ROUTES_BLOCKED_DOMAINS: usize = 2;
/// See [`ROUTES_BLOCKED_DOMAINS`].
pub const ROUTES_BLOCKED_NETWORKS: usize = 3;
/// Unreachable networks remembered.
pub const ROUTES_UNREACHED_MAX: usize = 64;
/// Domains and mail servers of which something is remembered; with their reasons they fit a small row of the store.
pub const ROUTES_LEARNED_MAX: usize = 128;
/// Bytes kept of the reason of each.
pub const ROUTES_REASON_BYTES_MAX: usize = 160;
/// Destinations of which it is known how they were written to last.
pub const ROUTES_SEEN_MAX: usize = 256;

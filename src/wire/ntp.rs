//! The time from the network: one question and its answer, as a simple client needs them (SNTP, RFC 4330 section 5; the packet is
//! that of RFC 5905 section 7.3).
//!
//! Not a clock discipline: nothing is filtered or followed over time. An answer counts only when it is to the question asked, which
//! carries 64 random bits where a client of old had its own time (draft-ietf-ntp-data-minimization says why).

use crate::wire::date::Timestamp;

/// Bytes of a question, and of an answer without extensions.
pub const PACKET_BYTES: usize = 48;

/// Leap indicator 0, version 4, mode 3 (client).
const QUESTION_HEAD: u8 = 0b00_100_011;
const MODE_SERVER: u8 = 4;
const LEAP_UNSYNCHRONISED: u8 = 3;
const STRATUM_MAX: u8 = 15;
/// Seconds from 1900, where NTP begins to count, to 1970.
const SECONDS_1900_TO_1970: i64 = 2_208_988_800;
/// Seconds until 32 bits begin anew.
const ERA_SECONDS: i64 = 1 << 32;

/// When a server got the question, and when it answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// By its clock.
    pub received: Timestamp,
    /// By its clock.
    pub answered: Timestamp,
}

/// Why an answer does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Useless {
    /// Too short, or not a server's.
    Malformed,
    /// To another question.
    Foreign,
    /// The server does not know the time itself, or wants to be left alone (stratum 0, RFC 5905 section 7.4).
    Unsynchronised,
}

/// The question. `nonce` is random and new for each.
pub fn encode_question(nonce: u64) -> [u8; PACKET_BYTES] {
    let mut packet = [0; PACKET_BYTES];
    packet[0] = QUESTION_HEAD;
    packet[40..].copy_from_slice(&nonce.to_be_bytes());
    packet
}

/// Reads an answer to the question with that nonce. Its 32 bits of seconds are taken for the first such time that is not before
/// `earliest`, so that the count may begin anew in 2036 (RFC 5905 section 6).
pub fn parse_answer(packet: &[u8], nonce: u64, earliest: Timestamp) -> Result<Times, Useless> {
    let word = |at: usize| -> Option<u64> { Some(u64::from_be_bytes(packet.get(at..at + 8)?.try_into().ok()?)) };
    let (Some(origin), Some(received), Some(answered)) = (word(24), word(32), word(40)) else {
        return Err(Useless::Malformed);
    };
    let (leap, mode, stratum) = (packet[0] >> 6, packet[0] & 7, packet[1]);
    if mode != MODE_SERVER {
        return Err(Useless::Malformed);
    }
    if origin != nonce {
        return Err(Useless::Foreign);
    }
    if leap == LEAP_UNSYNCHRONISED || stratum == 0 || stratum > STRATUM_MAX || received == 0 || answered == 0 {
        return Err(Useless::Unsynchronised);
    }
    Ok(Times { received: not_before(received, earliest), answered: not_before(answered, earliest) })
}

/// How far a clock is behind the server's, in milliseconds, when it showed `asked` and `got` as the question went and the answer came
/// (RFC 5905 section 8). Half of what the way took longer in one direction is in it.
pub fn behind_milliseconds(times: Times, asked: Timestamp, got: Timestamp) -> i64 {
    let there = times.received.0.saturating_sub(asked.0);
    let back = times.answered.0.saturating_sub(got.0);
    there.saturating_add(back) / 2
}

/// The first time with these 32 bits of seconds and 32 of fraction that is not before `earliest`.
fn not_before(stamp: u64, earliest: Timestamp) -> Timestamp {
    let since_1900 = i64::from((stamp >> 32) as u32);
    let millis = i64::from((((stamp & 0xffff_ffff) * 1000) >> 32) as u32);
    let floor = earliest.0.div_euclid(1000);
    let seconds = floor + (since_1900 - SECONDS_1900_TO_1970 - floor).rem_euclid(ERA_SECONDS);
    Timestamp(seconds * 1000 + millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONCE: u64 = 0x0123_4567_89ab_cdef;
    /// 2026-11-21 12:00:00 UTC.
    const NOW: Timestamp = Timestamp(1_795_262_400_000);

    fn stamp(at: Timestamp) -> u64 {
        let seconds = (at.0 / 1000 + SECONDS_1900_TO_1970) as u64 & 0xffff_ffff;
        (seconds << 32) | (((at.0 % 1000) as u64) << 32).div_ceil(1000)
    }

    fn answer(received: Timestamp, answered: Timestamp) -> [u8; PACKET_BYTES] {
        let mut packet = [0; PACKET_BYTES];
        (packet[0], packet[1]) = (0b00_100_100, 2);
        packet[24..32].copy_from_slice(&NONCE.to_be_bytes());
        packet[32..40].copy_from_slice(&stamp(received).to_be_bytes());
        packet[40..48].copy_from_slice(&stamp(answered).to_be_bytes());
        packet
    }

    #[test]
    fn a_question_is_a_clients_and_tells_nothing() {
        let question = encode_question(NONCE);
        assert_eq!((question[0] & 7, (question[0] >> 3) & 7), (3, 4));
        assert!(question[1..40].iter().all(|byte| *byte == 0));
        assert_eq!(question[40..], NONCE.to_be_bytes());
    }

    #[test]
    fn a_clock_that_is_behind_learns_by_how_much() {
        // Asked 1,000 s too early by our clock; 40 ms there, 60 ms back, 20 ms in between.
        let asked = Timestamp(NOW.0 - 1_000_000);
        let times = parse_answer(&answer(Timestamp(NOW.0 + 40), Timestamp(NOW.0 + 60)), NONCE, asked).unwrap();
        let behind = behind_milliseconds(times, asked, Timestamp(asked.0 + 120));
        assert!((behind - 999_990).abs() <= 1, "{behind}");
    }

    #[test]
    fn only_answers_to_the_question_by_those_who_know_count() {
        let good = answer(NOW, NOW);
        assert!(parse_answer(&good, NONCE, NOW).is_ok());
        assert_eq!(parse_answer(&good, NONCE + 1, NOW), Err(Useless::Foreign));
        for length in 0..PACKET_BYTES {
            assert_eq!(parse_answer(&good[..length], NONCE, NOW), Err(Useless::Malformed));
        }
        let with = |at: usize, byte: u8| {
            let mut packet = good;
            packet[at] = byte;
            parse_answer(&packet, NONCE, NOW)
        };
        assert_eq!(with(0, 0b00_100_011), Err(Useless::Malformed), "a client's");
        assert_eq!(with(0, 0b11_100_100), Err(Useless::Unsynchronised));
        assert_eq!(with(1, 0), Err(Useless::Unsynchronised), "kiss of death");
        assert_eq!(with(1, 16), Err(Useless::Unsynchronised));
    }

    #[test]
    fn the_count_that_begins_anew_in_2036_is_understood() {
        let after = Timestamp(2_100_000_000_000);
        let times = parse_answer(&answer(after, after), NONCE, NOW).unwrap();
        assert_eq!(times.received, after);
        let eve = Timestamp(2_085_978_495_000);
        assert_eq!(parse_answer(&answer(eve, eve), NONCE, NOW).unwrap().answered, eve);
    }
}

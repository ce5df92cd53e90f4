//! Names in the home network without a server for them (multicast DNS, RFC 6762): questions for one name, and the answer.
//!
//! Just enough for a machine to be found by its name. No services, no probing: whoever else has the name is not noticed. The name has
//! two labels, `hauspost.local`.

use crate::limits::{MDNS_ADDRESSES_MAX, MDNS_LABELS_MAX, MDNS_QUESTIONS_MAX};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// Where everybody listens (RFC 6762 section 3).
pub const GROUP: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 251);
/// The port of it.
pub const PORT: u16 = 5353;

const TYPE_A: u16 = 1;
const TYPE_AAAA: u16 = 28;
const TYPE_ANY: u16 = 255;
const CLASS_IN: u16 = 1;
const CLASS_ANY: u16 = 255;
/// The top bit of a class: in a question "answer me alone" (section 5.4), in an answer "forget what you knew" (section 10.2).
const CLASS_TOP: u16 = 0x8000;
const FLAGS_ANSWER: u16 = 0x8400;
/// Section 10: names of hosts live for two minutes; section 6.7: ten seconds for those who know nothing of multicast.
const TTL_SECONDS: u32 = 120;
const TTL_LEGACY_SECONDS: u32 = 10;

/// A question for the name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    id: u16,
    v4: bool,
    v6: bool,
    wants_unicast: bool,
    is_legacy: bool,
}

impl Question {
    /// Where the answer goes: to all, or to the one who asked.
    pub fn destination(&self, peer: SocketAddr) -> SocketAddr {
        if self.is_legacy || self.wants_unicast { peer } else { SocketAddr::new(GROUP.into(), PORT) }
    }
}

/// Reads a packet that came from that port; `None` unless it asks for the name's addresses.
pub fn parse_question(packet: &[u8], name: &str, peer_port: u16) -> Option<Question> {
    let head = |at: usize| Some(u16::from_be_bytes([*packet.get(at)?, *packet.get(at + 1)?]));
    // A query of the standard kind; anything else is passed over (section 18).
    if head(2)? & 0xf800 != 0 {
        return None;
    }
    let is_legacy = peer_port != PORT;
    let mut question = Question { id: head(0)?, v4: false, v6: false, wants_unicast: true, is_legacy };
    let mut at = 12;
    for _ in 0..head(4)?.min(MDNS_QUESTIONS_MAX) {
        let (asked, after) = read_name(packet, at)?;
        let (kind, class) = (head(after)?, head(after + 2)?);
        at = after + 4;
        if !asked.eq_ignore_ascii_case(name.as_bytes()) || !matches!(class & !CLASS_TOP, CLASS_IN | CLASS_ANY) {
            continue;
        }
        question.v4 |= matches!(kind, TYPE_A | TYPE_ANY);
        question.v6 |= matches!(kind, TYPE_AAAA | TYPE_ANY);
        question.wants_unicast &= class & CLASS_TOP != 0;
    }
    (question.v4 || question.v6).then_some(question)
}

/// The answer with those of the addresses that were asked for; `None` when there are none.
pub fn encode_answer(question: &Question, name: &str, addresses: &[IpAddr]) -> Option<Vec<u8>> {
    let wanted = |ip: &&IpAddr| if ip.is_ipv4() { question.v4 } else { question.v6 };
    let found: Vec<&IpAddr> = addresses.iter().filter(wanted).take(MDNS_ADDRESSES_MAX).collect();
    if found.is_empty() {
        return None;
    }
    // A resolver that knows nothing of multicast wants its question back (section 6.7).
    let (id, questions) = if question.is_legacy { (question.id, 1) } else { (0, 0) };
    let mut packet = Vec::new();
    for word in [id, FLAGS_ANSWER, questions, found.len() as u16, 0, 0] {
        packet.extend_from_slice(&word.to_be_bytes());
    }
    if question.is_legacy {
        let kind = if question.v4 && question.v6 {
            TYPE_ANY
        } else if question.v4 {
            TYPE_A
        } else {
            TYPE_AAAA
        };
        encode_name(&mut packet, name);
        packet.extend_from_slice(&kind.to_be_bytes());
        packet.extend_from_slice(&CLASS_IN.to_be_bytes());
    }
    let (class, ttl) =
        if question.is_legacy { (CLASS_IN, TTL_LEGACY_SECONDS) } else { (CLASS_IN | CLASS_TOP, TTL_SECONDS) };
    for ip in found {
        let (kind, bytes) = match ip {
            IpAddr::V4(ip) => (TYPE_A, ip.octets().to_vec()),
            IpAddr::V6(ip) => (TYPE_AAAA, ip.octets().to_vec()),
        };
        encode_name(&mut packet, name);
        packet.extend_from_slice(&kind.to_be_bytes());
        packet.extend_from_slice(&class.to_be_bytes());
        packet.extend_from_slice(&ttl.to_be_bytes());
        packet.extend_from_slice(&(bytes.len() as u16).to_be_bytes());
        packet.extend_from_slice(&bytes);
    }
    Some(packet)
}

fn encode_name(packet: &mut Vec<u8>, name: &str) {
    for label in name.split('.') {
        // Labels of a host name have at most 63 letters (RFC 1035 section 2.3.4).
        packet.push(label.len() as u8);
        packet.extend_from_slice(label.as_bytes());
    }
    packet.push(0);
}

/// The name at a place with dots between its labels, and where the packet goes on behind it. Pointers lead backwards only
/// (RFC 1035 section 4.1.4).
fn read_name(packet: &[u8], start: usize) -> Option<(Vec<u8>, usize)> {
    let (mut name, mut at, mut after) = (Vec::new(), start, None);
    for _ in 0..MDNS_LABELS_MAX {
        let length = usize::from(*packet.get(at)?);
        match length {
            0 => return Some((name, after.unwrap_or(at + 1))),
            1..=63 => {
                if !name.is_empty() {
                    name.push(b'.');
                }
                name.extend_from_slice(packet.get(at + 1..at + 1 + length)?);
                at += 1 + length;
            }
            0xc0.. => {
                let target = ((length & 0x3f) << 8) | usize::from(*packet.get(at + 1)?);
                after = after.or(Some(at + 2));
                if target >= at {
                    return None;
                }
                at = target;
            }
            _ => return None,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &str = "hauspost.local";

    fn packet(questions: &[(&str, u16, u16)]) -> Vec<u8> {
        let mut packet = vec![0xab, 0xcd, 0, 0, 0, questions.len() as u8, 0, 0, 0, 0, 0, 0];
        for (name, kind, class) in questions {
            encode_name(&mut packet, name);
            packet.extend_from_slice(&kind.to_be_bytes());
            packet.extend_from_slice(&class.to_be_bytes());
        }
        packet
    }

    fn addresses() -> [IpAddr; 2] {
        ["192.168.1.7".parse().unwrap(), "fd00::7".parse().unwrap()]
    }

    #[test]
    fn a_phone_asks_all_and_all_are_answered() {
        let asked = packet(&[("other.local", 1, 1), ("HausPost.local", 1, 1)]);
        let question = parse_question(&asked, NAME, PORT).unwrap();
        assert_eq!(question.destination("192.168.1.3:5353".parse().unwrap()), "224.0.0.251:5353".parse().unwrap());
        let answer = encode_answer(&question, NAME, &addresses()).unwrap();
        let mut want = vec![0, 0, 0x84, 0, 0, 0, 0, 1, 0, 0, 0, 0];
        encode_name(&mut want, NAME);
        want.extend_from_slice(&[0, 1, 0x80, 1, 0, 0, 0, 120, 0, 4, 192, 168, 1, 7]);
        assert_eq!(answer, want);
    }

    #[test]
    fn a_plain_resolver_gets_its_question_and_id_back() {
        let question = parse_question(&packet(&[(NAME, 28, 1)]), NAME, 40_000).unwrap();
        let peer = "192.168.1.3:40000".parse().unwrap();
        assert_eq!(question.destination(peer), peer);
        let answer = encode_answer(&question, NAME, &addresses()).unwrap();
        assert_eq!(answer[..12], [0xab, 0xcd, 0x84, 0, 0, 1, 0, 1, 0, 0, 0, 0]);
        assert!(answer.ends_with(&[0, 16, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7]));
    }

    #[test]
    fn unicast_is_given_only_when_all_questions_want_it() {
        let peer = "192.168.1.3:5353".parse().unwrap();
        let asked = packet(&[(NAME, 1, 0x8001), (NAME, 28, 0x8001)]);
        assert_eq!(parse_question(&asked, NAME, PORT).unwrap().destination(peer), peer);
        let asked = packet(&[(NAME, 1, 0x8001), (NAME, 28, 1)]);
        assert_ne!(parse_question(&asked, NAME, PORT).unwrap().destination(peer), peer);
    }

    #[test]
    fn what_is_no_question_for_the_name_is_passed_over() {
        assert_eq!(parse_question(&packet(&[("other.local", 255, 1)]), NAME, PORT), None);
        assert_eq!(parse_question(&packet(&[(NAME, 16, 1)]), NAME, PORT), None, "TXT");
        let mut answer = packet(&[(NAME, 1, 1)]);
        answer[2] = 0x84;
        assert_eq!(parse_question(&answer, NAME, PORT), None);
        let question = parse_question(&packet(&[(NAME, 28, 1)]), NAME, PORT).unwrap();
        assert_eq!(encode_answer(&question, NAME, &addresses()[..1]), None);
    }

    #[test]
    fn hostile_bytes_end() {
        let good = packet(&[(NAME, 1, 1)]);
        for length in 0..good.len() {
            assert_eq!(parse_question(&good[..length], NAME, PORT), None);
        }
        // A name that points at itself, and one that points forward.
        for target in [12, 14] {
            let mut loops = packet(&[]);
            loops[5] = 1;
            loops.extend_from_slice(&[0xc0, target, 0, 1, 0, 1]);
            assert_eq!(parse_question(&loops, NAME, PORT), None);
        }
        // The second question points back at the name of the first.
        let mut points = packet(&[(NAME, 16, 1)]);
        points[5] = 2;
        points.extend_from_slice(&[0xc0, 12, 0, 1, 0, 1]);
        assert!(parse_question(&points, NAME, PORT).is_some());
    }
}

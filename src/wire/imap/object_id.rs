//! Object identifiers (RFC 8474): names of mailboxes, messages and threads that outlive moves and renames.
//!
//! Decides how they are written: a letter that says what is named, eight hexadecimal digits of where the number comes from,
//! the number in as few more as it needs. So no two things share one, none begins with a digit, none differs from another
//! by case alone, and a store that is made anew does not repeat those of the one before.

use std::io::Write;

/// `objectid`: 10 to 25 bytes out of letters and digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ObjectId {
    kind: Kind,
    origin: u32,
    number: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Mailbox = b'F' as isize,
    Email = b'M' as isize,
    Thread = b'T' as isize,
}

impl ObjectId {
    /// MAILBOXID: RENAME changes neither of the two.
    pub fn mailbox(uid_validity: u32, number: u32) -> ObjectId {
        ObjectId { kind: Kind::Mailbox, origin: uid_validity, number: number.into() }
    }

    /// EMAILID of a body of a store.
    pub fn email(store: u32, body: u64) -> ObjectId {
        ObjectId { kind: Kind::Email, origin: store, number: body }
    }

    /// THREADID of a thread of a store.
    pub fn thread(store: u32, thread: u64) -> ObjectId {
        ObjectId { kind: Kind::Thread, origin: store, number: thread }
    }

    /// Appends it.
    pub fn push(self, out: &mut Vec<u8>) {
        out.push(self.kind as u8);
        // Writing to a Vec cannot fail.
        let _ = write!(out, "{:08x}{:x}", self.origin, self.number);
    }

    /// Reads one back. `None` for what is none of ours: it names nothing.
    pub fn parse(text: &str) -> Option<ObjectId> {
        let kind = match text.as_bytes().first()? {
            b'F' => Kind::Mailbox,
            b'M' => Kind::Email,
            b'T' => Kind::Thread,
            _ => return None,
        };
        let (origin, number) = text.get(1..)?.split_at_checked(8)?;
        let id = ObjectId {
            kind,
            origin: u32::from_str_radix(origin, 16).ok()?,
            number: u64::from_str_radix(number, 16).ok()?,
        };
        // Case matters (RFC 8474 section 7), and so do signs and zeros that we never write.
        let mut written = Vec::new();
        id.push(&mut written);
        (written == text.as_bytes()).then_some(id)
    }

    /// The body that it names, if it is the EMAILID of one of that store.
    pub fn body_of(self, store: u32) -> Option<u64> {
        (self.kind == Kind::Email && self.origin == store).then_some(self.number)
    }

    /// The thread that it names, if it is the THREADID of one of that store.
    pub fn thread_of(self, store: u32) -> Option<u64> {
        (self.kind == Kind::Thread && self.origin == store).then_some(self.number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(id: ObjectId) -> String {
        let mut out = Vec::new();
        id.push(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn they_are_written_and_read() {
        assert_eq!(written(ObjectId::email(0xab, 0x1f)), "M000000ab1f");
        assert_eq!(written(ObjectId::mailbox(u32::MAX, u32::MAX)), "Fffffffffffffffff");
        for id in [ObjectId::thread(1, 0), ObjectId::email(u32::MAX, u64::MAX), ObjectId::mailbox(7, 1)] {
            assert_eq!(ObjectId::parse(&written(id)), Some(id));
        }
        for text in [
            "",
            "M",
            "M0000000",
            "M00000000",
            "X000000001",
            "m000000001",
            "M0000000001",
            "M0000000A1",
            "M00000001+1",
            "Määäää1",
        ] {
            assert_eq!(ObjectId::parse(text), None, "{text}");
        }
    }

    #[test]
    fn they_name_one_kind_of_one_store() {
        let id = ObjectId::email(7, 3);
        assert_eq!((id.body_of(7), id.body_of(8), id.thread_of(7)), (Some(3), None, None));
    }
}

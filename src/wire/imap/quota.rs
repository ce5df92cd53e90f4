//! Quotas (RFC 9208): the one root that there is, and what is told of it.

use super::out::Out;
use super::response::{push, push_mailbox, push_number, push_string};

/// The root of all mailboxes: they lie on one disk.
pub const QUOTA_ROOT: &str = "disk";
const UNIT_BYTES: u64 = 1024;

/// `* QUOTAROOT mailbox "disk"` (RFC 9208 section 4.2.2).
pub fn quota_root(out: &mut Out, mailbox: &str) {
    push(out, "* QUOTAROOT ");
    push_mailbox(out, mailbox);
    out.push(b' ');
    push_string(out, QUOTA_ROOT.as_bytes());
    push(out, "\r\n");
}

/// `* QUOTA "disk" (STORAGE usage limit)`, in units of 1024 octets (RFC 9208 sections 4.2.1 and 5.1). Where nothing can be taken in
/// the usage is the limit; what is not a whole unit is used, not left.
pub fn quota(out: &mut Out, used_bytes: u64, left_bytes: u64) {
    // Numbers have 63 bits (RFC 9208 section 3.1.2): of 64, in units, that cannot be more.
    let usage = used_bytes.div_ceil(UNIT_BYTES);
    push(out, "* QUOTA ");
    push_string(out, QUOTA_ROOT.as_bytes());
    push(out, " (STORAGE ");
    push_number(out, usage);
    out.push(b' ');
    push_number(out, usage + left_bytes / UNIT_BYTES);
    push(out, ")\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usage_and_limit_in_units() {
        let told = |used, left| {
            let mut out = Out::default();
            quota(&mut out, used, left);
            String::from_utf8(out.take()).unwrap()
        };
        assert_eq!(told(0, 0), "* QUOTA \"disk\" (STORAGE 0 0)\r\n");
        assert_eq!(told(1025, 2047), "* QUOTA \"disk\" (STORAGE 2 3)\r\n");
        assert_eq!(told(1 << 20, 0), "* QUOTA \"disk\" (STORAGE 1024 1024)\r\n");
        assert!(told(u64::MAX, u64::MAX).contains(" (STORAGE 18014398509481984 36028797018963967)"));
    }
}

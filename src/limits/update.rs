//! Bounds of updates and of the test after them.

/// Bytes of a manifest: a dozen files take 1,500.
pub const UPDATE_MANIFEST_BYTES_MAX: usize = 16 << 10;
/// Files of a slot: kernel, initramfs, two command lines, and a description of each board.
pub const UPDATE_FILES_MAX: usize = 32;
/// Bytes of a file's name, all of which FAT and the firmware take.
pub const UPDATE_NAME_BYTES_MAX: usize = 64;
/// Bytes of all files together: the boot partition has room for two slots of this size, the firmware and an update that was
/// laid there.
pub const UPDATE_BYTES_MAX: u64 = 40 << 20;
/// Bytes of a version.
pub const UPDATE_VERSION_BYTES_MAX: usize = 32;
/// Bytes that are read, checked and written at once.
pub const UPDATE_PIECE_BYTES: usize = 64 << 10;
/// Bytes read of a small file of the system: a public key, a time, a name, what became of an update.
pub const BOARD_FILE_BYTES_MAX: u64 = 4 << 10;

/// Seconds for a self-test: below the patience of the command that waits for it.
pub const SELFTEST_SECONDS_MAX: u64 = 100;
/// Seconds for one answer of a service.
pub const SELFTEST_ANSWER_SECONDS_MAX: u64 = 40;
/// Bytes of one answer: the message that is looked for, and what IMAP says of the mailbox.
pub const SELFTEST_ANSWER_BYTES_MAX: usize = 64 << 10;
/// Messages looked at by POP3, from the newest on: others may come in meanwhile.
pub const SELFTEST_MESSAGES_MAX: u32 = 16;

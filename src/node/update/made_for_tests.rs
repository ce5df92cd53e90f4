//! Updates for tests, made as `image/pack-update` makes them.

use ring::digest::{SHA256, digest};
use ring::signature::{Ed25519KeyPair, KeyPair};
use std::fmt::Write;

/// The files of an update, each with its text.
pub const MANIFEST_FILES: [(&str, &str); 4] = [
    ("kernel8.img", "the new kernel"),
    ("initramfs8", "the new system"),
    ("cmdline.txt", "quiet"),
    ("attempt.txt", "quiet hauspost.attempt"),
];

/// One that is right, but for its contents.
pub const MANIFEST: &str = "\
board pi
version 0.2.0
built 200
store-format 2
store-format-min 1
file kernel8.img 10 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
file initramfs8 0 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
file cmdline.txt 1 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
file attempt.txt 1 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
";

/// The manifest of [`MANIFEST_FILES`].
pub fn manifest_of(board: &str, built: u64, store_format: u32) -> String {
    let mut text =
        format!("board {board}\nversion 0.2.0\nbuilt {built}\nstore-format {store_format}\nstore-format-min 1\n");
    for (name, content) in MANIFEST_FILES {
        let hash = digest(&SHA256, content.as_bytes());
        let hash: String = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        let _ = writeln!(text, "file {name} {} {hash}", content.len());
    }
    text
}

/// A key.
pub fn signer(seed: u8) -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap()
}

/// Its public half as `openssl pkey -pubout` writes it.
pub fn public_pem(signer: &Ed25519KeyPair) -> String {
    use base64::prelude::{BASE64_STANDARD, Engine};
    let mut der = vec![0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
    der.extend_from_slice(signer.public_key().as_ref());
    format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", BASE64_STANDARD.encode(der))
}

/// A whole update.
pub fn pack(signer: &Ed25519KeyPair, manifest: &str, contents: &[u8]) -> Vec<u8> {
    let mut update = format!("hauspost-update-1 {:013}\n{manifest}", manifest.len()).into_bytes();
    update.extend_from_slice(signer.sign(manifest.as_bytes()).as_ref());
    update.extend_from_slice(contents);
    update
}

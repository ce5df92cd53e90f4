//! What the store costs: `cargo bench --bench store` prints one table, a line for each figure with its goal and whether it
//! is met; `cargo bench --bench store -- written space` prints only those sections of `written`, `alone`, `space`, `many`,
//! `times`.
//!
//! As root it makes an ext4 of its own in memory and counts what reaches that; otherwise it works below TMPDIR and counts
//! what it hands to the system. Bytes, flushes and memory repeat; times are those of the machine and its disk.

mod alone;
mod card;
mod mail;
mod memory;
mod place;
mod space;
mod table;
mod times;
mod written;

type Section = fn(&place::Place);

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    if memory::is_part(&arguments) {
        return;
    }
    let place = place::Place::new();
    let sections: [(&str, Section); 5] = [
        ("written", written::run),
        ("alone", alone::run),
        ("space", space::run),
        ("many", memory::run),
        ("times", times::run),
    ];
    for (name, run) in sections {
        if arguments.is_empty() || arguments.iter().any(|argument| argument == name) {
            run(&place);
        }
    }
}

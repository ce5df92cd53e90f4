//! The program from outside: started, spoken to, stopped, killed, started again.
//!
//! Every test starts the real binary on free loopback ports with a folder of its own.

mod peer;
mod process;
mod remote;

mod card;
mod end;
mod queue;
mod selftest;
mod serve;
mod status;
mod trial;

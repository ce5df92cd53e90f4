//! `hauspost password`: a new password for the owner of a node that is not running.

use crate::limits::PASSWORD_BYTES_MAX;
use crate::net::Net;
use crate::node::command::Password;
use crate::node::configuration::read_file;
use crate::node::failure::{Exit, Failure};
use crate::node::folder::Folder;
use crate::node::owner;
use crate::node::production::{existing_folder, open_store};
use std::io::{Read, Write};

/// Replaces the password, and prints the new one when it was made up.
pub fn run(arguments: &Password) -> Result<(), Failure> {
    let folder: Folder = existing_folder(&arguments.data)?;
    let settings = read_file(&folder.configuration())?;
    let net = Net::system(None).map_err(|e| Failure::new(Exit::System, format!("the network: {e}")))?;
    let password = if arguments.stdin { read_from_stdin()? } else { owner::generate_password(&net)? };
    owner::check_password(&password)?;
    let login = settings.login()?;
    let store = open_store(&settings, &folder)?;
    let changed = smol::block_on(owner::set_password(&store, &net, &login, &password));
    changed.and(store.close().map_err(|e| owner::in_store(&e)))?;
    let shown = if arguments.stdin { "the one you gave" } else { &password };
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(format!("login     {login}\npassword  {shown}\n").as_bytes()).and_then(|()| out.flush());
    Ok(())
}

/// Reads a password from the first line of stdin.
pub fn read_from_stdin() -> Result<String, Failure> {
    let mut bytes = Vec::new();
    let bytes_max = PASSWORD_BYTES_MAX as u64 + 2;
    std::io::stdin()
        .lock()
        .take(bytes_max)
        .read_to_end(&mut bytes)
        .map_err(|e| Failure::new(Exit::System, format!("cannot read the password from stdin: {e}")))?;
    let text = String::from_utf8(bytes).map_err(|_| Failure::new(Exit::Usage, "the password is not UTF-8"))?;
    Ok(text.lines().next().unwrap_or("").to_string())
}

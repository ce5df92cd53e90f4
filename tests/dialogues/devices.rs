//! The owner's devices in a dialogue.

use super::world::{Outcome, World};
use hauspost::serve::devices::{CollectingWish, Grant, NotDone, add, collect, link, regrant, remove};

impl World {
    /// `add NAME RIGHTS [in MAILBOX ...]`, `add-apop` likewise, `rights NAME RIGHTS [in MAILBOX ...]`,
    /// `pop3 NAME WISH ...` (see [`CollectingWish::from_words`]), `remove NAME`, `link NAME`, which remembers the
    /// path of the link as `link`.
    pub fn change_device(&mut self, words: &[String]) -> Outcome {
        let context = self.context()?;
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        if let ["pop3", name, wish @ ..] = words.as_slice() {
            let wish =
                CollectingWish::from_words(wish).ok_or("device pop3 NAME [mailbox=M delete=D delay=S no-apop]")?;
            let done = self.wait_for(async { collect(&context, name, &wish).await });
            done?.map_err(|why| format!("device pop3: {why:?}"))?;
            return self.settle();
        }
        if let ["link", name] = words.as_slice() {
            let invitation = self.wait_for(async { link(&context, name, None).await })?;
            let url = invitation.map_err(|why| format!("device link: {why:?}"))?.ok_or("there are no pages")?.url;
            let path = url.strip_prefix("https://mail.home.test").ok_or("it leads elsewhere")?;
            self.words.insert("link".to_owned(), path.to_owned());
            return Ok(());
        }
        let (verb, name, rights, mailboxes) = match words.as_slice() {
            ["remove", name] => ("remove", *name, "all", &[][..]),
            [verb @ ("add" | "add-apop" | "rights"), name, rights] => (*verb, *name, *rights, &[][..]),
            [verb @ ("add" | "add-apop" | "rights"), name, rights, "in", mailboxes @ ..] => {
                (*verb, *name, *rights, mailboxes)
            }
            _ => return Err("device add NAME RIGHTS [in MAILBOX ...] | rights NAME ... | remove NAME".to_owned()),
        };
        let grant = Grant::parse(rights).ok_or("the rights are all, read, mail, send, or some with commas")?;
        let mailboxes: Vec<String> = mailboxes.iter().map(|name| (*name).to_owned()).collect();
        let password = format!("{name}-password");
        let done = self.wait_for(async {
            match verb {
                "add" | "add-apop" => add(&context, name, &password, grant, &mailboxes, verb == "add-apop").await,
                "rights" => regrant(&context, name, grant, &mailboxes).await,
                _ => remove(&context, name).await.map_err(NotDone::from),
            }
        });
        done?.map_err(|why| format!("device {verb}: {why:?}"))?;
        self.settle()
    }
}

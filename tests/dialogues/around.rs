//! The world around the node: DNS and other mail servers, as a dialogue tells them to be.

use super::pattern::matches_and_learns;
use super::remote::{Action, Logins, Remote, Rule};
use super::script::unescape;
use super::web::read_attached;
use super::world::{Outcome, World};
use hauspost::mail::tls_policy::Tlsa;
use hauspost::net::twin::Zone;
use hauspost::net::{DnsTrouble, tls};
use hauspost::wire::address::Domain;
use std::net::{IpAddr, Ipv4Addr};

impl World {
    pub fn script_dns(&mut self, words: &[String]) -> Outcome {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        match words.as_slice() {
            [name, "MX", preference, host] => {
                let preference = preference.parse().map_err(|_| "dns NAME MX PREFERENCE HOST")?;
                let host = if *host == "." { "" } else { host };
                self.twin.add_mx(&Domain::new(name), preference, &Domain::new(host));
            }
            [name, "A" | "AAAA", address] => {
                let address = address.parse().map_err(|_| "dns NAME A ADDRESS")?;
                self.twin.add_address(&Domain::new(name), address);
            }
            [name, "TXT", text] => self.twin.add_text(&Domain::new(name), text.as_bytes()),
            [name, "TXT", "only", text] => {
                self.twin.remove_texts(&Domain::new(name));
                self.twin.add_text(&Domain::new(name), text.as_bytes());
            }
            [name, "TXT", "no", "more"] => self.twin.remove_texts(&Domain::new(name)),
            [name, "CNAME", target] => self.twin.add_alias(&Domain::new(name), &Domain::new(target)),
            [name, "TLSA", usage, selector, matching, data @ ..] => {
                let fields = [usage, selector, matching].map(|field| field.parse::<u8>());
                let [Ok(usage), Ok(selector), Ok(matching)] = fields else {
                    return Err("dns HOST TLSA USAGE SELECTOR MATCHING ...".to_owned());
                };
                let record = match data {
                    ["of", "mx", host] => {
                        let certificate = self.remote(host)?.rules.borrow().certificate_pem.clone();
                        tls::tlsa_of(certificate.as_bytes(), usage, selector, matching)?
                    }
                    [hex] => Tlsa { usage, selector, matching, data: read_hex(hex).ok_or("no hex")? },
                    _ => return Err("dns HOST TLSA 3 1 1 HEX | of mx HOST".to_owned()),
                };
                let service = if name.starts_with('_') { name.to_string() } else { format!("_25._tcp.{name}") };
                self.twin.add_tlsa(&Domain::new(&service), record);
            }
            [name, "secure"] => self.twin.set_zone(&Domain::new(name), Zone::Secure),
            [name, "insecure"] => self.twin.set_zone(&Domain::new(name), Zone::Insecure),
            [name, "bogus"] => self.twin.set_zone(&Domain::new(name), Zone::Bogus),
            [name, "nxdomain"] => self.twin.set_trouble(&Domain::new(name), Some(DnsTrouble::NoSuchName)),
            [name, "servfail"] => {
                let trouble = DnsTrouble::Temporary("SERVFAIL".to_owned());
                self.twin.set_trouble(&Domain::new(name), Some(trouble));
            }
            [name, "works"] => self.twin.set_trouble(&Domain::new(name), None),
            _ => {
                let known =
                    "MX N HOST | A ADDRESS | TXT TEXT | CNAME NAME | TLSA N N N DATA | nxdomain | servfail | works";
                return Err(format!("dns NAME {known} | secure | insecure | bogus"));
            }
        }
        Ok(())
    }

    /// The server of that name; it comes into being, up and in DNS, when it is first mentioned.
    fn remote(&mut self, host: &str) -> Result<&mut Remote, String> {
        if !self.remotes.contains_key(host) {
            let known = smol::block_on(self.net.addresses(&Domain::new(host))).unwrap_or_default();
            let address = match known.first() {
                Some(address) => *address,
                None => {
                    let last = u8::try_from(self.remotes.len() + 1).map_err(|_| "too many servers")?;
                    let address = IpAddr::V4(Ipv4Addr::new(198, 51, 100, last));
                    self.twin.add_address(&Domain::new(host), address);
                    address
                }
            };
            let remote = Remote::new(host, address);
            remote.rules.borrow_mut().disk = Some(self.disk.clone());
            self.remotes.insert(host.to_owned(), remote);
            self.bring_up(host)?;
        }
        self.remotes.get_mut(host).ok_or_else(|| "no such server".to_owned())
    }

    fn bring_up(&mut self, host: &str) -> Outcome {
        let remote = self.remotes.get_mut(host).ok_or("no such server")?;
        let listeners = remote.places().map(|place| self.twin.listen(place)).collect();
        remote.serve(&self.executor, listeners);
        Ok(())
    }

    pub fn script_mx(&mut self, words: &[String]) -> Outcome {
        let [host, rest @ ..] = words else { return Err("mx HOST ...".to_owned()) };
        self.remote(host)?;
        let texts: Vec<&str> = rest.iter().map(String::as_str).collect();
        match texts.as_slice() {
            [] | ["up"] => self.bring_up(host),
            ["down"] => self.take_down(host, false),
            ["silent"] => self.take_down(host, true),
            ["tls"] => {
                let tls::SelfSigned { certificate_pem, key_pem } = &self.remote_pem;
                let (certificate_pem, key_pem) = (certificate_pem.clone(), key_pem.clone());
                self.speak_tls(host, tls::SelfSigned { certificate_pem, key_pem })
            }
            ["tls", "own"] => {
                let own = tls::self_signed(std::slice::from_ref(host), self.net.clock())?;
                self.speak_tls(host, own)
            }
            ["offers", keywords @ ..] => {
                let keywords = keywords.iter().map(|word| word.to_string()).collect();
                self.remote(host)?.rules.borrow_mut().offers = keywords;
                Ok(())
            }
            ["knows", password] => {
                self.remote(host)?.rules.borrow_mut().logins = Logins::Know(password.to_string());
                Ok(())
            }
            ["pretends"] => {
                self.remote(host)?.rules.borrow_mut().logins = Logins::Pretend;
                Ok(())
            }
            ["accepts"] => {
                self.remote(host)?.rules.borrow_mut().replies.clear();
                Ok(())
            }
            ["replies" | "drops" | "hangs", verb, more @ ..] => {
                let rule = to_rule(texts[0], verb, more)?;
                self.remote(host)?.rules.borrow_mut().replies.push(rule);
                Ok(())
            }
            ["heard", pattern] if pattern.contains("$(") => {
                self.settle()?;
                let heard = self.remote(host)?.rules.borrow().heard.clone();
                match heard.iter().any(|line| matches_and_learns(pattern, line, &mut self.words)) {
                    true => Ok(()),
                    false => Err(format!("expected: a command like {pattern:?}\n  got:      {heard:#?}")),
                }
            }
            ["called", "never"] => {
                self.settle()?;
                let callers = self.remote(host)?.rules.borrow().callers.clone();
                if callers.is_empty() { Ok(()) } else { Err(format!("expected: nobody\n  got:      {callers:?}")) }
            }
            ["called", count, "times"] => {
                self.settle()?;
                let callers = self.remote(host)?.rules.borrow().callers.len();
                match count.parse() == Ok(callers) {
                    true => Ok(()),
                    false => Err(format!("expected: {count} connections\n  got:      {callers}")),
                }
            }
            ["called", "from", address] => {
                self.settle()?;
                let callers = self.remote(host)?.rules.borrow().callers.clone();
                match callers.last().is_some_and(|caller| caller.to_string() == *address) {
                    true => Ok(()),
                    false => Err(format!("expected: a connection from {address}\n  got:      {callers:?}")),
                }
            }
            ["received" | "heard", ..] => {
                self.settle()?;
                check_remote(self.remote(host)?, &texts)
            }
            _ => Err(
                "up | down | silent | tls | offers | knows | pretends | accepts | replies | drops | hangs | called |\
                      received | heard"
                    .to_owned(),
            ),
        }
    }

    fn speak_tls(&mut self, host: &str, pem: tls::SelfSigned) -> Outcome {
        let config = tls::server_config(pem.certificate_pem.as_bytes(), pem.key_pem.as_bytes(), self.net.clock())?;
        let rules = &mut self.remote(host)?.rules.borrow_mut();
        (rules.tls, rules.certificate_pem) = (Some(config), pem.certificate_pem);
        Ok(())
    }

    fn take_down(&mut self, host: &str, silent: bool) -> Outcome {
        let remote = self.remotes.get_mut(host).ok_or("no such server")?;
        remote.stop();
        for place in remote.places() {
            match silent {
                true => self.twin.swallow(place),
                false => self.twin.refuse(place),
            }
        }
        Ok(())
    }
}

fn read_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |at: usize| text.get(at..at + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok());
    text.len().is_multiple_of(2).then(|| (0..text.len()).step_by(2).map(digit).collect::<Option<Vec<u8>>>())?
}

/// `replies VERB [about TEXT] "450 later" [once]`, `drops VERB ...`, `hangs VERB ...`.
fn to_rule(how: &str, verb: &str, more: &[&str]) -> Result<Rule, String> {
    let (more, once) = match more {
        [more @ .., "once"] => (more, true),
        more => (more, false),
    };
    let (about, more) = match more {
        ["about", text, more @ ..] => (Some(text.to_string()), more),
        more => (None, more),
    };
    let action = match (how, more) {
        ("replies", [text]) => Action::Reply(text.to_string()),
        ("drops", []) => Action::Drop,
        ("hangs", []) => Action::Hang,
        _ => return Err("mx HOST replies VERB [about TEXT] \"450 later\" [once]".to_owned()),
    };
    Ok(Rule { verb: verb.to_owned(), about, action, once })
}

fn check_remote(remote: &Remote, words: &[&str]) -> Outcome {
    let rules = remote.rules.borrow();
    let received = &rules.received;
    let shown = || -> String {
        let message = |mail: &super::remote::Received| {
            format!("from <{}> to {:?} tls={}\n{}", mail.from, mail.to, mail.tls, String::from_utf8_lossy(&mail.bytes))
        };
        received.iter().map(message).collect::<Vec<_>>().join("\n---\n")
    };
    let fits = match words {
        ["received", "nothing"] => received.is_empty(),
        ["received", count, "messages" | "message"] => {
            received.len() == count.parse::<usize>().map_err(|_| "received N messages")?
        }
        ["received", count, "messages" | "message", "or", "more"] => {
            received.len() >= count.parse::<usize>().map_err(|_| "received N messages or more")?
        }
        ["received", "from", from, "to", to @ ..] => {
            received.iter().any(|mail| mail.from == from.trim_matches(['<', '>']) && mail.to == *to)
        }
        ["received", "by", "tls"] => received.last().is_some_and(|mail| mail.tls),
        ["received", "in", "plain"] => received.last().is_some_and(|mail| !mail.tls),
        ["received", "lacks", text] => {
            let text = unescape(text)?;
            !received.iter().any(|mail| mail.bytes.windows(text.len().max(1)).any(|window| window == text))
        }
        ["received", "attached", text] => {
            let text = unescape(text)?;
            let attached = received.iter().filter_map(|mail| read_attached(&mail.bytes)).map(String::into_bytes);
            attached.into_iter().any(|attached| attached.windows(text.len().max(1)).any(|window| window == text))
        }
        ["received", text] => {
            let text = unescape(text)?;
            received.iter().any(|mail| mail.bytes.windows(text.len().max(1)).any(|window| window == text))
        }
        ["heard", text] => {
            return match rules.heard.iter().any(|line| line.contains(text)) {
                true => Ok(()),
                false => Err(format!("expected: a command with {text:?}\n  got:      {:#?}", rules.heard)),
            };
        }
        _ => {
            return Err(
                "received nothing | N messages | TEXT | lacks TEXT | from A to B ... | by tls | in plain; heard TEXT"
                    .to_owned(),
            );
        }
    };
    match fits {
        true => Ok(()),
        false => Err(format!("expected: {}\n  got:      {}", words.join(" "), shown())),
    }
}

//! What is asked for, and by which answer it is met.
//!
//! Receives requests; hands on answers. What is secret in a path stands in no log.

use super::links::{Look, Offer, Opening};
use super::page::{notice, set_up};
use super::words::Language;
use crate::limits::WEB_WRONG_LINKS_SECONDS;
use crate::mail::setup::Account;
use crate::mail::setup::apple::{self, Profile};
use crate::mail::setup::autoconfig;
use crate::mail::setup::autodiscover::{self, Refusal};
use crate::serve::{Context, Site, device_login, devices};
use crate::wire::address::Domain;
use crate::wire::date::Timestamp;
use crate::wire::http::Status;
use crate::wire::http::answer::Answer;
use crate::wire::http::request::{Method, Request, choose_language};
use std::net::IpAddr;
use std::time::Duration;
use zeroize::Zeroizing;

/// What a path leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Route<'a> {
    /// `/d/SECRET`
    Link(&'a str),
    /// `/p/SECRET`
    Page(&'a str),
    /// `/p/SECRET/hauspost.mobileconfig`
    Profile(&'a str),
    /// `/p/SECRET/hauspost-ca.crt`
    Authority(&'a str),
    /// Where Outlook posts, in any case.
    Autodiscover,
    /// Where Mozilla's autoconfig looks, at `autoconfig.DOMAIN` and at the domain itself.
    Autoconfig,
    Nothing,
}

impl<'a> Route<'a> {
    fn of(path: &'a str) -> Route<'a> {
        if let Some(secret) = path.strip_prefix("/d/") {
            return Route::Link(secret);
        }
        if path == "/mail/config-v1.1.xml" || path == "/.well-known/autoconfig/mail/config-v1.1.xml" {
            return Route::Autoconfig;
        }
        if path.eq_ignore_ascii_case("/autodiscover/autodiscover.xml") {
            return Route::Autodiscover;
        }
        match path.strip_prefix("/p/").map(|rest| rest.split_once('/').unwrap_or((rest, ""))) {
            Some((secret, "")) => Route::Page(secret),
            Some((secret, "hauspost.mobileconfig")) => Route::Profile(secret),
            Some((secret, "hauspost-ca.crt")) => Route::Authority(secret),
            _ => Route::Nothing,
        }
    }

    /// How the log calls it.
    fn name(self) -> &'static str {
        match self {
            Route::Link(_) => "link",
            Route::Page(_) => "page",
            Route::Authority(_) => "authority",
            Route::Profile(_) => "profile",
            Route::Autoconfig => "autoconfig",
            Route::Autodiscover => "autodiscover",
            Route::Nothing => "nothing",
        }
    }
}

/// Answers a request of `peer`.
pub async fn answer(context: &Context, peer: IpAddr, request: &Request) -> Answer {
    let route = Route::of(&request.path);
    let answer = answer_route(context, peer, request, route).await;
    let (code, _) = answer.status.line();
    log::debug!("event=web peer={peer} asked={} status={code}", route.name());
    answer
}

async fn answer_route(context: &Context, peer: IpAddr, request: &Request, route: Route<'_>) -> Answer {
    let (site, language) = (context.site(), language(request));
    let words = language.words();
    // RFC 9110 section 7.4: whoever means another host is not answered as if they meant this one.
    if !request.host.as_deref().is_none_or(|host| is_ours(&site, host)) {
        return notice(Status::MisdirectedRequest, language, words.elsewhere);
    }
    let (asks, allowed) = match route {
        Route::Autodiscover => (request.method == Method::Post, "POST"),
        _ => (request.method != Method::Post, "GET, HEAD"),
    };
    if !asks {
        return Answer::plain(Status::MethodNotAllowed).with("Allow", allowed);
    }
    match route {
        Route::Link(secret) => open(context, peer, secret, request.method == Method::Head, language).await,
        Route::Page(secret) => match look(context, peer, secret, language) {
            Ok((offer, stays)) => {
                // Worth its place: nobody who only connects turns out whoever sets a phone up.
                context.seat.keep();
                set_up(&site, &offer, request.path.trim_end_matches('/'), stays, language)
            }
            Err(answer) => *answer,
        },
        Route::Authority(secret) => match look(context, peer, secret, language) {
            Ok((Offer { authority: Some(authority), .. }, _)) => {
                Answer::new(Status::Ok, "application/x-x509-ca-cert", authority.to_vec())
                    .with("Content-Disposition", "attachment; filename=\"hauspost-ca.crt\"")
            }
            Ok(_) => notice(Status::NotFound, language, words.nothing),
            Err(answer) => *answer,
        },
        Route::Profile(secret) => match look(context, peer, secret, language) {
            Ok((offer, _)) => profile(&site, &offer, language),
            Err(answer) => *answer,
        },
        Route::Autodiscover => {
            let text = settings_for_outlook(&site, &request.content, context.net.clock().now());
            Answer::new(Status::Ok, autodiscover::MEDIA_TYPE, text.into_bytes())
        }
        Route::Autoconfig => match autoconfig::encode(domain_of(&site, request), &site.entrances.servers(), None) {
            Some(text) => Answer::new(Status::Ok, autoconfig::MEDIA_TYPE, text.into_bytes()),
            None => notice(Status::NotFound, language, words.nothing),
        },
        Route::Nothing => notice(Status::NotFound, language, words.nothing),
    }
}

/// The profile for Apple's devices, with the password of the device, so that it asks for nothing. It uses the login of the device: nobody types
/// that, and it tells the log which device it is.
fn profile(site: &Site, offer: &Offer, language: Language) -> Answer {
    let nothing = || notice(Status::NotFound, language, language.words().nothing);
    let Some(address) = site.addresses.first() else { return nothing() };
    let account = Account {
        address: address.clone(),
        login: device_login(&site.login, &offer.device),
        name: String::new(),
        servers: site.entrances.servers(),
    };
    let authorities: Vec<Vec<u8>> = offer.authority.iter().map(|authority| authority.to_vec()).collect();
    let profile = Profile {
        hostname: &site.hostname,
        device: &offer.device,
        account: &account,
        password: offer.password.as_deref().map(String::as_str),
        authorities: &authorities,
        language: match language {
            Language::English => apple::Language::English,
            Language::German => apple::Language::German,
        },
    };
    let Some(text) = profile.encode().map(Zeroizing::new) else { return nothing() };
    // Without a signature it is shown as unsigned, and works as well.
    let signed = site.tls.as_ref().and_then(|tls| tls.sign(text.as_bytes(), offer.authority.as_slice()));
    Answer::new(Status::Ok, apple::MEDIA_TYPE, signed.unwrap_or_else(|| text.as_bytes().to_vec()))
}

/// What Outlook is told. The address that it asks for is its login, whether there is one: the answer tells nobody which there are.
fn settings_for_outlook(site: &Site, request: &[u8], now: Timestamp) -> String {
    let refused = |refusal| autodiscover::encode_refusal(refusal, &site.hostname, now);
    let account = match autodiscover::parse(request) {
        Ok(address) => {
            let (login, servers) = (address.to_string(), site.entrances.servers());
            Account { address, login, name: String::new(), servers }
        }
        Err(refusal) => return refused(refusal),
    };
    autodiscover::encode(&account).unwrap_or_else(|| refused(Refusal::OtherSchema))
}

/// Which of our domains a program wants the settings of: the one that is in the name it has come to, else the main one. The address that it
/// may name too is not looked at: the answer is the same for all, so that nobody finds out by it which there are.
fn domain_of<'a>(site: &'a Site, request: &Request) -> &'a Domain {
    let host = request.host.as_deref().unwrap_or_default();
    let bare = host.strip_prefix("autoconfig.").unwrap_or(host);
    let named = site.domains.iter().find(|domain| domain.as_str().eq_ignore_ascii_case(bare));
    named.or(site.domains.first()).unwrap_or(&site.hostname)
}

/// Opens a link. A device that has no password to show gets a new one now, before anything is said.
async fn open(context: &Context, peer: IpAddr, link: &str, only_head: bool, language: Language) -> Answer {
    let (now, words) = (context.net.clock().steady(), language.words());
    let (secret, device, is_ready) = match context.links.open(link, peer, now, only_head) {
        Opening::Page { secret, device, is_ready } => (secret, device, is_ready),
        Opening::Used => return notice(Status::Gone, language, words.used),
        Opening::Wrong => return notice(Status::NotFound, language, words.nothing),
        Opening::TooMany => return too_many(language),
    };
    if only_head {
        // Where it leads to is for whoever opens it.
        return Answer::new(Status::Ok, "text/html; charset=utf-8", Vec::new());
    }
    if !is_ready {
        let password = devices::renew(context, &device).await.map_err(|why| {
            log::error!("event=device-password-not-renewed name={device:?} reason={why:?}");
        });
        let password = password.ok();
        let is_renewed = password.is_some();
        context.links.fulfil(&secret, password, now);
        if !is_renewed {
            return notice(Status::ServiceUnavailable, language, words.trouble).with("Retry-After", "10");
        }
    }
    log::info!("event=link-opened device={device:?} peer={peer}");
    Answer::new(Status::SeeOther, "text/plain; charset=utf-8", Vec::new()).with("Location", format!("/p/{secret}"))
}

fn look(context: &Context, peer: IpAddr, secret: &str, language: Language) -> Result<(Offer, Duration), Box<Answer>> {
    match context.links.look(secret, peer, context.net.clock().steady()) {
        Look::Offer { offer, stays } => Ok((*offer, stays)),
        Look::Wrong => Err(Box::new(notice(Status::NotFound, language, language.words().nothing))),
        Look::TooMany => Err(Box::new(too_many(language))),
    }
}

fn too_many(language: Language) -> Answer {
    let answer = notice(Status::TooManyRequests, language, language.words().too_many);
    answer.with("Retry-After", WEB_WRONG_LINKS_SECONDS.to_string())
}

/// The one that was chosen on the page, or what the browser prefers.
fn language(request: &Request) -> Language {
    let chosen = Language::ALL.into_iter().find(|language| request.query == format!("lang={}", language.tag()));
    let preferred = || {
        let at = choose_language(&request.languages, &Language::ALL.map(Language::tag));
        Language::ALL.into_iter().nth(at)
    };
    chosen.or_else(preferred).unwrap_or(Language::English)
}

/// Names of ours, those that mail programs make of them, and addresses, by which a phone at home may come.
fn is_ours(site: &Site, host: &str) -> bool {
    let is_name = |name: &str| host == name.to_ascii_lowercase();
    let labelled = ["autoconfig.", "autodiscover.", ""].iter().find_map(|label| host.strip_prefix(label));
    host.parse::<IpAddr>().is_ok()
        || host == "localhost"
        || is_name(&site.entrances.host)
        || is_name(site.hostname.as_str())
        || labelled.is_some_and(|rest| site.domains.iter().any(|domain| rest == domain.as_str().to_ascii_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lead_somewhere_or_nowhere() {
        for (path, route) in [
            ("/d/abc", Route::Link("abc")),
            ("/d/", Route::Link("")),
            ("/p/abc", Route::Page("abc")),
            ("/p/abc/", Route::Page("abc")),
            ("/p/abc/hauspost-ca.crt", Route::Authority("abc")),
            ("/p/abc/hauspost.mobileconfig", Route::Profile("abc")),
            ("/Autodiscover/AutoDiscover.xml", Route::Autodiscover),
            ("/p/abc/x", Route::Nothing),
            ("/p/abc/../x", Route::Nothing),
            ("/mail/config-v1.1.xml", Route::Autoconfig),
            ("/.well-known/autoconfig/mail/config-v1.1.xml", Route::Autoconfig),
            ("/", Route::Nothing),
            ("/D/abc", Route::Nothing),
            ("//d/abc", Route::Nothing),
        ] {
            assert_eq!(Route::of(path), route, "{path}");
        }
    }
}

//! The pages as HTML.
//!
//! Receives what they show; hands on answers. No picture, no cookie: a style and a script that are allowed by their hashes are all that a
//! browser takes beside the text. Nothing needs the script: it shows the buttons that copy.

use super::html::Html;
use super::links::Offer;
use super::words::Language;
use crate::mail::setup::{Security, Server};
use crate::serve::Site;
use crate::serve::certificates::fingerprint;
use crate::wire::http::Status;
use crate::wire::http::answer::Answer;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{SHA256, digest};
use std::time::Duration;

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("copy.js");
const MEDIA_TYPE: &str = "text/html; charset=utf-8";
/// Bytes of a fingerprint in one line on a narrow screen.
const FINGERPRINT_BYTES_PER_LINE: usize = 8;

/// Begins a document; `switches`: it offers the other languages.
fn begin(language: Language, title: &str, switches: bool) -> Html {
    let mut html = Html::new();
    html.element("<!doctype html>\n<html lang=\"", language.tag(), "\">\n<head><meta charset=\"utf-8\">");
    html.raw("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">");
    html.element("<title>", title, "</title>\n<style>")
        .raw(STYLE)
        .raw("</style></head>\n<body>\n<header><b>Hauspost</b>");
    if switches {
        for other in Language::ALL.into_iter().filter(|other| *other != language) {
            html.element("<a href=\"?lang=", other.tag(), "\" lang=\"").text(other.tag());
            html.element("\">", other.name(), "</a>");
        }
    }
    html.raw("</header>\n<main>\n").element("<h1>", title, "</h1>\n");
    html
}

fn answer(status: Status, language: Language, html: Html) -> Answer {
    let mut answer = Answer::new(status, MEDIA_TYPE, html.finish());
    answer = answer.with("Content-Language", language.tag()).with("Vary", "Accept-Language");
    answer.style_hash = Some(hash(STYLE));
    answer
}

fn hash(text: &str) -> String {
    STANDARD.encode(digest(&SHA256, text.as_bytes()))
}

/// A page that says that there is nothing to see.
pub fn notice(status: Status, language: Language, [title, text]: [&str; 2]) -> Answer {
    let mut html = begin(language, title, false);
    html.element("<p>", text, "</p>\n</main>\n</body>\n</html>\n");
    answer(status, language, html)
}

/// The page that sets a device up. `path`: where it is, without a query; `stays`: how long.
pub fn set_up(site: &Site, offer: &Offer, path: &str, stays: Duration, language: Language) -> Answer {
    let words = language.words();
    let mut html = begin(language, &words.set_up.replace("{}", &offer.device), true);
    let minutes = stays.as_secs() / 60;
    let closes = if minutes == 0 { words.closes_now } else { words.closes };
    html.element("<p>", &words.your_mail.replace("{}", &site.login), "</p>\n");
    html.element("<p class=\"quiet\">", &closes.replace("{}", &minutes.to_string()), "</p>\n");
    if site.entrances.servers().make_an_account() {
        html.element("<section><h2>", words.apple, "</h2><a class=\"button\" href=\"").text(path);
        html.element("/hauspost.mobileconfig\">", words.apple_load, "</a>");
        steps(&mut html, &words.apple_steps);
        html.raw("</section>\n");
    }
    android(&mut html, offer, path, language);
    settings(&mut html, site, offer, language);
    if let Some(authority) = &offer.authority {
        html.element("<section><h2>", words.certificate, "</h2>");
        html.element("<p class=\"quiet\">", words.compare, "</p><code class=\"print\">");
        html.text(&in_lines(&fingerprint(digest(&SHA256, authority).as_ref()))).raw("</code></section>\n");
    }
    html.element("</main>\n<footer><p>", &words.lost.replace("{}", &offer.device), "</p></footer>\n<script>");
    html.raw(SCRIPT).raw("</script>\n</body>\n</html>\n");
    let mut answer = answer(Status::Ok, language, html);
    answer.script_hash = Some(hash(SCRIPT));
    answer
}

fn android(html: &mut Html, offer: &Offer, path: &str, language: Language) {
    let words = language.words();
    html.element("<section><h2>", words.android, "</h2>");
    if offer.authority.is_some() {
        html.element("<p class=\"quiet\">", words.android_why, "</p><a class=\"button second\" href=\"");
        html.text(path).element("/hauspost-ca.crt\" download>", words.android_load, "</a>");
        steps(html, &words.android_steps);
    } else {
        html.element("<p>", words.android_known, "</p>");
    }
    html.raw("</section>\n");
}

fn steps(html: &mut Html, steps: &[&str]) {
    html.raw("<ol>");
    for step in steps {
        html.element("<li>", step, "</li>");
    }
    html.raw("</ol>");
}

/// A button that copies what stands before it. Where no script runs it is not shown: a field lets itself be selected as a whole.
fn copy_button(html: &mut Html, language: Language) {
    let words = language.words();
    html.element("<button type=\"button\" hidden data-done=\"", words.copied, "\">").text(words.copy).raw("</button>");
}

fn settings(html: &mut Html, site: &Site, offer: &Offer, language: Language) {
    let words = language.words();
    html.element("<section><h2>", words.settings, "</h2>");
    html.element("<p class=\"quiet\">", words.settings_why, "</p>");
    let password = offer.password.as_deref().map_or("", String::as_str);
    for (label, name, value) in [(words.user, "user", site.login.as_str()), (words.password, "password", password)] {
        html.element("<label>", label, "<span><input readonly autocomplete=\"off\" spellcheck=\"false\" name=\"");
        html.text(name).element("\" value=\"", value, "\">");
        copy_button(html, language);
        html.raw("</span></label>");
    }
    let servers = site.entrances.servers();
    service(html, servers.imap.as_ref(), language, words.incoming);
    service(html, servers.submission.as_ref(), language, words.outgoing);
    service(html, servers.pop3.as_ref(), language, words.old);
    html.raw("</section>\n");
}

fn service(html: &mut Html, server: Option<&Server>, language: Language, title: &str) {
    let (words, Some(server)) = (language.words(), server) else { return };
    let security = match server.security {
        Security::Implicit => "SSL/TLS",
        Security::StartTls => "STARTTLS",
    };
    html.element("<h3>", title, "</h3><dl>");
    for (label, value) in [(words.server, server.host.as_str()), (words.port, &server.port.to_string())] {
        html.element("<dt>", label, "</dt><dd><code>").text(value).raw("</code>");
        copy_button(html, language);
        html.raw("</dd>");
    }
    html.element("<dt>", words.security, "</dt><dd>").text(security).raw("</dd></dl>");
}

/// `AA:BB:...` in lines that people can compare.
fn in_lines(fingerprint: &str) -> String {
    let bytes: Vec<&str> = fingerprint.split(':').collect();
    bytes.chunks(FINGERPRINT_BYTES_PER_LINE).map(|line| line.join(":")).collect::<Vec<_>>().join("\n")
}

//! What the server says to people, in each language (RFC 6856 section 3).
//!
//! Every text stands here with its translation beside it, so that none can lack one. Response codes (RFC 2449 section 8) are for
//! programs and the same in all languages.

use crate::wire::imap::Language;

/// A text. `{}` stands for what is filled in, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Text {
    /// The response code with its brackets, or nothing.
    code: &'static str,
    /// US-ASCII: what is said until a client asks for another language.
    english: &'static str,
    german: &'static str,
}

impl Text {
    /// Appends a reply: `sign`, the code, the text with these in it, CRLF.
    pub fn write(&self, sign: &str, language: Language, filled: &[&str], out: &mut Vec<u8>) {
        out.extend_from_slice(sign.as_bytes());
        out.push(b' ');
        if !self.code.is_empty() {
            out.extend_from_slice(self.code.as_bytes());
            out.push(b' ');
        }
        let text = if language == Language::German { self.german } else { self.english };
        let mut filled = filled.iter();
        for (at, piece) in text.split("{}").enumerate() {
            if at > 0 {
                out.extend_from_slice(filled.next().map_or(&b""[..], |one| one.as_bytes()));
            }
            out.extend_from_slice(piece.as_bytes());
        }
        out.extend_from_slice(b"\r\n");
    }
}

macro_rules! texts {
    ($($name:ident = $code:literal $english:literal / $german:literal;)*) => {
        $(pub const $name: Text = Text { code: $code, english: $english, german: $german };)*
        #[cfg(test)]
        const ALL: &[Text] = &[$($name),*];
    };
}

texts! {
    READY = "" "{} POP3 server ready{}" / "{} POP3-Server bereit{}";
    GOOD_BYE = "" "good bye" / "auf Wiedersehen";
    DELETED_GOOD_BYE = "" "deleted, good bye" / "gelöscht, auf Wiedersehen";
    NOT_DELETED = "[SYS/TEMP]" "nothing was deleted, try again later" / "nichts wurde gelöscht, bitte später noch einmal";
    INTERNAL_ERROR = "[SYS/TEMP]" "internal error" / "interner Fehler";
    UNKNOWN_COMMAND = "" "unknown command" / "unbekannter Befehl";
    LINE_TOO_LONG = "" "line too long" / "Zeile zu lang";
    LOG_IN_FIRST = "" "log in first" / "zuerst anmelden";
    LOGGED_IN = "" "you have logged in already" / "bereits angemeldet";

    CAPABILITIES = "" "capability list follows" / "es folgen die Fähigkeiten";
    MECHANISMS = "" "mechanisms follow" / "es folgen die Verfahren";
    LANGUAGES = "" "languages follow" / "es folgen die Sprachen";
    LANGUAGE_CHANGED = "" "{} this is English" / "{} ab hier auf Deutsch";
    NO_SUCH_LANGUAGE = "" "no such language" / "diese Sprache gibt es nicht";
    UTF8_ON = "" "messages come in UTF-8" / "Nachrichten kommen in UTF-8";
    NO_ARGUMENTS = "" "this command takes no arguments" / "dieser Befehl hat keine Argumente";
    NOT_UTF8 = "" "this is not UTF-8" / "das ist nicht UTF-8";
    BEGIN_TLS = "" "begin TLS now" / "jetzt TLS beginnen";
    NO_TLS = "" "TLS cannot be begun here" / "TLS kann hier nicht begonnen werden";
    TLS_BEFORE_UTF8 = "" "STLS comes before UTF8" / "STLS kommt vor UTF8";
    USE_TLS = "[AUTH]" "use TLS before you log in" / "vor der Anmeldung TLS benutzen";

    SEND_PASS = "" "send PASS" / "jetzt PASS";
    SEND_USER = "" "send USER first" / "zuerst USER";
    NO_APOP = "" "APOP is not offered here" / "APOP gibt es hier nicht";
    APOP_FORM = "" "APOP is a name and a digest of 32 hexadecimal digits" / "APOP ist ein Name und eine Prüfsumme aus 32 Hexadezimalziffern";
    NO_MECHANISM = "" "no such mechanism" / "dieses Verfahren gibt es nicht";
    CANCELLED = "" "cancelled" / "abgebrochen";
    NOT_BASE64 = "" "not base64" / "kein base64";
    MALFORMED = "" "not a message of this mechanism" / "keine Nachricht dieses Verfahrens";
    OTHER_IDENTITY = "[AUTH]" "you can only be yourself" / "Sie können nur Sie selbst sein";
    NOT_AGREED = "[AUTH]" "bound to another connection, or in a way not known here" / "an eine andere Verbindung gebunden oder auf hier unbekannte Weise";
    WRONG = "[AUTH]" "wrong login or password" / "Name oder Passwort falsch";
    NOT_ALLOWED = "[AUTH]" "this device may not read mail" / "dieses Gerät darf keine Mail lesen";
    UNAVAILABLE = "[SYS/TEMP]" "try again later" / "bitte später noch einmal";
    TOO_MANY = "[SYS/TEMP]" "too many failed logins, try again later" / "zu viele falsche Anmeldungen, bitte später noch einmal";
    IN_USE = "[IN-USE]" "this device has another session that is at work" / "dieses Gerät hat eine andere Sitzung, die arbeitet";
    TOO_SOON = "[LOGIN-DELAY]" "this device has logged in a moment ago, wait {} seconds" / "dieses Gerät hat sich eben erst angemeldet, {} Sekunden warten";
    NO_MAILBOX = "[SYS/PERM]" "the mailbox of this device is gone" / "den Ordner dieses Geräts gibt es nicht mehr";

    MAILDROP = "" "maildrop has {} messages ({} octets)" / "das Postfach hat {} Nachrichten ({} Oktette)";
    LISTING = "" "{} messages ({} octets)" / "{} Nachrichten ({} Oktette)";
    OCTETS = "" "{} octets" / "{} Oktette";
    TOP_FOLLOWS = "" "top of message follows" / "es folgt der Anfang der Nachricht";
    DELETED = "" "deleted" / "gelöscht";
    NOTHING_DONE = "" "nothing done" / "nichts getan";
    ONE_MESSAGE = "" "one message at a time" / "eine Nachricht auf einmal";
    WHICH_MESSAGE = "" "say which message" / "welche Nachricht?";
    HOW_MANY_LINES = "" "say how many lines" / "wie viele Zeilen?";
    NOT_A_NUMBER = "" "not a message number" / "keine Nachrichtennummer";
    NO_SUCH_MESSAGE = "" "no such message" / "diese Nachricht gibt es nicht";
    IS_DELETED = "" "this message is deleted" / "diese Nachricht ist gelöscht";
    MAY_NOT_DELETE = "[SYS/PERM]" "this login may not delete messages" / "diese Anmeldung darf keine Nachrichten löschen";
    GONE = "" "this message is gone: somebody else has deleted or moved it" / "diese Nachricht ist weg: anderswo gelöscht oder verschoben";
    UNREADABLE = "[SYS/TEMP]" "this message cannot be read now" / "diese Nachricht ist gerade nicht lesbar";
    NEEDS_UTF8 = "[UTF8]" "this message needs UTF8 mode" / "diese Nachricht braucht den Modus UTF8";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_fit_each_other() {
        for text in ALL {
            let holes = |text: &str| text.matches("{}").count();
            assert_eq!(holes(text.english), holes(text.german), "{text:?}");
            assert!(text.english.is_ascii() && text.english != text.german && !text.german.is_empty(), "{text:?}");
            // RFC 2449 section 4: a response line has 512 octets; names and numbers come in.
            assert!(text.code.len() + text.german.len().max(text.english.len()) < 200, "{text:?}");
        }
    }

    #[test]
    fn what_is_filled_in_stands_where_it_belongs() {
        let mut out = Vec::new();
        MAILDROP.write("+OK", Language::German, &["2", "40"], &mut out);
        TOO_SOON.write("-ERR", Language::Default, &["7"], &mut out);
        let said = "+OK das Postfach hat 2 Nachrichten (40 Oktette)\r\n\
                    -ERR [LOGIN-DELAY] this device has logged in a moment ago, wait 7 seconds\r\n";
        assert_eq!(String::from_utf8_lossy(&out), said);
    }
}

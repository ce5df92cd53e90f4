//! The German texts, by the English ones they stand for.

use std::borrow::Cow;

/// Sorted by the English text.
#[rustfmt::skip]
const TEXTS: &[(&str, &str)] = &[
    ("A capability is missing", "Eine Fähigkeit fehlt"),
    ("A closing parenthesis is missing", "Eine schließende Klammer fehlt"),
    ("A command begins with a tag", "Ein Befehl beginnt mit einer Marke"),
    ("A date is not valid", "Ein Datum ist nicht gültig"),
    ("A fetch item is missing", "Eine Angabe von FETCH fehlt"),
    ("A header field name is missing", "Der Name eines Kopffelds fehlt"),
    ("A header field name is not valid", "Der Name eines Kopffelds ist nicht gültig"),
    ("A literal has a NUL", "Ein Literal enthält ein NUL"),
    ("A literal is broken", "Ein Literal ist fehlerhaft"),
    ("A literal is missing", "Ein Literal fehlt"),
    ("A mailbox has at most one special use", "Ein Ordner hat höchstens eine besondere Aufgabe"),
    ("A mailbox has one special use, or NIL", "Ein Ordner hat eine besondere Aufgabe oder NIL"),
    ("A mailbox is missing", "Ein Ordner fehlt"),
    ("A mailbox of that name exists", "Einen Ordner dieses Namens gibt es schon"),
    ("A mailbox pattern is missing", "Ein Muster für Ordner fehlt"),
    ("A mailbox to search is missing", "Ein Ordner, in dem zu suchen ist, fehlt"),
    ("A message is a literal or CATENATE, behind its flags and its date-time", "Eine Nachricht ist ein Literal oder CATENATE, nach ihren Markierungen und ihrer Zeitangabe"),
    ("A message is missing", "Eine Nachricht fehlt"),
    ("A message set is missing or broken", "Eine Nachrichtenmenge fehlt oder ist fehlerhaft"),
    ("A number is missing or too large", "Eine Zahl fehlt oder ist zu groß"),
    ("A number is too large", "Eine Zahl ist zu groß"),
    ("A number must not be 0", "Eine Zahl darf nicht 0 sein"),
    ("A parenthesis is missing", "Eine Klammer fehlt"),
    ("A partial range does not end", "Ein Teilbereich endet nicht"),
    ("A partial range is broken", "Ein Teilbereich ist fehlerhaft"),
    ("A quoted string is broken", "Ein Text in Anführungszeichen ist fehlerhaft"),
    ("A quoted string is not UTF-8", "Ein Text in Anführungszeichen ist nicht UTF-8"),
    ("A quoted string or literal is missing", "Ein Text in Anführungszeichen oder ein Literal fehlt"),
    ("A range of results has both ends on one side", "Ein Ergebnisbereich hat beide Enden auf einer Seite"),
    ("A range of results is broken", "Ein Ergebnisbereich ist fehlerhaft"),
    ("A section does not end", "Ein Abschnitt endet nicht"),
    ("A section is broken", "Ein Abschnitt ist fehlerhaft"),
    ("A section is missing", "Ein Abschnitt fehlt"),
    ("A section of BINARY is made of part numbers only", "Ein Abschnitt von BINARY besteht nur aus Teilnummern"),
    ("A sort criterion is missing", "Ein Sortiermerkmal fehlt"),
    ("A space and an argument are missing", "Ein Leerzeichen und ein Argument fehlen"),
    ("A special use begins with a backslash", "Eine besondere Aufgabe beginnt mit einem Rückstrich"),
    ("A status item is missing", "Eine Angabe von STATUS fehlt"),
    ("A string is missing", "Ein Text fehlt"),
    ("A string is not UTF-8", "Ein Text ist nicht UTF-8"),
    ("A string is not of the charset named", "Ein Text ist nicht in dem genannten Zeichensatz"),
    ("A string or NIL is missing", "Ein Text oder NIL fehlt"),
    ("A tag is missing", "Eine Marke fehlt"),
    ("ALL and PARTIAL exclude each other", "ALL und PARTIAL schließen einander aus"),
    ("AUTHENTICATE was cancelled", "AUTHENTICATE wurde abgebrochen"),
    ("Acting as somebody else is not supported", "Für jemand anderen zu handeln ist nicht möglich"),
    ("After ENABLE UTF8=ACCEPT every string is UTF-8", "Nach ENABLE UTF8=ACCEPT ist jeder Text UTF-8"),
    ("Already logged in", "Bereits angemeldet"),
    ("An atom is missing", "Ein Wort fehlt"),
    ("An entry name begins with /private or /shared", "Der Name eines Eintrags beginnt mit /private oder /shared"),
    ("An entry name has a character that is not allowed", "Der Name eines Eintrags enthält ein Zeichen, das nicht erlaubt ist"),
    ("An entry name has an empty component", "Der Name eines Eintrags hat einen leeren Bestandteil"),
    ("An entry name is missing", "Der Name eines Eintrags fehlt"),
    ("An entry name is not ASCII", "Der Name eines Eintrags ist nicht ASCII"),
    ("An entry name is too long", "Der Name eines Eintrags ist zu lang"),
    ("An entry of this name cannot have a value", "Ein Eintrag dieses Namens kann keinen Wert haben"),
    ("An event group begins with a parenthesis", "Eine Gruppe von Ereignissen beginnt mit einer Klammer"),
    ("An event group is missing", "Eine Gruppe von Ereignissen fehlt"),
    ("An event is missing", "Ein Ereignis fehlt"),
    ("An object identifier is missing or too long", "Ein Objektname fehlt oder ist zu lang"),
    ("An option is missing", "Eine Angabe fehlt"),
    ("Another mailbox has this special use", "Ein anderer Ordner hat diese besondere Aufgabe"),
    ("Begin TLS now", "TLS jetzt beginnen"),
    ("Bound to another connection, or in a way not known here", "An eine andere Verbindung gebunden oder auf eine hier unbekannte Art"),
    ("CATENATE needs a list", "CATENATE verlangt eine Liste"),
    ("CATENATE takes URL and TEXT", "CATENATE nimmt URL und TEXT"),
    ("CONDSTORE is on", "CONDSTORE ist eingeschaltet"),
    ("DEFLATE is active already", "DEFLATE ist schon eingeschaltet"),
    ("DEFLATE is active from here on", "DEFLATE ist von hier an eingeschaltet"),
    ("DEPTH is 0, 1 or infinity", "DEPTH ist 0, 1 oder infinity"),
    ("Everything is told up to here", "Bis hierher ist alles gesagt"),
    ("First unseen message", "Erste ungelesene Nachricht"),
    ("Flags that can be stored", "Markierungen, die gespeichert werden können"),
    ("Highest modseq", "Höchste Änderungsnummer"),
    ("ID takes NIL or a list", "ID nimmt NIL oder eine Liste"),
    ("IDLE ends with DONE", "IDLE endet mit DONE"),
    ("INBOX and Outbox have uses of their own", "INBOX und Postausgang haben ihre eigenen Aufgaben"),
    ("INBOX cannot be deleted", "INBOX kann nicht gelöscht werden"),
    ("Keyword is too long", "Das Schlagwort ist zu lang"),
    ("Keywords that can be stored", "Schlagwörter, die gespeichert werden können"),
    ("Log in first", "Erst anmelden"),
    ("Logging out", "Auf Wiedersehen"),
    ("Login or password is wrong", "Anmeldename oder Passwort ist falsch"),
    ("Mailbox identifier", "Name des Ordners auf Dauer"),
    ("Mailbox name has a wildcard", "Der Name des Ordners enthält einen Platzhalter"),
    ("Mailbox name has an empty level", "Der Name des Ordners hat eine leere Ebene"),
    ("Mailbox name has control characters", "Der Name des Ordners enthält Steuerzeichen"),
    ("Mailbox name has too many levels", "Der Name des Ordners hat zu viele Ebenen"),
    ("Mailbox name is empty", "Der Name des Ordners ist leer"),
    ("Mailbox name is not valid modified UTF-7", "Der Name des Ordners ist kein gültiges abgewandeltes UTF-7"),
    ("Mailbox name is too long", "Der Name des Ordners ist zu lang"),
    ("Mailbox pattern is too long", "Das Muster für Ordner ist zu lang"),
    ("MessageNew and MessageExpunge go together, and FlagChange goes with both", "MessageNew und MessageExpunge gehören zusammen, und FlagChange zu beiden"),
    ("NOTIFY takes SET or NONE", "NOTIFY nimmt SET oder NONE"),
    ("Next UID", "Nächste UID"),
    ("No device can be given that right", "Dieses Recht kann kein Gerät bekommen"),
    ("No mailbox is selected", "Es ist kein Ordner ausgewählt"),
    ("No room left on the disk of this server", "Auf dem Speicher dieses Servers ist kein Platz mehr"),
    ("No search of that tag is kept up to date", "Keine Suche mit dieser Marke wird aktuell gehalten"),
    ("No such mailbox", "Diesen Ordner gibt es nicht"),
    ("None of these languages is spoken here", "Keine dieser Sprachen wird hier gesprochen"),
    ("Not a message of this mechanism", "Das gehört nicht zu diesem Verfahren"),
    ("Nothing heard for too long", "Zu lange nichts gehört"),
    ("Of the selected mailbox only messages are told", "Vom ausgewählten Ordner werden nur Nachrichten gemeldet"),
    ("Only DEFLATE is known", "Nur DEFLATE ist bekannt"),
    ("Only of the selected mailbox messages are fetched", "Nur aus dem ausgewählten Ordner werden Nachrichten geholt"),
    ("Only the devices of the owner can be given rights", "Nur Geräte des Besitzers können Rechte bekommen"),
    ("Only the selected mailbox is kept up to date", "Nur der geöffnete Ordner wird aktuell gehalten"),
    ("Outbox cannot be deleted", "Der Postausgang kann nicht gelöscht werden"),
    ("Outbox cannot be renamed", "Der Postausgang kann nicht umbenannt werden"),
    ("PARTIAL is allowed once", "PARTIAL darf nur einmal stehen"),
    ("PARTIAL needs UID FETCH", "PARTIAL braucht UID FETCH"),
    ("Passwords cannot be checked now; try again later", "Passwörter können gerade nicht geprüft werden; bitte später noch einmal versuchen"),
    ("Previous mailbox closed", "Der vorige Ordner ist geschlossen"),
    ("QRESYNC has not been enabled", "QRESYNC wurde nicht eingeschaltet"),
    ("QRESYNC needs a list", "QRESYNC verlangt eine Liste"),
    ("RECURSIVEMATCH needs another selection option", "RECURSIVEMATCH verlangt eine weitere Auswahl"),
    ("RELEVANCY needs a FUZZY key", "RELEVANCY braucht einen Schlüssel FUZZY"),
    ("REPLACE takes one message", "REPLACE nimmt eine Nachricht"),
    ("Rights are not written in capitals", "Rechte werden nicht groß geschrieben"),
    ("SAVE and $ are for the selected mailbox alone", "SAVE und $ gelten nur für den geöffneten Ordner allein"),
    ("STORE changes FLAGS", "STORE ändert FLAGS"),
    ("Server is shutting down", "Der Server wird beendet"),
    ("Some messages were changed by others", "Einige Nachrichten wurden von anderen geändert"),
    ("Some of the messages no longer exist", "Einige der Nachrichten gibt es nicht mehr"),
    ("Start TLS before you log in", "Vor der Anmeldung TLS beginnen"),
    ("Still here", "Noch da"),
    ("Still working", "Noch in Arbeit"),
    ("TLS is not available", "TLS ist nicht verfügbar"),
    ("TLS is on already", "TLS ist schon eingeschaltet"),
    ("The command is too long", "Der Befehl ist zu lang"),
    ("The date-time is not valid", "Die Zeitangabe ist nicht gültig"),
    ("The line is too long", "Die Zeile ist zu lang"),
    ("The literal is too large", "Das Literal ist zu groß"),
    ("The mailbox is open for reading only", "Der Ordner ist nur zum Lesen geöffnet"),
    ("The mailbox was opened with EXAMINE", "Der Ordner wurde mit EXAMINE geöffnet"),
    ("The message is empty", "Die Nachricht ist leer"),
    ("The message is too large", "Die Nachricht ist zu groß"),
    ("The message or the mailbox no longer exists", "Die Nachricht oder der Ordner ist nicht mehr da"),
    ("The message was not decided about", "Über die Nachricht wurde nicht entschieden"),
    ("The messages no longer exist", "Die Nachrichten gibt es nicht mehr"),
    ("The mod-sequence must not be 0", "Die Änderungsnummer darf nicht 0 sein"),
    ("The new message is there", "Die neue Nachricht ist da"),
    ("The owner has all rights, always", "Der Besitzer hat immer alle Rechte"),
    ("The search is too complex", "Die Suche ist zu verwickelt"),
    ("The selected mailbox is named twice", "Der ausgewählte Ordner ist zweimal genannt"),
    ("The selected mailbox may no longer be read", "Der gewählte Ordner darf nicht mehr gelesen werden"),
    ("The selected mailbox was deleted", "Der ausgewählte Ordner wurde gelöscht"),
    ("The server cannot read or write its store now; try again later", "Der Server kann seinen Speicher gerade nicht lesen oder beschreiben; bitte später noch einmal versuchen"),
    ("The transfer encoding of a part is unknown or broken", "Die Übertragungskodierung eines Teils ist unbekannt oder fehlerhaft"),
    ("The value is too large", "Der Wert ist zu groß"),
    ("There are mailboxes below this one", "Unter diesem Ordner liegen noch andere"),
    ("There are too many annotations, or they are too large together", "Es sind zu viele Anmerkungen, oder sie sind zusammen zu groß"),
    ("There are too many mailboxes to watch", "Es sind zu viele Ordner zu beobachten"),
    ("There is no message of that UID", "Eine Nachricht mit dieser UID gibt es nicht"),
    ("There is no message of that number", "Eine Nachricht mit dieser Nummer gibt es nicht"),
    ("There is no such quota root", "Eine solche Quota-Wurzel gibt es nicht"),
    ("There is nothing by this URL", "Unter dieser URL ist nichts"),
    ("This cannot be decompressed", "Das kann nicht entpackt werden"),
    ("This charset is not supported", "Dieser Zeichensatz wird nicht unterstützt"),
    ("This device has been removed", "Dieses Gerät wurde entfernt"),
    ("This device may no longer read mail", "Dieses Gerät darf keine Post mehr lesen"),
    ("This device may not read mail", "Dieses Gerät darf keine Post lesen"),
    ("This event is not supported", "Dieses Ereignis wird nicht unterstützt"),
    ("This is no identifier", "Das ist kein Bezeichner"),
    ("This login has no right to do that", "Diese Anmeldung hat dazu kein Recht"),
    ("This mechanism is not offered", "Dieses Verfahren wird nicht angeboten"),
    ("This right is not known here", "Dieses Recht ist hier nicht bekannt"),
    ("This special use is not supported", "Diese besondere Aufgabe wird nicht unterstützt"),
    ("This tag names a search that is kept up to date", "Diese Marke gehört zu einer Suche, die aktuell gehalten wird"),
    ("Too many arguments", "Zu viele Argumente"),
    ("Too many bad commands", "Zu viele falsche Befehle"),
    ("Too many capabilities", "Zu viele Fähigkeiten"),
    ("Too many different strings in one search", "Zu viele verschiedene Texte in einer Suche"),
    ("Too many entries", "Zu viele Einträge"),
    ("Too many event groups", "Zu viele Gruppen von Ereignissen"),
    ("Too many failed logins; try again later", "Zu viele fehlgeschlagene Anmeldungen; bitte später noch einmal versuchen"),
    ("Too many fetch items", "Zu viele Angaben von FETCH"),
    ("Too many items in a list", "Zu viele Einträge in einer Liste"),
    ("Too many keywords", "Zu viele Schlagwörter"),
    ("Too many languages", "Zu viele Sprachen"),
    ("Too many messages at once", "Zu viele Nachrichten auf einmal"),
    ("Too many part numbers in a section", "Zu viele Nummern von Teilen in einem Abschnitt"),
    ("Too many parts in a line", "Zu viele Teile in einer Zeile"),
    ("Too many ranges in a sequence set", "Zu viele Bereiche in einer Nachrichtenmenge"),
    ("Too many rights", "Zu viele Rechte"),
    ("Too many sessions compress; go on without", "Zu viele Sitzungen komprimieren; ohne weitermachen"),
    ("Too much to keep up to date", "Zu viel, um es aktuell zu halten"),
    ("Too much was found to be saved", "Es wurde zu viel gefunden, um es zu merken"),
    ("UIDONLY is on: name messages by UID", "UIDONLY ist eingeschaltet: Nachrichten mit ihrer UID benennen"),
    ("UIDs are valid", "Die UIDs gelten"),
    ("UTF8 needs ENABLE UTF8=ACCEPT", "UTF8 verlangt ENABLE UTF8=ACCEPT"),
    ("UTF8 needs a literal in parentheses", "UTF8 verlangt ein Literal in Klammern"),
    ("Unknown UID command", "Unbekannter UID-Befehl"),
    ("Unknown command", "Unbekannter Befehl"),
    ("Unknown fetch item", "Unbekannte Angabe von FETCH"),
    ("Unknown fetch modifier", "Unbekannter Zusatz von FETCH"),
    ("Unknown kind of mailboxes", "Unbekannte Art von Ordnern"),
    ("Unknown mailboxes to search", "Unbekannte Angabe, in welchen Ordnern zu suchen ist"),
    ("Unknown option of GETMETADATA", "Unbekannte Angabe von GETMETADATA"),
    ("Unknown parameter of CREATE", "Unbekannter Parameter von CREATE"),
    ("Unknown parameter of SELECT", "Unbekannter Parameter von SELECT"),
    ("Unknown preview modifier", "Unbekannter Zusatz von PREVIEW"),
    ("Unknown return option", "Unbekannte Angabe von RETURN"),
    ("Unknown return option of LIST", "Unbekannte Rückgabe von LIST"),
    ("Unknown search key", "Unbekannter Suchschlüssel"),
    ("Unknown section", "Unbekannter Abschnitt"),
    ("Unknown selection option of LIST", "Unbekannte Auswahl von LIST"),
    ("Unknown sort criterion", "Unbekanntes Sortiermerkmal"),
    ("Unknown status item", "Unbekannte Angabe von STATUS"),
    ("Unknown store modifier", "Unbekannter Zusatz von STORE"),
    ("Unknown system flag", "Unbekannte Markierung"),
    ("Unknown threading algorithm", "Unbekanntes Verfahren für Gesprächsfäden"),
    ("VANISHED needs ENABLE QRESYNC", "VANISHED verlangt ENABLE QRESYNC"),
    ("VANISHED needs UID FETCH and CHANGEDSINCE", "VANISHED verlangt UID FETCH und CHANGEDSINCE"),
    ("What is sent comes into Outbox, and nothing else does", "In den Postausgang kommt nur, was gesendet wird"),
    ("Who runs the server is not for clients to say", "Wer den Server betreibt, sagt nicht der Client"),
    ("a device has rights of its own on too many mailboxes", "Ein Gerät hat eigene Rechte an zu vielen Ordnern"),
    ("a mailbox cannot move into itself", "Ein Ordner kann nicht in sich selbst verschoben werden"),
    ("another mailbox has that special use", "Ein anderer Ordner hat diese besondere Aufgabe"),
    ("mail in Outbox is not collected: deleting there takes it back", "Aus dem Postausgang wird nicht abgeholt: Löschen nimmt dort zurück"),
    ("no UIDVALIDITY left", "Es ist keine UIDVALIDITY mehr frei"),
    ("no mailbox ids left", "Es sind keine Nummern für Ordner mehr frei"),
    ("the annotation is not well formed", "Die Anmerkung ist nicht wohlgeformt"),
    ("the keyword is not well formed", "Das Schlagwort ist nicht wohlgeformt"),
    ("the mailbox has mailboxes inside", "In dem Ordner liegen noch andere"),
    ("the mailbox has no UIDs left", "Der Ordner hat keine UIDs mehr"),
    ("the mailbox name is not well formed", "Der Name des Ordners ist nicht wohlgeformt"),
    ("the mailbox name is too long or too deep", "Der Name des Ordners ist zu lang oder zu tief"),
    ("the name is empty or too long", "Der Name ist leer oder zu lang"),
    ("the name of the device is not well formed", "Der Name des Geräts ist nicht gültig"),
    ("the server has no special use", "Der Server hat keine besondere Aufgabe"),
    ("the value is too long", "Der Wert ist zu lang"),
    ("there are too many annotations", "Es sind zu viele Anmerkungen"),
    ("there are too many devices", "Es gibt zu viele Geräte"),
    ("there can be no mailboxes inside Outbox", "Im Postausgang kann es keine Ordner geben"),
    ("this is no device", "Das ist kein Gerät"),
    ("too many different keywords in this mailbox", "Zu viele verschiedene Schlagwörter in diesem Ordner"),
    ("too many mailboxes", "Zu viele Ordner"),
    ("what is sent comes into Outbox, and nothing else does", "In den Postausgang kommt nur, was gesendet wird"),
];

/// The German text, if there is one.
pub fn of(english: &str) -> Option<Cow<'static, str>> {
    if let Some(command) = english.strip_suffix(" completed") {
        return Some(Cow::Owned(format!("{command} ausgeführt")));
    }
    let at = TEXTS.binary_search_by(|(one, _)| (*one).cmp(english)).ok()?;
    TEXTS.get(at).map(|(_, german)| Cow::Borrowed(*german))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::{Path, PathBuf};

    /// Said to programs or to nobody, or never said on the wire.
    const NOT_FOR_PEOPLE: &[&str] = &[
        "a message needs a mailbox",
        "a message needs a recipient",
        "MessageNew MessageExpunge FlagChange MailboxName SubscriptionChange MailboxMetadataChange ServerMetadataChange",
        "the disk failed after the body had arrived",
        "a parameter of the envelope is not well formed",
        "the signatures of a message are too large, or not whole lines",
    ];

    #[test]
    fn texts_are_sorted_and_clean() {
        assert!(TEXTS.is_sorted_by(|one, next| one.0 < next.0));
        for (english, german) in TEXTS {
            assert!(!german.is_empty() && !german.chars().any(|c| c.is_control() || c == '['), "{english}");
        }
    }

    #[test]
    fn what_is_said_in_english_is_there_in_german() {
        let missing: Vec<String> = said().into_iter().filter(|text| of(text).is_none()).collect();
        assert!(missing.is_empty(), "add to src/wire/imap/language/german.rs:\n  {}", missing.join("\n  "));
    }

    #[test]
    fn what_is_there_in_german_is_said() {
        let said = said();
        let unsaid: Vec<&str> = TEXTS.iter().map(|(text, _)| *text).filter(|text| !said.contains(*text)).collect();
        assert!(unsaid.is_empty(), "nobody says:\n  {}", unsaid.join("\n  "));
    }

    /// Everything in the code of IMAP that looks like a text for people, and why the store refuses things.
    fn said() -> BTreeSet<String> {
        let mut texts = BTreeSet::new();
        for folder in ["src/wire/imap", "src/serve/imap", "src/store/decide"] {
            for file in files(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)) {
                texts_of(&file, folder == "src/store/decide", &mut texts);
            }
        }
        texts_of(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/store/decide.rs"), true, &mut texts);
        texts
    }

    fn files(folder: &Path) -> Vec<PathBuf> {
        let (mut found, mut folders) = (Vec::new(), vec![folder.to_owned()]);
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                match path.is_dir() {
                    true => folders.push(path),
                    false => found.push(path),
                }
            }
        }
        found.retain(|path| !path.ends_with("language/german.rs") && !path.ends_with("tests.rs"));
        found
    }

    fn texts_of(file: &Path, refusals: bool, texts: &mut BTreeSet<String>) {
        let source = fs::read_to_string(file).unwrap();
        let product = source.split("\n#[cfg(test)]\nmod ").next().unwrap();
        for line in product.lines().filter(|line| !line.trim_start().starts_with("//")) {
            let pieces = line.split('"').collect::<Vec<_>>();
            for text in pieces.iter().skip(1).step_by(2).filter(|text| is_text(text, refusals)) {
                texts.insert((*text).to_owned());
            }
        }
    }

    fn is_text(text: &str, refusals: bool) -> bool {
        let sentence = match refusals {
            true => text.starts_with(|c: char| c.is_ascii_alphabetic()),
            false => text.starts_with(|c: char| c.is_ascii_uppercase()),
        };
        let words = text.split(' ').filter(|word| word.bytes().any(|byte| byte.is_ascii_lowercase())).count();
        let plain = !text.contains(['\\', '{', '(', '[']) && !text.contains("event=");
        sentence && plain && words > 0 && text.contains(' ') && !NOT_FOR_PEOPLE.contains(&text)
    }
}

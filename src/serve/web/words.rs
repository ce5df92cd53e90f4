//! What the pages say, in the languages that they speak.

/// A language of the pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// English
    English,
    /// German
    German,
}

impl Language {
    /// All of them, the one for those who ask for none first.
    pub const ALL: [Language; 2] = [Language::English, Language::German];

    /// Its tag (RFC 5646).
    pub fn tag(self) -> &'static str {
        match self {
            Language::English => "en",
            Language::German => "de",
        }
    }

    /// Its own name.
    pub fn name(self) -> &'static str {
        match self {
            Language::English => "English",
            Language::German => "Deutsch",
        }
    }

    /// What the pages say in it.
    pub fn words(self) -> &'static Words {
        match self {
            Language::English => &ENGLISH,
            Language::German => &GERMAN,
        }
    }
}

/// All texts of the pages. `{}` stands for what is put in.
pub struct Words {
    /// Heading; the device.
    pub set_up: &'static str,
    /// Under it; the address.
    pub your_mail: &'static str,
    /// Minutes.
    pub closes: &'static str,
    /// In the last minute.
    pub closes_now: &'static str,
    /// Heading of the part for Apple's devices.
    pub apple: &'static str,
    /// Its button.
    pub apple_load: &'static str,
    /// Its steps.
    pub apple_steps: [&'static str; 3],
    /// Heading of the part for Android.
    pub android: &'static str,
    /// What the certificate is for.
    pub android_why: &'static str,
    /// Its button.
    pub android_load: &'static str,
    /// Its steps, with a certificate.
    pub android_steps: [&'static str; 3],
    /// Instead of them, without.
    pub android_known: &'static str,
    /// Heading of the settings.
    pub settings: &'static str,
    /// Under it.
    pub settings_why: &'static str,
    /// Button.
    pub copy: &'static str,
    /// On it once it has been pressed.
    pub copied: &'static str,
    /// Label.
    pub user: &'static str,
    /// Label.
    pub password: &'static str,
    /// Heading.
    pub incoming: &'static str,
    /// Heading.
    pub outgoing: &'static str,
    /// Heading.
    pub old: &'static str,
    /// Label.
    pub server: &'static str,
    /// Label.
    pub port: &'static str,
    /// Label.
    pub security: &'static str,
    /// Heading of the fingerprint.
    pub certificate: &'static str,
    /// What to do with it.
    pub compare: &'static str,
    /// At the bottom; the device.
    pub lost: &'static str,
    /// Where there is nothing: heading and text.
    pub nothing: [&'static str; 2],
    /// Where a link was opened before.
    pub used: [&'static str; 2],
    /// For those who ask for too many wrong ones.
    pub too_many: [&'static str; 2],
    /// For whom this is another server.
    pub elsewhere: [&'static str; 2],
    /// When the store does not do what it should.
    pub trouble: [&'static str; 2],
}

const ENGLISH: Words = Words {
    set_up: "Set up {}",
    your_mail: "For the mail of {}.",
    closes: "This page closes in {} min. After that nobody can see its password any more.",
    closes_now: "This page closes in less than a minute. After that nobody can see its password any more.",
    apple: "iPhone, iPad, Mac",
    apple_load: "Load the profile",
    apple_steps: [
        "Load the profile and allow it.",
        "Open Settings: “Profile Downloaded” stands at the top. Install it.",
        "Your mail is in the Mail app. The profile can be removed again at any time.",
    ],
    android: "Android",
    android_why: "So that your apps trust this server, give the phone its certificate. It vouches for this server alone.",
    android_load: "Load the certificate",
    android_steps: [
        "Load the certificate.",
        "In Settings, search for “CA certificate”, and choose the file that you have loaded.",
        "Add an account in your mail app with the settings below.",
    ],
    android_known: "Add an account in your mail app with the settings below.",
    settings: "Settings",
    settings_why: "For every other mail program. Tap a field to select all of it, then copy.",
    copy: "Copy",
    copied: "Copied",
    user: "User name",
    password: "Password, for this device alone",
    incoming: "Incoming mail: IMAP",
    outgoing: "Outgoing mail: SMTP",
    old: "Old programs only: POP3",
    server: "Server",
    port: "Port",
    security: "Security",
    certificate: "Fingerprint of the certificate",
    compare: "When your phone or computer shows you the certificate, its SHA‑256 fingerprint must be this one. \
              The terminal where you made the link shows it too.",
    lost: "If the device gets lost, take its password away: hauspost device remove {}",
    nothing: [
        "Nothing is here",
        "If you have scanned a code: it has run out. Make a new one with hauspost device link NAME.",
    ],
    used: [
        "This link has been used",
        "Each link opens once. If it was not you who opened it, take the password away with hauspost device remove NAME; \
         else make a new link with hauspost device link NAME.",
    ],
    too_many: ["Too many wrong links", "Wait a quarter of an hour, and scan the newest code."],
    elsewhere: ["This is another server", "Nothing is here under this name."],
    trouble: ["Not now", "The server could not do it. Try again in a moment; its log says why."],
};

const GERMAN: Words = Words {
    set_up: "{} einrichten",
    your_mail: "Für die Post von {}.",
    closes: "Diese Seite schließt in {} min. Danach kann niemand mehr ihr Passwort sehen.",
    closes_now: "Diese Seite schließt in weniger als einer Minute. Danach kann niemand mehr ihr Passwort sehen.",
    apple: "iPhone, iPad, Mac",
    apple_load: "Profil laden",
    apple_steps: [
        "Das Profil laden und es zulassen.",
        "Die Einstellungen öffnen: Oben steht „Profil geladen“. Dort installieren.",
        "Die Post ist nun in der App Mail. Das Profil lässt sich jederzeit wieder entfernen.",
    ],
    android: "Android",
    android_why: "Damit die Apps diesem Server vertrauen, braucht das Telefon sein Zertifikat. Es bürgt nur für diesen Server.",
    android_load: "Zertifikat laden",
    android_steps: [
        "Das Zertifikat laden.",
        "In den Einstellungen nach „CA-Zertifikat“ suchen und die geladene Datei auswählen.",
        "In der Mail-App ein Konto mit den Angaben weiter unten hinzufügen.",
    ],
    android_known: "In der Mail-App ein Konto mit den Angaben weiter unten hinzufügen.",
    settings: "Angaben",
    settings_why: "Für jedes andere Mailprogramm. Ein Tipp auf ein Feld wählt alles darin aus, dann kopieren.",
    copy: "Kopieren",
    copied: "Kopiert",
    user: "Benutzername",
    password: "Passwort, nur für dieses Gerät",
    incoming: "Posteingang: IMAP",
    outgoing: "Postausgang: SMTP",
    old: "Nur alte Programme: POP3",
    server: "Server",
    port: "Port",
    security: "Sicherheit",
    certificate: "Fingerabdruck des Zertifikats",
    compare: "Wenn das Telefon oder der Computer das Zertifikat zeigt, muss sein SHA‑256-Fingerabdruck dieser sein. \
              Er steht auch im Terminal, in dem der Link gemacht wurde.",
    lost: "Geht das Gerät verloren, nimmt dies ihm das Passwort: hauspost device remove {}",
    nothing: [
        "Hier ist nichts",
        "War es ein gescannter Code, so ist er abgelaufen. Einen neuen macht hauspost device link NAME.",
    ],
    used: [
        "Dieser Link ist verbraucht",
        "Jeder Link öffnet einmal. Hat ihn jemand anderes geöffnet, nimmt hauspost device remove NAME ihm das Passwort; \
         sonst macht hauspost device link NAME einen neuen Link.",
    ],
    too_many: ["Zu viele falsche Links", "Eine Viertelstunde warten und den neuesten Code scannen."],
    elsewhere: ["Das ist ein anderer Server", "Unter diesem Namen ist hier nichts."],
    trouble: ["Jetzt nicht", "Der Server konnte es nicht. Gleich noch einmal versuchen; sein Log sagt, warum."],
};

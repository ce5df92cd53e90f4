//! Arguments of NOTIFY (RFC 5465 section 8).

use super::super::command::{Command, FetchItem};
use super::super::mailbox::MailboxName;
use super::super::notify::{EventGroup, Events, Filter, Notify, SelectedWish, Wishes};
use super::super::response::Code;
use super::cursor::{Cursor, Parsed, Trouble};
use super::messages::fetch_items;
use crate::limits::IMAP_LIST_ITEMS_MAX;

/// `SP ("NONE" / "SET" [SP "STATUS"] SP event-group *(SP event-group))`.
pub fn notify(cursor: &mut Cursor<'_>) -> Parsed<Command> {
    cursor.space()?;
    match &cursor.word()[..] {
        "NONE" => return Ok(Command::Notify(Notify::None)),
        "SET" => {}
        _ => return Err(Trouble::Bad("NOTIFY takes SET or NONE")),
    }
    let mut wishes = Wishes::default();
    cursor.space()?;
    if cursor.peek() != Some(b'(') {
        if cursor.word() != "STATUS" {
            return Err(Trouble::Bad("An event group is missing"));
        }
        wishes.status = true;
        cursor.space()?;
    }
    let (mut is_first, mut has_selected) = (true, false);
    while is_first || (cursor.eat(b' ') && !cursor.is_at_end()) {
        if wishes.groups.len() >= IMAP_LIST_ITEMS_MAX {
            return Err(Trouble::No(Code::NotificationOverflow, "Too many event groups"));
        }
        is_first = false;
        group(cursor, &mut wishes, &mut has_selected)?;
    }
    Ok(Command::Notify(Notify::Set(wishes)))
}

/// `"(" filter-mailboxes SP events ")"`.
fn group(cursor: &mut Cursor<'_>, wishes: &mut Wishes, has_selected: &mut bool) -> Parsed<()> {
    cursor.expect(b'(', "An event group begins with a parenthesis")?;
    let kind = cursor.word();
    cursor.space()?;
    let mailboxes = match &kind[..] {
        "SELECTED" | "SELECTED-DELAYED" => {
            if std::mem::replace(has_selected, true) {
                return Err(Trouble::Bad("The selected mailbox is named twice"));
            }
            let told = Told::parse(cursor, true)?;
            if told.events.names || told.events.subscriptions || told.events.metadata || told.events.server_metadata {
                return Err(Trouble::Bad("Of the selected mailbox only messages are told"));
            }
            let delayed = kind == "SELECTED-DELAYED";
            let wish = SelectedWish { delayed, flags: told.events.flags, fetch: told.fetch };
            wishes.selected = told.events.messages.then_some(wish);
            return Ok(());
        }
        "INBOXES" | "PERSONAL" => Filter::Personal,
        "SUBSCRIBED" => Filter::Subscribed,
        "SUBTREE" => Filter::Subtree(names(cursor)?),
        "MAILBOXES" => Filter::Mailboxes(names(cursor)?),
        _ => return Err(Trouble::Bad("Unknown kind of mailboxes")),
    };
    let Told { events, .. } = Told::parse(cursor, false)?;
    wishes.groups.push(EventGroup { mailboxes, events });
    Ok(())
}

/// `one-or-more-mailbox SP`.
fn names(cursor: &mut Cursor<'_>) -> Parsed<Vec<MailboxName>> {
    let names = match cursor.peek() {
        Some(b'(') => cursor.list(Cursor::mailbox)?,
        _ => vec![cursor.mailbox()?],
    };
    if names.is_empty() {
        return Err(Trouble::Bad("A mailbox is missing"));
    }
    cursor.space()?;
    Ok(names)
}

/// Events as they were named, MessageNew and MessageExpunge apart.
#[derive(Default)]
struct Told {
    new: bool,
    expunge: bool,
    events: Events,
    fetch: Vec<FetchItem>,
}

impl Told {
    /// `("(" event *(SP event) ")" / "NONE") ")"`. The example of section 3.1 has no inner parentheses: it is taken too.
    fn parse(cursor: &mut Cursor<'_>, is_selected: bool) -> Parsed<Told> {
        let mut told = Told::default();
        if cursor.eat_word("NONE") {
            cursor.expect(b')', "A closing parenthesis is missing")?;
            return Ok(told);
        }
        let has_list = cursor.eat(b'(');
        loop {
            told.event(cursor, is_selected)?;
            if !cursor.eat(b' ') {
                break;
            }
        }
        for _ in 0..=u8::from(has_list) {
            cursor.expect(b')', "A closing parenthesis is missing")?;
        }
        // Section 5.
        if told.new != told.expunge || (told.events.flags && !told.new) {
            return Err(Trouble::Bad("MessageNew and MessageExpunge go together, and FlagChange goes with both"));
        }
        told.events.messages = told.new;
        Ok(told)
    }

    fn event(&mut self, cursor: &mut Cursor<'_>, is_selected: bool) -> Parsed<()> {
        match &cursor.word()[..] {
            "" => return Err(Trouble::Bad("An event is missing")),
            "MESSAGENEW" => {
                self.new = true;
                let mut ahead = *cursor;
                if ahead.eat(b' ') && ahead.peek() == Some(b'(') {
                    *cursor = ahead;
                    if !is_selected {
                        return Err(Trouble::Bad("Only of the selected mailbox messages are fetched"));
                    }
                    self.fetch = fetch_items(cursor)?;
                }
            }
            "MESSAGEEXPUNGE" => self.expunge = true,
            "FLAGCHANGE" => self.events.flags = true,
            "MAILBOXNAME" => self.events.names = true,
            "SUBSCRIPTIONCHANGE" => self.events.subscriptions = true,
            "MAILBOXMETADATACHANGE" => self.events.metadata = true,
            "SERVERMETADATACHANGE" => self.events.server_metadata = true,
            _ => return Err(Trouble::No(Code::BadEvent, "This event is not supported")),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::{parse_arguments, parse_verb};
    use super::*;

    fn parse(command: &str) -> Parsed<Command> {
        let mut cursor = Cursor::new(command.as_bytes());
        let (verb, _) = parse_verb(&mut cursor)?;
        parse_arguments(verb, &mut cursor)
    }

    fn wishes(command: &str) -> Wishes {
        match parse(command) {
            Ok(Command::Notify(Notify::Set(wishes))) => wishes,
            other => panic!("{command}: {other:?}"),
        }
    }

    #[test]
    fn the_forms_of_the_rfc() {
        assert_eq!(parse("NOTIFY NONE"), Ok(Command::Notify(Notify::None)));
        let both = wishes(
            "notify set status (selected MessageNew (uid body.peek[header.fields (from to subject)]) MessageExpunge) \
             (subtree Lists (MessageNew MessageExpunge))",
        );
        assert!(both.status);
        let selected = both.selected.unwrap();
        assert_eq!((selected.delayed, selected.flags, selected.fetch.len()), (false, false, 2));
        let messages = Events { messages: true, ..Events::default() };
        let lists = Filter::Subtree(vec![MailboxName::new("Lists").unwrap()]);
        assert_eq!(both.groups, [EventGroup { mailboxes: lists, events: messages }]);
        let delayed = wishes("NOTIFY SET (SELECTED-DELAYED (MessageNew MessageExpunge FlagChange))").selected.unwrap();
        assert_eq!(delayed, SelectedWish { delayed: true, flags: true, fetch: Vec::new() });
        assert_eq!(wishes("NOTIFY SET (selected NONE)").selected, None);
        let all = wishes(
            "NOTIFY SET (mailboxes (INBOX \"a b\") (MessageNew MessageExpunge FlagChange)) (personal (MailboxName \
             SubscriptionChange MailboxMetadataChange ServerMetadataChange)) (inboxes none) (subscribed MailboxName)",
        );
        assert_eq!(all.groups.len(), 4);
        let inbox = all.of("INBOX", false);
        assert!(inbox.messages && inbox.flags && inbox.names && inbox.subscriptions && inbox.server_metadata);
    }

    #[test]
    fn what_does_not_go_together_is_bad() {
        for bad in [
            "NOTIFY",
            "NOTIFY SET",
            "NOTIFY SET STATUS",
            "NOTIFY SET ()",
            "NOTIFY SET (selected)",
            "NOTIFY SET (selected ())",
            "NOTIFY SET (selected (MessageNew))",
            "NOTIFY SET (selected (MessageExpunge))",
            "NOTIFY SET (personal (FlagChange))",
            "NOTIFY SET (selected (MessageNew MessageExpunge MailboxName))",
            "NOTIFY SET (selected (MessageNew MessageExpunge)) (selected-delayed (MessageNew MessageExpunge))",
            "NOTIFY SET (selected NONE) (selected NONE)",
            "NOTIFY SET (personal (MessageNew (UID) MessageExpunge))",
            "NOTIFY SET (subtree (MailboxName))",
            "NOTIFY SET (mailboxes () (MailboxName))",
            "NOTIFY SET (others (MailboxName))",
            "NOTIFY SET (personal (MailboxName)",
            "NOTIFY NONE x",
        ] {
            assert!(matches!(parse(bad), Err(Trouble::Bad(_))), "{bad}: {:?}", parse(bad));
        }
        let unknown = parse("NOTIFY SET (selected (MessageNew MessageExpunge AnnotationChange))");
        assert!(matches!(unknown, Err(Trouble::No(Code::BadEvent, _))));
    }
}

//! From a command to the part of the session that carries it out, in three groups: the session itself, the list of
//! mailboxes, the messages of the selected one. Decides nothing.

use super::failure::{Failure, no};
use super::{Next, Session};
use crate::store::Trouble;
use crate::wire::imap::command::{Command, Tag};
use crate::wire::imap::{Code, Language, Status, response};

impl Session {
    /// Carries out a command and says its OK; whoever calls says what a failure means.
    pub(super) async fn carry_out(&mut self, tag: &Tag, command: Command) -> Result<Next, Failure> {
        match command {
            Command::Capability => {
                let list = self.conversation.capabilities();
                response::capability(&mut self.line.out, &list);
                self.finish(tag, true, Code::None, "CAPABILITY completed").await?;
            }
            Command::Noop => self.finish(tag, true, Code::None, "NOOP completed").await?,
            Command::Check => self.finish(tag, true, Code::None, "CHECK completed").await?,
            Command::Logout => {
                response::bye(&mut self.line.out, Code::None, "Logging out");
                response::tagged(&mut self.line.out, tag, Status::Ok, Code::None, "LOGOUT completed");
                return Ok(Next::End("logout"));
            }
            Command::StartTls => return self.start_tls(tag).await,
            Command::Authenticate { mechanism, initial } => self.authenticate(tag, &mechanism, initial).await?,
            Command::Login { user, password } => self.login(tag, &user, &password.0).await?,
            Command::Language(ranges) => self.speak(tag, &ranges).await?,
            Command::Unauthenticate => self.unauthenticate(tag).await?,
            Command::Compress => return self.compress(tag).await,
            Command::Enable(names) => self.enable(tag, &names).await?,
            Command::Id(fields) => self.id(tag, &fields).await?,
            Command::Idle => {
                self.conversation.begin_idle(tag, &mut self.line.out);
                self.idling = true;
                if self.notified.tells_selected(true) {
                    self.tell_news(true, false).await?;
                }
            }
            Command::Namespace => {
                response::namespace(&mut self.line.out);
                self.finish(tag, true, Code::None, "NAMESPACE completed").await?;
            }
            command => self.carry_out_on_list(tag, command).await?,
        }
        Ok(Next::Step)
    }

    async fn carry_out_on_list(&mut self, tag: &Tag, command: Command) -> Result<(), Failure> {
        match command {
            Command::Select(select) => self.select(tag, select).await,
            Command::Create { mailbox, special_use } => self.create(tag, &mailbox, &special_use).await,
            Command::Delete(mailbox) => self.delete(tag, &mailbox).await,
            Command::Rename { from, to } => self.rename(tag, &from, &to).await,
            Command::Subscribe(mailbox) => self.subscribe(tag, &mailbox, true).await,
            Command::Unsubscribe(mailbox) => self.subscribe(tag, &mailbox, false).await,
            Command::List(list) => self.list(tag, list).await,
            Command::Lsub { reference, pattern } => self.lsub(tag, &reference, &pattern).await,
            Command::MultiSearch(search) => self.multisearch(tag, search).await,
            Command::Status { mailbox, items } => self.status(tag, &mailbox, &items).await,
            Command::Acl(command) => self.acl(tag, command).await,
            Command::GetQuota(root) => self.get_quota(tag, &root).await,
            Command::GetQuotaRoot(mailbox) => self.get_quota_root(tag, &mailbox).await,
            Command::Notify(notify) => self.notify(tag, notify).await,
            Command::GetMetadata(get) => self.get_metadata(tag, get).await,
            Command::SetMetadata(set) => self.set_metadata(tag, set).await,
            command => self.carry_out_on_messages(tag, command).await,
        }
    }

    async fn carry_out_on_messages(&mut self, tag: &Tag, command: Command) -> Result<(), Failure> {
        match command {
            Command::Close => self.close(tag).await,
            Command::Unselect => {
                self.unselect(tag);
                Ok(())
            }
            Command::Expunge => self.expunge(tag, None).await,
            Command::UidExpunge(set) => self.expunge(tag, Some(set)).await,
            Command::Search(search) => self.search(tag, search).await,
            Command::CancelUpdate(tags) => self.cancel_updates(tag, &tags).await,
            Command::Sort(sort) => self.sort(tag, sort).await,
            Command::Thread(thread) => self.thread(tag, thread).await,
            Command::Fetch(fetch) => self.fetch(tag, fetch).await,
            Command::Store(store) => self.store_flags(tag, store).await,
            Command::Copy(transfer) => self.transfer(tag, transfer, false).await,
            Command::Move(transfer) => self.transfer(tag, transfer, true).await,
            command => Err(Trouble::Failed(format!("nothing carries out {command:?}")).into()),
        }
    }

    /// ENABLE (RFC 5161): QRESYNC includes CONDSTORE (RFC 7162 section 3.2.3). Names not known are passed over.
    async fn enable(&mut self, tag: &Tag, names: &[String]) -> Result<(), Failure> {
        let (mut enabled, mut counts_modseqs) = (Vec::new(), false);
        for name in names {
            match name.as_str() {
                "CONDSTORE" => (counts_modseqs, _) = (true, enabled.push("CONDSTORE")),
                "QRESYNC" => {
                    (self.enabled.qresync, counts_modseqs) = (true, true);
                    enabled.push("QRESYNC");
                }
                "IMAP4REV2" => (self.enabled.rev2, _) = (true, enabled.push("IMAP4rev2")),
                "UTF8=ACCEPT" => (self.enabled.utf8, _) = (true, enabled.push("UTF8=ACCEPT")),
                "UIDONLY" => (self.enabled.uid_only, _) = (true, enabled.push("UIDONLY")),
                _ => {}
            }
        }
        response::enabled(&mut self.line.out, &enabled);
        if counts_modseqs {
            self.enable_condstore();
        }
        // From here on, as the client is told: not in the middle of a response.
        self.line.out.dialect = self.enabled.dialect(self.line.out.dialect);
        if self.enabled.uid_only {
            self.tell_updates_in_uids();
        }
        self.finish(tag, true, Code::None, "ENABLE completed").await
    }

    /// LANGUAGE (RFC 5255 section 3.2). There are no namespaces with names to translate.
    async fn speak(&mut self, tag: &Tag, ranges: &[String]) -> Result<(), Failure> {
        if ranges.is_empty() {
            response::language(&mut self.line.out, &Language::ALL.map(|(_, tag)| tag));
        } else {
            let language = Language::first_of(ranges);
            let language = language.ok_or(no(Code::None, "None of these languages is spoken here"))?;
            response::language(&mut self.line.out, &[language.tag()]);
            self.line.out.dialect.language = language;
        }
        self.finish(tag, true, Code::None, "LANGUAGE completed").await
    }

    /// The first CONDSTORE enabling command tells the modseq of the selected mailbox (RFC 7162 section 3.1).
    pub(super) fn enable_condstore(&mut self) {
        if !std::mem::replace(&mut self.enabled.condstore, true)
            && let Some(selected) = &self.selected
        {
            let code = Code::HighestModSeq(selected.view.seen().0);
            response::untagged(&mut self.line.out, Status::Ok, code, "CONDSTORE is on");
        }
    }

    /// ID (RFC 2971).
    async fn id(&mut self, tag: &Tag, fields: &[(String, Option<String>)]) -> Result<(), Failure> {
        let client = |name: &str| {
            let field = fields.iter().find(|(field, _)| field.eq_ignore_ascii_case(name));
            field.and_then(|(_, value)| value.clone()).unwrap_or_default()
        };
        let program = (client("name"), client("version"));
        log::debug!("event=imap-id peer={} name={:?} version={:?}", self.peer, program.0, program.1);
        self.program = Some(Box::new(program));
        self.note_program();
        response::id(&mut self.line.out, &[("name", "Hauspost"), ("version", env!("CARGO_PKG_VERSION"))]);
        self.finish(tag, true, Code::None, "ID completed").await
    }

    /// Once it is known which device this is, and which program.
    pub(super) fn note_program(&self) {
        let device = self.login.as_ref().and_then(|login| login.who().device.as_deref());
        if let (Some(device), Some(program)) = (device, &self.program) {
            self.context.logins.sightings.note_program(device, &program.0, &program.1);
        }
    }
}

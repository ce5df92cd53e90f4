//! Questions whose answers are proved by DNSSEC, where the way to the name servers carries it.
//!
//! Receives the same questions as the parent; hands on answers with their security. Validation is done here, by signatures from
//! the root on: nobody on the way is trusted. Many home routers lose signatures; asked through one, everything signed would
//! look forged. So the way is judged first, by the root's own records, and again after some hours or when `/etc/resolv.conf`
//! changes: where it does not carry DNSSEC, all answers are taken as they are, as if no zone were signed.
//!
//! What always holds: once the way carries DNSSEC, an answer without its proof is no answer. Signatures are dated: they are
//! judged by the system's clock or by the latest time the store remembers, whichever is later, so that a board that wakes up
//! without the time does not take the world's signatures for forged. A clock that is further behind than that turns DNSSEC off,
//! and the way is judged again each minute, until the time is set.

use super::{Dns, OnSmol, host_name, read_answer};
use crate::limits::*;
use crate::mail::tls_policy::{Security, Tlsa};
use crate::net::{DnsTrouble, Mx, Secured};
use crate::wire::address::Domain;
use hickory_resolver::Resolver;
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::xfer::FirstAnswer;
use hickory_resolver::net::{DnsError, DnsHandle, NetError, NoRecords};
use hickory_resolver::proto::dnssec::rdata::{DNSSECRData, SigInput};
use hickory_resolver::proto::dnssec::{Proof, TrustAnchors};
use hickory_resolver::proto::op::{DnsRequestOptions, Query, ResponseCode};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

/// Seconds since 1970 that have passed in any case, whatever the clock says. One for the process, as the clock is.
static PASSED_SECONDS: AtomicU64 = AtomicU64::new(0);

/// Whether, and by what keys, answers are proved.
pub(super) struct Validation {
    anchors: Option<Arc<TrustAnchors>>,
    way: smol::lock::Mutex<Way>,
}

/// What is known of the way to the name servers.
#[derive(Default)]
struct Way {
    /// Proves what it answers; there while the way carries DNSSEC.
    resolver: Option<Resolver<OnSmol>>,
    /// Questions it was asked: it remembers what it proved, so it is replaced after some.
    asked: usize,
    judged: Option<Judged>,
}

#[derive(Clone, Copy)]
struct Judged {
    at: Instant,
    holds: Duration,
    /// When the system's configuration was written that it is about.
    config_of: Option<SystemTime>,
}

/// What the root's own records say about the way.
enum Verdict {
    Carries,
    Loses(String),
    /// Nobody answered.
    Silent(String),
}

impl Validation {
    pub fn off() -> Validation {
        Validation { anchors: None, way: smol::lock::Mutex::default() }
    }

    /// By the keys of the world's root, or by those of a private one: DNSKEY records of the root, as in a zone file.
    pub fn on(root_keys: Option<&str>) -> Result<Validation, String> {
        let anchors = match root_keys {
            None => TrustAnchors::default(),
            Some(text) => text.parse::<TrustAnchors>().map_err(|error| format!("no DNSKEY records: {error}"))?,
        };
        if anchors.is_empty() {
            return Err("it has no DNSKEY record of the root (\". IN DNSKEY 257 3 ...\")".to_owned());
        }
        Ok(Validation { anchors: Some(Arc::new(anchors)), ..Validation::off() })
    }
}

/// Takes note that it is this late at least, in seconds since 1970.
pub(super) fn has_passed(seconds: u64) {
    PASSED_SECONDS.fetch_max(seconds, Ordering::Relaxed);
}

/// The time that signatures are judged by, in seconds since 1970.
pub(super) fn time_seconds() -> u64 {
    system_seconds().max(PASSED_SECONDS.load(Ordering::Relaxed))
}

fn system_seconds() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

fn is_clock_behind() -> bool {
    system_seconds() < PASSED_SECONDS.load(Ordering::Relaxed)
}

impl Dns {
    pub async fn mx_secured(&self, domain: &Domain) -> Result<Secured<Mx>, DnsTrouble> {
        let Some(resolver) = self.proving().await else {
            return self.mx(domain).await.map(|found| Secured::unproved(domain, found));
        };
        let name = name_of(domain)?;
        let answer = match self.prove(&resolver, &name, RecordType::MX).await {
            Err(Unproved::NoProof) if self.is_unsigned(&resolver, &name).await => {
                return self.mx(domain).await.map(|found| Secured::unproved(domain, found));
            }
            answer => answer?,
        };
        let named = |data: &RData| match data {
            RData::MX(mx) => Some(host_name(&mx.exchange).map(|exchange| Mx { preference: mx.preference, exchange })),
            _ => None,
        };
        let all = answer.map(domain, named);
        let (records, found) = (all.found.len(), all.found.into_iter().flatten().collect::<Vec<Mx>>());
        // RFC 5321 section 5.1: the domain itself stands in only for a domain without any MX record.
        if found.is_empty() && records > 0 {
            return Err(DnsTrouble::Temporary("its MX records name no host".to_owned()));
        }
        Ok(Secured { found, name: all.name, security: all.security, first: all.first })
    }

    /// IPv4 first, as without proof. The answer is as sure as the weaker of the two.
    pub async fn addresses_secured(&self, host: &Domain) -> Result<Secured<IpAddr>, DnsTrouble> {
        let Some(resolver) = self.proving().await else {
            return self.addresses(host).await.map(|found| Secured::unproved(host, found));
        };
        let name = name_of(host)?;
        let (v4, v6) = smol::future::zip(
            self.prove(&resolver, &name, RecordType::A), //
            self.prove(&resolver, &name, RecordType::AAAA),
        )
        .await;
        let read = |answer: Result<Proved, Unproved>| answer.map(|proved| proved.map(host, RData::ip_addr));
        match (read(v4), read(v6)) {
            (Ok(v4), Ok(v6)) if !v4.found.is_empty() && !v6.found.is_empty() => Ok(Secured {
                security: weaker(v4.security, v6.security),
                first: weaker(v4.first, v6.first),
                name: if v4.name == v6.name { v4.name } else { host.clone() },
                found: [v4.found, v6.found].concat(),
            }),
            (Ok(one), _) | (_, Ok(one)) if !one.found.is_empty() => Ok(one),
            // One answered "nothing" and the other not at all: there may be an address.
            (Err(trouble @ (Unproved::Trouble(DnsTrouble::Temporary(_)) | Unproved::NoProof)), _)
            | (_, Err(trouble @ (Unproved::Trouble(DnsTrouble::Temporary(_)) | Unproved::NoProof))) => {
                Err(trouble.into())
            }
            (Err(trouble), _) | (_, Err(trouble)) => Err(trouble.into()),
            (Ok(none), Ok(_)) => Ok(none),
        }
    }

    pub async fn tlsa(&self, base: &Domain, port: u16) -> Result<Secured<Tlsa>, DnsTrouble> {
        let Some(resolver) = self.proving().await else { return Ok(Secured::unproved(base, Vec::new())) };
        // RFC 6698 section 3.
        let service = Domain::new(&format!("_{port}._tcp.{base}"));
        let answer = self.prove(&resolver, &name_of(&service)?, RecordType::TLSA).await?;
        Ok(answer.map(&service, |data| match data {
            RData::TLSA(tlsa) => Some(Tlsa {
                usage: tlsa.cert_usage.into(),
                selector: tlsa.selector.into(),
                matching: tlsa.matching.into(),
                data: tlsa.cert_data.clone(),
            }),
            _ => None,
        }))
    }

    async fn prove(&self, resolver: &Resolver<OnSmol>, name: &Name, kind: RecordType) -> Result<Proved, Unproved> {
        match read_proofs(name, kind, self.ask_by(resolver, name.clone(), kind).await) {
            Err(Unproved::Bogus) => self.look_closer(name, kind).await,
            proved => proved,
        }
    }

    /// A second look at an answer that the resolver took for bogus. It wants a proof that the wildcard itself is not there (hickory
    /// 0.26, with NSEC), which no answer made from a wildcard can bring; what RFC 4035 section 5.3.4 asks for is enough.
    async fn look_closer(&self, name: &Name, kind: RecordType) -> Result<Proved, Unproved> {
        let Some(anchors) = &self.validation.anchors else { return Err(Unproved::Bogus) };
        let prover = self.prover(anchors).map_err(|_| Unproved::Bogus)?;
        let asking = prover.lookup(Query::query(name.clone(), kind), DnsRequestOptions::default()).first_answer();
        match self.in_time(asking).await {
            Err(NetError::Dns(DnsError::Nsec { response, .. }))
                if is_from_wildcard(&response.answers, &response.authorities) =>
            {
                follow(name, kind, &response.answers)
            }
            _ => Err(Unproved::Bogus),
        }
    }

    /// Whether an address of the name itself is proved to be from an unsigned zone: servers that deny something without a word
    /// about the zone are to be believed there.
    async fn is_unsigned(&self, resolver: &Resolver<OnSmol>, name: &Name) -> bool {
        let proved = self.prove(resolver, name, RecordType::A).await;
        proved.is_ok_and(|proved| !proved.data.is_empty() && proved.first == Security::Insecure)
    }

    /// The resolver that proves answers, when the way carries DNSSEC.
    async fn proving(&self) -> Option<Resolver<OnSmol>> {
        let anchors = self.validation.anchors.as_ref()?;
        let mut way = self.validation.way.lock().await;
        let config_of = self.config_of();
        let fresh =
            way.judged.is_some_and(|judged| judged.config_of == config_of && judged.at.elapsed() < judged.holds);
        if !fresh {
            self.judge(&mut way, anchors, config_of).await;
        } else if way.resolver.is_some() && way.asked >= DNSSEC_ASKED_MAX {
            way.resolver = self.build(Some(anchors)).ok();
            way.asked = 0;
        }
        way.asked = way.asked.saturating_add(1);
        way.resolver.clone()
    }

    async fn judge(&self, way: &mut Way, anchors: &Arc<TrustAnchors>, config_of: Option<SystemTime>) {
        let (verdict, resolver) = match self.build(Some(anchors)) {
            Ok(resolver) => (self.root_says(&resolver).await, Some(resolver)),
            Err(error) => (Verdict::Silent(error.to_string()), None),
        };
        let known = way.judged.filter(|judged| judged.config_of == config_of);
        let was_on = way.resolver.is_some();
        let (reason, soon) = match verdict {
            Verdict::Carries => (None, false),
            Verdict::Loses(_) if is_clock_behind() => (Some("the clock of this machine is behind".to_owned()), true),
            Verdict::Loses(why) => (Some(why), false),
            Verdict::Silent(why) => (Some(why), true),
        };
        match reason {
            None => {
                if !was_on {
                    log::info!("event=dnssec state=on");
                }
                way.resolver = resolver;
            }
            // Nobody answered: what the way was it still is, as far as anybody knows.
            Some(_) if soon && known.is_some() && !is_clock_behind() => {}
            Some(reason) => {
                if was_on || known.is_none() {
                    log::warn!("event=dnssec state=off reason={reason:?} effect=\"DANE is not used\"");
                }
                way.resolver = None;
            }
        }
        let holds = Duration::from_secs(if soon { DNSSEC_JUDGED_AGAIN_SECONDS } else { DNSSEC_JUDGED_SECONDS });
        way.asked = 0;
        way.judged = Some(Judged { at: Instant::now(), holds, config_of });
    }

    /// Asks for something the root has and for something it has not: both come with proofs, of different kinds.
    async fn root_says(&self, resolver: &Resolver<OnSmol>) -> Verdict {
        for (kind, there) in [(RecordType::SOA, true), (RecordType::TLSA, false)] {
            match self.prove(resolver, &Name::root(), kind).await {
                Ok(proved) if proved.security == Security::Secure && proved.data.is_empty() != there => {}
                Ok(_) | Err(Unproved::NoProof) => {
                    return Verdict::Loses("the answers of the name servers come without signatures".to_owned());
                }
                Err(Unproved::Bogus) => {
                    return Verdict::Loses("the signatures of the root do not arrive as they are".to_owned());
                }
                Err(Unproved::Trouble(DnsTrouble::Temporary(why))) => return Verdict::Silent(why),
                Err(Unproved::Trouble(DnsTrouble::NoSuchName)) => {
                    return Verdict::Loses("the name servers do not know the root".to_owned());
                }
            }
        }
        Verdict::Carries
    }
}

/// Records at the end of a chain of aliases, and how sure it all is.
#[derive(Debug)]
struct Proved {
    data: Vec<RData>,
    name: Name,
    security: Security,
    first: Security,
}

/// Why nothing is proved.
#[derive(Debug)]
enum Unproved {
    Trouble(DnsTrouble),
    /// Signatures are wrong, or missing where there must be some.
    Bogus,
    /// "There is none", without a word about whose that is.
    NoProof,
}

impl From<Unproved> for DnsTrouble {
    fn from(unproved: Unproved) -> DnsTrouble {
        match unproved {
            Unproved::Trouble(trouble) => trouble,
            Unproved::Bogus => DnsTrouble::Temporary(BOGUS.to_owned()),
            Unproved::NoProof => {
                DnsTrouble::Temporary("the answer comes without the proof it needs (DNSSEC)".to_owned())
            }
        }
    }
}

/// What is said of bogus answers.
pub(in crate::net) const BOGUS: &str = "the answer is not validly signed (DNSSEC: bogus)";

impl Proved {
    fn map<T>(self, asked: &Domain, pick: impl Fn(&RData) -> Option<T>) -> Secured<T> {
        Secured {
            found: self.data.iter().filter_map(pick).collect(),
            // A name that no host can have is no name to go on with.
            name: host_name(&self.name).unwrap_or_else(|| asked.clone()),
            security: self.security,
            first: self.first,
        }
    }
}

fn weaker(one: Security, other: Security) -> Security {
    if (one, other) == (Security::Secure, Security::Secure) { Security::Secure } else { Security::Insecure }
}

/// The name of a question. A name that DNS cannot hold is a name that is not there.
fn name_of(domain: &Domain) -> Result<Name, DnsTrouble> {
    let mut name = Name::from_utf8(domain.as_str()).map_err(|_| DnsTrouble::NoSuchName)?;
    name.set_fqdn(true);
    Ok(name)
}

fn read_proofs(asked: &Name, kind: RecordType, answer: Result<Lookup, NetError>) -> Result<Proved, Unproved> {
    match answer {
        Ok(lookup) => follow(asked, kind, lookup.answers()),
        Err(NetError::Dns(DnsError::NoRecordsFound(none))) => {
            let security = security_of_denial(&none)?;
            denied(asked, none.response_code, security)
        }
        Err(NetError::Dns(DnsError::DnssecBogus)) => Err(Unproved::Bogus),
        // More rounds of hashing than anybody computes: RFC 9276 section 3.2 takes it as not signed.
        Err(NetError::Dns(DnsError::Nsec { response, proof: Proof::Insecure, .. })) => {
            match response.answers.is_empty() {
                true => denied(asked, response.response_code, Security::Insecure),
                false => follow(asked, kind, &response.answers)
                    .map(|proved| Proved { security: Security::Insecure, ..proved }),
            }
        }
        Err(NetError::Dns(DnsError::Nsec { .. })) => Err(Unproved::Bogus),
        Err(error) => Err(Unproved::Trouble(match read_answer(Err(error)) {
            Err(trouble) => trouble,
            Ok(_) => DnsTrouble::Temporary("no answer".to_owned()),
        })),
    }
}

fn denied(asked: &Name, code: ResponseCode, security: Security) -> Result<Proved, Unproved> {
    match code {
        ResponseCode::NXDomain => Err(Unproved::Trouble(DnsTrouble::NoSuchName)),
        ResponseCode::NoError => Ok(Proved { data: Vec::new(), name: asked.clone(), security, first: security }),
        other => Err(Unproved::Trouble(DnsTrouble::Temporary(other.to_string()))),
    }
}

/// Follows aliases to the records (RFC 7672 section 2.1.3: from the first insecure step on, all is insecure). Only records that
/// stand under the name reached count.
fn follow(asked: &Name, kind: RecordType, answers: &[Record]) -> Result<Proved, Unproved> {
    let (mut name, mut security, mut first) = (asked.clone(), Security::Secure, None);
    for _ in 0..DNS_ALIASES_MAX {
        let here =
            |wanted: RecordType| answers.iter().filter(|r| r.name == name && r.record_type() == wanted).collect();
        let records: Vec<&Record> = here(kind);
        let aliases: Vec<&Record> = here(RecordType::CNAME);
        let step = if records.is_empty() { &aliases } else { &records };
        for record in step {
            let proof = security_of(record.proof)?;
            security = weaker(security, proof);
        }
        let Some(record) = step.first() else { break };
        first.get_or_insert(security);
        if !records.is_empty() {
            let data = records.iter().take(DNS_RECORDS_MAX).map(|record| record.data.clone()).collect();
            return Ok(Proved { data, name, security, first: first.unwrap_or_default() });
        }
        let RData::CNAME(target) = &record.data else { break };
        name = target.0.clone();
    }
    Err(Unproved::Trouble(DnsTrouble::Temporary("the answer does not lead from the name to any record".to_owned())))
}

/// Whether answers stand for names that are not there but for a wildcard, and it is proved that they are not: the name one label
/// longer than the wildcard's parent lies in a gap between two names of the zone (RFC 4035 section 5.3.4).
fn is_from_wildcard(answers: &[Record], authorities: &[Record]) -> bool {
    let is_gap_over = |name: &Name, zone: &Name| {
        authorities.iter().filter(|record| record.proof == Proof::Secure).any(|record| {
            let RData::DNSSEC(DNSSECRData::NSEC(nsec)) = &record.data else { return false };
            let (from, to) = (&record.name, nsec.next_domain_name());
            let kinds = nsec.type_set();
            let is_cut = kinds.contains(RecordType::NS) && !kinds.contains(RecordType::SOA);
            let is_inside = from < name && (name < to || to <= from);
            // A name above an existing one is there too, without records; below a cut another zone speaks.
            is_inside && zone.zone_of(from) && !name.zone_of(to) && !(is_cut && from.zone_of(name))
        })
    };
    let mut expanded = answers.iter().filter_map(|record| match &record.data {
        RData::DNSSEC(DNSSECRData::RRSIG(signature)) if record.proof == Proof::Secure => {
            let input = signature.input();
            (input.num_labels < record.name.num_labels()).then_some((record, input))
        }
        _ => None,
    });
    let is_proved = |(record, input): (&Record, &SigInput)| {
        let next_closer = record.name.trim_to(usize::from(input.num_labels).saturating_add(1));
        input.signer_name.zone_of(&record.name) && is_gap_over(&next_closer, &input.signer_name)
    };
    expanded.next().is_some_and(|first| is_proved(first) && expanded.all(is_proved))
}

fn security_of(proof: Proof) -> Result<Security, Unproved> {
    match proof {
        Proof::Secure => Ok(Security::Secure),
        // Nothing from the network is left undetermined: these are of /etc/hosts, or localhost.
        Proof::Insecure | Proof::Indeterminate => Ok(Security::Insecure),
        Proof::Bogus => Err(Unproved::Bogus),
    }
}

/// How sure it is that there is nothing. The resolver has checked signed denials against the question. Of the others it takes any
/// for true that names some unsigned zone, also one that has nothing to do with the question: that is checked here.
fn security_of_denial(none: &NoRecords) -> Result<Security, Unproved> {
    let authorities = none.authorities.as_deref().unwrap_or_default();
    let is_denial = |record: &&Record| {
        matches!(&record.data, RData::DNSSEC(DNSSECRData::NSEC(_) | DNSSECRData::NSEC3(_)))
            && record.proof == Proof::Secure
    };
    if authorities.iter().any(|record| is_denial(&record)) {
        return Ok(Security::Secure);
    }
    let asked = none.query.name();
    let is_unsigned = |record: &Record| record.proof == Proof::Insecure && record.name.zone_of(asked);
    if authorities.iter().any(is_unsigned) { Ok(Security::Insecure) } else { Err(Unproved::NoProof) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hickory_resolver::proto::dnssec::Algorithm;
    use hickory_resolver::proto::dnssec::rdata::{NSEC, RRSIG};
    use hickory_resolver::proto::rr::SerialNumber;
    use hickory_resolver::proto::rr::rdata::{A, CNAME, SOA};

    fn name(text: &str) -> Name {
        text.parse().unwrap()
    }

    fn record(owner: &str, data: RData, proof: Proof) -> Record {
        let mut record = Record::from_rdata(name(owner), 60, data);
        record.proof = proof;
        record
    }

    fn address(owner: &str, proof: Proof) -> Record {
        record(owner, RData::A(A::new(192, 0, 2, 1)), proof)
    }

    fn alias(owner: &str, of: &str, proof: Proof) -> Record {
        record(owner, RData::CNAME(CNAME(name(of))), proof)
    }

    fn followed(answers: &[Record]) -> Option<(String, Security, Security)> {
        let proved = follow(&name("mx.far.test."), RecordType::A, answers).ok()?;
        Some((proved.name.to_string(), proved.security, proved.first))
    }

    #[test]
    fn a_chain_is_as_sure_as_its_weakest_step() {
        use Proof::{Bogus, Insecure, Secure};
        use Security as S;
        let plain = |proof| followed(&[address("mx.far.test.", proof)]);
        assert_eq!(plain(Secure), Some(("mx.far.test.".into(), S::Secure, S::Secure)));
        assert_eq!(plain(Insecure), Some(("mx.far.test.".into(), S::Insecure, S::Insecure)));
        assert_eq!(plain(Bogus), None);
        let through = |step, end| followed(&[address("b.test.", end), alias("MX.far.test.", "b.test.", step)]);
        assert_eq!(through(Secure, Secure), Some(("b.test.".into(), S::Secure, S::Secure)));
        assert_eq!(through(Secure, Insecure), Some(("b.test.".into(), S::Insecure, S::Secure)));
        assert_eq!(through(Insecure, Secure), Some(("b.test.".into(), S::Insecure, S::Insecure)));
        assert_eq!(through(Bogus, Secure), None);
    }

    #[test]
    fn records_that_the_name_does_not_lead_to_count_for_nothing() {
        assert_eq!(followed(&[address("other.test.", Proof::Secure)]), None);
        assert_eq!(followed(&[]), None);
        let round = [alias("mx.far.test.", "b.test.", Proof::Secure), alias("b.test.", "mx.far.test.", Proof::Secure)];
        assert_eq!(followed(&round), None);
    }

    fn denial(authorities: &[Record]) -> Result<Security, Unproved> {
        let query = Query::query(name("_25._tcp.mx.far.test."), RecordType::TLSA);
        let mut none = NoRecords::new(query, ResponseCode::NoError);
        none.authorities = Some(authorities.to_vec().into());
        security_of_denial(&none)
    }

    /// "There is none" in the name of an unsigned zone that has nothing to do with the question passes the resolver: taken for
    /// true, it would take away the TLSA records of any server.
    #[test]
    fn only_the_zone_of_the_name_may_deny_it() {
        let zone = |owner: &str, proof| {
            record(owner, RData::SOA(SOA::new(name("ns.test."), name("h.test."), 1, 1, 1, 1, 1)), proof)
        };
        assert!(matches!(denial(&[zone("far.test.", Proof::Insecure)]), Ok(Security::Insecure)));
        assert!(matches!(denial(&[zone("elsewhere.test.", Proof::Insecure)]), Err(Unproved::NoProof)));
        assert!(matches!(denial(&[zone("far.test.", Proof::Secure)]), Err(Unproved::NoProof)));
        assert!(matches!(denial(&[]), Err(Unproved::NoProof)));
        let nsec = RData::DNSSEC(DNSSECRData::NSEC(NSEC::new(name("z.far.test."), [RecordType::A])));
        let proved = [zone("far.test.", Proof::Secure), record("mx.far.test.", nsec.clone(), Proof::Secure)];
        assert!(matches!(denial(&proved), Ok(Security::Secure)));
        assert!(matches!(denial(&[record("mx.far.test.", nsec, Proof::Bogus)]), Err(Unproved::NoProof)));
    }

    /// A signature over records of a name; `labels`: of the wildcard's parent, or of the name itself.
    fn signature(owner: &str, labels: u8) -> Record {
        let input = SigInput {
            type_covered: RecordType::A,
            algorithm: Algorithm::ECDSAP256SHA256,
            num_labels: labels,
            original_ttl: 60,
            sig_expiration: SerialNumber::new(2),
            sig_inception: SerialNumber::new(1),
            key_tag: 1,
            signer_name: name("far.test."),
        };
        record(owner, RData::DNSSEC(DNSSECRData::RRSIG(RRSIG::from_sig(input, vec![]))), Proof::Secure)
    }

    #[test]
    fn a_wildcard_answers_only_for_names_that_are_proved_not_to_be_there() {
        let gap = |from: &str, to: &str, kinds: &[RecordType], proof| {
            record(from, RData::DNSSEC(DNSSECRData::NSEC(NSEC::new(name(to), kinds.iter().copied()))), proof)
        };
        let from_wildcard = |owner: &str, labels, gap: Record| {
            is_from_wildcard(&[address(owner, Proof::Secure), signature(owner, labels)], &[gap])
        };
        let a = &[RecordType::A][..];
        let wide = || gap("*.w.far.test.", "far.test.", a, Proof::Secure);
        assert!(from_wildcard("y.w.far.test.", 3, wide()));
        assert!(from_wildcard("x.y.w.far.test.", 3, wide()));
        // Nothing was expanded; nothing is proved; the gap is elsewhere, or of another zone.
        assert!(!from_wildcard("y.w.far.test.", 4, wide()));
        assert!(!from_wildcard("y.w.far.test.", 3, gap("*.w.far.test.", "far.test.", a, Proof::Bogus)));
        assert!(!from_wildcard("y.w.far.test.", 3, gap("*.w.far.test.", "b.w.far.test.", a, Proof::Secure)));
        assert!(!from_wildcard("y.w.far.test.", 3, gap("a.test.", "z.test.", a, Proof::Secure)));
        // A closer name is there: it has names below it, so the wildcard does not stand for those.
        assert!(!from_wildcard("x.y.w.far.test.", 3, gap("*.w.far.test.", "z.y.w.far.test.", a, Proof::Secure)));
        // Another zone begins at w.far.test.
        assert!(!from_wildcard("y.w.far.test.", 3, gap("w.far.test.", "far.test.", &[RecordType::NS], Proof::Secure)));
        assert!(!is_from_wildcard(&[address("y.w.far.test.", Proof::Secure)], &[wide()]));
    }

    #[test]
    fn keys_of_a_private_root_are_read_and_others_are_refused() {
        let key = "mdsswUyr3DPW132mOi8V9xESWE8jTo0dxCjjnopKl+GqJxpVXckHAeF+KkxLbxILfDLUT0rAK9iUzy1L53eKGQ==";
        assert!(Validation::on(Some(&format!(". 3600 IN DNSKEY 257 3 13 {key}\n"))).is_ok());
        assert!(Validation::on(Some(&format!("far.test. 3600 IN DNSKEY 257 3 13 {key}\n"))).is_err());
        assert!(Validation::on(Some("")).is_err());
        assert!(Validation::on(Some("nonsense")).is_err());
    }

    #[test]
    fn signatures_are_judged_by_the_later_clock() {
        let now = system_seconds();
        assert!(time_seconds() >= now);
        has_passed(now + 1_000);
        assert!(time_seconds() >= now + 1_000 && is_clock_behind());
        has_passed(5);
        assert!(time_seconds() >= now + 1_000);
    }
}

//! What was read of the Secrets that name certificates. Their rights are no part of an installation: a
//! user grants them, namespace by namespace.
//!
//! A Secret is read by name and never watched, because nobody may watch what may be forbidden at any time;
//! nothing of it is kept but the certificate's id.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use direct_access::{CertificateId, CertificateRef, ObjectRef, Rule, names};
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::desired::Certified;
use crate::engine::Shared;

/// A read is small; the next round tries again.
const DEADLINE: Duration = Duration::from_secs(5);
/// How often a Secret is read again: certificates are renewed every few months.
const REREAD: Duration = Duration::from_secs(30);
/// The same where it is not there, cannot be read or names no certificate.
const RETRY: Duration = Duration::from_secs(5);
/// How often to look for Secrets that nobody has read yet.
const LOOK: Duration = Duration::from_secs(2);

/// What was read, by Secret.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Certificates {
    known: BTreeMap<ObjectRef, Result<CertificateId, String>>,
    assumed: bool,
}

impl Certificates {
    /// For those who only look ahead and may not read Secrets: every Secret names a certificate.
    pub fn assumed() -> Self {
        Self {
            assumed: true,
            ..Self::default()
        }
    }

    /// Takes in what a Secret says, or why it could not be read.
    pub fn insert(&mut self, secret: ObjectRef, read: Result<CertificateId, String>) {
        self.known.insert(secret, read);
    }
}

/// What is known of a rule's certificate; and the Secret with what is wrong, if a person must mend it.
pub(crate) fn certified(
    rule: &Rule,
    certificates: Option<&Certificates>,
) -> (Certified, Option<(String, String)>) {
    let secret = match &rule.certificate {
        None => {
            let why = "no certificate is named for its host".to_owned();
            return (Certified::Unknown(why), None);
        }
        Some(CertificateRef::Id(id)) => return (Certified::Known(id.clone()), None),
        Some(CertificateRef::Secret(secret)) => secret,
    };
    match certificates.and_then(|all| all.known.get(secret)) {
        Some(Ok(id)) => (Certified::Known(id.clone()), None),
        Some(Err(why)) => {
            let whole = format!("Secret {secret}: {why}");
            let told = (secret.name.clone(), why.clone());
            (Certified::Unknown(whole), Some(told))
        }
        None if certificates.is_some_and(|all| all.assumed) => (Certified::Assumed, None),
        None => (Certified::Sought, None),
    }
}

/// Reads the Secrets that are named, for as long as we lead.
pub(crate) async fn run(shared: Shared, draining: CancellationToken) {
    let work = async {
        let mut leadership = shared.leadership.clone();
        let mut read_at: BTreeMap<ObjectRef, Instant> = BTreeMap::new();
        loop {
            leadership.gained().await;
            let named = shared.cluster.named_secrets();
            read_at.retain(|secret, _| named.contains(secret));
            read_all(&shared, &named, &mut read_at).await;
            tokio::time::sleep(LOOK).await;
        }
    };
    draining.run_until_cancelled(work).await;
}

async fn read_all(
    shared: &Shared,
    named: &BTreeSet<ObjectRef>,
    read_at: &mut BTreeMap<ObjectRef, Instant>,
) {
    let mut all = shared.cluster.certificates();
    all.known.retain(|secret, _| named.contains(secret));
    for secret in named {
        let good = matches!(all.known.get(secret), Some(Ok(_)));
        let holds = if good { REREAD } else { RETRY };
        let fresh = |at: &Instant| at.elapsed() < holds;
        if read_at.get(secret).is_some_and(fresh) {
            continue;
        }
        let read = read(&shared.kube, secret).await;
        // A call that failed says nothing against what was read before.
        if let Some(read) = read {
            all.known.insert(secret.clone(), read);
        }
        read_at.insert(secret.clone(), Instant::now());
    }
    shared.cluster.on_certificates(all);
}

/// `None`: the API server did not answer.
async fn read(client: &Client, secret: &ObjectRef) -> Option<Result<CertificateId, String>> {
    let api: Api<Secret> = Api::namespaced(client.clone(), &secret.namespace);
    let attempt = format!("get Secret {secret}");
    match runtime::call(DEADLINE, attempt, api.get_opt(&secret.name)).await {
        Ok(Some(found)) => {
            let id = CertificateId::of_secret(&found.data.unwrap_or_default());
            Some(id.map_err(str::to_owned))
        }
        Ok(None) => Some(Err(
            "there is no such Secret (E4010); create it with the key qcloud_cert_id".to_owned(),
        )),
        Err(error) if error.is_forbidden() => Some(Err(format!(
            "clb-gate may not read it; grant ServiceAccount clb-gate/clb-gate-controller the right to get it by a Role \
             in namespace {}, or name the certificate's id itself, in the annotation {} of an Ingress or {} of a \
             Service",
            secret.namespace,
            names::ingress::CERTIFICATE,
            names::LISTENER_PARAMETERS
        ))),
        Err(error) => {
            tracing::warn!(%error, "a certificate is not known");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use direct_access::RulePath;

    use super::*;

    fn secret() -> ObjectRef {
        ObjectRef {
            namespace: "shop".to_owned(),
            name: "cert".to_owned(),
        }
    }

    fn rule(certificate: Option<CertificateRef>) -> Rule {
        Rule {
            path: RulePath {
                domain: None,
                url: "/".to_owned(),
            },
            default: false,
            certificate,
        }
    }

    #[test]
    fn a_certificate_is_known_by_its_id_or_once_its_secret_was_read() {
        let id = CertificateId {
            server: "abcd1234".to_owned(),
            clients_ca: None,
        };
        let by_id = rule(Some(CertificateRef::Id(id.clone())));
        assert_eq!(
            certified(&by_id, None),
            (Certified::Known(id.clone()), None)
        );
        let by_secret = rule(Some(CertificateRef::Secret(secret())));
        let (unread, told) = certified(&by_secret, None);
        assert_eq!((unread, told), (Certified::Sought, None));
        let mut all = Certificates::default();
        all.insert(secret(), Err("E4011".to_owned()));
        let (bad, told) = certified(&by_secret, Some(&all));
        assert!(matches!(bad, Certified::Unknown(_)) && told.is_some());
        all.insert(secret(), Ok(id.clone()));
        assert_eq!(
            certified(&by_secret, Some(&all)),
            (Certified::Known(id), None)
        );
        let none = certified(&rule(None), Some(&all));
        assert!(matches!(none, (Certified::Unknown(_), None)));
        let assumed = certified(&by_secret, Some(&Certificates::assumed()));
        assert_eq!(assumed, (Certified::Assumed, None));
    }
}

//! What an HTTPS or `TCP_SSL` listener presents in a TLS handshake: which certificate, to whom, and whether
//! HTTP/2 is offered.
//!
//! Without SNI switched on there is the listener's certificate. With it each domain has its rules'
//! own, chosen by the name the client sends; a client that sends none, or one that no domain
//! matches, gets the default domain's. HTTP/2 is a matter of the domain either way.

use super::route::Routes;
use crate::state::certificates::Certificates;
use crate::state::parts::{Listener, Rule};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::server::WebPkiClientVerifier;
use rustls::sign::SingleCertAndKey;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;

const HTTP_1: &[u8] = b"http/1.1";
/// How ALPN spells HTTP/2.
pub(super) const HTTP_2: &[u8] = b"h2";

/// What may be remembered of a listener to notice that its doors changed.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Sign {
    version: u64,
    sni: bool,
    /// HTTP is spoken inside: ALPN says which.
    http: bool,
    certificate: Option<Value>,
    rules: Vec<RuleSign>,
}

#[derive(Clone, Debug, PartialEq)]
struct RuleSign {
    location: String,
    certificate: Option<Value>,
    http2: bool,
}

/// The doors of a listener.
#[derive(Default)]
pub(super) struct Doors {
    own: Option<Door>,
    by_location: BTreeMap<String, Door>,
    http2: Vec<String>,
}

/// One certificate's configurations, or why there are none.
type Door = Result<Pair, String>;

struct Pair {
    plain: Arc<ServerConfig>,
    /// Offers HTTP/2 too.
    http2: Arc<ServerConfig>,
}

impl Sign {
    pub(super) fn of(listener: &Listener, certificates: &Certificates) -> Self {
        let rule = |rule: &Rule| RuleSign {
            location: rule.id.clone(),
            certificate: rule.certificate.clone(),
            http2: rule.http2,
        };
        Self {
            version: certificates.version(),
            sni: listener.sni,
            http: listener.protocol.has_rules(),
            certificate: listener.certificate.clone(),
            rules: listener.rules.iter().map(rule).collect(),
        }
    }
}

impl Doors {
    pub(super) fn new(sign: &Sign, certificates: &Certificates) -> Self {
        let door = |given: &Value| door(given, certificates, sign.http);
        let rules = sign.rules.iter().filter(|_| sign.sni);
        let with_own = rules.filter_map(|rule| {
            let given = rule.certificate.as_ref()?;
            Some((rule.location.clone(), door(given)))
        });
        let http2 = sign.rules.iter().filter(|rule| rule.http2);
        Self {
            own: sign.certificate.as_ref().map(door),
            by_location: with_own.collect(),
            http2: http2.map(|rule| rule.location.clone()).collect(),
        }
    }

    /// For a client that names this server, or none.
    pub(super) fn open(
        &self,
        routes: &Routes,
        name: Option<&str>,
    ) -> Result<Arc<ServerConfig>, String> {
        let its: Vec<&str> = routes.of_domain(name).collect();
        let mut doors = its
            .iter()
            .filter_map(|location| self.by_location.get(*location));
        let door = doors.next().or(self.own.as_ref());
        let Some(door) = door else {
            return Err(format!("there is no certificate for {name:?}"));
        };
        let pair = door.as_ref().map_err(Clone::clone)?;
        let http2 = its
            .iter()
            .any(|location| self.http2.iter().any(|known| known == location));
        Ok(Arc::clone(if http2 { &pair.http2 } else { &pair.plain }))
    }
}

fn door(given: &Value, certificates: &Certificates, http: bool) -> Door {
    let pair = || {
        let mut plain = configuration(given, certificates)?;
        let mut http2 = plain.clone();
        if http {
            plain.alpn_protocols = vec![HTTP_1.to_vec()];
        }
        http2.alpn_protocols = vec![HTTP_2.to_vec(), HTTP_1.to_vec()];
        Ok(Pair {
            plain: Arc::new(plain),
            http2: Arc::new(http2),
        })
    };
    pair().map_err(|error: anyhow::Error| error.to_string())
}

fn configuration(given: &Value, certificates: &Certificates) -> anyhow::Result<ServerConfig> {
    let refused = |refusal: crate::refusal::Refusal| anyhow::anyhow!(refusal.message);
    let key = certificates.presented(given).map_err(refused)?;
    let authorities = certificates.client_authorities(given).map_err(refused)?;
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()?;
    let builder = match authorities {
        None => builder.with_no_client_auth(),
        Some(roots) => {
            let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider);
            let optional = given.get("SSLVerifyClient").and_then(Value::as_str) == Some("OPTIONAL");
            let verifier = if optional {
                verifier.allow_unauthenticated()
            } else {
                verifier
            };
            builder.with_client_cert_verifier(verifier.build()?)
        }
    };
    Ok(builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(key))))
}

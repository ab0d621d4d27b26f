//! The certificates that listeners and rules name by id. In Tencent Cloud they belong to another
//! product (SSL Certificate Service); here this is all there is of it.

use crate::clock::Millis;
use crate::refusal::{Refusal, code};
use rustls::RootCertStore;
use rustls::crypto::ring;
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt;

/// How many there may be; the real quota is in the thousands.
const MOST: usize = 1000;
/// The longest PEM text, chain or key.
const LONGEST: usize = 64 * 1024;

/// All of them, by id.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Certificates {
    by_id: BTreeMap<String, Certificate>,
    /// Counts changes, so that what was made of them is made anew.
    #[serde(skip)]
    version: u64,
}

/// One certificate: a chain with its key, or without one an authority for clients.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Certificate {
    pub(crate) alias: String,
    /// PEM.
    pub(crate) chain: String,
    /// PEM.
    pub(crate) key: Option<String>,
    pub(crate) uploaded: Millis,
}

/// Without the key.
impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate")
            .field("alias", &self.alias)
            .field("has_key", &self.key.is_some())
            .finish_non_exhaustive()
    }
}

impl Certificates {
    /// Keeps one that can be used, in the place of an earlier one.
    pub(crate) fn put(&mut self, id: &str, certificate: Certificate) -> Result<(), Refusal> {
        certificate.check()?;
        if self.by_id.len() >= MOST && !self.by_id.contains_key(id) {
            let message = format!("there are {MOST} certificates; delete one first");
            return Err(Refusal::new(code::LIMIT_EXCEEDED, message));
        }
        self.by_id.insert(id.to_owned(), certificate);
        self.version += 1;
        Ok(())
    }

    /// Whether there was one.
    pub(crate) fn remove(&mut self, id: &str) -> bool {
        self.version += 1;
        self.by_id.remove(id).is_some()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&String, &Certificate)> {
        self.by_id.iter()
    }

    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    /// What a `CertificateInput` presents to clients: by id, or sent along.
    pub(crate) fn presented(&self, input: &Value) -> Result<CertifiedKey, Refusal> {
        self.resolve(input, ["CertId", "CertContent", "CertKey"])?
            .pair()
    }

    /// The authorities whose clients a `CertificateInput` lets in; none if it asks for none.
    pub(crate) fn client_authorities(
        &self,
        input: &Value,
    ) -> Result<Option<RootCertStore>, Refusal> {
        if text(input, "SSLMode") != Some("MUTUAL") {
            return Ok(None);
        }
        let found = self.resolve(input, ["CertCaId", "CertCaContent", ""])?;
        let mut roots = RootCertStore::empty();
        for authority in found.chain()? {
            roots
                .add(authority)
                .map_err(|error| unusable(&format!("as an authority: {error}")))?;
        }
        Ok(Some(roots))
    }

    fn resolve(&self, input: &Value, [id, chain, key]: [&str; 3]) -> Result<Certificate, Refusal> {
        if let Some(id) = text(input, id) {
            let found = self.by_id.get(id).cloned();
            return found.ok_or_else(|| {
                let message = format!("certificate {id:?} does not exist");
                Refusal::new(code::INVALID_VALUE, message)
            });
        }
        Ok(Certificate {
            alias: String::new(),
            chain: text(input, chain).unwrap_or_default().to_owned(),
            key: text(input, key).map(str::to_owned),
            uploaded: 0,
        })
    }
}

impl Certificate {
    fn check(&self) -> Result<(), Refusal> {
        let long = |text: &str| text.len() > LONGEST;
        if long(&self.chain) || self.key.as_deref().is_some_and(long) {
            let message = format!("a certificate and its key have at most {LONGEST} bytes each");
            return Err(Refusal::new(code::LENGTH, message));
        }
        match self.key {
            Some(_) => self.pair().map(|_| ()),
            None => self.chain().map(|_| ()),
        }
    }

    fn chain(&self) -> Result<Vec<CertificateDer<'static>>, Refusal> {
        let chain: Result<Vec<_>, _> =
            CertificateDer::pem_slice_iter(self.chain.as_bytes()).collect();
        let chain = chain.map_err(|error| unusable(&error.to_string()))?;
        if chain.is_empty() {
            return Err(unusable("no PEM block CERTIFICATE was found"));
        }
        Ok(chain)
    }

    fn pair(&self) -> Result<CertifiedKey, Refusal> {
        let chain = self.chain()?;
        let key = self.key.as_deref().unwrap_or_default();
        // The error names what is wrong with the text, never the text.
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes())
            .map_err(|error| unusable(&format!("its private key: {error}")))?;
        CertifiedKey::from_der(chain, key, &ring::default_provider())
            .map_err(|error| unusable(&error.to_string()))
    }
}

fn text<'a>(input: &'a Value, field: &str) -> Option<&'a str> {
    let text = input.get(field).and_then(Value::as_str);
    text.filter(|text| !text.is_empty())
}

fn unusable(why: &str) -> Refusal {
    Refusal::new(
        code::INVALID_VALUE,
        format!("the certificate cannot be used: {why}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn made(name: &str) -> Certificate {
        let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
        Certificate {
            alias: name.to_owned(),
            chain: made.cert.pem(),
            key: Some(made.signing_key.serialize_pem()),
            uploaded: 0,
        }
    }

    #[test]
    fn only_what_can_be_served_is_kept() {
        let mut all = Certificates::default();
        let (one, other) = (made("a.example"), made("b.example"));
        all.put("cert0001", one.clone()).unwrap();
        let mixed = Certificate {
            key: other.key.clone(),
            ..one.clone()
        };
        let no_chain = Certificate {
            chain: "nothing".to_owned(),
            ..one.clone()
        };
        let bad_key = Certificate {
            key: Some("nothing".to_owned()),
            ..one.clone()
        };
        let long = Certificate {
            chain: one.chain.repeat(200),
            ..one.clone()
        };
        for bad in [mixed, no_chain, bad_key, long] {
            assert!(all.put("cert0002", bad).is_err());
        }
        assert_eq!(all.iter().count(), 1);
        assert!(!format!("{all:?}").contains("PRIVATE"));
    }

    #[test]
    fn a_certificate_is_found_by_id_or_sent_along() {
        let mut all = Certificates::default();
        let one = made("a.example");
        all.put("cert0001", one.clone()).unwrap();
        assert!(all.presented(&json!({ "CertId": "cert0001" })).is_ok());
        let unknown = all.presented(&json!({ "CertId": "cert0002" })).unwrap_err();
        assert!(unknown.message.contains("cert0002"));
        let sent = json!({ "CertContent": one.chain, "CertKey": one.key });
        assert!(all.presented(&sent).is_ok());
        assert!(all.client_authorities(&sent).unwrap().is_none());
        let mutual = json!({ "SSLMode": "MUTUAL", "CertCaContent": one.chain });
        assert!(all.client_authorities(&mutual).unwrap().is_some());
        let nothing = json!({ "SSLMode": "MUTUAL" });
        assert!(all.client_authorities(&nothing).is_err());
    }
}

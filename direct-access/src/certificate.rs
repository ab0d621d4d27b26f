//! Which certificate a listener or a domain shows: an id of Tencent's SSL Certificate Service, named in
//! an annotation or in a Secret beside the object.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;

use crate::listener::Certificate;
use crate::names::ingress::{CA_CERTIFICATE_KEY, CERTIFICATE_KEY};
use crate::service::ObjectRef;

/// Where the certificate is named.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CertificateRef {
    /// By its id.
    Id(CertificateId),
    /// In a Secret, key `qcloud_cert_id`.
    Secret(ObjectRef),
}

/// A certificate in Tencent's SSL Certificate Service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CertificateId {
    /// The server's certificate.
    pub server: String,
    /// The CA of the clients' certificates, where clients must show one.
    pub clients_ca: Option<String>,
}

impl CertificateId {
    /// Reads an id; the error says what is accepted.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let text = text.trim();
        if well_formed(text) {
            return Ok(Self {
                server: text.to_owned(),
                clients_ca: None,
            });
        }
        Err(
            "accepted is the id of a certificate in Tencent's SSL Certificate Service: letters, digits, - and _",
        )
    }

    /// Reads a Secret's data. The error says what is wrong with it and never what is in it.
    pub fn of_secret(data: &BTreeMap<String, ByteString>) -> Result<Self, &'static str> {
        let text = |key| data.get(key).map(|value| std::str::from_utf8(&value.0));
        let unreadable = "its key qcloud_cert_id does not hold the id of a certificate (E4035)";
        let mut id = match text(CERTIFICATE_KEY) {
            None => return Err("it has no key qcloud_cert_id (E4011)"),
            Some(Err(_)) => return Err(unreadable),
            Some(Ok(text)) => Self::parse(text).map_err(|_| unreadable)?,
        };
        if let Some(ca) = text(CA_CERTIFICATE_KEY) {
            let unreadable =
                "its key qcloud_ca_cert_id does not hold the id of a certificate (E4035)";
            let ca = ca.map_err(|_| unreadable)?;
            id.clients_ca = Some(Self::parse(ca).map_err(|_| unreadable)?.server);
        }
        Ok(id)
    }
}

impl From<&CertificateId> for Certificate {
    fn from(id: &CertificateId) -> Self {
        let mode = match id.clients_ca {
            Some(_) => "MUTUAL",
            None => "UNIDIRECTIONAL",
        };
        Self {
            ssl_mode: Some(mode.to_owned()),
            cert_id: Some(id.server.clone()),
            cert_ca_id: id.clients_ca.clone(),
        }
    }
}

/// Tencent's ids have 8 characters today; the API judges the rest.
fn well_formed(id: &str) -> bool {
    let known = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    (1..=64).contains(&id.len()) && id.bytes().all(known)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn of(pairs: &[(&str, &str)]) -> Result<CertificateId, &'static str> {
        let one = |(key, value): &(&str, &str)| {
            let value = ByteString(value.as_bytes().to_vec());
            ((*key).to_owned(), value)
        };
        CertificateId::of_secret(&pairs.iter().map(one).collect())
    }

    #[test]
    fn a_secret_names_a_certificate_and_a_ca() {
        let id = of(&[
            ("qcloud_cert_id", "abcd1234\n"),
            ("qcloud_ca_cert_id", "ca001234"),
        ]);
        let expected = CertificateId {
            server: "abcd1234".to_owned(),
            clients_ca: Some("ca001234".to_owned()),
        };
        assert_eq!(id, Ok(expected));
    }

    #[rstest]
    #[case(&[], "E4011")]
    #[case(&[("tls.crt", "abcd1234")], "E4011")]
    #[case(&[("qcloud_cert_id", "")], "E4035")]
    #[case(&[("qcloud_cert_id", "two words")], "E4035")]
    #[case(&[("qcloud_cert_id", "abcd1234"), ("qcloud_ca_cert_id", "?")], "qcloud_ca_cert_id")]
    fn a_secret_without_an_id_says_so_and_not_what_it_holds(
        #[case] data: &[(&str, &str)],
        #[case] told: &str,
    ) {
        let error = of(data).unwrap_err();
        assert!(error.contains(told), "{error}");
    }
}

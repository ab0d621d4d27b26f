//! PEM and DER in, facts out. Whatever a Secret or a registration may hold ends here in a value or a
//! clear error; a hostile text costs a bounded amount of work.

use jiff::Timestamp;
use rustls_pki_types::{CertificateDer, pem::PemObject};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use x509_parser::{
    certificate::X509Certificate, extensions::GeneralName, extensions::ParsedExtension,
    prelude::FromDer, time::ASN1Time,
};

/// No PEM text longer than this is looked at: eight CA generations take 6 KiB, and parsing time grows
/// with size (GHSA-r4pg-vg54-wxx4: 856 kB cost 750 ms of CPU in another project).
pub const MAX_PEM_BYTES: usize = 64 * 1024;

/// How a CA of ours names its generation in its common name.
pub(crate) const CA_NAME_PREFIX: &str = "clb-gate CA generation ";

/// Why a text is not a certificate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// The bytes inside the PEM are no X.509 certificate.
    #[error("not an X.509 certificate: {0}")]
    Der(String),
    /// The text has no certificate in it.
    #[error("no PEM block CERTIFICATE in {bytes} bytes")]
    Empty {
        /// Length of what was read.
        bytes: usize,
    },
    /// The PEM framing is broken.
    #[error("broken PEM: {0}")]
    Pem(String),
    /// Longer than anything we would ever write.
    #[error("{bytes} bytes of PEM, at most {MAX_PEM_BYTES} are accepted")]
    TooLarge {
        /// Length of what was read.
        bytes: usize,
    },
}

/// What a person or a decision wants to know about a certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertFacts {
    /// Subject, as text.
    pub subject: String,
    /// Issuer, as text.
    pub issuer: String,
    /// Serial number in hex.
    pub serial: String,
    /// DNS subject alternative names, in order.
    pub dns_names: Vec<String>,
    /// Start of validity.
    pub not_before: Timestamp,
    /// End of validity.
    pub not_after: Timestamp,
    /// Subject key identifier in hex.
    pub subject_key_id: Option<String>,
    /// Authority key identifier in hex: the subject key identifier of the CA that signed.
    pub authority_key_id: Option<String>,
    /// SHA-256 of the DER in hex.
    pub fingerprint: String,
    /// Basic constraints say CA.
    pub is_ca: bool,
    /// Extended key usage allows serving TLS (or restricts nothing).
    pub serves_tls: bool,
    /// Generation number, if the subject is that of a CA of ours.
    pub generation: Option<u64>,
}

/// One parsed certificate. Two are equal when their DER is.
#[derive(Clone, Debug)]
pub struct Certificate {
    der: CertificateDer<'static>,
    facts: CertFacts,
}

impl PartialEq for Certificate {
    fn eq(&self, other: &Self) -> bool {
        self.der == other.der
    }
}

impl Eq for Certificate {}

impl Certificate {
    /// Parses one DER certificate; trailing bytes are an error.
    pub fn from_der(der: CertificateDer<'static>) -> Result<Self, ParseError> {
        let facts = facts(&parse_der(&der)?, &der)?;
        Ok(Self { der, facts })
    }

    /// The first certificate of a PEM text.
    pub fn from_pem(pem: &[u8]) -> Result<Self, ParseError> {
        certificates(pem)?
            .into_iter()
            .next()
            .ok_or(ParseError::Empty { bytes: pem.len() })
    }

    /// What it says.
    pub fn facts(&self) -> &CertFacts {
        &self.facts
    }

    /// The bytes as signed.
    pub fn der(&self) -> &CertificateDer<'static> {
        &self.der
    }

    /// PEM, one block.
    pub fn to_pem(&self) -> String {
        let block = pem::Pem::new("CERTIFICATE", self.der.to_vec());
        let unix = pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF);
        pem::encode_config(&block, unix)
    }

    /// Whether `issuer` is a CA that signed this certificate: names, key identifiers (where both carry
    /// them) and signature. Dates are another question.
    pub fn is_issued_by(&self, issuer: &Self) -> bool {
        let (Ok(own), Ok(ca)) = (parse_der(&self.der), parse_der(&issuer.der)) else {
            return false;
        };
        let ids = (&self.facts.authority_key_id, &issuer.facts.subject_key_id);
        let same_id = !matches!(ids, (Some(wanted), Some(has)) if wanted != has);
        issuer.facts.is_ca
            && same_id
            && own.issuer().as_raw() == ca.subject().as_raw()
            && own.verify_signature(Some(ca.public_key())).is_ok()
            && self.is_strict()
    }

    /// Whether what stands outside the signature is DER too, and says the same of the algorithm as what is
    /// signed. Our parser overlooks it; the API server does not, and would trust nothing of such a bundle.
    fn is_strict(&self) -> bool {
        rustls::server::ParsedCertificate::try_from(&self.der).is_ok()
    }

    /// DER of the public key, for comparing it with a private key's.
    pub(crate) fn public_key(&self) -> Option<Vec<u8>> {
        Some(parse_der(&self.der).ok()?.public_key().raw.to_vec())
    }
}

/// Every certificate of a PEM text, in order. One unreadable block spoils the text.
pub fn certificates(pem: &[u8]) -> Result<Vec<Certificate>, ParseError> {
    let (found, mut errors) = certificates_lossy(pem);
    match errors.pop() {
        None => Ok(found),
        Some(last) => Err(errors.into_iter().next().unwrap_or(last)),
    }
}

/// Every readable certificate of a PEM text, in order, and what was wrong with the rest.
pub fn certificates_lossy(pem: &[u8]) -> (Vec<Certificate>, Vec<ParseError>) {
    let bytes = pem.len();
    if bytes > MAX_PEM_BYTES {
        return (vec![], vec![ParseError::TooLarge { bytes }]);
    }
    let (mut found, mut errors) = (vec![], vec![]);
    for block in CertificateDer::pem_slice_iter(pem) {
        let parsed = block
            .map_err(|e| ParseError::Pem(e.to_string()))
            .and_then(Certificate::from_der);
        match parsed {
            Ok(certificate) => found.push(certificate),
            Err(error) => errors.push(error),
        }
    }
    if found.is_empty() && errors.is_empty() {
        errors.push(ParseError::Empty { bytes });
    }
    (found, errors)
}

fn parse_der<'a>(der: &'a CertificateDer<'_>) -> Result<X509Certificate<'a>, ParseError> {
    let (rest, certificate) =
        X509Certificate::from_der(der).map_err(|e| ParseError::Der(e.to_string()))?;
    if rest.is_empty() {
        Ok(certificate)
    } else {
        let text = format!("{} bytes follow the certificate", rest.len());
        Err(ParseError::Der(text))
    }
}

fn facts(certificate: &X509Certificate<'_>, der: &[u8]) -> Result<CertFacts, ParseError> {
    Ok(CertFacts {
        subject: certificate.subject().to_string(),
        issuer: certificate.issuer().to_string(),
        serial: hex::encode(certificate.raw_serial()),
        dns_names: dns_names(certificate),
        not_before: timestamp(certificate.validity().not_before)?,
        not_after: timestamp(certificate.validity().not_after)?,
        subject_key_id: subject_key_id(certificate),
        authority_key_id: authority_key_id(certificate),
        fingerprint: hex::encode(Sha256::digest(der)),
        is_ca: certificate.is_ca(),
        serves_tls: serves_tls(certificate),
        generation: generation(certificate),
    })
}

fn timestamp(time: ASN1Time) -> Result<Timestamp, ParseError> {
    Timestamp::from_second(time.timestamp()).map_err(|e| ParseError::Der(e.to_string()))
}

fn dns_names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let Ok(Some(names)) = certificate.subject_alternative_name() else {
        return vec![];
    };
    let dns = names.value.general_names.iter().filter_map(|name| {
        if let GeneralName::DNSName(dns) = name {
            Some((*dns).to_owned())
        } else {
            None
        }
    });
    dns.collect()
}

fn subject_key_id(certificate: &X509Certificate<'_>) -> Option<String> {
    certificate.iter_extensions().find_map(|extension| {
        if let ParsedExtension::SubjectKeyIdentifier(id) = extension.parsed_extension() {
            Some(hex::encode(id.0))
        } else {
            None
        }
    })
}

fn authority_key_id(certificate: &X509Certificate<'_>) -> Option<String> {
    certificate.iter_extensions().find_map(|extension| {
        if let ParsedExtension::AuthorityKeyIdentifier(id) = extension.parsed_extension() {
            id.key_identifier.as_ref().map(|id| hex::encode(id.0))
        } else {
            None
        }
    })
}

fn serves_tls(certificate: &X509Certificate<'_>) -> bool {
    match certificate.extended_key_usage() {
        Ok(Some(usage)) => usage.value.server_auth || usage.value.any,
        Ok(None) => true,
        Err(_) => false,
    }
}

fn generation(certificate: &X509Certificate<'_>) -> Option<u64> {
    let name = certificate.subject().iter_common_name().next()?;
    let number = name.as_str().ok()?.strip_prefix(CA_NAME_PREFIX)?;
    number.parse().ok()
}

#[cfg(test)]
mod tests;

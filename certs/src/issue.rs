//! Makes CAs and leaves. P-256 throughout: the API server opens fresh connections in bursts, and a
//! P-256 signature costs a fifteenth of an RSA-2048 one.

use crate::{
    layout::{KeyPem, ServiceNames},
    parse::{CA_NAME_PREFIX, Certificate, MAX_PEM_BYTES, ParseError},
    provider::provider,
    verify::Problem,
};
use jiff::{SignedDuration, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PublicKeyData, SerialNumber,
};
use rustls_pki_types::CertificateDer;
use time::OffsetDateTime;

/// A CA lives two years: long enough that its rotation is rare, short enough that nobody has
/// forgotten how it works when it happens, and a lost key is not for ever.
pub const CA_LIFE: SignedDuration = SignedDuration::from_hours(2 * 365 * 24);

/// A leaf lives 90 days: it is renewed at two thirds, so a controller may be away for a month before
/// anyone notices.
pub const LEAF_LIFE: SignedDuration = SignedDuration::from_hours(90 * 24);

/// Certificates start an hour in the past, for API servers whose clock is behind ours.
pub const BACKDATE: SignedDuration = SignedDuration::from_hours(1);

/// The leaf's common name is for people; nobody verifies it, and the DNS names may be longer than the 64
/// characters it can hold.
const LEAF_NAME: &str = "clb-gate webhook";

/// RFC 5280 4.1.2.2: at most 20 octets, positive; 16 random ones never repeat.
const SERIAL_BYTES: usize = 16;

/// Why nothing could be issued.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The X.509 library refused.
    #[error("failed to make a certificate: {0}")]
    Make(#[from] rcgen::Error),
    /// What was made does not parse, a bug.
    #[error("failed to read back the certificate just made: {0}")]
    ReadBack(#[from] ParseError),
    /// The system gave no random bytes.
    #[error("failed to get random bytes for a serial number")]
    Random,
    /// A date outside what X.509 can say; the clock is far off.
    #[error("failed to express {0} as an X.509 date")]
    Date(Timestamp),
}

/// A certificate with its private key, just made.
#[derive(Clone, Debug)]
pub struct Issued {
    /// The certificate.
    pub certificate: Certificate,
    /// Its key, PKCS #8.
    pub key: KeyPem,
}

/// A CA certificate whose key is known to belong to it.
#[derive(Clone, Debug)]
pub struct Signer {
    certificate: Certificate,
    key: KeyPem,
}

impl Signer {
    /// Checks that `key` loads and belongs to `certificate`, and that the certificate is a CA's.
    pub fn new(certificate: Certificate, key: KeyPem) -> Result<Self, Problem> {
        let pair = key_pair(&key)?;
        if certificate.public_key() != Some(pair.subject_public_key_info()) {
            return Err(Problem::KeyMismatch {
                subject: certificate.facts().subject.clone(),
            });
        }
        if !certificate.facts().is_ca {
            return Err(Problem::NotACa {
                subject: certificate.facts().subject.clone(),
            });
        }
        Ok(Self { certificate, key })
    }

    /// The CA's certificate.
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }
}

impl From<Issued> for Signer {
    fn from(Issued { certificate, key }: Issued) -> Self {
        Self { certificate, key }
    }
}

/// A self-signed CA. `generation` is in its subject, for people; lineage is by key identifiers.
pub fn ca(generation: u64, now: Timestamp) -> Result<Issued, Error> {
    let mut params = params(&format!("{CA_NAME_PREFIX}{generation}"), now, CA_LIFE)?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?;
    issued(certificate.der(), &key)
}

/// A leaf for `names`, signed by `signer`.
pub fn leaf(signer: &Signer, names: &ServiceNames, now: Timestamp) -> Result<Issued, Error> {
    let mut params = params(LEAF_NAME, now, LEAF_LIFE)?;
    for name in names.all() {
        let name = rcgen::string::Ia5String::try_from(name)?;
        params.subject_alt_names.push(rcgen::SanType::DnsName(name));
    }
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    let key = KeyPair::generate()?;
    let signing = key_pair(&signer.key).map_err(|_| rcgen::Error::CouldNotParseKeyPair)?;
    let issuer = Issuer::from_ca_cert_der(signer.certificate.der(), signing)?;
    let certificate = params.signed_by(&key, &issuer)?;
    issued(certificate.der(), &key)
}

fn params(name: &str, now: Timestamp, life: SignedDuration) -> Result<CertificateParams, Error> {
    let mut subject = DistinguishedName::new();
    subject.push(DnType::OrganizationName, "clb-gate");
    subject.push(DnType::CommonName, name);
    let mut params = CertificateParams::default();
    params.distinguished_name = subject;
    params.not_before = date(now, -BACKDATE)?;
    params.not_after = date(now, life)?;
    params.serial_number = Some(serial()?);
    Ok(params)
}

fn date(now: Timestamp, offset: SignedDuration) -> Result<OffsetDateTime, Error> {
    let at = now.checked_add(offset).map_err(|_| Error::Date(now))?;
    OffsetDateTime::from_unix_timestamp(at.as_second()).map_err(|_| Error::Date(at))
}

fn serial() -> Result<SerialNumber, Error> {
    let mut bytes = [0; SERIAL_BYTES];
    let random = provider().secure_random.fill(&mut bytes);
    random.map_err(|_| Error::Random)?;
    // Positive, and never shorter than it looks: DER drops leading zeros.
    bytes[0] = bytes[0] & 0x7f | 0x40;
    Ok(SerialNumber::from_slice(&bytes))
}

fn key_pair(key: &KeyPem) -> Result<KeyPair, Problem> {
    if key.expose().len() > MAX_PEM_BYTES {
        return Err(Problem::KeyUnreadable);
    }
    let text = std::str::from_utf8(key.expose()).map_err(|_| Problem::KeyUnreadable)?;
    KeyPair::from_pem(text).map_err(|_| Problem::KeyUnreadable)
}

fn issued(der: &CertificateDer<'static>, key: &KeyPair) -> Result<Issued, Error> {
    Ok(Issued {
        certificate: Certificate::from_der(der.clone())?,
        key: KeyPem::new(key.serialize_pem()),
    })
}

#[cfg(test)]
mod tests;

//! A run's private keys and certificates: one authority for the API server, another for the CLB's
//! HTTPS endpoint.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

/// Something that signs server certificates. It lives as long as the run.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// Its own certificate: what a client is told to trust.
    pub(crate) certificate: String,
}

impl Authority {
    /// A new one, with a new key.
    pub(crate) fn new(name: &str) -> Result<Self> {
        let mut params = CertificateParams::new(Vec::<String>::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate()?;
        let certificate = params.self_signed(&key)?.pem();
        let issuer = Issuer::new(params, key);
        Ok(Self {
            issuer,
            certificate,
        })
    }

    /// Writes a server's certificate for `names` and its key as `<stem>.crt` and `<stem>.key`.
    pub(crate) fn issue(&self, names: &[&str], stem: &Path) -> Result<()> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names.clone())?;
        if let Some(first) = names.into_iter().next() {
            params.distinguished_name.push(DnType::CommonName, first);
        }
        params.use_authority_key_identifier_extension = true;
        params.key_usages.push(KeyUsagePurpose::DigitalSignature);
        params
            .extended_key_usages
            .push(ExtendedKeyUsagePurpose::ServerAuth);
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        write(&stem.with_extension("crt"), &certificate.pem())?;
        write(&stem.with_extension("key"), &key.serialize_pem())
    }
}

/// Writes a key pair that signs service account tokens as `<stem>.key` and `<stem>.pub`.
pub(crate) fn key_pair(stem: &Path) -> Result<()> {
    let key = KeyPair::generate()?;
    write(&stem.with_extension("pub"), &key.public_key_pem())?;
    write(&stem.with_extension("key"), &key.serialize_pem())
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("writing {}", path.display()))
}

//! The certificates as they lie in the cluster: CAs, leaf, what is trusted, and what is presented.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context, Result};
use certs::issue::{Issued, Signer};
use certs::layout::{
    CA_CERT_KEY, CA_PRIVATE_KEY, CA_SECRET, LEAF_BUNDLE_KEY, LEAF_CERT_KEY, LEAF_PRIVATE_KEY,
    LEAF_SECRET,
};
use certs::parse::certificates;
use certs::{Certificate, KeyPem, ServiceNames};
use jiff::Timestamp;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{DeleteParams, PostParams};
use kube::{Api, Client};
use rustls::pki_types::CertificateDer;

use crate::dial::Dialler;
use crate::operator::now;
use crate::ours::{NAMESPACE, Part, webhooks};
use crate::registration::Registration;
use crate::wait::eventually;

/// The names on the leaf.
fn names() -> ServiceNames {
    ServiceNames::new(Part::Webhook.name(), NAMESPACE)
}

/// The time, for certificates.
pub fn today() -> Result<Timestamp> {
    Ok(Timestamp::from_millisecond(now()?)?)
}

/// Both Secrets, and what is made of them.
#[derive(Clone)]
pub struct Chain {
    client: Client,
    secrets: Api<Secret>,
    dialler: Dialler,
}

/// A chain at rest: one CA, trusted everywhere, and its leaf, presented everywhere.
#[derive(Clone, Debug)]
pub struct Settled {
    /// The only CA.
    pub ca: Certificate,
    /// The leaf.
    pub leaf: Certificate,
}

impl Chain {
    /// Of the cluster.
    pub fn new(client: &Client) -> Result<Self> {
        Ok(Self {
            client: client.clone(),
            secrets: Api::namespaced(client.clone(), NAMESPACE),
            dialler: Dialler::new()?,
        })
    }

    /// Deletes both Secrets.
    pub async fn delete(&self) -> Result<()> {
        for name in [CA_SECRET, LEAF_SECRET] {
            self.secrets.delete(name, &DeleteParams::default()).await?;
        }
        Ok(())
    }

    /// The CA that signs, with its key.
    pub async fn signer(&self) -> Result<Signer> {
        let secret = self.secrets.get(CA_SECRET).await?;
        let newest = Certificate::from_pem(&value(&secret, CA_CERT_KEY))?;
        let key = KeyPem::new(value(&secret, CA_PRIVATE_KEY));
        Ok(Signer::new(newest, key)?)
    }

    /// Puts a new leaf of a CA into the Secret, issued as if it were `at`.
    pub async fn put_leaf(&self, signer: &Signer, at: Timestamp) -> Result<Certificate> {
        let leaf = certs::issue::leaf(signer, &names(), at)?;
        let bundle = signer.certificate().to_pem().into_bytes();
        let content = [
            (LEAF_CERT_KEY, leaf.certificate.to_pem().into_bytes()),
            (LEAF_PRIVATE_KEY, leaf.key.expose().to_vec()),
            (LEAF_BUNDLE_KEY, bundle),
        ];
        self.put(LEAF_SECRET, &content).await?;
        Ok(leaf.certificate)
    }

    /// Puts a CA into the Secret, as the only one.
    pub async fn put_ca(&self, ca: &Issued) -> Result<()> {
        let content = [
            (CA_CERT_KEY, ca.certificate.to_pem().into_bytes()),
            (CA_PRIVATE_KEY, ca.key.expose().to_vec()),
        ];
        self.put(CA_SECRET, &content).await
    }

    async fn put(&self, name: &str, content: &[(&str, Vec<u8>)]) -> Result<()> {
        let mut secret = self.secrets.get(name).await?;
        let data = secret.data.get_or_insert_default();
        for (key, value) in content {
            data.insert((*key).to_owned(), ByteString(value.clone()));
        }
        self.secrets
            .replace(name, &PostParams::default(), &secret)
            .await?;
        Ok(())
    }

    /// Waits until the chain is at rest.
    pub async fn settled(&self, within: Duration) -> Result<Settled> {
        eventually("one CA, trusted, and its leaf, presented", within, || {
            self.look()
        })
        .await
    }

    async fn look(&self) -> Result<Result<Settled, String>> {
        let (ca, leaf) = tokio::try_join!(
            self.secrets.get_opt(CA_SECRET),
            self.secrets.get_opt(LEAF_SECRET)
        )?;
        let Some((ca, leaf)) = ca.zip(leaf) else {
            return Ok(Err("a Secret is missing".to_owned()));
        };
        let (cas, leaf) = (value(&ca, CA_CERT_KEY), value(&leaf, LEAF_CERT_KEY));
        let (Ok(cas), Ok(leaf)) = (certificates(&cas), Certificate::from_pem(&leaf)) else {
            return Ok(Err("a Secret cannot be read".to_owned()));
        };
        let [ca] = cas.as_slice() else {
            return Ok(Err(format!("{} CAs", cas.len())));
        };
        if !leaf.is_issued_by(ca) {
            return Ok(Err("the leaf is not the CA's".to_owned()));
        }
        if let Err(why) = self.trusted(ca).await?.and(self.presented(&leaf).await?) {
            return Ok(Err(why));
        }
        let ca = ca.clone();
        Ok(Ok(Settled { ca, leaf }))
    }

    /// Whether every entry of the registration trusts this CA, and no other.
    async fn trusted(&self, ca: &Certificate) -> Result<Result<(), String>> {
        let Some(registration) = Registration::new(&self.client).get().await? else {
            return Ok(Err("no registration".to_owned()));
        };
        for entry in registration.webhooks.unwrap_or_default() {
            let bundle = entry.client_config.ca_bundle.unwrap_or_default().0;
            let trusted = certificates(&bundle).unwrap_or_default();
            if trusted.iter().map(Certificate::der).ne([ca.der()]) {
                return Ok(Err(format!("{} trusts others", entry.name)));
            }
        }
        Ok(Ok(()))
    }

    /// Whether every webhook that is Ready presents this leaf.
    async fn presented(&self, leaf: &Certificate) -> Result<Result<(), String>> {
        let all = webhooks(&self.client).await?;
        if all.is_empty() {
            return Ok(Err("no webhook is Ready".to_owned()));
        }
        for pod in all {
            if self.presents(pod).await.ok().as_ref() != Some(leaf.der()) {
                return Ok(Err(format!("{pod} presents another leaf")));
            }
        }
        Ok(Ok(()))
    }

    /// What the webhook at an address presents.
    pub async fn presents(&self, pod: IpAddr) -> Result<CertificateDer<'static>> {
        self.dialler.leaf(pod).await
    }

    /// The leaf in the Secret.
    pub async fn leaf(&self) -> Result<Certificate> {
        let secret = self.secrets.get(LEAF_SECRET).await?;
        let leaf = value(&secret, LEAF_CERT_KEY);
        Certificate::from_pem(&leaf).context("the leaf in the Secret")
    }
}

fn value(secret: &Secret, key: &str) -> Vec<u8> {
    let data = secret.data.as_ref();
    let value = data.and_then(|data| data.get(key));
    value.map(|value| value.0.clone()).unwrap_or_default()
}

//! Where credentials are looked for, and in which order.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tracing::info;

use super::{
    Credentials, CredentialsError, EnvCredentials, FileCredentials, Obtaining, ProvideCredentials,
    RoleCredentials, WebIdentity, WebIdentityCredentials,
};
use crate::{BuildError, Clock, Endpoint, Metadata};

/// Reads an environment variable. Only a program's entry touches the real environment.
pub type Lookup = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// What the usual chain is made of: explicit, environment, a pod's identity, file, machine's role.
///
/// A pod's identity comes before the machine's role, so that a pod does not act as its node by
/// accident; and a place that says who we are but does not work ends the search, for the same reason.
#[derive(Clone)]
#[non_exhaustive]
pub struct ChainConfig {
    /// What the program was told explicitly, if it was: asked first.
    pub explicit: Option<(String, Arc<dyn ProvideCredentials>)>,
    /// The environment.
    pub env: Lookup,
    /// Credential files.
    pub files: Vec<PathBuf>,
    /// Where a pod's identity is shown.
    pub sts: Endpoint,
    /// The CA of that, if it is not one of the system's.
    pub extra_ca_pem: Option<Vec<u8>>,
    /// Where the machine's role is asked for; `None` for not at all.
    pub metadata: Option<Endpoint>,
    /// Tells the time.
    pub now: Clock,
}

impl ChainConfig {
    /// The places where Tencent's own programs look.
    pub fn new(env: Lookup, now: Clock) -> Self {
        let home = env("HOME").filter(|home| !home.is_empty());
        let home = home.map(|home| PathBuf::from(home).join(".tencentcloud/credentials"));
        let files = home
            .into_iter()
            .chain([PathBuf::from("/etc/tencentcloud/credentials")])
            .collect();
        Self {
            explicit: None,
            env,
            files,
            sts: Endpoint::default().of_service("sts").unwrap_or_default(),
            extra_ca_pem: None,
            metadata: Some(Metadata::default_endpoint()),
            now,
        }
    }

    /// Makes the chain. Nothing is read or sent yet, but for the environment.
    pub fn build(self) -> Result<CredentialsChain, BuildError> {
        let mut links: Vec<(String, Arc<dyn ProvideCredentials>)> = vec![];
        links.extend(self.explicit);
        let env = Arc::clone(&self.env);
        let from_env = EnvCredentials::new(move |name: &str| env(name));
        links.push(("the environment".to_owned(), Arc::new(from_env)));
        let identity: Arc<dyn ProvideCredentials> = match WebIdentity::from_env(|n| (self.env)(n)) {
            Ok(identity) => Arc::new(WebIdentityCredentials::new(
                identity,
                self.sts,
                self.extra_ca_pem.as_deref(),
                Arc::clone(&self.now),
            )?),
            Err(error) => Arc::new(Never(Arc::new(error))),
        };
        links.push(("the pod's identity".to_owned(), identity));
        for file in self.files {
            let place = file.display().to_string();
            links.push((place, Arc::new(FileCredentials::new(file))));
        }
        if let Some(endpoint) = self.metadata {
            let role = RoleCredentials::new(Metadata::new(endpoint)?, self.now);
            links.push(("the machine's role".to_owned(), Arc::new(role)));
        }
        Ok(CredentialsChain::new(links))
    }
}

/// Asks one place after the other, until one has credentials or ought to have.
pub struct CredentialsChain {
    links: Vec<(String, Arc<dyn ProvideCredentials>)>,
    /// The place last used, counted from 1, to tell of a change once.
    used: AtomicUsize,
}

impl CredentialsChain {
    /// Asks these, each with its name.
    pub fn new(links: Vec<(String, Arc<dyn ProvideCredentials>)>) -> Self {
        Self {
            links,
            used: AtomicUsize::new(0),
        }
    }

    async fn first(&self) -> Result<Credentials, CredentialsError> {
        let mut without = vec![];
        for (at, (place, link)) in self.links.iter().enumerate() {
            match link.credentials().await {
                Ok(credentials) => {
                    if self.used.swap(at + 1, Ordering::Relaxed) != at + 1 {
                        info!(
                            place,
                            secret_id = credentials.secret_id,
                            "credentials found"
                        );
                    }
                    return Ok(credentials);
                }
                Err(error) if error.is_absent() => without.push(error),
                Err(error) => return Err(error),
            }
        }
        Err(CredentialsError::Nowhere(without))
    }
}

impl ProvideCredentials for CredentialsChain {
    fn credentials(&self) -> Obtaining<'_> {
        Box::pin(self.first())
    }

    fn refused(&self, credentials: &Credentials) {
        for (_, link) in &self.links {
            link.refused(credentials);
        }
    }
}

/// A place that the environment says has none, or is not set up.
struct Never(Arc<CredentialsError>);

impl ProvideCredentials for Never {
    fn credentials(&self) -> Obtaining<'_> {
        let error = CredentialsError::Still(Arc::clone(&self.0));
        Box::pin(std::future::ready(Err(error)))
    }
}

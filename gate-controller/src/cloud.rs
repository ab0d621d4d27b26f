//! The CLB client of the moment: built from settings, environment and TKE's ConfigMap, and built anew
//! when the settings change. Where it cannot be built, every user of it gets the reason.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clb::{
    Client, Config, Credentials, CredentialsError, DirectoryCredentials, Endpoint, EnvCredentials,
    Observer, ProvideCredentials, Region,
};
use direct_access::{Settings, names};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use parking_lot::RwLock;

/// How long one CLB call may take with its retries. Shorter than what is left of a lease that is
/// renewed on time (7 s), so that no call outlives the right to make it.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(6);

/// Where the pieces come from that the settings do not name. Read once, by the program's entry.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// Folder of the mounted credentials Secret.
    pub credentials_dir: PathBuf,
    /// File with the private CA of the endpoint; may be absent.
    pub endpoint_ca: PathBuf,
    /// The environment's `TENCENTCLOUD_*` variables.
    pub environment: Vec<(String, String)>,
}

/// The client of the moment. Cheap to clone.
#[derive(Clone)]
pub struct Cloud {
    current: Arc<RwLock<Result<Client, String>>>,
    vpc: Arc<RwLock<Option<String>>>,
    sources: Arc<Sources>,
    observer: Arc<dyn Observer>,
}

impl Cloud {
    /// No client yet.
    pub fn new(sources: Sources, observer: Arc<dyn Observer>) -> Self {
        let none = Err("the settings have not been read yet".to_owned());
        Self {
            current: Arc::new(RwLock::new(none)),
            vpc: Arc::default(),
            sources: Arc::new(sources),
            observer,
        }
    }

    /// With this client for good: for tools and tests.
    pub fn with_client(client: Client, vpc: Option<String>) -> Self {
        Self {
            current: Arc::new(RwLock::new(Ok(client))),
            vpc: Arc::new(RwLock::new(vpc)),
            sources: Arc::default(),
            observer: Arc::new(clb::NoObserver),
        }
    }

    /// The client, or why there is none.
    pub fn client(&self) -> Result<Client, String> {
        self.current.read().clone()
    }

    /// The VPC the pods are in, where it is known.
    pub fn vpc(&self) -> Option<String> {
        self.vpc.read().clone()
    }

    /// Builds the client anew.
    pub fn rebuild(&self, settings: &Settings, tke: &TkeConfig) {
        *self.vpc.write() = settings.vpc_id.clone().or_else(|| tke.vpc.clone());
        let built = self.build(settings, tke.region.as_deref());
        match &built {
            Ok(_) => tracing::info!(endpoint = settings.endpoint, "CLB client ready"),
            Err(problem) => tracing::warn!(problem, "no CLB client"),
        }
        *self.current.write() = built;
    }

    fn build(&self, settings: &Settings, tke_region: Option<&str>) -> Result<Client, String> {
        let endpoint: Endpoint = match &settings.endpoint {
            None => Endpoint::default(),
            Some(text) => text
                .parse()
                .map_err(|e| format!("setting endpoint: {}", chain(&e)))?,
        };
        let region = self.region(settings, tke_region)?;
        let credentials = Arc::new(Chain::new(&self.sources));
        let mut config = Config::new(endpoint, region, credentials, Arc::new(runtime::clock::now));
        config.call_timeout = CALL_TIMEOUT;
        config.observer = Arc::clone(&self.observer);
        config.extra_ca_pem = std::fs::read(&self.sources.endpoint_ca).ok();
        Client::new(config).map_err(|e| chain(&e))
    }

    fn region(&self, settings: &Settings, tke_region: Option<&str>) -> Result<Region, String> {
        let environment = self.sources.lookup("TENCENTCLOUD_REGION");
        let named = [
            ("setting region", settings.region.as_deref()),
            ("TENCENTCLOUD_REGION", environment.as_deref()),
            (
                "ConfigMap kube-system/tke-config, key TKE_REGION",
                tke_region,
            ),
        ];
        let first = named
            .into_iter()
            .find_map(|(place, value)| Some((place, value?)));
        let Some((place, value)) = first else {
            return Err(
                "no region: set the key region in ConfigMap clb-gate-settings, e.g. ap-guangzhou"
                    .to_owned(),
            );
        };
        value
            .parse()
            .map_err(|error| format!("{place}: {}", chain(&error)))
    }
}

/// What TKE's ConfigMap says; nothing outside TKE.
#[derive(Clone, Debug, Default)]
pub struct TkeConfig {
    /// The cluster's region.
    pub region: Option<String>,
    /// The cluster's VPC.
    pub vpc: Option<String>,
}

/// Reads TKE's ConfigMap.
pub async fn tke_config(client: &kube::Client) -> TkeConfig {
    let api: Api<ConfigMap> = Api::namespaced(client.clone(), "kube-system");
    let attempt = "get ConfigMap kube-system/tke-config";
    let found = runtime::call(CALL_TIMEOUT, attempt, api.get_opt(names::TKE_CONFIG)).await;
    let found = found.inspect_err(|error| tracing::warn!(%error, "TKE's region is not known"));
    let mut data = found
        .ok()
        .flatten()
        .and_then(|config| config.data)
        .unwrap_or_default();
    TkeConfig {
        region: data.remove(names::TKE_REGION),
        vpc: data.remove(names::TKE_VPC_ID),
    }
}

impl Sources {
    fn lookup(&self, name: &str) -> Option<String> {
        let found = self.environment.iter().find(|(key, _)| key == name);
        found
            .map(|(_, value)| value.clone())
            .filter(|value| !value.is_empty())
    }
}

/// The mounted Secret first, then the environment.
struct Chain {
    directory: DirectoryCredentials,
    environment: Sources,
}

impl Chain {
    fn new(sources: &Sources) -> Self {
        let directory = DirectoryCredentials::new(&sources.credentials_dir);
        Self {
            directory,
            environment: sources.clone(),
        }
    }
}

impl ProvideCredentials for Chain {
    fn credentials(&self) -> Result<Credentials, CredentialsError> {
        let mounted = self.directory.credentials();
        let absent = matches!(mounted, Err(CredentialsError::Missing { .. }));
        if !absent || self.environment.lookup(clb::SECRET_ID).is_none() {
            return mounted;
        }
        let sources = self.environment.clone();
        EnvCredentials::new(move |name: &str| sources.lookup(name)).credentials()
    }
}

/// An error with its causes, in one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use clb::NoObserver;

    use super::*;

    fn cloud(environment: &[(&str, &str)]) -> Cloud {
        let environment = environment
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect();
        Cloud::new(
            Sources {
                environment,
                ..Sources::default()
            },
            Arc::new(NoObserver),
        )
    }

    fn settings(region: Option<&str>) -> Settings {
        Settings {
            region: region.map(str::to_owned),
            ..Settings::default()
        }
    }

    fn region(cloud: &Cloud, settings: &Settings, tke: Option<&str>) -> Result<String, String> {
        cloud.region(settings, tke).map(|region| region.to_string())
    }

    #[test]
    fn the_region_comes_from_the_settings_then_the_environment_then_tke() {
        let with = cloud(&[("TENCENTCLOUD_REGION", "ap-tokyo")]);
        let tke = Some("ap-beijing");
        assert_eq!(
            region(&with, &settings(Some("ap-guangzhou")), tke),
            Ok("ap-guangzhou".to_owned())
        );
        assert_eq!(
            region(&with, &settings(None), tke),
            Ok("ap-tokyo".to_owned())
        );
        assert_eq!(
            region(&cloud(&[]), &settings(None), tke),
            Ok("ap-beijing".to_owned())
        );
        assert!(
            region(&cloud(&[]), &settings(None), None)
                .unwrap_err()
                .contains("ap-guangzhou")
        );
    }

    #[test]
    fn a_bad_region_names_where_it_was_read() {
        let error = region(&cloud(&[]), &settings(Some("Guangzhou!")), None).unwrap_err();
        assert!(error.starts_with("setting region"), "{error}");
    }

    #[test]
    fn a_bad_endpoint_is_told() {
        let cloud = cloud(&[]);
        let bad = Settings {
            endpoint: Some("clb.example.com".to_owned()),
            ..settings(Some("ap-tokyo"))
        };
        cloud.rebuild(&bad, &TkeConfig::default());
        assert!(cloud.client().unwrap_err().contains("setting endpoint"));
    }

    #[test]
    fn credentials_fall_back_to_the_environment() {
        let pair = |k: &str, v: &str| (k.to_owned(), v.to_owned());
        let sources = Sources {
            credentials_dir: PathBuf::from("/nowhere"),
            environment: vec![pair(clb::SECRET_ID, "id"), pair(clb::SECRET_KEY, "key")],
            ..Sources::default()
        };
        assert!(Chain::new(&sources).credentials().is_ok());
        let none = Sources {
            environment: vec![],
            ..sources
        };
        assert!(Chain::new(&none).credentials().is_err());
    }
}

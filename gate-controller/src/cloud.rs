//! The CLB client of the moment: built from settings, environment and TKE's ConfigMap, and built anew
//! when the settings change. Where it cannot be built, every user of it gets the reason.

mod locate;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clb::{
    BuildError, ChainConfig, Client, Config, CredentialsChain, DirectoryCredentials, Endpoint,
    Metadata, Observer, Region, Transport,
};
use direct_access::{Settings, names};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use parking_lot::{Mutex, RwLock};
use tokio::sync::Notify;

use crate::preview::DescribeOnly;
use locate::Located;

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
    /// The environment's `TENCENTCLOUD_*` and `TKE_*` variables, and `HOME`.
    pub environment: Vec<(String, String)>,
}

/// The client of the moment. Cheap to clone.
#[derive(Clone)]
pub struct Cloud {
    current: Arc<RwLock<Result<Client, String>>>,
    vpc: Arc<RwLock<Option<String>>>,
    /// What it was last built from.
    built_from: Arc<Mutex<Option<(Settings, TkeConfig)>>>,
    /// What the metadata service said, once it was asked.
    located: Arc<RwLock<Option<Located>>>,
    /// Woken where nothing else says what the metadata service may know.
    locating: Arc<Notify>,
    sources: Arc<Sources>,
    observer: Arc<dyn Observer>,
    /// Whether every client only reads.
    reads_only: bool,
}

impl Cloud {
    /// No client yet.
    pub fn new(sources: Sources, observer: Arc<dyn Observer>) -> Self {
        let none = Err("the settings have not been read yet".to_owned());
        Self {
            current: Arc::new(RwLock::new(none)),
            vpc: Arc::default(),
            built_from: Arc::default(),
            located: Arc::default(),
            locating: Arc::default(),
            sources: Arc::new(sources),
            observer,
            reads_only: false,
        }
    }

    /// No client yet; those to come refuse every action but `Describe…`.
    pub fn reading(sources: Sources, observer: Arc<dyn Observer>) -> Self {
        Self {
            reads_only: true,
            ..Self::new(sources, observer)
        }
    }

    /// With this client for good: for tools and tests.
    pub fn with_client(client: Client, vpc: Option<String>) -> Self {
        Self {
            current: Arc::new(RwLock::new(Ok(client))),
            vpc: Arc::new(RwLock::new(vpc)),
            ..Self::new(Sources::default(), Arc::new(clb::NoObserver))
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

    /// Builds the client anew, and has the metadata service asked for what nothing else says.
    pub fn rebuild(&self, settings: &Settings, tke: &TkeConfig) {
        *self.built_from.lock() = Some((settings.clone(), tke.clone()));
        self.take(settings, tke);
        let asked = self.located.read().is_some();
        let unknown = |error: &NoRegion| matches!(error, NoRegion::Unknown(_));
        let no_region = self
            .region(settings, tke)
            .is_err_and(|error| unknown(&error));
        if no_region || (self.vpc().is_none() && !asked) {
            self.locating.notify_one();
        }
    }

    fn take(&self, settings: &Settings, tke: &TkeConfig) {
        let located = self.located.read().clone().unwrap_or_default();
        let vpc = settings.vpc_id.clone().or_else(|| tke.vpc.clone());
        *self.vpc.write() = vpc.or(located.vpc);
        let built = self.build(settings, tke);
        match &built {
            Ok(_) => tracing::info!(endpoint = settings.endpoint, "CLB client ready"),
            Err(problem) => tracing::warn!(problem, "no CLB client"),
        }
        *self.current.write() = built;
    }

    fn build(&self, settings: &Settings, tke: &TkeConfig) -> Result<Client, String> {
        let endpoint: Endpoint = match &settings.endpoint {
            None => Endpoint::default(),
            Some(text) => text
                .parse()
                .map_err(|e| format!("setting endpoint: {}", chain(&e)))?,
        };
        let region = self
            .region(settings, tke)
            .map_err(|error| error.to_string())?;
        let extra_ca = std::fs::read(&self.sources.endpoint_ca).ok();
        let credentials = self.sources.credentials(&endpoint, extra_ca.as_deref())?;
        let credentials = Arc::new(credentials);
        let mut config = Config::new(endpoint, region, credentials, Arc::new(runtime::clock::now));
        config.call_timeout = CALL_TIMEOUT;
        config.observer = Arc::clone(&self.observer);
        if self.reads_only {
            let http = Transport::new(&config.endpoint, extra_ca.as_deref());
            let http = http.map_err(|e| chain(&e))?;
            config.exchange = Some(Arc::new(DescribeOnly::over(Arc::new(http))));
        }
        config.extra_ca_pem = extra_ca;
        Client::new(config).map_err(|e| chain(&e))
    }

    fn region(&self, settings: &Settings, tke: &TkeConfig) -> Result<Region, NoRegion> {
        let environment = self.sources.lookup("TENCENTCLOUD_REGION");
        let named = [
            ("setting region", settings.region.as_deref()),
            ("TENCENTCLOUD_REGION", environment.as_deref()),
            (
                "ConfigMap kube-system/tke-config, key TKE_REGION",
                tke.region.as_deref(),
            ),
        ];
        let first = named
            .into_iter()
            .find_map(|(place, value)| Some((place, value?)));
        if let Some((place, value)) = first {
            let bad = |error| NoRegion::Bad(format!("{place}: {}", chain(&error)));
            return value.parse().map_err(bad);
        }
        let located = self.located.read().clone().unwrap_or_default();
        located.region.ok_or(NoRegion::Unknown(located.problem))
    }
}

/// Why there is no region.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
enum NoRegion {
    /// What says it is wrong.
    #[error("{0}")]
    Bad(String),
    /// Nothing says it, and the metadata service does not either, or was not asked yet.
    #[error(
        "no region: set the key region in ConfigMap clb-gate-settings, e.g. ap-guangzhou{}",
        .0.as_ref().map(|why| format!(" ({why})")).unwrap_or_default()
    )]
    Unknown(Option<String>),
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

/// The place to look for a pod's identity and for the machine's metadata other than Tencent's own: a
/// simulator's, or a proxy's.
const STS_ENDPOINT: &str = "TENCENTCLOUD_STS_ENDPOINT";
const METADATA_ENDPOINT: &str = "TENCENTCLOUD_METADATA_ENDPOINT";

impl Sources {
    /// The mounted Secret is what we were told explicitly; then Tencent's usual places.
    fn credentials(
        &self,
        endpoint: &Endpoint,
        extra_ca: Option<&[u8]>,
    ) -> Result<CredentialsChain, String> {
        let sources = self.clone();
        let env = Arc::new(move |name: &str| sources.lookup(name));
        let mut config = ChainConfig::new(env, Arc::new(runtime::clock::now));
        let directory = DirectoryCredentials::new(&self.credentials_dir);
        let name = format!("the mounted Secret {}", self.credentials_dir.display());
        config.explicit = Some((name, Arc::new(directory)));
        config.extra_ca_pem = extra_ca.map(<[u8]>::to_vec);
        let sts = self.endpoint(STS_ENDPOINT)?;
        config.sts = sts
            .or_else(|| endpoint.of_service("sts"))
            .unwrap_or(config.sts);
        config.metadata = Some(self.metadata_endpoint()?);
        config.build().map_err(|e: BuildError| chain(&e))
    }

    fn metadata_endpoint(&self) -> Result<Endpoint, String> {
        let named = self.endpoint(METADATA_ENDPOINT)?;
        Ok(named.unwrap_or_else(Metadata::default_endpoint))
    }

    fn endpoint(&self, name: &str) -> Result<Option<Endpoint>, String> {
        let parsed = self.lookup(name).map(|text| text.parse()).transpose();
        parsed.map_err(|error: clb::ParseEndpointError| format!("{name}: {}", chain(&error)))
    }

    fn lookup(&self, name: &str) -> Option<String> {
        let found = self.environment.iter().find(|(key, _)| key == name);
        found
            .map(|(_, value)| value.clone())
            .filter(|value| !value.is_empty())
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
        let tke = TkeConfig {
            region: tke.map(str::to_owned),
            vpc: None,
        };
        let region = cloud.region(settings, &tke);
        region
            .map(|region| region.to_string())
            .map_err(|error| error.to_string())
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

    async fn secret_id(sources: &Sources) -> Result<String, String> {
        let chain = sources.credentials(&Endpoint::default(), None).unwrap();
        let found = clb::ProvideCredentials::credentials(&chain).await;
        found
            .map(|credentials| credentials.secret_id)
            .map_err(|error| error.to_string())
    }

    #[tokio::test]
    async fn credentials_are_the_mounted_ones_and_else_the_environments() {
        let pair = |k: &str, v: &str| (k.to_owned(), v.to_owned());
        let directory = tempfile::tempdir().unwrap();
        // Nobody listens there.
        let nowhere = pair(METADATA_ENDPOINT, "http://127.0.0.1:1");
        let none = Sources {
            credentials_dir: directory.path().to_owned(),
            environment: vec![nowhere.clone()],
            ..Sources::default()
        };
        let error = secret_id(&none).await.unwrap_err();
        for place in [
            directory.path().to_str().unwrap(),
            "the environment",
            "127.0.0.1:1",
        ] {
            assert!(error.contains(place), "{error}");
        }
        let sources = Sources {
            environment: vec![
                pair(clb::SECRET_ID, "env"),
                pair(clb::SECRET_KEY, "k"),
                nowhere,
            ],
            ..none
        };
        assert_eq!(secret_id(&sources).await.unwrap(), "env");
        std::fs::write(directory.path().join(clb::SECRET_ID), "mounted").unwrap();
        let half = secret_id(&sources).await.unwrap_err();
        assert!(
            half.contains("TENCENTCLOUD_SECRET_KEY is not set"),
            "{half}"
        );
        std::fs::write(directory.path().join(clb::SECRET_KEY), "k").unwrap();
        assert_eq!(secret_id(&sources).await.unwrap(), "mounted");
    }
}

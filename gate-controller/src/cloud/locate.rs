//! Asks the metadata service where we are, when nothing else says so. Only a machine of Tencent Cloud
//! has one, so this is a task beside the others: elsewhere it fails fast, and says what to set.

use std::time::Duration;

use clb::{Metadata, Region};

use super::{Cloud, NoRegion, chain};

/// Between two questions while there is no region: short enough for a machine that is still starting.
const PAUSE: Duration = Duration::from_secs(30);

/// What the metadata service said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Located {
    pub(super) region: Option<Region>,
    pub(super) vpc: Option<String>,
    /// Why it did not say the region.
    pub(super) problem: Option<String>,
}

impl Cloud {
    /// Finds out the region and the VPC where nothing else says them. Goes on until it is dropped.
    pub async fn locate(self) {
        loop {
            self.locating.notified().await;
            while self.ask().await {
                let again = self.locating.notified();
                let _ = tokio::time::timeout(PAUSE, again).await;
            }
        }
    }

    /// Asks once and builds the client anew; whether there is still no region.
    pub(crate) async fn ask(&self) -> bool {
        if !self.needs_region() && self.vpc().is_some() {
            return false;
        }
        let located = self.ask_metadata().await;
        tracing::info!(region = ?located.region, vpc = ?located.vpc, problem = ?located.problem, "asked the metadata service");
        *self.located.write() = Some(located);
        let built_from = self.built_from.lock().clone();
        if let Some((settings, tke)) = built_from {
            self.take(&settings, &tke);
        }
        self.needs_region()
    }

    fn needs_region(&self) -> bool {
        let built_from = self.built_from.lock().clone();
        built_from.is_some_and(|(settings, tke)| {
            matches!(self.region(&settings, &tke), Err(NoRegion::Unknown(_)))
        })
    }

    async fn ask_metadata(&self) -> Located {
        let metadata = self.sources.metadata_endpoint();
        let metadata = metadata.and_then(|at| Metadata::new(at).map_err(|error| chain(&error)));
        let metadata = match metadata {
            Ok(metadata) => metadata,
            Err(problem) => {
                return Located {
                    problem: Some(problem),
                    ..Located::default()
                };
            }
        };
        match metadata.region().await {
            Ok(region) => Located {
                region: Some(region),
                vpc: metadata.vpc_id().await.ok(),
                problem: None,
            },
            Err(error) => Located {
                problem: Some(chain(&error)),
                ..Located::default()
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use clb::NoObserver;
    use direct_access::Settings;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::super::{METADATA_ENDPOINT, Sources, TkeConfig};
    use super::*;

    /// A metadata service that answers `questions` requests.
    async fn serve(listener: TcpListener, questions: usize) {
        for _ in 0..questions {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 1024];
            let length = stream.read(&mut request).await.unwrap();
            let request = String::from_utf8_lossy(&request[..length]).into_owned();
            let path = request.split(' ').nth(1).unwrap();
            let body = match path.trim_start_matches("/latest/meta-data/") {
                "placement/region" => "ap-tokyo",
                "mac" => "52:54:00:12:34:56",
                "network/interfaces/macs/52:54:00:12:34:56/vpc-id" => "vpc-12345678",
                _ => "?",
            };
            let length = body.len();
            let head =
                format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n");
            stream.write_all((head + body).as_bytes()).await.unwrap();
        }
    }

    fn cloud(port: u16) -> Cloud {
        let endpoint = format!("http://127.0.0.1:{port}");
        let sources = Sources {
            environment: vec![(METADATA_ENDPOINT.to_owned(), endpoint)],
            ..Sources::default()
        };
        Cloud::new(sources, Arc::new(NoObserver))
    }

    fn plain(region: Option<&str>) -> Settings {
        Settings {
            endpoint: Some("http://127.0.0.1:1".to_owned()),
            region: region.map(str::to_owned),
            ..Settings::default()
        }
    }

    #[tokio::test]
    async fn the_metadata_service_says_what_nothing_else_does() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let cloud = cloud(listener.local_addr().unwrap().port());
        cloud.rebuild(&plain(None), &TkeConfig::default());
        let error = cloud.client().unwrap_err();
        assert!(error.contains("set the key region"), "{error}");
        let (still, ()) = tokio::join!(cloud.ask(), serve(listener, 3));
        assert!(!still);
        assert_eq!(cloud.vpc().as_deref(), Some("vpc-12345678"));
        let client = cloud.client().unwrap();
        assert!(format!("{client:?}").contains("ap-tokyo"), "{client:?}");
        cloud.rebuild(&plain(Some("ap-beijing")), &TkeConfig::default());
        let client = cloud.client().unwrap();
        assert!(format!("{client:?}").contains("ap-beijing"), "{client:?}");
    }

    #[tokio::test]
    async fn without_one_the_error_says_so_and_what_to_set() {
        let cloud = cloud(1);
        cloud.rebuild(&plain(None), &TkeConfig::default());
        assert!(cloud.ask().await);
        let error = cloud.client().unwrap_err();
        assert!(error.contains("set the key region"), "{error}");
        assert!(
            error.contains("metadata service http://127.0.0.1:1"),
            "{error}"
        );
    }

    #[tokio::test]
    async fn it_is_not_asked_where_settings_or_tke_say_everything() {
        let cloud = cloud(1);
        let tke = TkeConfig {
            region: Some("ap-tokyo".to_owned()),
            vpc: Some("vpc-1".to_owned()),
        };
        cloud.rebuild(&plain(None), &tke);
        assert!(!cloud.ask().await);
        assert_eq!(*cloud.located.read(), None);
    }
}

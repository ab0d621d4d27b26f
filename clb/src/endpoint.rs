//! Where the API is (endpoint) and which region is meant: parsed once, so that a typing error is
//! told at start and not as a strange answer later.

use http::Uri;
use http::uri::Scheme;
use std::fmt;
use std::str::FromStr;

/// An API endpoint: `https://clb.tencentcloudapi.com`, or `http://127.0.0.1:18080` for a simulator.
///
/// Three have names, which are accepted in place of a URL: `public` (all regions of the mainland
/// site, the default), `international` (the international site) and `internal` (reached from inside a
/// VPC, without access to the internet). A region's own is `https://clb.ap-guangzhou.tencentcloudapi.com`
/// and so on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Endpoint {
    tls: bool,
    host: String,
}

impl Endpoint {
    /// Reached from inside a VPC, without access to the internet.
    pub fn internal() -> Self {
        Self::tencent("clb.internal")
    }

    /// The international site's.
    pub fn international() -> Self {
        Self::tencent("clb.intl")
    }

    fn tencent(name: &str) -> Self {
        Self {
            tls: true,
            host: format!("{name}{TENCENT}"),
        }
    }

    pub(crate) fn plain(host: &str) -> Self {
        Self {
            tls: false,
            host: host.to_owned(),
        }
    }

    /// The endpoint of another service (`sts`) of the same site and network, where this one is
    /// Tencent's.
    #[must_use]
    pub fn of_service(&self, service: &str) -> Option<Self> {
        let name = self.host.strip_suffix(TENCENT)?;
        let site = name.strip_prefix("clb")?;
        Some(Self::tencent(&format!("{service}{site}")))
    }

    /// Whether the endpoint is reached over TLS.
    pub fn is_tls(&self) -> bool {
        self.tls
    }

    /// The `Host` header, which is signed: with the port where that is not the scheme's own.
    pub fn host(&self) -> &str {
        &self.host
    }
}

impl Default for Endpoint {
    /// Tencent's public endpoint for all regions of its mainland site.
    fn default() -> Self {
        Self::tencent("clb")
    }
}

/// What the names of all of Tencent's API endpoints end with.
const TENCENT: &str = ".tencentcloudapi.com";

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}://{}",
            if self.tls { "https" } else { "http" },
            self.host
        )
    }
}

impl FromStr for Endpoint {
    type Err = ParseEndpointError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refuse = |problem| ParseEndpointError {
            value: text.to_owned(),
            problem,
        };
        match text {
            "internal" => return Ok(Self::internal()),
            "international" => return Ok(Self::international()),
            "public" => return Ok(Self::default()),
            _ => {}
        }
        let uri: Uri = text.parse().map_err(|_| refuse("not a URL"))?;
        let tls = match uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTPS => true,
            Some(scheme) if *scheme == Scheme::HTTP => false,
            Some(_) => return Err(refuse("the scheme is neither https nor http")),
            None => return Err(refuse("it has no scheme")),
        };
        let authority = uri.authority().ok_or_else(|| refuse("it has no host"))?;
        if authority.as_str().contains('@') {
            return Err(refuse("it has a user name or password"));
        }
        if uri
            .path_and_query()
            .is_some_and(|rest| rest.as_str() != "/")
            || text.contains('#')
        {
            return Err(refuse("it has a path, query or fragment"));
        }
        let host = host_header(authority, tls).map_err(refuse)?;
        Ok(Self { tls, host })
    }
}

fn host_header(authority: &http::uri::Authority, tls: bool) -> Result<String, &'static str> {
    let host = authority.host().to_ascii_lowercase();
    let rest = authority
        .as_str()
        .get(authority.host().len()..)
        .unwrap_or_default();
    if host.is_empty() {
        return Err("it has no host");
    }
    let default = if tls { 443 } else { 80 };
    match (authority.port_u16(), rest) {
        (None, "") => Ok(host),
        (None | Some(0), _) => Err("its port is not a number from 1 to 65535"),
        (Some(port), _) if port == default => Ok(host),
        (Some(port), _) => Ok(format!("{host}:{port}")),
    }
}

/// Why a text is no endpoint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "endpoint {value:?}: {problem}; accepted is http(s)://HOST or http(s)://HOST:PORT, \
     for example https://clb.tencentcloudapi.com, or public, international or internal"
)]
pub struct ParseEndpointError {
    value: String,
    problem: &'static str,
}

/// A region's name, as `ap-guangzhou`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Region(String);

impl Region {
    /// The name as the API writes it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Region {
    type Err = ParseRegionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parts = || text.split('-');
        let well_formed = text.len() <= REGION_LENGTH
            && text.starts_with(|c: char| c.is_ascii_lowercase())
            && parts().count() >= 2
            && parts().all(|part| {
                !part.is_empty()
                    && part
                        .bytes()
                        .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
            });
        if well_formed {
            Ok(Self(text.to_owned()))
        } else {
            Err(ParseRegionError {
                value: text.to_owned(),
            })
        }
    }
}

/// Longer than any region (the longest so far, `ap-shenzhen-jxcft` and its like, have 17 characters).
const REGION_LENGTH: usize = 64;

/// Why a text is no region.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "region {value:?}: accepted is a Tencent Cloud region in lower case, for example ap-guangzhou"
)]
pub struct ParseRegionError {
    value: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case(
        "https://clb.tencentcloudapi.com",
        "https://clb.tencentcloudapi.com",
        "clb.tencentcloudapi.com"
    )]
    #[case(
        "https://CLB.TencentCloudAPI.com:443/",
        "https://clb.tencentcloudapi.com",
        "clb.tencentcloudapi.com"
    )]
    #[case(
        "internal",
        "https://clb.internal.tencentcloudapi.com",
        "clb.internal.tencentcloudapi.com"
    )]
    #[case(
        "international",
        "https://clb.intl.tencentcloudapi.com",
        "clb.intl.tencentcloudapi.com"
    )]
    #[case("public", "https://clb.tencentcloudapi.com", "clb.tencentcloudapi.com")]
    #[case("http://127.0.0.1:18080", "http://127.0.0.1:18080", "127.0.0.1:18080")]
    #[case("http://localhost:80", "http://localhost", "localhost")]
    #[case("https://localhost:80", "https://localhost:80", "localhost:80")]
    #[case("http://[::1]:18080", "http://[::1]:18080", "[::1]:18080")]
    fn reads_endpoints(#[case] text: &str, #[case] shown: &str, #[case] host: &str) {
        let endpoint: Endpoint = text.parse().unwrap();
        assert_eq!(
            (endpoint.to_string().as_str(), endpoint.host()),
            (shown, host)
        );
    }

    #[rstest]
    #[case("clb.tencentcloudapi.com", "no scheme")]
    #[case("ftp://clb.tencentcloudapi.com", "neither https nor http")]
    #[case("https://", "not a URL")]
    #[case("https://me:secret@host", "user name")]
    #[case("https://host/v3", "path")]
    #[case("https://host?x=1", "path")]
    #[case("https://host:0", "port")]
    #[case("https://host:99999", "not a")]
    #[case("https://host:", "port")]
    #[case("https://:443", "")]
    #[case("", "not a URL")]
    fn refuses_other_texts_and_says_what_is_accepted(#[case] text: &str, #[case] problem: &str) {
        let error = text.parse::<Endpoint>().unwrap_err().to_string();
        assert!(
            error.contains(&format!("{text:?}")) && error.contains(problem),
            "{error}"
        );
        assert!(error.contains("https://clb.tencentcloudapi.com"), "{error}");
    }

    #[rstest]
    #[case("public", Some("https://sts.tencentcloudapi.com"))]
    #[case("internal", Some("https://sts.internal.tencentcloudapi.com"))]
    #[case(
        "https://clb.ap-tokyo.tencentcloudapi.com",
        Some("https://sts.ap-tokyo.tencentcloudapi.com")
    )]
    #[case("http://127.0.0.1:18080", None)]
    fn other_services_are_on_the_same_site(#[case] text: &str, #[case] expected: Option<&str>) {
        let endpoint: Endpoint = text.parse().unwrap();
        let sts = endpoint.of_service("sts").map(|sts| sts.to_string());
        assert_eq!(sts.as_deref(), expected);
    }

    #[rstest]
    #[case("ap-guangzhou", true)]
    #[case("ap-shanghai-fsi", true)]
    #[case("na-siliconvalley", true)]
    #[case("", false)]
    #[case("guangzhou", false)]
    #[case("AP-guangzhou", false)]
    #[case("ap-", false)]
    #[case("ap guangzhou", false)]
    #[case("ap-guangzhou\n", false)]
    fn reads_regions(#[case] text: &str, #[case] accepted: bool) {
        assert_eq!(text.parse::<Region>().is_ok(), accepted);
    }
}

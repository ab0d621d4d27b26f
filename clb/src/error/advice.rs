//! What a user can do about a failed call: which of the things set up for it is wrong.

use std::fmt;

use super::Site;
use crate::{SECRET_ID, SECRET_KEY, TOKEN};

/// What a failed call says to look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum About {
    /// This machine's clock.
    Clock,
    /// The credentials: there are none.
    Credentials,
    /// The endpoint.
    Endpoint,
    /// The key or its id.
    Key,
    /// The load balancer's id.
    LoadBalancer,
    /// What the key may do.
    Permission,
    /// The account's quota.
    Quota,
    /// The region.
    Region,
    /// The session token.
    Token,
}

impl About {
    /// A short name for a metric or the reason of an Event.
    pub fn label(self) -> &'static str {
        match self {
            Self::Clock => "WrongClock",
            Self::Credentials => "NoCredentials",
            Self::Endpoint => "WrongEndpoint",
            Self::Key => "WrongKey",
            Self::LoadBalancer => "NoSuchLoadBalancer",
            Self::Permission => "NotPermitted",
            Self::Quota => "QuotaExceeded",
            Self::Region => "WrongRegion",
            Self::Token => "ExpiredToken",
        }
    }
}

/// What to look at, and as [`Display`](fmt::Display) what to do: the end of the error's message.
#[derive(Clone, Copy, Debug)]
pub struct Advice<'a> {
    about: About,
    code: &'a str,
    site: &'a Site,
}

impl Advice<'_> {
    /// What to look at.
    pub fn about(&self) -> About {
        self.about
    }
}

impl fmt::Display for Advice<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { code, site, .. } = self;
        let Site {
            endpoint, region, ..
        } = site;
        match self.about {
            About::Clock => write!(
                f,
                "check this node's clock: it must be within 5 minutes of Tencent Cloud's"
            ),
            About::Credentials => write!(f, "give credentials that may call clb:{}", site.action),
            About::Endpoint => write!(
                f,
                "check the endpoint {endpoint}: it must be the CLB API's and reachable from here; \
                 accepted are public, international, internal (inside a VPC) or a URL"
            ),
            About::Key if *code == "AuthFailure.SignatureFailure" => {
                write!(f, "check {SECRET_KEY}: it does not belong to {SECRET_ID}")
            }
            About::Key => write!(
                f,
                "check {SECRET_ID}: no such key at {endpoint} (the mainland and the international \
                 site do not share keys)"
            ),
            About::LoadBalancer => {
                write!(f, "check the load balancer's id and that it is in {region}")
            }
            About::Permission => {
                write!(f, "allow clb:{} to this key's user in CAM", site.action)
            }
            About::Quota => write!(f, "raise the quota or free what is not used"),
            About::Region => write!(
                f,
                "check the region {region}: accepted is one that {endpoint} serves, as ap-guangzhou"
            ),
            About::Token => write!(
                f,
                "check {TOKEN}: it has expired or belongs to another key; temporary credentials \
                 must be replaced before they expire"
            ),
        }
    }
}

/// Advice as the end of a message, if there is any.
pub(super) struct End<'a>(Option<Advice<'a>>);

impl fmt::Display for End<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |advice| write!(f, "; {advice}"))
    }
}

pub(super) fn end<'a>(advice: impl Into<Option<Advice<'a>>>) -> End<'a> {
    End(advice.into())
}

/// Codes: the CLB API's reference, and those common to all of Tencent Cloud's APIs. An endpoint of
/// another of its APIs knows neither our actions nor our version.
pub(super) fn of_code<'a>(code: &'a str, site: &'a Site) -> Option<Advice<'a>> {
    let about = match code {
        "AuthFailure.SignatureExpire" => About::Clock,
        "AuthFailure.TokenFailure" => About::Token,
        "AuthFailure.UnauthorizedOperation" | "AuthFailure.MFAFailure" => About::Permission,
        "InvalidAction" | "NoSuchVersion" | "NoSuchProduct" => About::Endpoint,
        "InvalidParameter.LBIdNotFound" => About::LoadBalancer,
        "InvalidParameter.RegionNotFound" => About::Region,
        code => match code.split('.').next().unwrap_or_default() {
            "AuthFailure" => About::Key,
            "LimitExceeded" => About::Quota,
            "UnauthorizedOperation" => About::Permission,
            "UnsupportedRegion" => About::Region,
            _ => return None,
        },
    };
    Some(Advice { about, code, site })
}

pub(super) fn of_credentials(site: &Site) -> Advice<'_> {
    Advice {
        about: About::Credentials,
        code: "",
        site,
    }
}

pub(super) fn of_endpoint(site: &Site) -> Advice<'_> {
    Advice {
        about: About::Endpoint,
        code: "",
        site,
    }
}

//! What layer 7 changes in the heads of requests and answers: pure.
//!
//! Towards targets a CLB sets `X-Forwarded-For`, `X-Real-IP`, `X-Client-Proto`, `X-Forwarded-Proto`,
//! `X-Client-Proto-Ver` and `X-Stgw-Time` (documentation "Layer-7 custom configuration", and the
//! sample request of its cloud function trigger). Connections to targets serve one request each,
//! because `KeepaliveEnable` is off by default.

use crate::clock::Millis;
use http::header::{CONNECTION, EXPECT, HOST, HeaderName, TE, TRAILER, TRANSFER_ENCODING, UPGRADE};
use http::request::Parts;
use http::uri::{Authority, PathAndQuery};
use http::{HeaderMap, HeaderValue, Request, StatusCode, Uri, Version};
use std::net::IpAddr;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");
const CLIENT_PROTO: HeaderName = HeaderName::from_static("x-client-proto");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const CLIENT_PROTO_VER: HeaderName = HeaderName::from_static("x-client-proto-ver");
const STGW_TIME: HeaderName = HeaderName::from_static("x-stgw-time");
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");

/// Who asks, how, and when.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asker {
    pub(super) address: IpAddr,
    pub(super) secure: bool,
    pub(super) now: Millis,
}

/// The host a request is for: without port, in small letters; empty if it names none.
pub(super) fn host(head: &Parts) -> String {
    let named = head.headers.get(HOST).and_then(|value| value.to_str().ok());
    let named = named.and_then(|text| text.parse::<Authority>().ok());
    let authority = head.uri.authority().or(named.as_ref());
    authority.map_or_else(String::new, |each| each.host().to_ascii_lowercase())
}

/// What a client wants the connection to become, such as `websocket`.
pub(super) fn upgrade(headers: &HeaderMap) -> Option<HeaderValue> {
    let asks = named_in_connection(headers).any(|name| name.eq_ignore_ascii_case("upgrade"));
    headers.get(UPGRADE).filter(|_| asks).cloned()
}

/// The request as the target gets it.
pub(super) fn onward(head: &Parts, asker: Asker, upgrade: Option<&HeaderValue>) -> Request<()> {
    let mut request = Request::new(());
    *request.method_mut() = head.method.clone();
    *request.uri_mut() = origin_form(&head.uri);
    *request.version_mut() = Version::HTTP_11;
    let mut headers = head.headers.clone();
    without_hop_by_hop(&mut headers);
    if let Some(host) = head.uri.authority().map(Authority::as_str) {
        set(&mut headers, HOST, host);
    }
    tell_about(&mut headers, head.version, asker);
    let closing = HeaderValue::from_static("close");
    match upgrade {
        None => headers.insert(CONNECTION, closing),
        Some(wanted) => {
            headers.insert(UPGRADE, wanted.clone());
            headers.insert(CONNECTION, HeaderValue::from_static("upgrade"))
        }
    };
    *request.headers_mut() = headers;
    request
}

/// The target's answer as the client gets it; one that switches protocols says so itself.
pub(super) fn back(head: &mut http::response::Parts) {
    let upgrade = head.headers.get(UPGRADE).cloned();
    without_hop_by_hop(&mut head.headers);
    head.version = Version::default();
    if head.status == StatusCode::SWITCHING_PROTOCOLS {
        head.headers
            .insert(CONNECTION, HeaderValue::from_static("upgrade"));
        if let Some(upgrade) = upgrade {
            head.headers.insert(UPGRADE, upgrade);
        }
    }
}

fn origin_form(uri: &Uri) -> Uri {
    let path = uri.path_and_query().cloned();
    Uri::from(path.unwrap_or_else(|| PathAndQuery::from_static("/")))
}

fn tell_about(headers: &mut HeaderMap, version: Version, asker: Asker) {
    let address = asker.address.to_string();
    let earlier = headers.get_all(&FORWARDED_FOR).into_iter();
    let earlier: Vec<&str> = earlier.filter_map(|value| value.to_str().ok()).collect();
    let all = earlier.into_iter().chain([address.as_str()]);
    let way = all.collect::<Vec<_>>().join(", ");
    set(headers, FORWARDED_FOR, &way);
    set(headers, REAL_IP, &address);
    let proto = if asker.secure { "https" } else { "http" };
    set(headers, CLIENT_PROTO, proto);
    set(headers, FORWARDED_PROTO, proto);
    set(headers, CLIENT_PROTO_VER, name(version));
    let (seconds, millis) = (asker.now / 1000, asker.now % 1000);
    set(headers, STGW_TIME, &format!("{seconds}.{millis:03}"));
}

/// As nginx writes it.
fn name(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2.0",
        _ => "HTTP/1.1",
    }
}

/// What concerns one connection only (RFC 9110, 7.6.1), and `Expect`, which is answered here.
fn without_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = named_in_connection(headers)
        .filter_map(|name| name.parse().ok())
        .collect();
    let always = [
        CONNECTION,
        EXPECT,
        KEEP_ALIVE,
        PROXY_CONNECTION,
        TE,
        TRAILER,
        TRANSFER_ENCODING,
        UPGRADE,
    ];
    for name in named.into_iter().chain(always) {
        headers.remove(name);
    }
}

fn named_in_connection(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let values = headers.get_all(CONNECTION).into_iter();
    let texts = values.filter_map(|value| value.to_str().ok());
    texts.flat_map(|text| text.split(',')).map(str::trim)
}

/// What cannot be a header's value is left out.
fn set(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(request: http::request::Builder) -> Parts {
        request.body(()).unwrap().into_parts().0
    }

    fn asker(secure: bool) -> Asker {
        Asker {
            address: [192, 0, 2, 7].into(),
            secure,
            now: 1_591_692_977_004,
        }
    }

    fn text<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
        headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    #[rstest::rstest]
    #[case("/", "www.Example.com:8080", "www.example.com")]
    #[case("/", "198.18.0.1", "198.18.0.1")]
    #[case("/", "not a host", "")]
    #[case("https://h2.example:444/x", "", "h2.example")]
    fn the_host_is_read_from_uri_or_header(
        #[case] uri: &str,
        #[case] host: &str,
        #[case] is: &str,
    ) {
        let request = Request::get(uri).header(HOST, host);
        assert_eq!(super::host(&head(request)), is);
    }

    #[test]
    fn targets_are_told_who_asks() {
        let request = Request::get("https://h2.example/a?b=c")
            .version(Version::HTTP_2)
            .header("x-forwarded-for", "10.0.0.1, 10.0.0.2")
            .header("x-forwarded-for", "10.0.0.3")
            .header("x-real-ip", "10.0.0.1")
            .header("x-own", "kept");
        let sent = onward(&head(request), asker(true), None);
        let of = |name| text(sent.headers(), name);
        assert_eq!(
            (sent.uri(), sent.version()),
            (&Uri::from_static("/a?b=c"), Version::HTTP_11)
        );
        assert_eq!(of("host"), "h2.example");
        assert_eq!(
            of("x-forwarded-for"),
            "10.0.0.1, 10.0.0.2, 10.0.0.3, 192.0.2.7"
        );
        assert_eq!((of("x-real-ip"), of("x-own")), ("192.0.2.7", "kept"));
        assert_eq!(
            (of("x-client-proto"), of("x-forwarded-proto")),
            ("https", "https")
        );
        assert_eq!(
            (of("x-client-proto-ver"), of("connection")),
            ("HTTP/2.0", "close")
        );
        assert_eq!(of("x-stgw-time"), "1591692977.004");
    }

    #[test]
    fn what_concerns_one_connection_stays_on_it() {
        let request = Request::get("/")
            .header("connection", "close, X-Secret")
            .header("x-secret", "1")
            .header("te", "trailers")
            .header("keep-alive", "timeout=5")
            .header("upgrade", "h2c");
        let head = head(request);
        assert_eq!(upgrade(&head.headers), None, "not asked for");
        let sent = onward(&head, asker(false), None);
        for name in ["x-secret", "te", "keep-alive", "upgrade"] {
            assert!(!sent.headers().contains_key(name), "{name}");
        }
        assert_eq!(text(sent.headers(), "x-client-proto"), "http");
    }

    #[test]
    fn an_upgrade_is_passed_on_both_ways() {
        let request = Request::get("/")
            .header("connection", "keep-alive, Upgrade")
            .header("upgrade", "websocket");
        let head = head(request);
        let wanted = upgrade(&head.headers).unwrap();
        let sent = onward(&head, asker(false), Some(&wanted));
        assert_eq!(text(sent.headers(), "connection"), "upgrade");
        assert_eq!(text(sent.headers(), "upgrade"), "websocket");
        let answer = http::Response::builder()
            .status(101)
            .header("connection", "Upgrade")
            .header("upgrade", "websocket");
        let (mut answer, ()) = answer.body(()).unwrap().into_parts();
        back(&mut answer);
        assert_eq!(text(&answer.headers, "connection"), "upgrade");
        assert_eq!(text(&answer.headers, "upgrade"), "websocket");
    }
}

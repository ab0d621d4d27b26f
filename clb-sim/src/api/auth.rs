//! TC3-HMAC-SHA256, the receiving side: the canonical request is rebuilt from the headers that the
//! caller says it signed, because official SDKs sign two headers and newer samples three.
//! (Tencent Cloud documentation, "Signature Method v3".)

use crate::clock::{self, Millis};
use crate::refusal::{Refusal, code};
use hmac::{Hmac, KeyInit, Mac};
use http::HeaderMap;
use http::request::Parts;
use sha2::{Digest, Sha256};

/// How far a request's timestamp may be from our clock, either way.
const WINDOW_S: i64 = 300;
const ALGORITHM: &str = "TC3-HMAC-SHA256";

/// A key pair.
#[derive(Clone)]
pub(crate) struct Secret {
    pub(crate) id: String,
    pub(crate) key: String,
}

/// What the `Authorization` header claims.
struct Claim<'a> {
    secret_id: &'a str,
    date: &'a str,
    service: &'a str,
    signed_headers: Vec<&'a str>,
    signature: &'a str,
}

/// Who a request says it is from.
pub(crate) fn secret_id(headers: &HeaderMap) -> Result<&str, Refusal> {
    Claim::read(header(headers, "authorization").unwrap_or_default()).map(|claim| claim.secret_id)
}

/// Accepts a request only if it was signed with this secret, for this service, just now.
pub(crate) fn verify(
    parts: &Parts,
    body: &[u8],
    service: &str,
    secret: &Secret,
    now: Millis,
) -> Result<(), Refusal> {
    let claim = Claim::read(header(&parts.headers, "authorization").unwrap_or_default())?;
    let seconds = timestamp(&parts.headers)?;
    if claim.service != service {
        return Err(malformed(format!(
            "the credential scope names service {:?}, this is {service:?}",
            claim.service
        )));
    }
    if claim.secret_id != secret.id {
        return Err(unknown_id());
    }
    if (now / 1000 - seconds).abs() > WINDOW_S {
        let message = format!(
            "The provided timestamp {seconds} is more than {WINDOW_S} s away from the server's time."
        );
        return Err(Refusal::new(code::AUTH_EXPIRED, message));
    }
    if clock::utc_date(seconds).as_deref() != Some(claim.date) {
        return Err(bad_signature());
    }
    check_signature(parts, body, &claim, secret, seconds)
}

pub(crate) fn unknown_id() -> Refusal {
    let message = "The SecretId is not found, please ensure that your SecretId is correct.";
    Refusal::new(code::AUTH_SECRET_ID, message)
}

fn check_signature(
    parts: &Parts,
    body: &[u8],
    claim: &Claim<'_>,
    secret: &Secret,
    seconds: i64,
) -> Result<(), Refusal> {
    let canonical = canonical_request(parts, body, &claim.signed_headers)?;
    let scope = format!("{}/{}/tc3_request", claim.date, claim.service);
    let hashed = hex::encode(Sha256::digest(canonical));
    let to_sign = format!("{ALGORITHM}\n{seconds}\n{scope}\n{hashed}");
    let key = signing_key(&secret.key, claim.date, claim.service);
    let given = hex::decode(claim.signature).map_err(|_| bad_signature())?;
    // verify_slice compares in constant time.
    keyed(&key, &to_sign)
        .and_then(|mac| mac.verify_slice(&given).ok())
        .ok_or_else(bad_signature)
}

impl<'a> Claim<'a> {
    fn read(header: &'a str) -> Result<Self, Refusal> {
        let rest = header
            .trim()
            .strip_prefix(ALGORITHM)
            .ok_or_else(|| malformed(format!("Authorization does not start with {ALGORITHM}")))?;
        let field = |name: &str| {
            rest.split(',')
                .find_map(|part| part.trim().strip_prefix(name)?.strip_prefix('='))
                .ok_or_else(|| malformed(format!("Authorization has no {name}")))
        };
        let credential: Vec<&str> = field("Credential")?.split('/').collect();
        let &[secret_id, date, service, "tc3_request"] = credential.as_slice() else {
            return Err(malformed(
                "Credential is not SECRET_ID/DATE/SERVICE/tc3_request".to_owned(),
            ));
        };
        let signed_headers: Vec<&str> = field("SignedHeaders")?.split(';').collect();
        if let Some(absent) = ["content-type", "host"]
            .iter()
            .find(|name| !signed_headers.contains(name))
        {
            return Err(malformed(format!("SignedHeaders lacks {absent}")));
        }
        Ok(Self {
            secret_id,
            date,
            service,
            signed_headers,
            signature: field("Signature")?,
        })
    }
}

fn canonical_request(parts: &Parts, body: &[u8], signed: &[&str]) -> Result<String, Refusal> {
    let line = |name: &&str| {
        let value = header(&parts.headers, name)
            .ok_or_else(|| malformed(format!("SignedHeaders names {name}, which was not sent")))?;
        Ok(format!("{name}:{}\n", value.trim().to_lowercase()))
    };
    let lines: String = signed.iter().map(line).collect::<Result<_, Refusal>>()?;
    let unsigned = header(&parts.headers, "x-tc-content-sha256") == Some("UNSIGNED-PAYLOAD");
    let payload: &[u8] = if unsigned { b"UNSIGNED-PAYLOAD" } else { body };
    Ok(format!(
        "{}\n{}\n{}\n{lines}\n{}\n{}",
        parts.method,
        parts.uri.path(),
        parts.uri.query().unwrap_or_default(),
        signed.join(";"),
        hex::encode(Sha256::digest(payload)),
    ))
}

fn signing_key(secret_key: &str, date: &str, service: &str) -> Vec<u8> {
    [date, service, "tc3_request"].iter().fold(
        format!("TC3{secret_key}").into_bytes(),
        |key, message| {
            keyed(&key, message).map_or_else(Vec::new, |mac| mac.finalize().into_bytes().to_vec())
        },
    )
}

/// HMAC takes keys of any length, so there is always a result.
fn keyed(key: &[u8], message: &str) -> Option<Hmac<Sha256>> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).ok()?;
    mac.update(message.as_bytes());
    Some(mac)
}

fn timestamp(headers: &HeaderMap) -> Result<i64, Refusal> {
    let text = header(headers, "x-tc-timestamp").unwrap_or_default();
    text.parse().map_err(|_| {
        malformed(format!(
            "X-TC-Timestamp {text:?} is not a unix time in seconds"
        ))
    })
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn malformed(message: String) -> Refusal {
    Refusal::new(code::AUTH_INVALID, message)
}

fn bad_signature() -> Refusal {
    let message =
        "The provided credentials could not be validated. Please check your signature is correct.";
    Refusal::new(code::AUTH_SIGNATURE, message)
}

#[cfg(test)]
#[path = "auth_tests.rs"]
mod tests;

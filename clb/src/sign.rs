//! TC3-HMAC-SHA256, the API's request signature. Pure: body and time in, header value out.
//!
//! `content-type` and `host` are signed, as Tencent's own SDKs do.

use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use secrecy::ExposeSecret;
use sha2::{Digest, Sha256};

use crate::Credentials;

/// The content type we send and sign.
pub(crate) const CONTENT_TYPE: &str = "application/json";

const ALGORITHM: &str = "TC3-HMAC-SHA256";

/// What is signed besides the credentials.
pub(crate) struct Message<'a> {
    pub(crate) service: &'a str,
    pub(crate) host: &'a str,
    pub(crate) content_type: &'a str,
    pub(crate) body: &'a [u8],
    pub(crate) at: Timestamp,
}

/// The value of the `Authorization` header.
pub(crate) fn authorization(credentials: &Credentials, message: &Message<'_>) -> String {
    let headers = [
        ("content-type", message.content_type),
        ("host", message.host),
    ];
    sign(credentials, message, &headers)
}

fn sign(credentials: &Credentials, message: &Message<'_>, headers: &[(&str, &str)]) -> String {
    let date = message.at.strftime("%Y-%m-%d").to_string();
    let scope = format!("{date}/{}/tc3_request", message.service);
    let signed: Vec<&str> = headers.iter().map(|(name, _)| *name).collect();
    let signed = signed.join(";");
    let canonical = canonical(message.body, headers, &signed);
    let to_sign = format!(
        "{ALGORITHM}\n{}\n{scope}\n{}",
        message.at.as_second(),
        sha256_hex(canonical.as_bytes())
    );
    let key = signing_key(
        credentials.secret_key.expose_secret(),
        &date,
        message.service,
    );
    let signature = hex::encode(hmac(&key, &to_sign));
    let id = &credentials.secret_id;
    format!("{ALGORITHM} Credential={id}/{scope}, SignedHeaders={signed}, Signature={signature}")
}

/// Header names come sorted and in lower case; values are trimmed and lower-cased.
fn canonical(body: &[u8], headers: &[(&str, &str)], signed: &str) -> String {
    let mut lines = String::new();
    for (name, value) in headers {
        lines.extend([name, ":", &value.trim().to_lowercase(), "\n"]);
    }
    format!("POST\n/\n\n{lines}\n{signed}\n{}", sha256_hex(body))
}

fn signing_key(secret_key: &str, date: &str, service: &str) -> [u8; 32] {
    let by_date = hmac(format!("TC3{secret_key}").as_bytes(), date);
    let by_service = hmac(&by_date, service);
    hmac(&by_service, "tc3_request")
}

fn hmac(key: &[u8], text: &str) -> [u8; 32] {
    #[expect(clippy::expect_used, reason = "RFC 2104: a key of any length will do")]
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().into()
}

fn sha256_hex(data: &[u8]) -> String {
    hex::encode(Sha256::digest(data))
}

#[cfg(test)]
mod tests {
    use super::*;

    // The example request of Tencent's documentation of signature method v3.
    const BODY: &str =
        r#"{"Limit": 1, "Filters": [{"Values": ["\u672a\u547d\u540d"], "Name": "instance-name"}]}"#;

    fn credentials(id: &str, key: &str) -> Credentials {
        Credentials {
            secret_id: id.into(),
            secret_key: key.into(),
            token: None,
        }
    }

    fn example() -> Credentials {
        credentials(
            "AKIDz8krbsJ5yKBZQpn74WFkmLPx3EXAMPLE",
            "Gu5t9xGARNpq86cd98joQYCN3EXAMPLE",
        )
    }

    fn cvm() -> Message<'static> {
        Message {
            service: "cvm",
            host: "cvm.tencentcloudapi.com",
            content_type: "application/json; charset=utf-8",
            body: BODY.as_bytes(),
            at: Timestamp::from_second(1_551_113_065).unwrap(),
        }
    }

    #[test]
    fn signs_the_classic_example() {
        assert_eq!(
            sha256_hex(BODY.as_bytes()),
            "35e9c5b0e3ae67532d3c9f17ead6c90222632e5b1ff7f6e89887f1398934f064"
        );
        let headers = [("content-type", cvm().content_type), ("host", cvm().host)];
        assert_eq!(
            sha256_hex(canonical(BODY.as_bytes(), &headers, "content-type;host").as_bytes()),
            "5ffe6a04c0664d6b969fab9a13bdab201d63ee709638e2749d62a09ca18d7031"
        );
        assert_eq!(
            hex::encode(signing_key(
                "Gu5t9xGARNpq86cd98joQYCN3EXAMPLE",
                "2019-02-25",
                "cvm"
            )),
            "ac658d5dde49e9bfdd14e04e062f66b05d9f637d44b8a8d845327d4a77f666b1"
        );
        assert_eq!(
            authorization(&example(), &cvm()),
            "TC3-HMAC-SHA256 Credential=AKIDz8krbsJ5yKBZQpn74WFkmLPx3EXAMPLE/2019-02-25/cvm/tc3_request, \
             SignedHeaders=content-type;host, \
             Signature=72e494ea809ad7a8c8f7a4507b9bddcbaa8e581f516e8da2f66e2c5a96525168"
        );
    }

    #[test]
    fn signs_the_present_example_with_three_headers() {
        let headers = [
            ("content-type", cvm().content_type),
            ("host", cvm().host),
            ("x-tc-action", "DescribeInstances"),
        ];
        let stars = "*".repeat(32);
        let signed = sign(
            &credentials(&format!("AKID{stars}"), &stars),
            &cvm(),
            &headers,
        );
        assert!(
            signed.contains("SignedHeaders=content-type;host;x-tc-action,"),
            "{signed}"
        );
        assert!(
            signed.ends_with(
                "Signature=10b1a37a7301a02ca19a647ad722d5e43b4b3cff309d421d85b46093f6ab6c4f"
            ),
            "{signed}"
        );
    }

    #[test]
    fn signs_a_host_with_its_port() {
        let message = Message {
            service: "clb",
            host: "127.0.0.1:18080",
            content_type: CONTENT_TYPE,
            body: b"{}",
            at: cvm().at,
        };
        let signed = authorization(&example(), &message);
        assert!(
            signed.ends_with(
                "Signature=e5b70ca850a74271f14f220f561c97105736423932ed7d35522541edc11f06b5"
            ),
            "{signed}"
        );
    }
}

//! The documentation's two vectors, our own third one, and what must not pass.

use super::*;
use http::Request;

const DOCS_BODY: &str =
    r#"{"Limit": 1, "Filters": [{"Values": ["\u672a\u547d\u540d"], "Name": "instance-name"}]}"#;
const TIME: i64 = 1_551_113_065;

struct Vector {
    secret: Secret,
    service: &'static str,
    host: &'static str,
    content_type: &'static str,
    body: &'static str,
    signed: &'static str,
    canonical: &'static str,
    date_key: &'static str,
    service_key: &'static str,
    signing_key: &'static str,
    signature: &'static str,
}

fn classic() -> Secret {
    Secret {
        id: "AKIDz8krbsJ5yKBZQpn74WFkmLPx3EXAMPLE".to_owned(),
        key: "Gu5t9xGARNpq86cd98joQYCN3EXAMPLE".to_owned(),
    }
}

fn vector_a() -> Vector {
    Vector {
        secret: classic(),
        service: "cvm",
        host: "cvm.tencentcloudapi.com",
        content_type: "application/json; charset=utf-8",
        body: DOCS_BODY,
        signed: "content-type;host",
        canonical: "5ffe6a04c0664d6b969fab9a13bdab201d63ee709638e2749d62a09ca18d7031",
        date_key: "d1308c81fe71cfd4e06437bbc067b2b8a3d2d8c0e375d547f15c41d5214b395a",
        service_key: "3c7cb7c7795393edc14fd2e0e6434a518564b4504b88e94f5d11bf59ba3e7050",
        signing_key: "ac658d5dde49e9bfdd14e04e062f66b05d9f637d44b8a8d845327d4a77f666b1",
        signature: "72e494ea809ad7a8c8f7a4507b9bddcbaa8e581f516e8da2f66e2c5a96525168",
    }
}

fn vector_b() -> Vector {
    let stars = "*".repeat(32);
    Vector {
        secret: Secret {
            id: format!("AKID{stars}"),
            key: stars,
        },
        signed: "content-type;host;x-tc-action",
        canonical: "7019a55be8395899b900fb5564e4200d984910f34794a27cb3fb7d10ff6a1e84",
        date_key: "da98fb70dcf6b112dc21038d1eeeb3a95c74b4dcb12c1131f864f6066bd02be0",
        service_key: "8d70cbefb03939f929db64d32dc2ba89b1095620119fe3e050e2b18c5bd2752f",
        signing_key: "b596b923aad85185e2d1f6659d2a062e0a86731226e021e61bfe06f7ed05f5af",
        signature: "10b1a37a7301a02ca19a647ad722d5e43b4b3cff309d421d85b46093f6ab6c4f",
        ..vector_a()
    }
}

fn vector_c() -> Vector {
    Vector {
        service: "clb",
        host: "127.0.0.1:18080",
        content_type: "application/json",
        body: "{}",
        canonical: "562ec09cee291326af7bca7569556f29d5f86c40ca1f43392c5a5c95f55a52c1",
        service_key: "a421ae8edbb6df22ac00820e56fcf36901ccde27eb42e1b6802815b5e8823076",
        signing_key: "1c8aefe96b9f53083b7405c759700990cc27c3d07c4c138075047d6d6139acb5",
        signature: "e5b70ca850a74271f14f220f561c97105736423932ed7d35522541edc11f06b5",
        ..vector_a()
    }
}

impl Vector {
    fn parts(&self) -> Parts {
        let authorization = format!(
            "{ALGORITHM} Credential={}/2019-02-25/{}/tc3_request, SignedHeaders={}, Signature={}",
            self.secret.id, self.service, self.signed, self.signature
        );
        let request = Request::post("/")
            .header("content-type", self.content_type)
            .header("host", self.host)
            .header("x-tc-action", "DescribeInstances")
            .header("x-tc-timestamp", TIME.to_string())
            .header("authorization", authorization)
            .body(());
        request.unwrap().into_parts().0
    }

    fn verify(&self, parts: &Parts, seconds: i64) -> Result<(), Refusal> {
        verify(
            parts,
            self.body.as_bytes(),
            self.service,
            &self.secret,
            seconds * 1000,
        )
    }
}

#[rstest::rstest]
#[case(vector_a())]
#[case(vector_b())]
#[case(vector_c())]
fn vectors_verify_step_by_step(#[case] vector: Vector) {
    let parts = vector.parts();
    let signed: Vec<&str> = vector.signed.split(';').collect();
    let canonical = canonical_request(&parts, vector.body.as_bytes(), &signed).unwrap();
    assert_eq!(hex::encode(Sha256::digest(canonical)), vector.canonical);
    let step = |key: &[u8], message: &str| {
        keyed(key, message)
            .unwrap()
            .finalize()
            .into_bytes()
            .to_vec()
    };
    let date_key = step(format!("TC3{}", vector.secret.key).as_bytes(), "2019-02-25");
    assert_eq!(hex::encode(&date_key), vector.date_key);
    assert_eq!(
        hex::encode(step(&date_key, vector.service)),
        vector.service_key
    );
    let key = signing_key(&vector.secret.key, "2019-02-25", vector.service);
    assert_eq!(hex::encode(key), vector.signing_key);
    assert_eq!(vector.verify(&parts, TIME), Ok(()));
}

#[test]
fn the_window_is_five_minutes_either_way() {
    let vector = vector_c();
    let parts = vector.parts();
    for (offset, fits) in [(-301, false), (-300, true), (300, true), (301, false)] {
        let answer = vector.verify(&parts, TIME + offset);
        assert_eq!(answer.is_ok(), fits, "{offset}");
        if let Err(refusal) = answer {
            assert_eq!(refusal.code, code::AUTH_EXPIRED);
        }
    }
}

fn refused(change: impl FnOnce(&mut Vector, &mut Parts)) -> String {
    let mut vector = vector_c();
    let mut parts = vector.parts();
    change(&mut vector, &mut parts);
    vector.verify(&parts, TIME).unwrap_err().code
}

fn replace(parts: &mut Parts, name: &'static str, value: &str) {
    parts.headers.insert(name, value.parse().unwrap());
}

#[test]
fn anything_signed_that_changes_breaks_the_signature() {
    assert_eq!(
        refused(|vector, _| vector.body = "{ }"),
        code::AUTH_SIGNATURE
    );
    assert_eq!(
        refused(|_, parts| replace(parts, "host", "other")),
        code::AUTH_SIGNATURE
    );
    assert_eq!(
        refused(|vector, _| vector.secret.key.push('x')),
        code::AUTH_SIGNATURE
    );
    assert_eq!(
        refused(|_, parts| replace(parts, "x-tc-timestamp", "1551113066")),
        code::AUTH_SIGNATURE
    );
}

#[test]
fn other_faults_have_their_own_codes() {
    assert_eq!(
        refused(|vector, _| vector.secret.id = "AKIDother".to_owned()),
        code::AUTH_SECRET_ID
    );
    assert_eq!(
        refused(|vector, _| vector.service = "cvm"),
        code::AUTH_INVALID
    );
    assert_eq!(
        refused(|_, parts| replace(parts, "x-tc-timestamp", "soon")),
        code::AUTH_INVALID
    );
    assert_eq!(
        refused(|_, parts| replace(parts, "authorization", "Basic x")),
        code::AUTH_INVALID
    );
    for absent in ["content-type", "authorization", "host"] {
        assert_eq!(
            refused(|_, parts| drop(parts.headers.remove(absent))),
            code::AUTH_INVALID
        );
    }
    let unsigned_host = "TC3-HMAC-SHA256 Credential=a/2019-02-25/clb/tc3_request, SignedHeaders=content-type, Signature=00";
    assert_eq!(
        refused(|_, parts| replace(parts, "authorization", unsigned_host)),
        code::AUTH_INVALID
    );
}

//! `/_sim/certificates`: certificates under ids of the operator's choice, which the real service
//! does not let anybody choose; guides and tests name them.

use crate::api::{put_certificate, remove_certificate};
use crate::shared::Shared;
use crate::state::Model;
use crate::state::certificates::Certificate;
use serde::Deserialize;
use serde_json::{Value, json};

/// What the operator sends, PEM both. Without a key it is an authority for clients.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Given {
    certificate: String,
    key: Option<String>,
    #[serde(default)]
    alias: String,
}

/// Keeps one, in the place of an earlier one with this id.
pub(crate) fn put(shared: &Shared, id: &str, body: &[u8]) -> Result<Value, String> {
    // What the parser says may quote the key, so only the place is told.
    let given: Given = serde_json::from_slice(body).map_err(|error| {
        format!(
            "not a certificate (certificate, and maybe key, alias): line {} column {}",
            error.line(),
            error.column()
        )
    })?;
    let kept = shared.with(|model, now| {
        let certificate = Certificate {
            alias: given.alias,
            chain: given.certificate,
            key: given.key,
            uploaded: now,
        };
        put_certificate(model, id, certificate)
    });
    kept.map(|()| json!({})).map_err(|refusal| refusal.message)
}

/// Forgets one.
pub(crate) fn remove(shared: &Shared, id: &str) -> Result<Value, String> {
    if shared.with(|model, _| remove_certificate(model, id)) {
        return Ok(json!({}));
    }
    Err(format!("there is no certificate {id:?}"))
}

/// All of them, without their keys.
pub(crate) fn show(model: &Model) -> Value {
    let shown = model.certificates.iter().map(|(id, certificate)| {
        json!({
            "id": id,
            "alias": certificate.alias,
            "certificate": certificate.chain,
            "has_key": certificate.key.is_some(),
        })
    });
    json!({ "certificates": shown.collect::<Vec<_>>() })
}

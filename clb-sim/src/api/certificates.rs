//! Tencent's SSL Certificate Service, version 2019-12-05, as far as certificates for load balancers
//! need it: `UploadCertificate`, `DescribeCertificates`, `DeleteCertificate`. It shares the address;
//! its calls are told by their version.

use super::params::{self, Params, in_range};
use crate::clock::{Millis, beijing};
use crate::refusal::{Refusal, code};
use crate::state::Model;
use crate::state::certificates::Certificate;
use serde::Deserialize;
use serde_json::{Value, json};

pub(super) const VERSION: &str = "2019-12-05";
/// What its calls are signed for.
pub(super) const SERVICE: &str = "ssl";

/// Does what a call asks for.
pub(super) fn perform(
    model: &mut Model,
    now: Millis,
    (action, body): (&str, &[u8]),
) -> Result<Value, Refusal> {
    match action {
        "UploadCertificate" => upload(model, now, params::read(body)?),
        "DescribeCertificates" => describe(model, &params::read(body)?),
        "DeleteCertificate" => Ok(delete(model, &params::read(body)?)),
        other => {
            let message = format!(
                "X-TC-Action {other:?} of SSL is not served here: UploadCertificate, \
                 DescribeCertificates and DeleteCertificate are"
            );
            Err(Refusal::new(code::INVALID_ACTION, message))
        }
    }
}

/// Refuses a certificate that could not be presented, where the operator wants that checked.
pub(super) fn check(model: &Model, given: Option<&Value>) -> Result<(), Refusal> {
    let Some(given) = given.filter(|_| model.settings.behaviour.check_certificates) else {
        return Ok(());
    };
    model.certificates.presented(given)?;
    model.certificates.client_authorities(given).map(|_| ())
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Upload {
    certificate_public_key: String,
    certificate_private_key: Option<String>,
    certificate_type: Option<String>,
    alias: Option<String>,
}

impl Params for Upload {
    const IGNORED: &'static [&'static str] = &["ProjectId", "CertificateUse", "Tags", "Repeatable"];
}

fn upload(model: &mut Model, now: Millis, asked: Upload) -> Result<Value, Refusal> {
    let kind = asked.certificate_type.as_deref().unwrap_or("SVR");
    if !["SVR", "CA"].contains(&kind) {
        let message = format!("CertificateType {kind:?} is not accepted: SVR and CA are");
        return Err(Refusal::new(code::INVALID_VALUE, message));
    }
    if kind == "SVR" && asked.certificate_private_key.is_none() {
        let message = "CertificatePrivateKey is required for CertificateType SVR";
        return Err(Refusal::new(code::MISSING, message));
    }
    let certificate = Certificate {
        alias: asked.alias.unwrap_or_default(),
        chain: asked.certificate_public_key,
        key: asked.certificate_private_key.filter(|_| kind == "SVR"),
        uploaded: now,
    };
    // Eight letters and digits, without a prefix.
    let id = model.ids.next("cert").split_off("cert-".len());
    put(model, &id, certificate)?;
    Ok(json!({ "CertificateId": id, "RepeatCertId": "" }))
}

/// Keeps a certificate; listeners that name it present it at once.
pub(crate) fn put(model: &mut Model, id: &str, certificate: Certificate) -> Result<(), Refusal> {
    let mut kept = Ok(());
    model.secure(|model| kept = model.certificates.put(id, certificate));
    kept
}

/// Whether there was one.
pub(crate) fn remove(model: &mut Model, id: &str) -> bool {
    let mut was_there = false;
    model.secure(|model| was_there = model.certificates.remove(id));
    was_there
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Describe {
    offset: Option<i64>,
    limit: Option<i64>,
    search_key: Option<String>,
    certificate_type: Option<String>,
    cert_ids: Option<Vec<String>>,
}

impl Params for Describe {
    const IGNORED: &'static [&'static str] = &[
        "CertificateStatus",
        "Deployable",
        "ExpirationSort",
        "FilterSource",
        "ProjectId",
        "Upload",
    ];
}

fn describe(model: &Model, asked: &Describe) -> Result<Value, Refusal> {
    let offset = in_range("Offset", asked.offset, 0, 0..=i64::MAX)?;
    // More is taken as this many.
    let limit = in_range("Limit", asked.limit, 10, 0..=i64::MAX)?.min(1000);
    let wanted = |(id, certificate): &(&String, &Certificate)| {
        let key = asked.search_key.as_deref().unwrap_or_default();
        let kind = asked.certificate_type.as_deref();
        (id.contains(key) || certificate.alias.contains(key))
            && kind.is_none_or(|kind| kind == kind_of(certificate))
            && asked.cert_ids.as_ref().is_none_or(|ids| ids.contains(id))
    };
    let found: Vec<Value> = model
        .certificates
        .iter()
        .filter(wanted)
        .map(|(id, certificate)| show(id, certificate))
        .collect();
    let page: Vec<&Value> = found.iter().skip(offset).take(limit).collect();
    Ok(json!({ "TotalCount": found.len(), "Certificates": page }))
}

/// `Certificates`, without what stands inside the certificate.
fn show(id: &str, certificate: &Certificate) -> Value {
    json!({
        "CertificateId": id,
        "Alias": certificate.alias,
        "CertificateType": kind_of(certificate),
        "From": "upload",
        "Status": 1,
        "StatusName": "",
        "InsertTime": beijing(certificate.uploaded),
        "Deployable": certificate.key.is_some(),
    })
}

fn kind_of(certificate: &Certificate) -> &'static str {
    if certificate.key.is_some() {
        "SVR"
    } else {
        "CA"
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Delete {
    certificate_id: String,
}

impl Params for Delete {
    const IGNORED: &'static [&'static str] = &["IsCheckResource"];
}

fn delete(model: &mut Model, asked: &Delete) -> Value {
    json!({ "DeleteResult": remove(model, &asked.certificate_id), "TaskId": "" })
}

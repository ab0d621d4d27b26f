//! Container images without a registry or a daemon: an OCI image is a tar with `oci-layout`,
//! `index.json` and blobs named by their digest; one layer with one static binary is enough.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tar::{Builder, EntryType, Header};

use crate::paths::Paths;
use crate::setup;

/// The trust store inside the image, where rustls looks for it on Debian and most others.
const CA_BUNDLE: &str = "etc/ssl/certs/ca-certificates.crt";

/// Distributions' places of the trust store on the machine that builds.
const CA_BUNDLES: &[&str] = &[
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// Without a password file in the image: the number that stands for nobody in distroless images.
const USER: u64 = 65532;

const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The same content must give the same image, so every file carries the same time.
const EPOCH: u64 = 0;

/// An image of a single layer.
#[derive(Clone, Debug)]
pub(crate) struct Image {
    /// What a pod names it.
    pub(crate) name: &'static str,
    /// The program to start.
    pub(crate) entrypoint: &'static str,
    /// Variables for the program.
    pub(crate) environment: Vec<&'static str>,
    /// Its files: path in the image without the leading slash, content, mode.
    pub(crate) files: Vec<(String, Vec<u8>, u32)>,
}

/// The product's image, as `make image` writes it and as the cluster runs it.
pub(crate) fn clb_gate(paths: &Paths, scratch: &Path) -> Result<Image> {
    let mut image = program(
        paths,
        "clb-gate",
        "localhost/clb-gate:latest",
        "/clb-gate",
        scratch,
    )?;
    image.files.push((CA_BUNDLE.into(), ca_bundle()?, 0o644));
    Ok(image)
}

/// The application of demo and journeys.
pub(crate) fn sample(paths: &Paths, scratch: &Path) -> Result<Image> {
    program(
        paths,
        "sample",
        "localhost/sample:latest",
        "/sample",
        scratch,
    )
}

/// The same program where TKE's examples have theirs: their pods say on which port, not their containers.
pub(crate) fn stand_ins(sample: &Image) -> impl Iterator<Item = Image> {
    let all = [
        ("localhost/sample:on-80", "PORT=80"),
        ("localhost/sample:on-9376", "PORT=9376"),
    ];
    all.into_iter().map(|(name, port)| Image {
        name,
        environment: vec![port],
        ..sample.clone()
    })
}

/// What holds a pod's namespaces.
pub(crate) fn pause(paths: &Paths, scratch: &Path) -> Result<Image> {
    program(paths, "pause", "localhost/pause:1", "/pause", scratch)
}

/// Writes images as one OCI archive. A half-written file never has the name.
pub(crate) fn write(images: &[Image], to: &Path) -> Result<()> {
    let partial = to.with_extension("partial");
    let bytes = archive(images)?;
    fs::write(&partial, bytes).with_context(|| format!("writing {}", partial.display()))?;
    fs::rename(&partial, to).with_context(|| format!("writing {}", to.display()))
}

fn program(
    paths: &Paths,
    binary: &str,
    name: &'static str,
    entrypoint: &'static str,
    scratch: &Path,
) -> Result<Image> {
    let content = stripped(&paths.binary(binary)?, scratch)?;
    let file = entrypoint.trim_start_matches('/').to_owned();
    Ok(Image {
        name,
        entrypoint,
        environment: vec![],
        files: vec![(file, content, 0o755)],
    })
}

/// The binary without debug information where `strip` is at hand, else as it is. `strip` writes to a
/// file in `scratch`: it replaces whatever its output names, be it a device.
fn stripped(binary: &Path, scratch: &Path) -> Result<Vec<u8>> {
    if let Some(strip) = setup::program("strip") {
        let output = scratch.join(format!("stripped-{}", crate::random()?));
        let status = Command::new(strip)
            .args(["--strip-debug", "-o"])
            .arg(&output)
            .arg(binary)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        let content = fs::read(&output);
        let _ = fs::remove_file(&output);
        if let (Ok(status), Ok(content)) = (status, content)
            && status.success()
        {
            return Ok(content);
        }
    }
    fs::read(binary).with_context(|| format!("reading {}", binary.display()))
}

fn ca_bundle() -> Result<Vec<u8>> {
    let path = CA_BUNDLES
        .iter()
        .map(PathBuf::from)
        .find(|path| path.is_file())
        .with_context(|| {
            format!(
                "no trust store on this machine ({}): install the package ca-certificates",
                CA_BUNDLES.join(", ")
            )
        })?;
    fs::read(&path).with_context(|| format!("reading {}", path.display()))
}

/// The archive's bytes. Images that share a blob share it here too.
fn archive(images: &[Image]) -> Result<Vec<u8>> {
    let mut archive = Archive::default();
    let mut manifests = Vec::new();
    for image in images {
        manifests.push(archive.add_image(image)?);
    }
    let index = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": manifests,
    });
    archive.file("index.json", &serde_json::to_vec(&index)?)?;
    archive.file("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#)?;
    archive.tar.into_inner().context("finishing an archive")
}

struct Archive {
    tar: Builder<Vec<u8>>,
    blobs: BTreeSet<String>,
}

impl Default for Archive {
    fn default() -> Self {
        let mut archive = Self {
            tar: Builder::new(Vec::new()),
            blobs: BTreeSet::new(),
        };
        for folder in ["blobs/", "blobs/sha256/"] {
            // Writing to memory cannot fail; a reader that wants the folders finds them.
            let _ = add(&mut archive.tar, folder, &[], 0o755);
        }
        archive
    }
}

impl Archive {
    /// Adds the image's blobs; what the index says of it.
    fn add_image(&mut self, image: &Image) -> Result<Value> {
        let layer = layer(&image.files)?;
        let mut environment = vec![PATH];
        environment.extend(&image.environment);
        let config = json!({
            "architecture": architecture(),
            "os": "linux",
            "config": {
                "Entrypoint": [image.entrypoint],
                "Env": environment,
                "User": format!("{USER}:{USER}"),
                "WorkingDir": "/",
            },
            // An uncompressed layer: its digest is the one of its content too.
            "rootfs": {"type": "layers", "diff_ids": [digest(&layer)]},
            "history": [{"created_by": "clb-gate test host"}],
        });
        let config = self.blob(
            "application/vnd.oci.image.config.v1+json",
            &serde_json::to_vec(&config)?,
        )?;
        let layer = self.blob("application/vnd.oci.image.layer.v1.tar", &layer)?;
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": config,
            "layers": [layer],
        });
        let mut described = self.blob(
            "application/vnd.oci.image.manifest.v1+json",
            &serde_json::to_vec(&manifest)?,
        )?;
        if let Some(fields) = described.as_object_mut() {
            fields.insert("annotations".into(), annotations(image.name));
            fields.insert(
                "platform".into(),
                json!({"architecture": architecture(), "os": "linux"}),
            );
        }
        Ok(described)
    }

    fn blob(&mut self, media_type: &str, content: &[u8]) -> Result<Value> {
        let digest = digest(content);
        if self.blobs.insert(digest.clone()) {
            let path = format!("blobs/{}", digest.replace(':', "/"));
            self.file(&path, content)?;
        }
        Ok(json!({"mediaType": media_type, "digest": digest, "size": content.len()}))
    }

    fn file(&mut self, path: &str, content: &[u8]) -> Result<()> {
        add(&mut self.tar, path, content, 0o644)
    }
}

/// containerd reads the full name from the first, other tools the tag from the second.
fn annotations(name: &str) -> Value {
    let tag = name.rsplit(':').next().unwrap_or("latest");
    json!({"io.containerd.image.name": name, "org.opencontainers.image.ref.name": tag})
}

fn layer(files: &[(String, Vec<u8>, u32)]) -> Result<Vec<u8>> {
    let mut tar = Builder::new(Vec::new());
    let folders: BTreeSet<String> = files
        .iter()
        .flat_map(|(path, _, _)| Path::new(path).ancestors().skip(1))
        .filter(|folder| !folder.as_os_str().is_empty())
        .map(|folder| format!("{}/", folder.display()))
        .collect();
    for folder in &folders {
        add(&mut tar, folder, &[], 0o755)?;
    }
    for (path, content, mode) in files {
        add(&mut tar, path, content, *mode)?;
    }
    tar.into_inner().context("finishing a layer")
}

/// Adds a file, or a folder where the path ends in a slash.
fn add(tar: &mut Builder<Vec<u8>>, path: &str, content: &[u8], mode: u32) -> Result<()> {
    let mut header = Header::new_ustar();
    header.set_entry_type(if path.ends_with('/') {
        EntryType::Directory
    } else {
        EntryType::Regular
    });
    header.set_size(u64::try_from(content.len()).context("sizing a file")?);
    header.set_mode(mode);
    header.set_mtime(EPOCH);
    header.set_uid(0);
    header.set_gid(0);
    tar.append_data(&mut header, path, content)
        .with_context(|| format!("adding {path} to an archive"))
}

fn digest(content: &[u8]) -> String {
    format!("sha256:{}", crate::hex(&Sha256::digest(content)))
}

/// Go's name of this machine's architecture.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::io::Read;

    use super::*;

    fn image(name: &'static str, content: &[u8]) -> Image {
        Image {
            name,
            entrypoint: "/app",
            environment: vec![],
            files: vec![
                ("app".into(), content.to_vec(), 0o755),
                (CA_BUNDLE.into(), b"roots".to_vec(), 0o644),
            ],
        }
    }

    fn unpack(bytes: &[u8]) -> BTreeMap<String, Vec<u8>> {
        tar::Archive::new(bytes)
            .entries()
            .unwrap()
            .map(|entry| {
                let mut entry = entry.unwrap();
                let path = entry.path().unwrap().display().to_string();
                let mut content = Vec::new();
                entry.read_to_end(&mut content).unwrap();
                (path, content)
            })
            .collect()
    }

    fn json(files: &BTreeMap<String, Vec<u8>>, path: &str) -> Value {
        serde_json::from_slice(&files[path]).unwrap()
    }

    fn blob(described: &Value) -> String {
        let digest = described["digest"].as_str().unwrap();
        format!("blobs/{}", digest.replace(':', "/"))
    }

    #[test]
    fn stripping_leaves_only_the_binary_itself_behind() {
        let folder = tempfile::tempdir().unwrap();
        let binary = std::env::current_exe().unwrap();
        let before = fs::read(&binary).unwrap();
        let content = stripped(&binary, folder.path()).unwrap();
        assert!(content.starts_with(b"\x7fELF"));
        assert!(content.len() < before.len() || setup::program("strip").is_none());
        assert_eq!(fs::read(&binary).unwrap(), before);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn every_blob_is_named_by_its_own_digest() {
        let files = unpack(&archive(&[image("localhost/a:1", b"x")]).unwrap());
        let blobs: Vec<&String> = files
            .keys()
            .filter(|path| path.starts_with("blobs/sha256/") && !path.ends_with('/'))
            .collect();
        assert_eq!(blobs.len(), 3, "config, layer, manifest");
        for path in blobs {
            let named = format!("sha256:{}", path.rsplit('/').next().unwrap());
            assert_eq!(named, digest(&files[path]));
        }
    }

    #[test]
    fn the_index_leads_to_a_layer_with_the_program() {
        let files = unpack(&archive(&[image("localhost/a:1", b"program")]).unwrap());
        let index = json(&files, "index.json");
        let described = &index["manifests"][0];
        assert_eq!(
            described["annotations"]["io.containerd.image.name"],
            "localhost/a:1"
        );
        assert_eq!(
            described["annotations"]["org.opencontainers.image.ref.name"],
            "1"
        );
        let manifest = json(&files, &blob(described));
        let config = json(&files, &blob(&manifest["config"]));
        assert_eq!(config["config"]["Entrypoint"], json!(["/app"]));
        assert_eq!(config["config"]["User"], "65532:65532");
        let layer = &files[&blob(&manifest["layers"][0])];
        assert_eq!(config["rootfs"]["diff_ids"][0], digest(layer));
        let content = unpack(layer);
        assert_eq!(content["app"], b"program");
        assert_eq!(content[CA_BUNDLE], b"roots");
        assert!(content.contains_key("etc/ssl/certs/"));
    }

    #[test]
    fn sizes_in_descriptors_are_those_of_the_blobs() {
        let files = unpack(&archive(&[image("localhost/a:1", &[7; 1000])]).unwrap());
        let described = &json(&files, "index.json")["manifests"][0];
        let size = described["size"].as_u64().unwrap();
        assert_eq!(size, files[&blob(described)].len() as u64);
    }

    #[test]
    fn the_same_content_gives_the_same_archive() {
        let once = archive(&[image("localhost/a:1", b"x")]).unwrap();
        assert_eq!(once, archive(&[image("localhost/a:1", b"x")]).unwrap());
    }

    #[test]
    fn several_images_share_equal_blobs() {
        let images = [image("localhost/a:1", b"x"), image("localhost/b:1", b"x")];
        let bytes = archive(&images).unwrap();
        let mut reader = tar::Archive::new(bytes.as_slice());
        let paths = reader.entries().unwrap().filter(|entry| {
            let path = entry.as_ref().unwrap().path().unwrap().into_owned();
            path.starts_with("blobs/sha256") && path.components().count() == 3
        });
        assert_eq!(paths.count(), 3);
        let files = unpack(&bytes);
        let index = json(&files, "index.json");
        assert_eq!(index["manifests"].as_array().unwrap().len(), 2);
    }
}

//! The images as they are shipped: small, not root, labelled, and the same when they are built again. `make e2e` builds them, and
//! says in `DATASTREAM_IMAGES` in which folder they are.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::{Path, PathBuf};
use std::process::Command;

use datastream_e2e::checkout;
use serde_json::Value;

const IMAGES: [(&str, &str); 4] = [
    ("operator", "/datastream-operator"),
    ("gateway", "/datastream-gateway"),
    ("cli", "/datastream"),
    ("broker", "/datastream-broker"),
];
const MAX_BYTES: u64 = 40 << 20;

/// A file of an OCI archive, as JSON.
fn json(archive: &Path, file: &str) -> Value {
    let output = Command::new("tar")
        .arg("-xOf")
        .arg(archive)
        .arg(file)
        .output();
    serde_json::from_slice(&output.expect("tar").stdout).expect(file)
}

fn blob(archive: &Path, descriptor: &Value) -> Value {
    let digest = descriptor["digest"].as_str().expect("a digest");
    json(archive, &format!("blobs/{}", digest.replace(':', "/")))
}

fn manifest(archive: &Path) -> Value {
    json(archive, "index.json")["manifests"][0].take()
}

fn folder() -> PathBuf {
    let folder = std::env::var_os("DATASTREAM_IMAGES");
    folder.expect("DATASTREAM_IMAGES: run `make e2e`").into()
}

#[test]
fn images_are_small_labelled_and_not_root() {
    for (image, program) in IMAGES {
        let archive = folder().join(format!("datastream-{image}.tar"));
        let bytes = std::fs::metadata(&archive).expect("an archive").len();
        assert!(bytes < MAX_BYTES, "{image} has {bytes} bytes");
        let config = blob(&archive, &blob(&archive, &manifest(&archive))["config"]);
        let config = &config["config"];
        assert_eq!(config["User"], "65532:65532", "{image}");
        assert_eq!(config["Entrypoint"], serde_json::json!([program]));
        for label in [
            "title",
            "description",
            "version",
            "revision",
            "licenses",
            "vendor",
        ] {
            let value = &config["Labels"][format!("org.opencontainers.image.{label}")];
            assert!(
                value.as_str().is_some_and(|v| !v.is_empty()),
                "{image}: {label}"
            );
        }
    }
}

#[test]
fn a_second_build_of_the_images_has_the_same_digests() {
    let again = tempfile::tempdir().unwrap();
    let script = checkout("images/build.sh");
    let built = Command::new(script).env("IMAGE_OUT", again.path()).output();
    let built = built.expect("images/build.sh");
    assert!(
        built.status.success(),
        "{}",
        String::from_utf8_lossy(&built.stderr)
    );
    for (image, _) in IMAGES {
        let name = format!("datastream-{image}.tar");
        let [first, second] = [folder(), again.path().to_owned()].map(|f| manifest(&f.join(&name)));
        assert_eq!(first["digest"], second["digest"], "{image}");
    }
}

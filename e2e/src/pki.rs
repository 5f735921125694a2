//! Keys and certificates of a test cluster, made with the openssl command.

use std::path::Path;
use std::process::Command;

use anyhow::Context as _;

/// Writes `ca`, `apiserver`, `admin` (`.crt`, `.key`) and `sa.key`, `sa.pub` into `dir`. The API server is at `address`.
pub(crate) fn create(dir: &Path, address: &str) -> anyhow::Result<()> {
    let key = [
        "ecparam",
        "-name",
        "prime256v1",
        "-genkey",
        "-noout",
        "-out",
    ];
    openssl(dir, &[&key[..], &["ca.key"]].concat())?;
    openssl(
        dir,
        &[
            "req",
            "-x509",
            "-new",
            "-key",
            "ca.key",
            "-subj",
            "/CN=test-ca",
            "-days",
            "2",
            "-out",
            "ca.crt",
        ],
    )?;
    openssl(dir, &["genrsa", "-out", "sa.key", "2048"])?;
    openssl(dir, &["rsa", "-in", "sa.key", "-pubout", "-out", "sa.pub"])?;
    let names = format!(
        "subjectAltName=DNS:localhost,DNS:kubernetes.default.svc,IP:127.0.0.1,IP:10.96.0.1,IP:{address}"
    );
    for (name, subject, extension) in [
        ("apiserver", "/CN=kube-apiserver", names.as_str()),
        (
            "admin",
            "/O=system:masters/CN=admin",
            "extendedKeyUsage=clientAuth",
        ),
    ] {
        let [key_file, request, certificate, extensions] =
            ["key", "csr", "crt", "ext"].map(|kind| format!("{name}.{kind}"));
        std::fs::write(dir.join(&extensions), extension)?;
        openssl(dir, &[&key[..], &[&key_file]].concat())?;
        openssl(
            dir,
            &[
                "req", "-new", "-key", &key_file, "-subj", subject, "-out", &request,
            ],
        )?;
        let sign = [
            "x509",
            "-req",
            "-in",
            &request,
            "-CA",
            "ca.crt",
            "-CAkey",
            "ca.key",
            "-CAcreateserial",
        ];
        openssl(
            dir,
            &[
                &sign[..],
                &["-days", "2", "-extfile", &extensions, "-out", &certificate],
            ]
            .concat(),
        )?;
    }
    Ok(())
}

fn openssl(dir: &Path, args: &[&str]) -> anyhow::Result<()> {
    let output = Command::new("openssl")
        .args(args)
        .current_dir(dir)
        .output()
        .context("cannot run openssl")?;
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    anyhow::ensure!(
        output.status.success(),
        "openssl {}: {error}",
        args.join(" ")
    );
    Ok(())
}

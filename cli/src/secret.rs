//! Arguments that are not to be shown.

use secrecy::SecretString;

/// Reads an argument that holds a secret, for a command line.
#[allow(
    clippy::unnecessary_wraps,
    reason = "the signature that the argument parser wants"
)]
pub(crate) fn secret(text: &str) -> Result<SecretString, std::convert::Infallible> {
    Ok(SecretString::from(text))
}

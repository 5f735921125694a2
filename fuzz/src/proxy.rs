//! What proxies say of their clients: only those that are trusted are listened to.

use std::net::SocketAddr;

use datastream_gateway::ProxySettings;
use hyper::HeaderMap;
use hyper::header::HeaderValue;

/// Reads a header of the PROXY protocol, and a value of `X-Forwarded-For`.
pub fn run(data: &[u8]) {
    let settings = ProxySettings {
        trusted: vec!["10.0.0.0/8".parse().unwrap()],
        proxy_protocol: true,
    };
    let proxy = SocketAddr::from(([10, 0, 0, 1], 1));
    if let Err(error) = ProxySettings::parse_header(data, proxy) {
        assert!(!error.is_empty());
    }
    let Ok(value) = HeaderValue::from_bytes(data) else {
        return;
    };
    let mut headers = HeaderMap::new();
    headers.append("x-forwarded-for", value);
    let stranger = SocketAddr::from(([192, 0, 2, 1], 1));
    assert_eq!(settings.client(stranger, &headers), stranger);
    let client = settings.client(proxy, &headers);
    let text = String::from_utf8_lossy(data);
    // It is in there, though maybe spelled otherwise.
    assert!(
        client == proxy || text.contains(['.', ':']),
        "{client} {text:?}"
    );
}

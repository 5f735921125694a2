//! The address of a client behind proxies that are trusted to say it: by the PROXY protocol, or by `X-Forwarded-For`.
//!
//! Whoever else says where it comes from is not listened to: limits and the audit log are by these addresses.

use std::io;
use std::net::{IpAddr, SocketAddr};

use hyper::HeaderMap;
use hyper::header::HeaderName;
use ipnet::IpNet;
use ppp::v2::{Addresses as V2Addresses, Command};
use ppp::{HeaderResult, PartialResult as _, v1};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

/// The header that proxies add the address of their client to, at its end.
static X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// The bytes that a header of version 2 begins with; one of version 1 has no fewer.
const SIGNATURE: usize = 12;
/// The largest header that is read: of version 1 as the protocol has it, of version 2 with extensions that nobody looks at.
const MAX_V1: usize = 107;
const MAX_V2: usize = 4 << 10;

/// The proxies in front of a gateway.
#[derive(Clone, Debug, Default)]
pub struct ProxySettings {
    /// Their addresses.
    pub trusted: Vec<IpNet>,
    /// They begin connections with a header of the PROXY protocol (versions 1 and 2).
    pub proxy_protocol: bool,
}

impl ProxySettings {
    fn trusts(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.trusted
            .iter()
            .any(|network| network.contains(&address))
    }

    /// Returns whether connections from this address begin with a header of the PROXY protocol.
    pub(crate) fn announces(&self, peer: SocketAddr) -> bool {
        self.proxy_protocol && self.trusts(peer.ip())
    }

    /// Reads the header that a connection begins with, and returns the address that it names; that of the proxy if it speaks for itself.
    ///
    /// # Errors
    /// There is none, or it is malformed, or the connection's own.
    pub(crate) async fn read_header(
        &self,
        tcp: &mut TcpStream,
        peer: SocketAddr,
    ) -> io::Result<SocketAddr> {
        let header = read_header(tcp).await?;
        Self::parse_header(&header, peer).map_err(io::Error::other)
    }

    /// The address of the client of a request from this peer: by `X-Forwarded-For`, the last one that is not that of a trusted proxy.
    pub fn client(&self, peer: SocketAddr, headers: &HeaderMap) -> SocketAddr {
        if self.trusted.is_empty() || !self.trusts(peer.ip()) {
            return peer;
        }
        let values = headers.get_all(&X_FORWARDED_FOR).iter();
        // What is no ASCII is malformed, and the rest of its line is not.
        let values: Vec<_> = values
            .map(|value| String::from_utf8_lossy(value.as_bytes()))
            .collect();
        let hops = values.iter().flat_map(|value| value.split(','));
        let mut client = peer;
        for hop in hops.collect::<Vec<_>>().into_iter().rev() {
            // What is behind something malformed was not said by a proxy that is trusted.
            let Some(address) = address(hop.trim()) else {
                break;
            };
            client = address;
            if !self.trusts(client.ip()) {
                break;
            }
        }
        client
    }

    /// The address that a whole header of the PROXY protocol names; `peer` if the proxy speaks for itself, or of another network.
    ///
    /// # Errors
    /// It is malformed: why.
    pub fn parse_header(header: &[u8], peer: SocketAddr) -> Result<SocketAddr, String> {
        let parsed = HeaderResult::parse(header);
        if parsed.is_incomplete() {
            return Err("the header of the PROXY protocol is cut off".to_owned());
        }
        match parsed {
            HeaderResult::V1(header) => {
                match header.map_err(|error| error.to_string())?.addresses {
                    v1::Addresses::Tcp4(tcp) => Ok((tcp.source_address, tcp.source_port).into()),
                    v1::Addresses::Tcp6(tcp) => Ok((tcp.source_address, tcp.source_port).into()),
                    v1::Addresses::Unknown => Ok(peer),
                }
            }
            HeaderResult::V2(header) => {
                let header = header.map_err(|error| error.to_string())?;
                if header.command == Command::Local {
                    return Ok(peer);
                }
                match header.addresses {
                    V2Addresses::IPv4(tcp) => Ok((tcp.source_address, tcp.source_port).into()),
                    V2Addresses::IPv6(tcp) => Ok((tcp.source_address, tcp.source_port).into()),
                    V2Addresses::Unspecified | V2Addresses::Unix(_) => Ok(peer),
                }
            }
        }
    }
}

/// An address, with or without a port.
fn address(text: &str) -> Option<SocketAddr> {
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    let without_port = bare.parse::<IpAddr>().ok();
    let without_port = without_port.map(|ip| SocketAddr::new(ip, 0));
    without_port.or_else(|| text.parse().ok())
}

/// Reads a header and not a byte more.
async fn read_header(tcp: &mut TcpStream) -> io::Result<Vec<u8>> {
    let malformed = || io::Error::other("the header of the PROXY protocol is too long");
    let mut header = vec![0; SIGNATURE];
    tcp.read_exact(&mut header).await?;
    if header == ppp::v2::PROTOCOL_PREFIX {
        let mut rest = [0; 4];
        tcp.read_exact(&mut rest).await?;
        header.extend(rest);
        let length = usize::from(u16::from_be_bytes([rest[2], rest[3]]));
        if length > MAX_V2 {
            return Err(malformed());
        }
        let begun = header.len();
        header.resize(begun + length, 0);
        tcp.read_exact(&mut header[begun..]).await?;
        return Ok(header);
    }
    if !header.starts_with(v1::PROTOCOL_PREFIX.as_bytes()) {
        return Err(io::Error::other(
            "a trusted proxy begins a connection without a header of the PROXY protocol",
        ));
    }
    while !header.ends_with(b"\r\n") {
        if header.len() >= MAX_V1 {
            return Err(malformed());
        }
        header.push(tcp.read_u8().await?);
    }
    Ok(header)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use hyper::header::HeaderValue;
    use ppp::v2::{Builder, Protocol, Version};
    use proptest::prelude::*;

    use super::*;

    fn settings() -> ProxySettings {
        let trusted = ["10.0.0.0/8", "2001:db8::/32"].map(|net| net.parse().unwrap());
        ProxySettings {
            trusted: trusted.into(),
            proxy_protocol: true,
        }
    }

    fn client(peer: &str, forwarded: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for value in forwarded {
            let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
            headers.append(&X_FORWARDED_FOR, value);
        }
        let peer = SocketAddr::new(peer.parse().unwrap(), 1);
        settings().client(peer, &headers).ip().to_string()
    }

    #[test]
    fn only_what_trusted_proxies_say_counts_from_the_last_to_the_first() {
        for (peer, forwarded, expected) in [
            ("192.0.2.1", &["198.51.100.7"][..], "192.0.2.1"),
            ("10.1.1.1", &["198.51.100.7"], "198.51.100.7"),
            ("::ffff:10.1.1.1", &["198.51.100.7"], "198.51.100.7"),
            (
                "10.1.1.1",
                &["1.2.3.4, 198.51.100.7, 10.2.2.2"],
                "198.51.100.7",
            ),
            (
                "10.1.1.1",
                &["1.2.3.4", "198.51.100.7,10.2.2.2"],
                "198.51.100.7",
            ),
            ("10.1.1.1", &["198.51.100.7, unknown, 10.2.2.2"], "10.2.2.2"),
            ("10.1.1.1", &["198.51.100.7:4711"], "198.51.100.7"),
            ("10.1.1.1", &["[2001:db9::1]:80"], "2001:db9::1"),
            ("10.1.1.1", &["2001:db9::1"], "2001:db9::1"),
            ("10.1.1.1", &["10.2.2.2, 10.3.3.3"], "10.2.2.2"),
            ("10.1.1.1", &["é, 198.51.100.7"], "198.51.100.7"),
            ("10.1.1.1", &["1.2.3.4", "é"], "10.1.1.1"),
            ("10.1.1.1", &[], "10.1.1.1"),
            ("10.1.1.1", &[""], "10.1.1.1"),
        ] {
            assert_eq!(client(peer, forwarded), expected, "{peer} {forwarded:?}");
        }
    }

    fn v2(command: Command) -> Vec<u8> {
        let source: SocketAddr = ([198, 51, 100, 7], 4711).into();
        let destination: SocketAddr = ([10, 0, 0, 1], 443).into();
        let builder = Builder::with_addresses(
            Version::Two | command,
            Protocol::Stream,
            (source, destination),
        );
        builder.build().unwrap()
    }

    fn parsed(header: &[u8]) -> Result<String, String> {
        let peer = (Ipv4Addr::new(10, 0, 0, 9), 1).into();
        ProxySettings::parse_header(header, peer).map(|address| address.to_string())
    }

    #[test]
    fn headers_of_both_versions_name_the_client_and_local_ones_nobody() {
        let v1 = b"PROXY TCP4 198.51.100.7 10.0.0.1 4711 443\r\n";
        assert_eq!(parsed(v1).unwrap(), "198.51.100.7:4711");
        let v1 = b"PROXY TCP6 2001:db9::1 2001:db8::1 4711 443\r\n";
        assert_eq!(parsed(v1).unwrap(), "[2001:db9::1]:4711");
        assert_eq!(parsed(b"PROXY UNKNOWN\r\n").unwrap(), "10.0.0.9:1");
        assert_eq!(parsed(&v2(Command::Proxy)).unwrap(), "198.51.100.7:4711");
        assert_eq!(parsed(&v2(Command::Local)).unwrap(), "10.0.0.9:1");
        assert!(parsed(b"PROXY TCP4 x y 1 2\r\n").is_err());
        assert!(parsed(&v2(Command::Proxy)[..20]).is_err());
    }

    #[tokio::test]
    async fn a_header_is_read_to_its_end_and_no_further() {
        use tokio::io::AsyncWriteExt as _;
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let too_long = format!("PROXY {}\r\n", "x".repeat(200));
        for (header, is_good) in [
            (
                b"PROXY TCP4 198.51.100.7 10.0.0.1 4711 443\r\n".to_vec(),
                true,
            ),
            (b"PROXY UNKNOWN\r\n".to_vec(), true),
            (v2(Command::Proxy), true),
            (too_long.into_bytes(), false),
            (b"GET / HTTP/1.1\r\n\r\n".to_vec(), false),
        ] {
            let mut client = TcpStream::connect(address).await.unwrap();
            client.write_all(&header).await.unwrap();
            client.write_all(b"GET").await.unwrap();
            let (mut accepted, _) = listener.accept().await.unwrap();
            let read = read_header(&mut accepted).await;
            assert_eq!(read.is_ok(), is_good, "{read:?}");
            if let Ok(read) = read {
                assert_eq!(read, header);
                let mut next = [0; 3];
                accepted.read_exact(&mut next).await.unwrap();
                assert_eq!(&next, b"GET");
            }
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_an_address_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..300), signed in any::<bool>()) {
            let mut header = if signed { v2(Command::Proxy)[..16].to_vec() } else { b"PROXY ".to_vec() };
            header.extend(bytes);
            let _ = parsed(&header);
        }
    }
}

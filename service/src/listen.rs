//! Listening on all addresses of a machine, of whichever families it has.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};

/// Reads an address to listen on, for a command line.
///
/// # Errors
/// The message for a malformed address.
pub fn parse(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        "an address to listen on is IP:PORT, as in 127.0.0.1:8080, 0.0.0.0:8080 or [::]:8080"
            .to_owned()
    })
}

/// The address to bind where `address` is asked for: `[::]`, which takes connections of IPv4 as well, becomes 0.0.0.0 where the
/// kernel has no IPv6.
pub fn address(address: SocketAddr) -> SocketAddr {
    on_kernel(address, || UdpSocket::bind("[::]:0").is_ok())
}

fn on_kernel(mut address: SocketAddr, has_ipv6: impl FnOnce() -> bool) -> SocketAddr {
    if address.is_ipv6() && address.ip().is_unspecified() && !has_ipv6() {
        address.set_ip(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    }
    address
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ipv6_wildcard_becomes_the_ipv4_wildcard_without_ipv6() {
        for (asked, expected) in [
            ("[::]:8080", "0.0.0.0:8080"),
            ("[::1]:8080", "[::1]:8080"),
            ("0.0.0.0:0", "0.0.0.0:0"),
        ] {
            let asked = asked.parse().unwrap();
            assert_eq!(on_kernel(asked, || false).to_string(), expected);
            assert_eq!(on_kernel(asked, || true), asked);
        }
    }

    #[test]
    fn a_malformed_address_is_rejected_with_the_expected_form() {
        assert!(parse("[::]:0").is_ok());
        for bad in ["8080", ":8080", "localhost:8080", "127.0.0.1"] {
            assert!(parse(bad).unwrap_err().contains("IP:PORT"), "{bad}");
        }
    }

    #[tokio::test]
    async fn one_listener_accepts_clients_of_every_available_family() {
        let every = address("[::]:0".parse().unwrap());
        let listener = tokio::net::TcpListener::bind(every).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let mut hosts = vec!["127.0.0.1"];
        // It may have been switched off after the kernel brought it.
        if every.is_ipv6() && UdpSocket::bind("[::1]:0").is_ok() {
            hosts.push("[::1]");
        }
        for host in hosts {
            let client = tokio::net::TcpStream::connect(format!("{host}:{port}"));
            let (accepted, connected) = tokio::join!(listener.accept(), client);
            accepted.unwrap();
            connected.unwrap();
        }
    }
}

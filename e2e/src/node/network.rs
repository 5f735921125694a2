//! The network of a node that nothing leaves: loopback, and a pair of interfaces whose both ends stay here.

use super::run;

/// Makes it, with this address.
pub(super) fn create(address: &str) -> anyhow::Result<()> {
    let ip = |args: &[&str]| run("ip", args);
    ip(&["link", "set", "lo", "up"])?;
    ip(&[
        "link", "add", "node0", "type", "veth", "peer", "name", "node0p",
    ])?;
    ip(&["addr", "add", &format!("{address}/24"), "dev", "node0"])?;
    ip(&["link", "set", "node0", "up"])?;
    ip(&["link", "set", "node0p", "up"])?;
    // So that the addresses of services have somewhere to go before they are translated.
    ip(&["route", "add", "default", "dev", "node0", "src", address])?;
    for setting in ["net/ipv4/ip_forward", "net/ipv4/conf/all/route_localnet"] {
        std::fs::write(format!("/proc/sys/{setting}"), "1")?;
    }
    // The runtime keeps sockets and namespaces in fixed places; these are the node's own.
    for folder in ["/run", "/var/log"] {
        run("mount", &["-t", "tmpfs", "tmpfs", folder])?;
    }
    Ok(())
}

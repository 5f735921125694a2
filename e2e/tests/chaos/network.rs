//! A network of the test's own: every program in a namespace, joined by a router that can cut each way between any two.
//!
//! The test runs itself again under `unshare`, so that nothing of it touches the machine's network or outlives the test:
//! the namespace made there is the router, and the test itself, its clients with it, is in one behind the router. Routing
//! rules of the router that name source and destination drop packets without notice to either side.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use anyhow::Context as _;

/// Set in the run that is inside.
const INSIDE: &str = "CHAOS_NETWORK";
const ROUTER: &str = "router";
/// The script that `unshare` runs: it makes a place for the names of namespaces and the router's name, then runs the test itself.
const ENTER: &str = "mount -t tmpfs none /run && mkdir /run/netns && touch /run/netns/router \
    && mount --bind /proc/self/ns/net /run/netns/router && ip netns add node-0 \
    && exec ip netns exec node-0 \"$0\" \"$@\"";
const UNSHARE: [&str; 7] = [
    "unshare",
    "--net",
    "--mount",
    "--mount-proc",
    "--pid",
    "--fork",
    "--kill-child",
];

/// A place where programs run, with an address that others reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Node(u8);

/// The test and its clients.
pub(crate) const CLIENTS: Node = Node(0);

/// One of the two addresses of a node: cuts are between addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Main,
    /// Network for what is to be reached whatever is cut, or cut by itself.
    Other,
}

/// A way on which packets stop, in one direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Way {
    pub from: (Node, Side),
    pub to: (Node, Side),
}

/// The way in which two are cut from each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    Both,
    /// Half-open: what one says arrives, what the other says does not.
    To,
    From,
}

/// The network of a run: namespaces, or loopback.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Network {
    inside: bool,
}

/// Runs the test of this name again in a network of its own. Returns whether it passed; nothing if this is the run inside, or
/// there can be no such network.
pub(crate) fn run_inside(test: &str) -> Option<bool> {
    // A cluster that is not ours is not in there.
    let set = |name| std::env::var_os(name).is_some();
    if [INSIDE, "FLUVIO_ADDR", "KUBECONFIG"].into_iter().any(set) {
        return None;
    }
    if let Err(reason) = possible() {
        println!("{test}: on loopback only, without cuts of the network: {reason}");
        return None;
    }
    let mut child = Command::new("setpriv")
        .args(["--pdeathsig", "KILL"])
        .args(UNSHARE)
        .args(["sh", "-c", ENTER])
        .arg(std::env::current_exe().expect("the test is a program"))
        .args(["--exact", test, "--nocapture"])
        .env(INSIDE, "1")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it was possible a moment ago");
    let output = BufReader::new(child.stdout.take().expect("it is piped"));
    for line in output.lines().map_while(Result::ok) {
        println!("{line}");
    }
    let status = child.wait().expect("it is ours");
    Some(status.success())
}

fn possible() -> anyhow::Result<()> {
    run(Command::new(UNSHARE[0])
        .args(&UNSHARE[1..])
        .args(["sh", "-c", ENTER])
        .args(["ip", "rule"]))
}

impl Network {
    /// The network of this process, made if this is the run inside.
    ///
    /// # Errors
    /// It cannot be made.
    pub(crate) fn get() -> anyhow::Result<Self> {
        static MADE: OnceLock<Result<(), String>> = OnceLock::new();
        let inside = std::env::var_os(INSIDE).is_some();
        let make = || {
            ip(&["-n", ROUTER, "link", "set", "lo", "up"]).map_err(|e| e.to_string())?;
            let forward = [
                "netns",
                "exec",
                ROUTER,
                "sysctl",
                "-qw",
                "net.ipv4.ip_forward=1",
            ];
            ip(&forward).map_err(|e| e.to_string())?;
            join(CLIENTS).map_err(|e| e.to_string())
        };
        if inside {
            MADE.get_or_init(make).clone().map_err(anyhow::Error::msg)?;
        }
        Ok(Self { inside })
    }

    /// Returns whether there are several nodes.
    pub(crate) fn is_own(self) -> bool {
        self.inside
    }

    /// A node of this number, made if it is not there. On loopback all are the same.
    ///
    /// # Errors
    /// It cannot be made.
    pub(crate) fn node(self, number: u8) -> anyhow::Result<Node> {
        let node = Node(number);
        if self.inside && !std::path::Path::new(&format!("/run/netns/{}", node.name())).exists() {
            ip(&["netns", "add", &node.name()])?;
            join(node)?;
        }
        Ok(node)
    }

    /// Returns the address on which programs on a node listen.
    pub(crate) fn ip(self, node: Node, side: Side) -> String {
        if self.inside {
            node.ip(side)
        } else {
            "127.0.0.1".to_owned()
        }
    }

    /// A free port there.
    pub(crate) fn any_port(self, node: Node, side: Side) -> String {
        format!("{}:0", self.ip(node, side))
    }

    /// Returns the command under which a program on a node is run.
    pub(crate) fn within(self, node: Node) -> Vec<String> {
        if !self.inside || node == CLIENTS {
            return vec![];
        }
        ["ip", "netns", "exec", &node.name()]
            .map(str::to_owned)
            .into()
    }

    /// Cuts one way or mends it. Two that cut the same way are distinguished by `number`.
    ///
    /// # Errors
    /// The router does not take it, or there is none.
    pub(crate) fn cut(self, (number, way): (usize, Way), on: bool) -> anyhow::Result<()> {
        anyhow::ensure!(self.inside, "loopback cannot be cut");
        let place =
            |(node, side): (Node, Side)| 2 * usize::from(node.0) + usize::from(side == Side::Other);
        let ways = 100 * place(way.from) + place(way.to);
        let preference = (1000 + 10 * ways + number).to_string();
        let [from, to] = [way.from, way.to].map(|(node, side)| node.ip(side));
        let rule = ["pref", &preference, "from", &from, "to", &to, "blackhole"];
        let change = if on { "add" } else { "del" };
        ip(&[&["-n", ROUTER, "rule", change][..], &rule].concat())
    }

    /// Takes the link between a node and the router down, or up again.
    ///
    /// # Errors
    /// The router does not take it, or there is none.
    pub(crate) fn link(self, node: Node, up: bool) -> anyhow::Result<()> {
        anyhow::ensure!(self.inside, "loopback has no links");
        let state = if up { "up" } else { "down" };
        ip(&["-n", ROUTER, "link", "set", &node.name(), state])
    }
}

impl Node {
    fn name(self) -> String {
        format!("node-{}", self.0)
    }

    fn ip(self, side: Side) -> String {
        let last = if side == Side::Main { 2 } else { 3 };
        format!("10.99.{}.{last}", self.0)
    }
}

impl Cut {
    /// The ways that it cuts.
    pub(crate) fn between(self, one: (Node, Side), other: (Node, Side)) -> Vec<Way> {
        let to = Way {
            from: one,
            to: other,
        };
        let from = Way {
            from: other,
            to: one,
        };
        match self {
            Self::Both => vec![to, from],
            Self::To => vec![to],
            Self::From => vec![from],
        }
    }
}

/// Joins the namespace of a node to the router.
fn join(node: Node) -> anyhow::Result<()> {
    let name = node.name();
    let router = format!("10.99.{}.1", node.0);
    let own = format!("{}/24", node.ip(Side::Main));
    let other = format!("{}/24", node.ip(Side::Other));
    for command in [
        format!("-n {ROUTER} link add {name} type veth peer name eth0 netns {name}"),
        format!("-n {ROUTER} addr add {router}/24 dev {name}"),
        format!("-n {ROUTER} link set {name} up"),
        format!("-n {name} addr add {own} dev eth0"),
        format!("-n {name} addr add {other} dev eth0"),
        format!("-n {name} link set lo up"),
        format!("-n {name} link set eth0 up"),
        format!("-n {name} route add default via {router}"),
    ] {
        ip(&command.split(' ').collect::<Vec<_>>())?;
    }
    Ok(())
}

fn ip(args: &[&str]) -> anyhow::Result<()> {
    run(Command::new("ip").args(args))
}

fn run(command: &mut Command) -> anyhow::Result<()> {
    let output = command.output().with_context(|| format!("{command:?}"))?;
    let error = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(output.status.success(), "{command:?}: {}", error.trim());
    Ok(())
}

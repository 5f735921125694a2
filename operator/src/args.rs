//! The command line.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use datastream_operator::access::{AccessDefault, AccessMode, AccessSettings};
use datastream_operator::groups::{GroupSetting, Identities, Limits};
use datastream_operator::namespaces::NamespaceName;
use datastream_operator::routing::Budget;
use datastream_operator::run::Settings;
use datastream_service::listen;
use datastream_service::log::LogFormat;

/// The control plane of datastream: turns subscriptions into routing objects and stream keys
#[derive(Debug, Parser)]
#[command(version)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Print the custom resource definitions, for `kubectl apply --server-side -f -`
    Crd,
    /// Run in a cluster, or with KUBECONFIG outside of one
    Run(Box<RunArgs>),
}

#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// The namespace of the gateways, where routing objects are published
    #[arg(long, env = "DATASTREAM_ROUTES_NAMESPACE")]
    routes_namespace: NamespaceName,
    /// The namespace of the lock that the replica which leads has; that of the gateways if not given. In a namespace of its own it is a
    /// Lease, in that of the gateways, who may write every Lease there, a ConfigMap
    #[arg(long, env = "DATASTREAM_LEADER_NAMESPACE", value_name = "NAMESPACE")]
    leader_namespace: Option<NamespaceName>,
    /// The namespaces whose subscriptions are served, as in team-a,team-b; all if not given. Others are not looked at, and need no rights
    #[arg(
        long,
        env = "DATASTREAM_WATCH_NAMESPACES",
        value_delimiter = ',',
        value_name = "NAMESPACE"
    )]
    watch_namespaces: Vec<NamespaceName>,
    /// The groups of gateways to publish to and where the clients of each connect, as in
    /// default=wss://datastream.example.com/stream,eu=wss://eu.example.com/stream; the URL is part of every stream's Secret
    #[arg(
        long,
        env = "DATASTREAM_GROUPS",
        value_delimiter = ',',
        value_name = "NAME=URL",
        required = true
    )]
    groups: Vec<GroupSetting>,
    /// The groups whose gateways take tokens (--token-issuer), as in default,eu: their routes carry the labels of subscriptions, by
    /// which tokens may select
    #[arg(
        long,
        env = "DATASTREAM_TOKEN_GROUPS",
        value_delimiter = ',',
        value_name = "NAME"
    )]
    token_groups: Vec<String>,
    /// The groups whose gateways ask for certificates of clients (--tls-client-ca), as in default,eu: in others,
    /// spec.clientCertificate is not accepted
    #[arg(
        long,
        env = "DATASTREAM_CERTIFICATE_GROUPS",
        value_delimiter = ',',
        value_name = "NAME"
    )]
    certificate_groups: Vec<String>,
    /// Address of probes and metrics; port 0 picks a free one
    #[arg(long, env = "DATASTREAM_LISTEN", default_value = "127.0.0.1:8081")]
    listen: SocketAddr,
    /// Serve metrics only to bearer tokens whose users the API server lets get them (TokenReview, SubjectAccessReview), with TLS or
    /// without
    #[arg(long, env = "DATASTREAM_METRICS_AUTHORIZATION")]
    metrics_authorization: bool,
    /// The name of this replica for leader election, usually its pod's; random if not given
    #[arg(long, env = "DATASTREAM_IDENTITY")]
    identity: Option<String>,
    /// Seconds for which a sudden loss of more than half of all routes (20 or more) is held back; 0 never holds
    #[arg(long, env = "DATASTREAM_SHRINK_HOLD_SECONDS", default_value_t = 60)]
    shrink_hold_seconds: u32,
    /// The largest cost of one subscription's filters: 256 for each pattern with text in several places (AC*7, *a*b*) and each filter
    /// whose lists have more than 1,024 combinations; less for other combinations, and for items
    #[arg(long, env = "DATASTREAM_MAX_FILTER_COST", default_value_t = Budget::default().subscription)]
    max_filter_cost: u64,
    /// The largest cost of the filters of all subscriptions of a namespace in one group of gateways
    #[arg(long, env = "DATASTREAM_MAX_NAMESPACE_FILTER_COST", default_value_t = Budget::default().namespace)]
    max_namespace_filter_cost: u64,
    /// The number of subscriptions that a namespace may have in one group of gateways; 0 is no limit
    #[arg(
        long,
        env = "DATASTREAM_MAX_NAMESPACE_SUBSCRIPTIONS",
        default_value_t = 0
    )]
    max_namespace_subscriptions: u32,
    /// Handling of a subscription that asks for more than the DatastreamAccessRules let it
    #[arg(long, env = "DATASTREAM_ACCESS_RULES", value_enum, default_value_t)]
    access_rules: AccessMode,
    /// Handling of events that no DatastreamAccessRule selects
    #[arg(long, env = "DATASTREAM_ACCESS_DEFAULT", value_enum, default_value_t)]
    access_default: AccessDefault,
    /// Format of the log (to standard error)
    #[arg(long, env = "DATASTREAM_LOG_FORMAT", value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
}

impl RunArgs {
    /// The settings that these arguments mean.
    ///
    /// # Errors
    /// The system has no random bytes for an identity, or a group is named that there is not.
    pub(crate) fn settings(self) -> anyhow::Result<Settings> {
        let identity = if let Some(identity) = self.identity {
            identity
        } else {
            let mut bytes = [0; 8];
            getrandom::fill(&mut bytes)?;
            format!("operator-{}", hex::encode(bytes))
        };
        let groups = groups(self.groups, &self.token_groups, &self.certificate_groups)?;
        Ok(Settings {
            leader_namespace: self
                .leader_namespace
                .unwrap_or_else(|| self.routes_namespace.clone())
                .into(),
            routes_namespace: self.routes_namespace.into(),
            namespaces: self.watch_namespaces.into_iter().collect(),
            groups,
            listen: listen::address(self.listen),
            metrics_authorization: self.metrics_authorization,
            identity,
            limits: Limits {
                shrink_hold: Duration::from_secs(self.shrink_hold_seconds.into()),
                budget: Budget {
                    subscription: self.max_filter_cost,
                    namespace: self.max_namespace_filter_cost,
                    subscriptions: NonZeroU32::new(self.max_namespace_subscriptions),
                },
            },
            access: AccessSettings {
                mode: self.access_rules,
                default: self.access_default,
            },
        })
    }
}

/// The groups, with how clients of these may say who they are.
fn groups(
    mut groups: Vec<GroupSetting>,
    with_tokens: &[String],
    with_certificates: &[String],
) -> anyhow::Result<Vec<GroupSetting>> {
    for (flag, named) in [
        ("--token-groups", with_tokens),
        ("--certificate-groups", with_certificates),
    ] {
        for name in named {
            let is_there = groups.iter().any(|group| group.name == *name);
            anyhow::ensure!(is_there, "{flag}: there is no group {name} in --groups");
        }
    }
    for group in &mut groups {
        group.identities = Identities {
            tokens: with_tokens.contains(&group.name),
            certificates: with_certificates.contains(&group.name),
        };
    }
    Ok(groups)
}

//! The parties among which limits divide what a gateway has.

/// Whoever a limit is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// One subscription, which has one stream.
    Subscription,
    /// All subscriptions of a namespace.
    Namespace,
    /// Everybody who comes from one address; of IPv6, from one /64.
    Address,
    /// The whole gateway.
    Gateway,
}

impl Scope {
    /// All scopes, the narrowest first.
    pub(crate) const ALL: [Self; 4] = [
        Self::Subscription,
        Self::Namespace,
        Self::Address,
        Self::Gateway,
    ];

    /// The name in settings and metrics.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Subscription => "subscription",
            Self::Namespace => "namespace",
            Self::Address => "address",
            Self::Gateway => "gateway",
        }
    }
}

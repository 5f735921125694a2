//! Settings of the access rules.

use clap::ValueEnum;

/// Treatment of a subscription that asks for more than the access rules allow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum AccessMode {
    /// It is not accepted, and its stream is refused
    #[default]
    Refuse,
    /// It is accepted, says so in its status, and gets the events that are allowed
    Narrow,
    /// There are no access rules: nobody looks at them, and everything may be had
    Off,
}

/// Treatment of events that no access rule selects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum AccessDefault {
    /// Allowed until there is a rule, then denied
    #[default]
    UntilRules,
    /// Allowed
    Allow,
    /// Denied
    Deny,
}

/// Settings of the access rules.
#[derive(Clone, Copy, Debug, Default)]
pub struct AccessSettings {
    /// Treatment of a subscription that asks for more.
    pub mode: AccessMode,
    /// Treatment of what no rule selects.
    pub default: AccessDefault,
}

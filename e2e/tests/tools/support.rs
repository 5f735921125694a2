//! Process groups, which the browser of the console's tests is started with.

#[path = "../../../cli/tests/support/group.rs"]
pub(crate) mod group;
